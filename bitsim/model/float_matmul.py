"""Wide matmuls in the contract's float32."""

import numpy as np

from bitsim.floats.matmul import matmul
from bitsim.model.decoded import DecodedWeight
from bitsim.model.weights import FloatWeight
from bitsim.quant.packing import Float32

_BLOCK_ROWS = 8192


def float_matmul(a: Float32, b: Float32 | FloatWeight) -> Float32:
    """`a` float32 (R, M, K) times `b`: float32 (S, N, K), or a stored (N, K) weight with R = 1 -> float32 (R, M, N).

    Each of the S matrices serves R / S of `a` in a row. The order of summation is that of `bitsim.floats.matmul`, for
    every shape. bfloat16 is converted while it is read, float16 and decoded weights block by block.
    """
    if not isinstance(b, FloatWeight):
        return matmul(a.reshape(len(b), -1, a.shape[2]), b).reshape(*a.shape[:2], b.shape[1])
    if b.dtype != "float16" and not isinstance(b, DecodedWeight):
        return matmul(a, b.stored[None])
    step = b.block_rows if isinstance(b, DecodedWeight) else _BLOCK_ROWS
    blocks = [matmul(a, b.rows(low, low + step)[None]) for low in range(0, b.n, step)]
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=2)
