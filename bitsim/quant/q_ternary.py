"""llama.cpp's Q1_0 and Q2_0: a float16 scale, then signs or 2-bit codes of consecutive weights, low bits first.

* Q1_0, 18 bytes for 128: bit `j % 8` of byte `j / 8` is 1 for +1 and 0 for -1; there is no 0.
* Q2_0, 18 bytes for 64 (upstream) or 34 bytes for 128 (PrismML: first as Q2_0 under the same id, now PQ2_0): bits
  `2 (j % 4)` of byte `j / 4` are `code + 1`. Code 3, twice the scale, can be stored and is refused: not ternary.

A weight is `code * scale`. Rows are padded to whole blocks with code 0 (Q1_0: with -1). A block without a non-zero code
has scale 0, as ggml's quantiser writes it. Source: ggml `ggml-common.h` (MIT); PrismML's fork of llama.cpp (MIT).
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
from bitsim.quant.signs import check_signs

Q1_0_BLOCK = 128
Q1_0_BYTES = 18
Q2_0_BLOCK = 64
PQ2_0_BLOCK = 128


def q2_0_bytes(block: int) -> int:
    """Bytes of a block of so many weights: its scale and two bits each."""
    return 2 + block // 4


def pack_q1_0(codes: Int8, scale: float = 1.0) -> UInt8:
    """Pack `codes`, int8 (N, K) of -1 and +1, into uint8 (N, 18 * ceil(K/128)) with one `scale`, rounded to float16."""
    check_signs(codes)
    n, k = codes.shape
    positive = np.zeros((n, -(-k // Q1_0_BLOCK) * Q1_0_BLOCK), dtype=bool)
    positive[:, :k] = codes > 0
    data = np.empty((n, positive.shape[1] // Q1_0_BLOCK, Q1_0_BYTES), dtype=np.uint8)
    data[..., 2:] = np.packbits(positive.reshape(n, -1, Q1_0_BLOCK), axis=2, bitorder="little")
    write_half(data, 0, np.full(data.shape[:2], scale, dtype=np.float16))
    return data.reshape(n, -1)


def unpack_q1_0(data: UInt8, k: int) -> tuple[Int8, Float16]:
    """Unpack uint8 (N, 18 * ceil(K/128)) into codes int8 (N, K) and block scales float16 (N, ceil(K/128))."""
    split = split_blocks(data, k, Q1_0_BLOCK, Q1_0_BYTES, "Q1_0")
    bits = np.unpackbits(split[..., 2:], axis=2, bitorder="little").reshape(len(split), -1)[:, :k].view(np.int8)
    return 2 * bits - np.int8(1), half_at(split, 0)


def pack_q2_0(codes: Int8, scale: float = 1.0, block: int = Q2_0_BLOCK) -> UInt8:
    """Pack ternary `codes`, int8 (N, K), into uint8 (N, bytes) with one `scale`, rounded to float16."""
    trits = blocks_of_codes(codes, block)
    data = np.zeros((*trits.shape[:2], q2_0_bytes(block)), dtype=np.uint8)
    for i in range(4):
        data[..., 2:] |= trits[..., i::4] << np.uint8(2 * i)
    write_half(data, 0, scales_of(trits, scale))
    return data.reshape(len(data), -1)


def unpack_q2_0(data: UInt8, k: int, block: int = Q2_0_BLOCK) -> tuple[Int8, Float16]:
    """Unpack uint8 (N, bytes) into codes int8 (N, K) and block scales float16 (N, ceil(K / block)).

    Raises `OperandError` on code 3.
    """
    name = "Q2_0" if block == Q2_0_BLOCK else "PQ2_0"
    split = split_blocks(data, k, block, q2_0_bytes(block), name)
    stored = split[..., 2:]
    check_no_code_3(stored, name)
    trits = np.empty((*split.shape[:2], block), dtype=np.uint8)
    for i in range(4):
        np.bitwise_and(stored >> np.uint8(2 * i), np.uint8(3), out=trits[..., i::4])
    return codes_of_blocks(trits, k), half_at(split, 0)
