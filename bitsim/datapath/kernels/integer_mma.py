"""Integer tensor cores: exact sums of products, added to an int32 accumulator that wraps or saturates."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bitsim._jit import parallel_kernel, team

Int32 = NDArray[np.int32]
_WORTH_A_TEAM = 2**18  # MACs
_LEAST, _MOST = -(2**31), 2**31 - 1


def integer_mma(a: Int32, b: Int32, c: Int32, clamp_k: int, saturate: bool) -> Int32:
    """a: int32 (M, K), b: int32 (K, N), products of at most 16 bits; c: int32 (M, N); returns int32 (M, N).

    The accumulator saturates, if it does, after every `clamp_k` <= 2^15 products.
    """
    y = c.copy()
    with team(a.size * b.shape[1], _WORTH_A_TEAM):
        _all_rows(a, b, y, clamp_k, saturate)
    return y


@parallel_kernel
def _all_rows(a: Any, b: Any, y: Any, clamp_k: int, saturate: bool) -> None:
    k_total, n_total = b.shape
    for m in numba.prange(a.shape[0]):
        sums = np.empty(n_total, np.int32)
        for first in range(0, k_total, clamp_k):
            sums[:] = 0
            for k in range(first, min(first + clamp_k, k_total)):
                x = a[m, k]
                for n in range(n_total):
                    sums[n] += np.int32(x * b[k, n])
            for n in range(n_total):
                total: Any = np.int64(y[m, n]) + np.int64(sums[n])
                if saturate:
                    total = min(max(total, _LEAST), _MOST)
                y[m, n] = np.int32(total)
