"""llama.cpp's ternary block formats TQ1_0 and TQ2_0 and PrismML's PTQ1_0: blocks along K with one float16 scale each.

* TQ2_0, 66 bytes for 256: byte `32 h + m` (h < 2, m < 32) holds elements `128 h + m + 32 n` at bits 2n, n < 4; then the
  scale.
* TQ1_0, 54 bytes for 256: five trits per byte, most significant first, as `ceil(v * 256 / 243)`, which decodes by
  multiplying: 48 bytes hold elements `m + 32 n` (m < 32) and `160 + m + 16 n` (m < 16), n < 5; 4 bytes hold
  `240 + j + 4 n`, n < 4, with a fifth digit 0; then the scale.
* PTQ1_0, 28 bytes for 128: the same coding; 24 bytes hold `m + 16 n` (m < 16) and `80 + m + 8 n` (m < 8), n < 5;
  2 bytes hold `120 + j + 2 n`, n < 4; then the scale.

A trit is `code + 1`, a weight `code * scale`. Rows are padded to whole blocks with code 0; ggml has no such rows. The
scale of a block without a non-zero code is 0, as ggml writes it. TQ bytes equal ggml 0.25.3 and gguf-py 0.19.0.
Source: ggml `ggml-common.h`, `ggml-quants.c` (MIT); PTQ1_0: PrismML's fork of llama.cpp, `ggml-common.h` (MIT).
"""

import numpy as np

from bitsim.quant.block_rows import (
    Float16,
    blocks_of_codes,
    check_no_code_3,
    codes_of_blocks,
    half_at,
    scales_of,
    split_blocks,
    write_half,
)
from bitsim.quant.packing import Int8, UInt8

BLOCK = 256
TQ1_0_BYTES = 54
TQ2_0_BYTES = 66
PTQ1_0_BLOCK = 128
PTQ1_0_BYTES = 28
# First byte, first element, bytes, trits per byte.
_Runs = tuple[tuple[int, int, int, int], ...]
_TQ1_0_RUNS: _Runs = ((0, 0, 32, 5), (32, 160, 16, 5), (48, 240, 4, 4))
_PTQ1_0_RUNS: _Runs = ((0, 0, 16, 5), (16, 80, 8, 5), (24, 120, 2, 4))


def _digits() -> UInt8:
    """The trits of each byte of TQ1_0, uint8 (5, 256), as ggml decodes them: `((byte * 3^n & 255) * 3) >> 8`."""
    byte, power = np.arange(256, dtype=np.uint32), 3 ** np.arange(5, dtype=np.uint32)[:, None]
    return ((byte * power & 255) * 3 >> 8).astype(np.uint8)


def pack_tq2_0(codes: Int8, scale: float = 1.0) -> UInt8:
    """Pack ternary `codes`, int8 (N, K), into uint8 (N, 66 * ceil(K/256)) with one `scale`, rounded to float16."""
    trits = blocks_of_codes(codes, BLOCK)
    data = np.zeros((*trits.shape[:2], TQ2_0_BYTES), dtype=np.uint8)
    quarters = trits.reshape(*trits.shape[:2], 2, 4, 32)
    stored = data[..., :64].reshape(*trits.shape[:2], 2, 32)  # a copy: a slice of the last axis can't be reshaped
    for i in range(4):
        stored |= quarters[..., i, :] << np.uint8(2 * i)
    data[..., :64] = stored.reshape(*trits.shape[:2], 64)
    write_half(data, -2, scales_of(trits, scale))
    return data.reshape(len(data), -1)


def unpack_tq2_0(data: UInt8, k: int) -> tuple[Int8, Float16]:
    """Unpack uint8 (N, 66 * ceil(K/256)) into codes int8 (N, K) and block scales float16 (N, ceil(K/256)).

    Raises `OperandError` on code 3, which is not a ternary value.
    """
    split = split_blocks(data, k, BLOCK, TQ2_0_BYTES, "TQ2_0")
    stored = split[..., :64].reshape(*split.shape[:2], 2, 32)
    check_no_code_3(stored, "TQ2_0")
    trits = np.empty((*split.shape[:2], 2, 4, 32), dtype=np.uint8)
    for i in range(4):
        np.bitwise_and(stored >> np.uint8(2 * i), np.uint8(3), out=trits[..., i, :])
    return codes_of_blocks(trits, k), half_at(split, -2)


def pack_tq1_0(codes: Int8, scale: float = 1.0) -> UInt8:
    """Pack ternary `codes`, int8 (N, K), into uint8 (N, 54 * ceil(K/256)) with one `scale`, rounded to float16."""
    return _pack_runs(codes, scale, BLOCK, TQ1_0_BYTES, _TQ1_0_RUNS)


def unpack_tq1_0(data: UInt8, k: int) -> tuple[Int8, Float16]:
    """Unpack uint8 (N, 54 * ceil(K/256)) into codes int8 (N, K) and block scales float16 (N, ceil(K/256)).

    Every byte is valid: the 13 values that no packer writes decode as ggml decodes them.
    """
    return _unpack_runs(split_blocks(data, k, BLOCK, TQ1_0_BYTES, "TQ1_0"), k, BLOCK, _TQ1_0_RUNS)


def pack_ptq1_0(codes: Int8, scale: float = 1.0) -> UInt8:
    """Pack ternary `codes`, int8 (N, K), into uint8 (N, 28 * ceil(K/128)) with one `scale`, rounded to float16."""
    return _pack_runs(codes, scale, PTQ1_0_BLOCK, PTQ1_0_BYTES, _PTQ1_0_RUNS)


def unpack_ptq1_0(data: UInt8, k: int) -> tuple[Int8, Float16]:
    """Unpack uint8 (N, 28 * ceil(K/128)) into codes int8 (N, K) and block scales float16 (N, ceil(K/128))."""
    return _unpack_runs(split_blocks(data, k, PTQ1_0_BLOCK, PTQ1_0_BYTES, "PTQ1_0"), k, PTQ1_0_BLOCK, _PTQ1_0_RUNS)


def _pack_runs(codes: Int8, scale: float, block: int, block_bytes: int, runs: _Runs) -> UInt8:
    trits = blocks_of_codes(codes, block)
    data = np.zeros((*trits.shape[:2], block_bytes), dtype=np.uint8)
    for at, element, width, digits in runs:
        run = trits[..., element : element + width * digits].reshape(*trits.shape[:2], digits, width)
        value = np.zeros((*trits.shape[:2], width), dtype=np.uint16)
        for i in range(digits):
            value += run[..., i, :] * np.uint16(3 ** (4 - i))
        data[..., at : at + width] = (value * np.uint32(256) + np.uint32(242)) // np.uint32(243)
    write_half(data, -2, scales_of(trits, scale))
    return data.reshape(len(data), -1)


def _unpack_runs(split: UInt8, k: int, block: int, runs: _Runs) -> tuple[Int8, Float16]:
    trits, table = np.empty((*split.shape[:2], block), dtype=np.uint8), _digits()
    for at, element, width, digits in runs:
        stored = split[..., at : at + width]
        for i in range(digits):
            trits[..., element + i * width : element + (i + 1) * width] = table[i][stored]
    return codes_of_blocks(trits, k), half_at(split, -2)
