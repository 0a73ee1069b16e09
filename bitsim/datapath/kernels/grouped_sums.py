"""Hamming distances of accumulators that take one group of products per step, 16 columns at a time."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bitsim._jit import kernel, parallel_kernel, team
from bitsim.datapath.kernels.pack import LANES
from bitsim.datapath.kernels.simd import hsum, load, popcount, splat, store

_WORTH_A_TEAM = 2**18  # MACs


def grouped_toggles(x: NDArray[np.int8], w: NDArray[np.int8], group: int, acc_bits: int, saturate: bool) -> int:
    """Toggled bits of the accumulators of all columns; x: int8 (M, K), w: int8 (N, K).

    The accumulator of a column (2 to 32 bits, clamped at their ends if `saturate`) takes, for one row of x after the
    other, the sum of the first `group` products and adds those of the following groups. It starts and ends at 0.
    K < 2^23.
    """
    n, k = w.shape
    lines = np.zeros((-(-n // LANES) * LANES, k), np.int32)
    lines[:n] = w
    lines = np.ascontiguousarray(lines.reshape(-1, LANES, k).swapaxes(1, 2))
    with team(x.size * n, _WORTH_A_TEAM):
        return int(_all_blocks(lines, x.astype(np.int32), group, acc_bits, saturate))


@parallel_kernel
def _all_blocks(w: Any, x: Any, group: int, acc_bits: int, saturate: bool) -> int:
    """w: int32 (B, K, 16); x: int32 (M, K)."""
    toggles = 0
    for block in numba.prange(w.shape[0]):
        toggles += _one_block(w[block], x, group, acc_bits, saturate)
    return toggles


@kernel
def _one_block(w: Any, x: Any, group: int, acc_bits: int, saturate: bool) -> Any:
    mask = splat(np.int32((np.int64(1) << acc_bits) - 1))
    held = np.zeros(LANES, np.int32)
    toggles = np.int64(0)
    for m in range(x.shape[0]):
        x_row = x[m]
        for k0 in range(0, x.shape[1], group):
            old = load(held, 0)
            total = splat(np.int32(0))
            for k in range(k0, min(k0 + group, x.shape[1])):
                total += load(w, LANES * k) * splat(x_row[k])
            store(held, 0, old + total if k0 > 0 else total)
            if saturate:
                clamp(held, acc_bits)
            toggles += hsum(popcount((load(held, 0) ^ old) & mask))
    return toggles + hsum(popcount(load(held, 0) & mask))


@kernel
def clamp(held: Any, acc_bits: int) -> None:
    """Saturate the int32 lanes of `held` to `acc_bits` bits."""
    high = (np.int64(1) << (acc_bits - 1)) - 1
    for lane in range(held.shape[0]):
        held[lane] = min(max(np.int64(held[lane]), -high - 1), high)
