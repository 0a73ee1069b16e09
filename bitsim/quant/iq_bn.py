"""ik_llama.cpp's IQ1_BN and IQ2_BN: rows that start with their scale, then blocks of 64 weights along K.

* IQ2_BN: a float32 scale; 16 bytes per block, element j at bits `2 (j / 16)` of byte `j % 16`, as `code + 1`.
* IQ1_BN: a float16 scale; 13 bytes per block. Element j is lane `i = j % 16` of group `g = j / 16`: digit `i % 5` of
  byte `3 g + i / 5`, but lane 15 is digit g of byte 12. Digit n of a byte is `(v + (v >> 1)) >> 7` with
  `v = byte * 3^(4 - n) & 255`.

A weight is `code * scale`, and a digit is `code + 1`. IQ1_BN files of 2024 have other layouts, without a scale: their
rows are shorter. Source: ik_llama.cpp `ggml/src/iqk` (MIT), the layout after rows got scales.
"""

import numpy as np
import numpy.typing as npt

from bitsim.quant.block_rows import check_no_code_3, codes_of_blocks, split_blocks
from bitsim.quant.packing import Float32, Int8, UInt8

IQ_BN_BLOCK = 64
IQ1_BN_BYTES, IQ1_BN_ROW_BYTES = 13, 2
IQ2_BN_BYTES, IQ2_BN_ROW_BYTES = 16, 4


def unpack_iq2_bn(data: UInt8, k: int) -> tuple[Int8, Float32]:
    """Unpack uint8 (N, 4 + 16 * K/64) into codes int8 (N, K) and row scales float32 (N, 1)."""
    scales = np.ascontiguousarray(data[:, :4]).view("<f4")
    split = split_blocks(data[:, 4:], k, IQ_BN_BLOCK, IQ2_BN_BYTES, "IQ2_BN")
    check_no_code_3(split, "IQ2_BN")
    trits = np.empty((*split.shape[:2], 4, 16), dtype=np.uint8)
    for i in range(4):
        np.bitwise_and(split >> np.uint8(2 * i), np.uint8(3), out=trits[..., i, :])
    return codes_of_blocks(trits, k), scales.astype(np.float32)


def unpack_iq1_bn(data: UInt8, k: int) -> tuple[Int8, Float32]:
    """Unpack uint8 (N, 2 + 13 * K/64) into codes int8 (N, K) and row scales float32 (N, 1). Every byte is valid."""
    scales = np.ascontiguousarray(data[:, :2]).view("<f2")
    split = split_blocks(data[:, 2:], k, IQ_BN_BLOCK, IQ1_BN_BYTES, "IQ1_BN")
    at, digit = _places()
    return codes_of_blocks(_digits()[digit, split[..., at]], k), scales.astype(np.float32)


def _places() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The byte and the digit of each of the 64 elements."""
    group, lane = np.divmod(np.arange(IQ_BN_BLOCK), 16)
    last = lane == 15
    return np.where(last, 12, 3 * group + lane // 5), np.where(last, group, lane % 5)


def _digits() -> UInt8:
    """Digit n of each byte, uint8 (5, 256)."""
    power = 3 ** np.arange(4, -1, -1, dtype=np.uint32)[:, None]
    value = np.arange(256, dtype=np.uint32) * power & 255
    return ((value + (value >> 1)) >> 7).astype(np.uint8)
