"""Rows of a block format: what llama.cpp's types have in common.

A row of K weights is stored in blocks of `block` weights along K, each of `block_bytes`, scales inside them. ggml has
no rows that end within a block; ours are padded with code 0.
"""

import numpy as np
import numpy.typing as npt

from bitsim.errors import OperandError
from bitsim.quant.packing import Int8, UInt8, check_codes

Float16 = npt.NDArray[np.float16]


def blocks_of_codes(codes: Int8, block: int) -> UInt8:
    """Ternary codes int8 (N, K) as `code + 1`, uint8 (N, ceil(K / block), block), padded with code 0."""
    check_codes(codes)
    n, k = codes.shape
    trits = np.ones((n, -(-k // block) * block), dtype=np.uint8)
    trits[:, :k] = codes + 1
    return trits.reshape(n, -1, block)


def codes_of_blocks(trits: UInt8, k: int) -> Int8:
    """The inverse: uint8 of any shape (N, ...), changed in place, -> codes int8 (N, K)."""
    codes = trits.reshape(len(trits), -1).view(np.int8)
    codes -= 1
    return codes[:, :k]


def split_blocks(data: UInt8, k: int, block: int, block_bytes: int, name: str) -> UInt8:
    """Rows uint8 (N, bytes) as blocks uint8 (N, ceil(K / block), block_bytes).

    Raises `OperandError` for other sizes.
    """
    blocks = -(-k // block)
    if data.ndim != 2 or data.dtype != np.uint8 or data.shape[1] != blocks * block_bytes:
        raise OperandError(f"{name}: expected uint8 (N, {blocks * block_bytes}), got {data.dtype} {data.shape}")
    return np.ascontiguousarray(data).reshape(len(data), blocks, block_bytes)


def half_at(blocks: UInt8, at: int) -> Float16:
    """The float16 in bytes `at` and `at + 1` (from the end if negative) of blocks (N, B, bytes), float16 (N, B)."""
    at %= blocks.shape[-1]
    return np.ascontiguousarray(blocks[..., at : at + 2]).view("<f2")[..., 0].astype(np.float16)


def write_half(blocks: UInt8, at: int, values: Float16) -> None:
    """The inverse of `half_at`, in place."""
    at %= blocks.shape[-1]
    blocks[..., at : at + 2] = values.astype("<f2")[..., None].view(np.uint8)


def scales_of(trits: UInt8, scale: float) -> Float16:
    """One `scale` for each block with a non-zero code, float16 (N, B); 0 for the others, as ggml writes them."""
    return np.where((trits != 1).any(axis=2), np.float16(scale), np.float16(0))


def check_no_code_3(stored: UInt8, name: str) -> None:
    """Raise `OperandError` naming row and block if a 2-bit field of `stored`, uint8 (N, B, ...), is 3."""
    threes = stored & (stored >> np.uint8(1)) & np.uint8(0x55)
    if threes.any():
        row, block, *_ = (int(i) for i in np.argwhere(threes)[0])
        raise OperandError(
            f"{name}: row {row}, block {block}: expected 2-bit codes 0, 1 or 2, got code 3, which is twice the scale "
            f"and no ternary value"
        )
