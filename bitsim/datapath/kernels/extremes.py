"""The least and the largest running sum: how wide the accumulators of a datapath must be for given operands."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bitsim._jit import parallel_kernel, team

_WORTH_A_TEAM = 2**15  # MACs


def running_extremes(x: NDArray[np.int8], w: NDArray[np.int8], group: int) -> NDArray[np.int64]:
    """Extremes of the sums of `group` products and of the running sum of those; x: int8 (M, K), w: int8 (N, K).

    In each group of consecutive k the products are added one by one from 0; then the group's sum is added to the
    accumulator of (m, n). Returns int64 (2, 2): least and largest value within groups, and of accumulators; 0, which
    all registers start with, is among them.
    """
    found = np.zeros((x.shape[0], 2, 2), np.int64)
    with team(x.size * w.shape[0], _WORTH_A_TEAM):
        _all_rows(np.ascontiguousarray(x), np.ascontiguousarray(w.T), group, found)
    extremes: NDArray[np.int64] = np.stack([found[:, :, 0].min(axis=0), found[:, :, 1].max(axis=0)], axis=1)
    return extremes


@parallel_kernel
def _all_rows(x: Any, w_t: Any, group: int, found: Any) -> None:
    """x: int8 (M, K); w_t: int8 (K, N); found: int64 (M, 2, 2) of zeros, written."""
    for m in numba.prange(x.shape[0]):
        total = np.zeros(w_t.shape[1], np.int64)
        for k0 in range(0, x.shape[1], group):
            part = np.zeros(w_t.shape[1], np.int64)
            for k in range(k0, min(k0 + group, x.shape[1])):
                part += np.int64(x[m, k]) * w_t[k]
                found[m, 0, 0] = min(found[m, 0, 0], part.min())
                found[m, 0, 1] = max(found[m, 0, 1], part.max())
            total += part
            found[m, 1, 0] = min(found[m, 1, 0], total.min())
            found[m, 1, 1] = max(found[m, 1, 1], total.max())
