"""The twin of bitnet.cpp's I2_S dot product, in plain Python integers."""

from bitsim.datapath.base import Array

I2sWraps = list[tuple[int, int, int]]


def i2s_matmul(x_q: Array, codes: Array, variant: str) -> tuple[list[list[int]], I2sWraps]:
    """The outputs (M, N) less the tokens' sums, and (m, first k of the group, n) of every lane that wrapped."""
    y, wraps = [], []
    for m, q in enumerate(x_q.tolist()):
        row = []
        for n, w in enumerate(codes.tolist()):
            raw, starts = i2s_rawdot(q, [code + 1 for code in w], variant)
            row.append(raw - sum(q))
            wraps += [(m, k, n) for k in starts]
        y.append(row)
    return y, wraps


def i2s_rawdot(q: list[int], codes: list[int], variant: str) -> tuple[int, list[int]]:
    """The sum of `code * q` with codes 0..2, and the first k of its group for every lane that wrapped.

    A vector register holds `width` bytes. AVX2 adds neighbouring products in pairs: 32 bytes to 16 lanes; NEON adds the
    high half of its 16 bytes to the low half: 8 lanes. A block is four registers, 32 blocks are added in int16.
    """
    width, lanes = (32, 16) if variant == "avx2" else (16, 8)
    block, raw, wraps = 4 * width, 0, []
    for start in range(0, len(q), 32 * block):
        blocks = range(start, min(start + 32 * block, len(q)), block)
        for j in range(lanes):
            bytes_of_lane = (2 * j, 2 * j + 1) if variant == "avx2" else (j, j + lanes)
            elements = [i + width * g + p for i in blocks for g in range(4) for p in bytes_of_lane]
            lane = sum(codes[k] * q[k] for k in elements)
            kept = (lane + 2**15) % 2**16 - 2**15
            wraps += [start] * (kept != lane)
            raw += kept
    return raw, wraps
