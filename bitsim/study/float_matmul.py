"""Wide matmuls in the contract's float32."""

import numpy as np

from bitsim.datapath.base import Array
from bitsim.datapath.kernels.bf16_rows import STEP, bf16_matmul
from bitsim.model.weights import FloatWeight

_BLOCK_ROWS = 8192
_FEW_ROWS = 4


def float_matmul(a: Array, b: Array | FloatWeight) -> Array:
    """`a` float32 (R, M, K) times `b`: float32 (S, N, K), or a stored (N, K) weight with R = 1 -> float32 (R, M, N).

    Each of the S matrices serves R / S of `a` in a row.

    float32 throughout, in the BLAS's order of summation. A stored weight is converted block by block, or, for a few
    rows times bfloat16 as a decode's head is, while it is read (then in the order that `bf16_rows` states).
    """
    if not isinstance(b, FloatWeight):
        grouped = a.reshape(len(b), -1, *a.shape[1:])
        y: Array = np.matmul(grouped, b[:, None].swapaxes(2, 3)).reshape(*a.shape[:2], b.shape[1])
        return y
    y = np.empty((1, a.shape[1], b.n), np.float32)
    if b.dtype == "bfloat16" and a.shape[1] <= _FEW_ROWS and b.k % STEP == 0:
        bf16_matmul(np.ascontiguousarray(a[0]), np.ascontiguousarray(b.stored), y[0])
        return y
    for low in range(0, b.n, _BLOCK_ROWS):
        np.matmul(a[0], b.rows(low, low + _BLOCK_ROWS).T, out=y[0, :, low : low + _BLOCK_ROWS])
    return y
