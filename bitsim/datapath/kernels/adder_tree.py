"""Hamming distances of the registers inside of sign-selecting adder trees, 32 trees at a time.

A tree adds inverted activations for weights -1 and gives each adder one carry; the carry of a node's last lane is
always the one that still waits. A node's register therefore holds, for the exact sum S of its lanes and the sign s of
its last weight, S - s and the waiting carry s below it: 2 S - s. So the kernel forms exact sums and nothing else.
The same holds for a node that has no partner and passes on.

Operands: `w`: int16 (B, K, 32), the weights of 32 columns in each line; `x`: int16 (M, K); K padded to whole groups of
lanes with zeros, columns beyond N hold weight 0 and never toggle. Up to 128 lanes, 2 S - s fits 16 bits modulo 2^16.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bitsim._jit import kernel, parallel_kernel, team
from bitsim.datapath.kernels.simd import hsum, load, popcount, splat, store

LANES = 32
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
    x_padded = np.zeros((m, groups * lanes), np.int16)
    x_padded[:, :k] = x
    lines = np.zeros((-(-n // LANES) * LANES, groups * lanes), np.int16)
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
    nodes = np.empty(((lanes + 1) // 2, LANES), np.int16)
    held = np.zeros((ranks.shape[0], (lanes + 1) // 2, LANES), np.int16)
    acc = np.zeros((tokens, LANES), np.int32)
    last = ranks.shape[0] - 1
    for m0 in range(0, x.shape[0], tokens):
        for k0 in range(0, x.shape[1], lanes):
            group = w[k0 : k0 + lanes]
            for m in range(m0, min(m0 + tokens, x.shape[0])):
                _tree(group, x[m, k0 : k0 + lanes], nodes, held, ranks, flips)
                flips[last] += _accumulate(acc[m - m0], nodes[0], k0 == 0, acc_bits, saturate)
    nodes[:] = 0
    for i in range(tokens):
        flips[last] += _accumulate(acc[i], nodes[0], True, acc_bits, False)
    _empty(held, ranks, flips)


@kernel
def _tree(w: Any, x: Any, nodes: Any, held: Any, ranks: Any, flips: Any) -> None:
    """One pass of a group through the tree: nodes[0] gets its sum, `held` and `flips` what registers take."""
    width = x.shape[0] // 2
    for j in range(width):
        left = load(w, 2 * LANES * j) * splat(x[2 * j])
        store(nodes, LANES * j, left + load(w, 2 * LANES * j + LANES) * splat(x[2 * j + 1]))
    if x.shape[0] % 2:
        store(nodes, LANES * width, load(w, 2 * LANES * width) * splat(x[2 * width]))
        width += 1
    level, rank = 1, 0
    while True:
        if ranks[rank] == level:
            flips[rank] += _latch(w, nodes, held[rank], width, level)
            rank += 1
        if width == 1:
            return
        level += 1
        for j in range(width // 2):
            store(nodes, LANES * j, load(nodes, 2 * LANES * j) + load(nodes, 2 * LANES * j + LANES))
        if width % 2:
            store(nodes, LANES * (width // 2), load(nodes, LANES * (width - 1)))
        width = (width + 1) // 2


@kernel
def _latch(w: Any, nodes: Any, held: Any, width: int, level: int) -> Any:
    mask = splat(np.int16((np.int64(1) << (9 + level)) - 1))
    flipped = splat(np.int16(0))
    for j in range(width):
        negative = load(w, LANES * (min((j + 1) << level, w.shape[0]) - 1)) >> 15
        total = load(nodes, LANES * j)
        new = (total + total - negative) & mask
        flipped += popcount(new ^ load(held, LANES * j))
        store(held, LANES * j, new)
    return hsum(flipped)


@kernel
def _accumulate(acc: Any, total: Any, first: bool, acc_bits: int, saturate: bool) -> Any:
    """acc: int32 (32,), takes or adds total: int16 (32,); the bits that flip."""
    high = (np.int64(1) << np.int64(acc_bits - 1)) - 1
    mask = 2 * high + 1
    flipped = np.int64(0)
    for lane in range(acc.shape[0]):
        old = np.int64(acc[lane])
        new = np.int64(total[lane]) + (0 if first else old)
        if saturate:
            new = min(max(new, -high - 1), high)
        flipped += popcount((new ^ old) & mask)
        acc[lane] = new
    return flipped


@kernel
def _empty(held: Any, ranks: Any, flips: Any) -> None:
    """Zeros follow through the pipeline registers."""
    for rank in range(ranks.shape[0] - 1):
        for node in range(held.shape[1]):
            flips[rank] += hsum(popcount(load(held, LANES * (rank * held.shape[1] + node))))
