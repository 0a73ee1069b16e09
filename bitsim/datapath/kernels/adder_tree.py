"""Hamming distances of the registers inside of sign-selecting adder trees, 16 trees at a time.

A tree adds inverted activations for weights -1 and gives each adder one carry; the carry of a node's last lane is
always the one that still waits. A node's register therefore holds, for the exact sum S of its lanes and the sign s of
its last weight, S - s and the waiting carry s below it: 2 S - s. So the kernel forms exact sums and nothing else.

Operands: `w`: int32 (B, K, 16), the weights of 16 columns in each line; `x`: int32 (M, K); K padded to whole groups of
lanes with zeros, columns beyond N hold weight 0 and never toggle.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bitsim._jit import kernel, parallel_kernel
from bitsim.datapath.kernels.pack import LANES
from bitsim.datapath.kernels.simd import hsum, load, popcount, splat, store
from bitsim.datapath.kernels.team import team

_WORTH_A_TEAM = 2**18  # MACs


def tree_toggles(
    x: NDArray[np.int8],
    w: NDArray[np.int8],
    lanes: int,
    tokens: int,
    ranks: tuple[int, ...],
    acc_bits: int,
    saturate: bool,
) -> NDArray[np.int64]:
    """Toggled bits of the pipeline registers behind each level in `ranks`, and of the accumulators (last).

    x: int8 (M, K); w: int8 (N, K). Blocks of `tokens` rows of x meet one group of `lanes` k after the other; row i of
    every block has accumulator i (2 to 32 bits, clamped at their ends if `saturate`), which takes the first group's sum
    instead of adding it. All registers start and end at 0. K < 2^23.
    """
    (m, k), n = x.shape, w.shape[0]
    groups = -(-k // lanes)
    x_padded = np.zeros((m, groups * lanes), np.int32)
    x_padded[:, :k] = x
    lines = np.zeros((-(-n // LANES) * LANES, groups * lanes), np.int32)
    lines[:n, :k] = w
    lines = np.ascontiguousarray(lines.reshape(-1, LANES, groups * lanes).swapaxes(1, 2))
    flips = np.zeros((lines.shape[0], len(ranks) + 1), np.int64)
    levels = np.array([*ranks, 0], np.int64)
    with team(m * k * n, _WORTH_A_TEAM):
        _all_blocks(lines, x_padded, lanes, tokens, levels, acc_bits, saturate, flips)
    total: NDArray[np.int64] = flips.sum(axis=0)
    return total


@parallel_kernel
def _all_blocks(w: Any, x: Any, lanes: int, tokens: int, ranks: Any, acc_bits: int, saturate: bool, flips: Any) -> None:
    """ranks: int64 (R + 1,), closed by a 0; flips: int64 (B, R + 1), added to."""
    for block in numba.prange(w.shape[0]):
        _one_block(w[block], x, lanes, tokens, ranks, acc_bits, saturate, flips[block])


@kernel
def _one_block(w: Any, x: Any, lanes: int, tokens: int, ranks: Any, acc_bits: int, saturate: bool, flips: Any) -> None:
    nodes = np.empty((lanes // 2, LANES), np.int32)
    held = np.zeros((ranks.shape[0], lanes // 2, LANES), np.int32)
    acc = np.zeros((tokens, LANES), np.int32)
    acc_mask = splat(np.int32((np.int64(1) << acc_bits) - 1))
    last = ranks.shape[0] - 1
    for m0 in range(0, x.shape[0], tokens):
        for k0 in range(0, x.shape[1], lanes):
            group = w[k0 : k0 + lanes]
            for m in range(m0, min(m0 + tokens, x.shape[0])):
                _tree(group, x[m, k0 : k0 + lanes], nodes, held, ranks, flips)
                old, total = load(acc, LANES * (m - m0)), load(nodes, 0)
                store(acc, LANES * (m - m0), old + total if k0 > 0 else total)
                if saturate:
                    clamp(acc[m - m0], acc_bits)
                flips[last] += hsum(popcount((load(acc, LANES * (m - m0)) ^ old) & acc_mask))
    for i in range(tokens):
        flips[last] += hsum(popcount(load(acc, LANES * i) & acc_mask))
    _empty(held, ranks, flips)


@kernel
def _tree(w: Any, x: Any, nodes: Any, held: Any, ranks: Any, flips: Any) -> None:
    """One pass of a group through the tree: nodes[0] gets its sum, `held` and `flips` what registers take."""
    width = x.shape[0] // 2
    for j in range(width):
        left = load(w, 2 * LANES * j) * splat(x[2 * j])
        store(nodes, LANES * j, left + load(w, 2 * LANES * j + LANES) * splat(x[2 * j + 1]))
    level, rank = 1, 0
    while True:
        if ranks[rank] == level:
            flips[rank] += _latch(w, nodes, held[rank], width, level)
            rank += 1
        if width == 1:
            return
        width //= 2
        level += 1
        for j in range(width):
            store(nodes, LANES * j, load(nodes, 2 * LANES * j) + load(nodes, 2 * LANES * j + LANES))


@kernel
def _latch(w: Any, nodes: Any, held: Any, width: int, level: int) -> Any:
    mask = splat(np.int32((np.int64(1) << (9 + level)) - 1))
    flipped = splat(np.int32(0))
    for j in range(width):
        negative = load(w, LANES * (((j + 1) << level) - 1)) >> 31
        total = load(nodes, LANES * j)
        new = (total + total - negative) & mask
        flipped += popcount(new ^ load(held, LANES * j))
        store(held, LANES * j, new)
    return hsum(flipped)


@kernel
def clamp(acc: Any, acc_bits: int) -> None:
    """Saturate the int32 lanes of `acc` to `acc_bits` bits."""
    high = (np.int64(1) << (acc_bits - 1)) - 1
    for lane in range(acc.shape[0]):
        acc[lane] = min(max(np.int64(acc[lane]), -high - 1), high)


@kernel
def _empty(held: Any, ranks: Any, flips: Any) -> None:
    """Zeros follow through the pipeline registers."""
    for rank in range(ranks.shape[0] - 1):
        for node in range(held.shape[1]):
            flips[rank] += hsum(popcount(load(held, LANES * (rank * held.shape[1] + node))))
