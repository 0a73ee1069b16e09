"""The dot product of bitnet.cpp's I2_S kernels: int16 lanes that wrap, widened to int32 once per group.

Runs of 32 elements are added up element by element (at most 128 products of at most 256, which int32 holds), then
folded into the lanes; a lane is wrapped once, which is what wrapping at every addition gives.
"""

from typing import Any

import numba
import numpy as np

from bitsim._jit import parallel_kernel

RUN = 32
NOWHERE = -1


@parallel_kernel
def i2s_rawdots(x: Any, codes: Any, lane_of: Any, group: int, raw: Any, wraps: Any, first: Any) -> None:
    """`x` int8 (M, K), `codes` int8 (N, K) of -1, 0, 1; K a multiple of 32.

    `lane_of`: int64 (32,), the lane of each element of a run; `group`: elements between two widenings, a multiple of
    32. Into `raw`, `wraps` and `first`, all int32 (M, N): the sums of `(code + 1) * x`, the lanes of all groups that
    wrapped, and the first k of the first group that has one, or NOWHERE.
    """
    m_size, k_size = x.shape
    lanes = lane_of.max() + 1
    for n in numba.prange(codes.shape[0]):
        run = np.empty(RUN, np.int32)
        lane = np.empty(lanes, np.int32)
        for m in range(m_size):
            total, wrapped, place = np.int32(0), np.int32(0), np.int32(NOWHERE)
            for start in range(0, k_size, group):
                run[:] = 0
                for k in range(start, min(start + group, k_size), RUN):
                    for i in range(RUN):
                        run[i] += (np.int32(codes[n, k + i]) + np.int32(1)) * np.int32(x[m, k + i])
                lane[:] = 0
                for i in range(RUN):
                    lane[lane_of[i]] += run[i]
                for j in range(lanes):
                    kept = np.int32(np.int16(lane[j]))
                    if kept != lane[j]:
                        wrapped += np.int32(1)
                        if place == NOWHERE:
                            place = np.int32(start)
                    total += kept
            raw[m, n], wraps[m, n], first[m, n] = total, wrapped, place
