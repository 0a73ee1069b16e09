"""Hamming distances of accumulators that take the exact sum of a whole group of products at a time.

Four products at a time, as in `psum_toggles`: activations enter as x + 128, and 128 times the sum of a group's weights
is taken off its sum. Sums are exact modulo 2^32, hence in any register of up to 32 bits that wraps.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bitsim._jit import kernel, parallel_kernel, team
from bitsim.datapath.kernels.pack import LANES
from bitsim.datapath.kernels.psum_toggles import FOUR_TIMES_128, quad_operands, register_mask, tiles_to_quads
from bitsim.datapath.kernels.simd import hsum, load, popcount, splat, store
from bitsim.datapath.kernels.simd_dot import dpbusd

_WORTH_A_TEAM = 2**20  # MACs


def group_toggles(x: NDArray[np.int8], w: NDArray[np.int8], group: int, chains: int, acc_bits: int) -> int:
    """Toggled bits of accumulators that add one sum of `group` products after the other and wrap.

    x: int8 (M, K); w: int8 (N, K). Row m of x goes through accumulator m mod `chains` of each column (2 to 32 bits),
    which takes the sum of the row's first group instead of adding it. Accumulators start and end at 0. K < 2^23.
    """
    depth = min(group, x.shape[1])
    with team(x.size * w.shape[0], _WORTH_A_TEAM):
        x_quads, lines = quad_operands(tiles_to_quads(x, depth), tiles_to_quads(w, depth))
        return int(_all_blocks(lines, x_quads, -(-depth // 4), chains, register_mask(acc_bits)))


@parallel_kernel
def _all_blocks(w: Any, x: Any, group_quads: int, chains: int, acc_mask: Any) -> int:
    """w: int32 (B, Q, 16), x: int32 (M, Q)."""
    m_total, groups = x.shape[0], (x.shape[1] + group_quads - 1) // group_quads
    toggles = 0
    for block in numba.prange(w.shape[0]):
        excesses = np.empty((groups, LANES), np.int32)
        _form_excesses(w[block], group_quads, excesses)
        first, last = np.empty((m_total, LANES), np.int32), np.empty((m_total, LANES), np.int32)
        for m in range(0, m_total - 3, 4):
            toggles += _four_rows(w[block], excesses, x, m, group_quads, acc_mask, first, last)
        for m in range(m_total - m_total % 4, m_total):
            toggles += _one_row(w[block], excesses, x, m, group_quads, acc_mask, first, last)
        toggles += chain_toggles(first, last, chains, np.full(LANES, acc_mask, np.int32))
    return toggles


@kernel
def _form_excesses(w: Any, group_quads: int, excesses: Any) -> None:
    """128 times the sum of the weights of each group."""
    bias = splat(FOUR_TIMES_128)
    for g in range(excesses.shape[0]):
        total = splat(np.int32(0))
        for q in range(g * group_quads, min((g + 1) * group_quads, w.shape[0])):
            total = dpbusd(total, bias, load(w, LANES * q))
        store(excesses, LANES * g, total)


@kernel
def chain_toggles(first: Any, last: Any, chains: int, masks: Any) -> Any:
    """Toggles between the rows of a chain, and of its ends from and to 0.

    first, last: int32 (M, 16), an accumulator after the first and after the last group of a row; masks: int32 (16,).
    """
    mask, toggles = load(masks, 0), np.int64(0)
    for m in range(first.shape[0]):
        before = load(last, LANES * (m - chains)) if m >= chains else splat(np.int32(0))
        flips = popcount((load(first, LANES * m) ^ before) & mask)
        if m + chains >= first.shape[0]:
            flips += popcount(load(last, LANES * m) & mask)
        toggles += hsum(flips)
    return toggles


@kernel
def _one_row(w: Any, excesses: Any, x: Any, m: int, group_quads: int, acc_mask: Any, first: Any, last: Any) -> Any:
    """Toggles of the accumulators of row m from its first group to its last; `first` and `last` of it are written."""
    acc, flips, mask = splat(np.int32(0)), splat(np.int32(0)), splat(acc_mask)
    row = x[m]
    for g in range(excesses.shape[0]):
        new = acc - load(excesses, LANES * g)
        for q in range(g * group_quads, min((g + 1) * group_quads, w.shape[0])):
            new = dpbusd(new, splat(row[q]), load(w, LANES * q))
        if g == 0:
            store(first, LANES * m, new)
        else:
            flips += popcount((new ^ acc) & mask)
        acc = new
    store(last, LANES * m, acc)
    return hsum(flips)


@kernel
def _four_rows(w: Any, excesses: Any, x: Any, m: int, group_quads: int, acc_mask: Any, first: Any, last: Any) -> Any:
    """As `_one_row` for rows m to m + 3, which share the loads of the weights."""
    zero, mask = splat(np.int32(0)), splat(acc_mask)
    row_0, row_1, row_2, row_3 = x[m], x[m + 1], x[m + 2], x[m + 3]
    acc_0, acc_1, acc_2, acc_3 = zero, zero, zero, zero
    flips_0, flips_1, flips_2, flips_3 = zero, zero, zero, zero
    for g in range(excesses.shape[0]):
        excess = load(excesses, LANES * g)
        new_0, new_1, new_2, new_3 = acc_0 - excess, acc_1 - excess, acc_2 - excess, acc_3 - excess
        for q in range(g * group_quads, min((g + 1) * group_quads, w.shape[0])):
            quads = load(w, LANES * q)
            new_0, new_1 = dpbusd(new_0, splat(row_0[q]), quads), dpbusd(new_1, splat(row_1[q]), quads)
            new_2, new_3 = dpbusd(new_2, splat(row_2[q]), quads), dpbusd(new_3, splat(row_3[q]), quads)
        if g == 0:
            store(first, LANES * m, new_0)
            store(first, LANES * (m + 1), new_1)
            store(first, LANES * (m + 2), new_2)
            store(first, LANES * (m + 3), new_3)
        else:
            flips_0 += popcount((new_0 ^ acc_0) & mask)
            flips_1 += popcount((new_1 ^ acc_1) & mask)
            flips_2 += popcount((new_2 ^ acc_2) & mask)
            flips_3 += popcount((new_3 ^ acc_3) & mask)
        acc_0, acc_1, acc_2, acc_3 = new_0, new_1, new_2, new_3
    store(last, LANES * m, acc_0)
    store(last, LANES * (m + 1), acc_1)
    store(last, LANES * (m + 2), acc_2)
    store(last, LANES * (m + 3), acc_3)
    return hsum(flips_0) + hsum(flips_1) + hsum(flips_2) + hsum(flips_3)
