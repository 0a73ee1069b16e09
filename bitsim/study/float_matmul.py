"""Wide matmuls in the contract's float32."""

import numpy as np

from bitsim.datapath.base import Array
from bitsim.model.weights import FloatWeight

_BLOCK_ROWS = 8192


def float_matmul(a: Array, b: Array | FloatWeight) -> Array:
    """`a` float32 (R, M, K) times `b`: float32 (R, N, K), or a stored (N, K) weight with R = 1 -> float32 (R, M, N).

    float32 with the BLAS's order of summation; a stored weight is converted block by block.
    """
    if not isinstance(b, FloatWeight):
        y: Array = np.matmul(a, b.swapaxes(1, 2))
        return y
    y = np.empty((1, a.shape[1], b.n), np.float32)
    for low in range(0, b.n, _BLOCK_ROWS):
        np.matmul(a[0], b.rows(low, low + _BLOCK_ROWS).T, out=y[0, :, low : low + _BLOCK_ROWS])
    return y
