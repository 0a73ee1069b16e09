"""Ternary weights in Hugging Face's 2-bit packing, and bfloat16 bit patterns.

`packed[r, c] = sum over i in 0..3 of (W[i * R + r, c] + 1) << 2i` with `R = ceil(N / 4)`: the four values of a byte are
a quarter of the rows apart. Rows beyond N hold code 0, which reads as -1 and is cut off. Code 3 is not a ternary value.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitsim.errors import OperandError

Int8 = npt.NDArray[np.int8]
UInt8 = npt.NDArray[np.uint8]
UInt16 = npt.NDArray[np.uint16]
Float32 = npt.NDArray[np.float32]

_SHIFTS = (0, 2, 4, 6)
_BLOCK_ROWS = 256


def check_codes(codes: Int8) -> None:
    """Raise `OperandError` unless `codes` is int8 (N, K) and holds -1, 0 and 1 only."""
    if codes.ndim != 2 or codes.dtype != np.int8:
        raise OperandError(f"ternary codes: expected int8 (N, K), got {codes.dtype} {codes.shape}")
    outside = (codes < -1) | (codes > 1)
    if outside.any():
        n, k = (int(i) for i in np.argwhere(outside)[0])
        raise OperandError(f"ternary codes[{n}, {k}]: expected -1, 0 or 1, got {codes[n, k]}")


def pack_hf(codes: Int8) -> UInt8:
    """Pack ternary `codes`, int8 (N, K), into uint8 (ceil(N/4), K); bytes equal transformers' `pack_weights`."""
    check_codes(codes)
    rows = -(-codes.shape[0] // 4)
    stored = np.zeros((4, rows, codes.shape[1]), dtype=np.uint8)
    stored.reshape(4 * rows, -1)[: codes.shape[0]] = codes + 1
    packed: UInt8 = stored[0] | stored[1] << 2 | stored[2] << 4 | stored[3] << 6
    return packed


def check_packed(packed: UInt8) -> None:
    """Raise `OperandError` at the first byte that holds code 3."""
    for start in range(0, packed.shape[0], _BLOCK_ROWS):
        block = packed[start : start + _BLOCK_ROWS]
        threes = block & (block >> 1) & np.uint8(0x55)
        if threes.any():
            row, k = (int(i) for i in np.argwhere(threes)[0])
            raise OperandError(
                f"packed weights[{start + row}, {k}]: expected 2-bit codes 0, 1 or 2, got code 3 in byte "
                f"{int(block[row, k]):#04x}"
            )


def unpack_hf(packed: UInt8, n: int) -> Int8:
    """Unpack uint8 (ceil(N/4), K) into ternary codes, int8 (N, K); raises `OperandError` on code 3."""
    if packed.ndim != 2 or packed.dtype != np.uint8 or packed.shape[0] != -(-n // 4):
        raise OperandError(f"packed weights: expected uint8 ({-(-n // 4)}, K), got {packed.dtype} {packed.shape}")
    check_packed(packed)
    rows = packed.shape[0]
    codes = np.empty((4 * rows, packed.shape[1]), dtype=np.int8)
    for i, shift in enumerate(_SHIFTS):
        quarter = codes[i * rows : (i + 1) * rows]
        np.bitwise_and(packed >> shift, 3, out=quarter.view(np.uint8))
        quarter -= 1
    return codes[:n]


def unpack_hf_rows(packed: UInt8, rows: npt.NDArray[np.int64]) -> Int8:
    """The codes of the rows with these numbers, int8 (R, K), from packed bytes that hold no code 3."""
    quarter = packed.shape[0]
    codes: Int8 = (packed[rows % quarter] >> (2 * (rows // quarter)).astype(np.uint8)[:, None] & 3).view(np.int8)
    codes -= 1
    return codes


def bf16_to_f32(bits: UInt16) -> Float32:
    """The float32 values of bfloat16 bit patterns (exact)."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def f32_to_bf16(values: Float32) -> UInt16:
    """Round float32 to bfloat16 (nearest, ties to even), as bit patterns; NaN stays NaN, sign and quiet bit kept."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    quiet = (bits >> np.uint32(16)) | np.uint32(0x40)
    return np.where((bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000), quiet, rounded).astype(np.uint16)


def round_to_bf16(values: Float32) -> Float32:
    """The float32 values that are nearest in bfloat16, ties to even: beyond its range infinite, subnormals kept."""
    return bf16_to_f32(f32_to_bf16(values))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TernaryWeight:
    """A ternary (N, K) matrix as stored: 2-bit codes and one scale per tensor.

    `packed`: uint8 (ceil(N/4), K), often memory-mapped. `scale`: as stored; whether it multiplies (mean|W|) or divides
    (1 / mean|W|) is the contract's affair.
    """

    packed: UInt8
    n: int
    k: int
    scale: np.float32

    def __post_init__(self) -> None:
        expected = (-(-self.n // 4), self.k)
        if self.packed.dtype != np.uint8 or self.packed.shape != expected:
            raise OperandError(
                f"packed weights: expected uint8 {expected}, got {self.packed.dtype} {self.packed.shape}"
            )

    @property
    def bits(self) -> int:
        """Stored bits of the codes, padding rows included, without the scale."""
        return 8 * self.packed.size

    def codes(self) -> Int8:
        """The codes -1, 0, +1 as int8 (N, K); unpacked anew at every call."""
        return unpack_hf(self.packed, self.n)
