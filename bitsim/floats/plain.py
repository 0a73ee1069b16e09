"""The plain twin of the kernels: the specification, in NumPy and Python arithmetic."""

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Stored = npt.NDArray[np.float32] | npt.NDArray[np.uint16]


def multiply_add(a: Float32, b: Float32, c: Float32) -> Float32:
    """The fused `a * b + c` of float32 arrays: the sum is rounded to odd in float64, then to float32."""
    product = a.astype(np.float64) * b.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        total = product + c
        back = total - product
        lost = (product - (total - back)) + (c - back)
        bits = total.view(np.int64)
        inexact = ((lost < 0) | (lost > 0)) & (bits & 1 == 0)
        odd = bits + np.where(inexact, np.where((lost < 0) == (total < 0), 1, -1), 0)
        return odd.view(np.float64).astype(np.float32)


def widened(w: Stored) -> Float32:
    """float32 values of patterns of bfloat16, or `w` itself."""
    if w.dtype == np.uint16:
        return (w.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return w.astype(np.float32, copy=False)


def matmul(a: Float32, w: Stored) -> Float32:
    """Ascending k, one fused multiply-add at a time: (S, M, K) times (S, N, K) -> (S, M, N)."""
    values = widened(w)
    y = np.zeros((a.shape[0], a.shape[1], w.shape[1]), np.float32)
    for k in range(a.shape[2]):
        y = multiply_add(a[:, :, k, None], values[:, None, :, k], y)
    return y
