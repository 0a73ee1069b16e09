"""Hamming distances of the entries of lookup tables, from the activations alone, 32 tables at a time."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bitsim._jit import inlined, kernel, parallel_kernel, team
from bitsim.datapath.kernels.simd import hsum, load, popcount, splat, store

LANES = 32
_WORTH_A_TEAM = 2**18  # entries


def table_toggles(groups: NDArray[np.int8], full: bool, entry_bits: int) -> int:
    """Toggled bits of the entries of all tables; groups: int8 (S, T, g), activations of T tables for S steps.

    An entry is the sum of a table's activations with weights -1, 0, 1, for every pattern whose last weight that is not
    0 is +1, and, if `full`, for their negatives. Entries start and end at 0 and hold `entry_bits` (up to 16) bits.
    """
    steps, tables, g = groups.shape
    blocks = -(-tables // LANES)
    lanes = np.zeros((steps, blocks * LANES, g), np.int16)
    lanes[:, :tables] = groups
    lanes = np.ascontiguousarray(lanes.reshape(steps, blocks, LANES, g).transpose(1, 0, 3, 2))
    with team(steps * tables * 3**g if blocks > 1 else 0, _WORTH_A_TEAM):
        return int(_all_blocks(lanes, full, (1 << entry_bits) - 1))


@parallel_kernel
def _all_blocks(acts: Any, full: bool, mask: int) -> int:
    """acts: int16 (B, S, g, 32)."""
    toggles = 0
    for block in numba.prange(acts.shape[0]):
        toggles += _one_block(acts[block], full, mask)
    return toggles


@kernel
def _one_block(acts: Any, full: bool, mask: int) -> Any:
    """acts: int16 (S, g, 32); zeros behind the last step."""
    half = (3 ** acts.shape[1] - 1) // 2
    held, new = np.zeros((half, LANES), np.int16), np.zeros((half, LANES), np.int16)
    toggles = np.int64(0)
    for step in range(acts.shape[0]):
        _build(acts[step], new)
        toggles += _flips(held, new, full, mask)
        held, new = new, held
    new[:] = 0
    return toggles + _flips(held, new, full, mask)


@kernel
def _build(acts: Any, entries: Any) -> None:
    """entries[value - 1] = sum of digits times acts, for value = sum of digits times powers of 3; acts: (g, 32)."""
    known = 0
    for i in range(acts.shape[0]):
        # The values from `known` + 1 to 3 `known` + 1 have +1 as their last digit.
        act = load(acts, LANES * i)
        power = 2 * known + 1
        store(entries, LANES * (power - 1), act)
        for value in range(1, known + 1):
            before = load(entries, LANES * (value - 1))
            store(entries, LANES * (power + value - 1), act + before)
            store(entries, LANES * (power - value - 1), act - before)
        known += power


@kernel
def _flips(held: Any, new: Any, full: bool, mask: int) -> Any:
    """Differing bits of all entries; at most 2 x 121 x 16 per lane."""
    bits, zero = splat(np.int16(mask)), splat(np.int16(0))
    flipped = zero
    for i in range(held.shape[0]):
        old, entry = load(held, LANES * i), load(new, LANES * i)
        flipped += _distance(old, entry, bits)
        if full:
            flipped += _distance(zero - old, zero - entry, bits)
    return hsum(flipped)


@inlined
def _distance(old: Any, new: Any, bits: Any) -> Any:
    return popcount((old ^ new) & bits)
