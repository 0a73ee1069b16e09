"""llama.cpp's block formats of float matrices, as embeddings and heads beside ternary linears have them: decoders only.

| type | block | bytes | value of code q |
|---|---|---|---|
| Q8_0 | 32 | float16 d, 32 int8 | `d q` |
| Q4_0 | 32 | float16 d, 16 bytes of two codes | `d (q - 8)` |
| Q5_0 | 32 | float16 d, 32 fifth bits, 16 bytes of two codes | `d (q - 16)` |
| Q4_K | 256 | float16 d and m, 12 bytes of eight 6-bit scales s and minima t, 256 codes | `(d s) q - (m t)` |
| Q5_K | 256 | as Q4_K, with 256 fifth bits before the codes | `(d s) q - (m t)` |
| Q6_K | 256 | 256 low halves, 256 pairs of high bits, 16 int8 scales s of 16 weights, float16 d | `(d s) (q - 32)` |

Every product and difference is one float32 rounding; values equal ggml's and gguf-py 0.19.0's `dequantize`.
Functions take rows uint8 (N, bytes) and K, a multiple of the block, and give float32 (N, K); they raise `OperandError`
for other sizes. Infinite and NaN scales give such values. Source: ggml `ggml-common.h`, `ggml-quants.c` (MIT).
"""

import numpy as np

from bitsim.quant.block_rows import half_at, split_blocks
from bitsim.quant.packing import Float32, UInt8

Q_BLOCK, K_BLOCK = 32, 256
Q8_0_BYTES, Q4_0_BYTES, Q5_0_BYTES = 34, 18, 22
Q4_K_BYTES, Q5_K_BYTES, Q6_K_BYTES = 144, 176, 210


def decode_q8_0(data: UInt8, k: int) -> Float32:
    split = split_blocks(data, k, Q_BLOCK, Q8_0_BYTES, "Q8_0")
    return _scaled(split[..., 2:].view(np.int8), _half(split, 0))


def decode_q4_0(data: UInt8, k: int) -> Float32:
    split = split_blocks(data, k, Q_BLOCK, Q4_0_BYTES, "Q4_0")
    return _scaled(_nibbles(split[..., 2:], 16).view(np.int8) - np.int8(8), _half(split, 0))


def decode_q5_0(data: UInt8, k: int) -> Float32:
    split = split_blocks(data, k, Q_BLOCK, Q5_0_BYTES, "Q5_0")
    fifth = np.unpackbits(split[..., 2:6], axis=2, bitorder="little")
    codes = _nibbles(split[..., 6:], 16) | fifth << np.uint8(4)
    return _scaled(codes.view(np.int8) - np.int8(16), _half(split, 0))


def decode_q4_k(data: UInt8, k: int) -> Float32:
    split = split_blocks(data, k, K_BLOCK, Q4_K_BYTES, "Q4_K")
    return _scaled_and_shifted(split, _nibbles(split[..., 16:], 32))


def decode_q5_k(data: UInt8, k: int) -> Float32:
    split = split_blocks(data, k, K_BLOCK, Q5_K_BYTES, "Q5_K")
    planes = split[..., None, 16:48] >> np.arange(8, dtype=np.uint8)[:, None]
    fifth = (planes & np.uint8(1)).reshape(*split.shape[:2], K_BLOCK)
    return _scaled_and_shifted(split, _nibbles(split[..., 48:], 32) | fifth << np.uint8(4))


def decode_q6_k(data: UInt8, k: int) -> Float32:
    split = split_blocks(data, k, K_BLOCK, Q6_K_BYTES, "Q6_K")
    pairs = split[..., 128:192].reshape(*split.shape[:2], 2, 1, 32) >> np.arange(0, 8, 2, dtype=np.uint8)[:, None]
    high = (pairs & np.uint8(3)).reshape(*split.shape[:2], K_BLOCK)
    codes = (_nibbles(split[..., :128], 64) | high << np.uint8(4)).view(np.int8) - np.int8(32)
    return _scaled(codes, _half(split, -2) * split[..., 192:208].view(np.int8).astype(np.float32))


def _half(split: UInt8, at: int) -> Float32:
    """A float16 of each block, float32 (N, B, 1)."""
    return half_at(split, at).astype(np.float32)[..., None]


def _nibbles(stored: UInt8, width: int) -> UInt8:
    """Runs of `width` bytes (N, B, bytes) as first their low and then their high halves, uint8 (N, B, 2 * bytes)."""
    runs = stored.reshape(*stored.shape[:2], -1, 1, width)
    halves = np.concatenate((runs & np.uint8(15), runs >> np.uint8(4)), axis=3)
    return halves.reshape(*stored.shape[:2], -1)


def _scaled(codes: np.ndarray[tuple[int, ...], np.dtype[np.int8]], scales: Float32) -> Float32:
    """Codes (N, B, weights) times scales (N, B, S), S equal runs of a block each -> float32 (N, K)."""
    runs = codes.reshape(*scales.shape, -1).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # scales may be infinite
        return (runs * scales[..., None]).reshape(len(codes), -1)


def _scaled_and_shifted(split: UInt8, codes: UInt8) -> Float32:
    """Q4_K and Q5_K: eight runs of 32 weights with 6-bit scales and minima in bytes 4 to 15."""
    first, second, third = (split[..., at : at + 4] for at in (4, 8, 12))
    low6, low4, top = np.uint8(63), np.uint8(15), np.uint8(0x30)
    scales = np.concatenate((first & low6, third & low4 | first >> np.uint8(2) & top), axis=2)
    minima = np.concatenate((second & low6, third >> np.uint8(4) | second >> np.uint8(2) & top), axis=2)
    runs = codes.reshape(*codes.shape[:2], 8, 32).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        multiplied = runs * (_half(split, 0) * scales.astype(np.float32))[..., None]
        shifted: Float32 = multiplied - (_half(split, 2) * minima.astype(np.float32))[..., None]
    return shifted.reshape(len(codes), -1)
