"""Hamming distances of the entries of lookup tables, from the activations alone."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bitsim._jit import kernel, parallel_kernel
from bitsim.datapath.kernels.simd import popcount
from bitsim.datapath.kernels.team import team

_WORTH_A_TEAM = 2**16  # entries


def table_toggles(groups: NDArray[np.int8], full: bool, entry_bits: int) -> int:
    """Toggled bits of the entries of all tables; groups: int8 (S, T, g), activations of T tables for S steps.

    An entry is the sum of a table's activations with weights -1, 0, 1, for every pattern whose last weight that is not
    0 is +1, and, if `full`, for their negatives. Entries start and end at 0 and hold `entry_bits` bits.
    """
    steps, tables, g = groups.shape
    with team(steps * tables * 3**g, _WORTH_A_TEAM):
        return int(_all_tables(np.ascontiguousarray(groups.swapaxes(0, 1)), full, (1 << entry_bits) - 1))


@parallel_kernel
def _all_tables(groups: Any, full: bool, mask: int) -> int:
    """groups: int8 (T, S, g)."""
    toggles = 0
    for table in numba.prange(groups.shape[0]):
        toggles += _one_table(groups[table], full, mask)
    return toggles


@kernel
def _one_table(acts: Any, full: bool, mask: int) -> Any:
    """acts: int8 (S, g). Entries stand in the order of their patterns' values in balanced ternary, 1 first."""
    half = (3 ** acts.shape[1] - 1) // 2
    held, new = np.zeros(half, np.int32), np.zeros(half, np.int32)
    toggles = np.int64(0)
    for step in range(acts.shape[0] + 1):
        if step < acts.shape[0]:
            _build(acts[step], new)
        else:
            new[:] = 0
        for i in range(half):
            toggles += popcount(np.int64((held[i] ^ new[i]) & mask))
            if full:
                toggles += popcount(np.int64((-held[i] ^ -new[i]) & mask))
            held[i] = new[i]
    return toggles


@kernel
def _build(acts: Any, entries: Any) -> None:
    """entries[value - 1] = sum of digits times acts, for value = sum of digits times powers of 3."""
    known = 0
    for i in range(acts.shape[0]):
        # Values from `known` + 1 to 3 `known` + 1 have +1 as their last digit, at power `known` * 2 + 1.
        act = np.int32(acts[i])
        power = 2 * known + 1
        entries[power - 1] = act
        for value in range(1, known + 1):
            entries[power + value - 1] = act + entries[value - 1]
            entries[power - value - 1] = act - entries[value - 1]
        known = power + known
