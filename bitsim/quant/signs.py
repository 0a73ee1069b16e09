"""Binary weights, 1 bit each, along K: bit j of byte i of a row is 1 for +1 and 0 for -1 at k = 8 i + j.

Rows are padded to whole bytes with 0. Our own layout: no public checkpoint of BitNet (arXiv 2310.11453) is known.
"""

import numpy as np

from bitsim.errors import OperandError
from bitsim.quant.packing import Int8, UInt8, check_codes


def check_signs(codes: Int8) -> None:
    """Raise `OperandError` unless `codes` is int8 (N, K) and holds -1 and +1 only."""
    check_codes(codes)
    zeros = codes == 0
    if zeros.any():
        n, k = (int(i) for i in np.argwhere(zeros)[0])
        raise OperandError(f"binary codes[{n}, {k}]: expected -1 or 1, got 0; take a ternary packing, such as 2bit")


def pack_signs(codes: Int8) -> UInt8:
    """Pack `codes`, int8 (N, K) of -1 and +1, into uint8 (N, ceil(K/8)); raises `OperandError` at the first 0."""
    check_signs(codes)
    return np.packbits(codes > 0, axis=1, bitorder="little")


def unpack_signs(packed: UInt8, k: int) -> Int8:
    """Unpack uint8 (N, ceil(K/8)) into codes int8 (N, K)."""
    if packed.ndim != 2 or packed.dtype != np.uint8 or packed.shape[1] != -(-k // 8):
        raise OperandError(f"binary codes: expected uint8 (N, {-(-k // 8)}), got {packed.dtype} {packed.shape}")
    bits = np.unpackbits(packed, axis=1, count=k, bitorder="little").view(np.int8)
    return 2 * bits - np.int8(1)
