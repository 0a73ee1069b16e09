"""Weights into the lines that the SIMD kernels load: 64 bytes hold 16 columns (lanes) x 4 k.

* P16, 2 bits per weight: line [n/16][k/16], byte 4 * lane + i, bits 2j and 2j + 1 hold the code w + 1 of
  k = 16 * group + 4j + i. Shifting a line right by 2j leaves one quad of k in every lane.
* byte lines, 8 bits per weight: line [n/16][k/4], byte 4 * lane + i holds k = 4 * quad + i.
"""

from typing import Any

import numba
import numpy as np

from bitsim._jit import kernel, parallel_kernel

LANES = 16


@kernel
def _pack_block(codes: Any, lines: Any) -> int:
    """codes: uint8 (16, K padded to 16) -> lines: uint8 (K/16, 64); returns 0 if no code is 3."""
    seen = np.uint8(0)
    for group in range(lines.shape[0]):
        for lane in range(LANES):
            for i in range(4):
                byte = np.uint8(0)
                for j in range(4):
                    code = codes[lane, 16 * group + 4 * j + i]
                    # 3 is no ternary code: both of its bits are set.
                    seen |= code & (code >> np.uint8(1))
                    byte |= code << np.uint8(2 * j)
                lines[group, 4 * lane + i] = byte
    return int(seen)


@parallel_kernel
def pack_codes(w_ternary: Any, packed: Any) -> None:
    """w_ternary: int8 (N, K) of -1, 0, 1 -> packed: uint8 (N/16, K/16, 64), both rounded up; padding is weight 0."""
    n_total, k_total = w_ternary.shape
    for block in numba.prange(packed.shape[0]):
        codes = np.ones((LANES, 16 * packed.shape[1]), np.uint8)
        for lane in range(min(LANES, n_total - LANES * block)):
            for k in range(k_total):
                codes[lane, k] = np.uint8(w_ternary[LANES * block + lane, k] + 1)
        _pack_block(codes, packed[block])


@parallel_kernel
def pack_hf_bytes(hf: Any, n_total: int, packed: Any) -> int:
    """Hugging Face bytes hf: uint8 (R, K), R = ceil(N/4), code of row i * R + r in bits 2i of hf[r] -> P16.

    Returns the number of 16-column blocks that contain the code 3, which stands for no weight.
    """
    rows, k_total = hf.shape
    invalid_blocks = 0
    for block in numba.prange(packed.shape[0]):
        codes = np.ones((LANES, 16 * packed.shape[1]), np.uint8)
        for lane in range(min(LANES, n_total - LANES * block)):
            n = LANES * block + lane
            shift = np.uint8(2 * (n // rows))
            for k in range(k_total):
                codes[lane, k] = (hf[n % rows, k] >> shift) & np.uint8(3)
        if _pack_block(codes, packed[block]) != 0:
            invalid_blocks += 1
    return invalid_blocks


@parallel_kernel
def unpack_rows(packed: Any, chosen: Any, w_ternary: Any) -> None:
    """The inverse of `pack_codes` for the rows `chosen`: int64 (R,) -> w_ternary int8 (R, K)."""
    for r in numba.prange(chosen.shape[0]):
        lines = packed[chosen[r] // LANES]
        lane = chosen[r] % LANES
        for k in range(w_ternary.shape[1]):
            byte = lines[k // 16, 4 * lane + k % 4]
            w_ternary[r, k] = np.int8((byte >> np.uint8(2 * (k // 4 % 4))) & 3) - 1


@kernel
def _interleave(rows: Any, lines: Any) -> None:
    """rows: int32 (up to 16, Q) -> lines: int32 (Q, 16), missing rows are 0."""
    for q in range(lines.shape[0]):
        for lane in range(LANES):
            lines[q, lane] = rows[lane, q] if lane < rows.shape[0] else 0


@parallel_kernel
def quad_lines(w_quads: Any, lines: Any) -> None:
    """w_quads: int32 (N, Q), four int8 weights in each -> byte lines: int32 (B, Q, 16), columns beyond N are 0."""
    for block in numba.prange(lines.shape[0]):
        _interleave(w_quads[LANES * block : LANES * (block + 1)], lines[block])
