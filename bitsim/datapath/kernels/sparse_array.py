"""Toggles of the registers that see weights and running sums in a sparse array.

16 columns side by side. A column that has nothing to do in a turn keeps all that it holds; its lanes of the vector are
masked by `busy` (0 or -1). Which outputs take their turn together depends on the token, so that weights are gathered
unless all 16 columns are at the same output.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bitsim._jit import kernel, parallel_kernel
from bitsim.datapath.kernels.pack import LANES
from bitsim.datapath.kernels.simd import hsum, inlined, load, popcount, splat, store
from bitsim.datapath.kernels.team import team

_WORTH_A_TEAM = 2**18  # MACs
_CODE = np.int32(3)  # the two bits of a weight register


def sparse_toggles(
    x: NDArray[np.int8],
    w: NDArray[np.int8],
    live: NDArray[np.bool_],
    shape: tuple[int, int, int],
    columns: tuple[int, int],
    bits: tuple[int, int],
    saturate: bool,
) -> NDArray[np.int64]:
    """Toggled bits of partial-sum and of weight registers, int64 (2,).

    x: int8 (M, K); w: int8 (N, K) of -1, 0, 1; live: bool (M, N), outputs that are computed. `shape`: lanes, depth,
    lookahead; `columns`: columns, and outputs that take turns on each; `bits`: of a lane's sum, which never overflows,
    and of the accumulators (clamped at their ends if `saturate`). Registers start and end at 0 in every tile of
    columns x outputs. K < 2^23.
    """
    (m, k), n = x.shape, w.shape[0]
    cols, outputs = columns
    tiles = -(-n // (cols * outputs))
    lines = _in_blocks(w, tiles, cols, outputs)
    needed = _in_blocks(live.T.astype(np.int8), tiles, cols, outputs)
    flips = np.zeros((len(lines), 2), np.int64)
    with team(m * k * n, _WORTH_A_TEAM):
        _all_blocks(lines, needed, np.ascontiguousarray(x), shape, bits, saturate, flips)
    total: NDArray[np.int64] = flips.sum(axis=0)
    return total


def _in_blocks(values: NDArray[np.int8], tiles: int, cols: int, outputs: int) -> NDArray[np.int32]:
    """(N, L) -> int32 (tiles x blocks of 16 columns, outputs, L, 16); what does not exist is 0."""
    n, length = values.shape
    blocks = -(-cols // LANES)
    padded = np.zeros((tiles * outputs * cols, length), np.int32)
    padded[:n] = values
    spread = np.zeros((tiles, outputs, blocks * LANES, length), np.int32)
    spread[:, :, :cols] = padded.reshape(tiles, outputs, cols, length)
    ordered = spread.reshape(tiles, outputs, blocks, LANES, length).transpose(0, 2, 1, 4, 3)
    return np.ascontiguousarray(ordered.reshape(tiles * blocks, outputs, length, LANES))


@parallel_kernel
def _all_blocks(w: Any, live: Any, x: Any, shape: Any, bits: Any, saturate: bool, flips: Any) -> None:
    """w: int32 (B, E, K, 16); live: int32 (B, E, M, 16); flips: int64 (B, 2), added to."""
    for block in numba.prange(w.shape[0]):
        _one_block(w[block], live[block], x, shape, bits, saturate, flips[block])


@kernel
def _one_block(w: Any, live: Any, x: Any, shape: Any, bits: Any, saturate: bool, flips: Any) -> None:
    lanes = shape[0]
    sums = np.zeros((lanes, LANES), np.int32)
    codes = np.zeros((lanes, LANES), np.int32)
    acc = np.zeros((1, LANES), np.int32)
    gathered = np.zeros((x.shape[1], LANES), np.int32)
    order = np.empty((w.shape[0], LANES), np.int64)
    waiting = np.empty(LANES, np.int64)
    busy = np.empty(LANES, np.int32)
    for m in range(x.shape[0]):
        _queue(live[:, m], order, waiting)
        for turn in range(waiting.max()):
            for j in range(LANES):
                busy[j] = -1 if turn < waiting[j] else 0
            if waiting.min() > turn and (order[turn] == order[turn, 0]).all():
                _pass(w[order[turn, 0]], x[m], busy, sums, codes, acc, shape, bits, saturate, flips)
            else:
                _gather(w, order[turn], busy, gathered)
                _pass(gathered, x[m], busy, sums, codes, acc, shape, bits, saturate, flips)
    lane_mask = splat(np.int32((np.int64(1) << bits[0]) - 1))
    acc_mask = splat(np.int32((np.int64(1) << bits[1]) - 1))
    for lane in range(lanes):
        flips[0] += hsum(popcount(load(sums, LANES * lane) & lane_mask))
        flips[1] += hsum(popcount(load(codes, LANES * lane)))
    flips[0] += hsum(popcount(load(acc, 0) & acc_mask))


@kernel
def _queue(live: Any, order: Any, waiting: Any) -> None:
    """live: int32 (E, 16); order[i, j]: the i-th output that is needed of column j; waiting[j]: how many are."""
    for j in range(LANES):
        waiting[j] = 0
        for e in range(live.shape[0]):
            if live[e, j]:
                order[waiting[j], j] = e
                waiting[j] += 1


@kernel
def _gather(w: Any, chosen: Any, busy: Any, gathered: Any) -> None:
    for j in range(LANES):
        for k in range(gathered.shape[0]):
            gathered[k, j] = w[chosen[j], k, j] if busy[j] else 0


@kernel
def _pass(
    w: Any, x: Any, busy: Any, sums: Any, codes: Any, acc: Any, shape: Any, bits: Any, saturate: bool, flips: Any
) -> None:
    """One token through all intervals. w: int32 (K, 16), 0 in columns that are not busy; x: int8 (K,)."""
    lanes, depth, lookahead = shape
    on = load(busy, 0)
    lane_mask = splat(np.int32((np.int64(1) << bits[0]) - 1))
    acc_mask = splat(np.int32((np.int64(1) << bits[1]) - 1))
    flipped, flipped_codes = splat(np.int32(0)), splat(np.int32(0))
    for k0 in range(0, x.shape[0], lanes * depth):
        total = splat(np.int32(0))
        for lane in range(lanes):
            start = min(k0 + lane * depth, x.shape[0])
            end = min(start + depth, x.shape[0])
            of_sum, of_code = _slice(w, x, start, end, lookahead, on, sums, codes, lane, lane_mask)
            flipped += of_sum
            flipped_codes += of_code
            total += load(sums, LANES * lane) & on
        old = load(acc, 0)
        base = old if k0 > 0 else old ^ (old & on)
        store(acc, 0, base + total)
        if saturate:
            high = (np.int64(1) << (bits[1] - 1)) - 1
            for j in range(LANES):
                acc[0, j] = min(max(np.int64(acc[0, j]), -high - 1), high)
        flipped += popcount((load(acc, 0) ^ old) & acc_mask)
    flips[0] += hsum(flipped)
    flips[1] += hsum(flipped_codes)


@inlined
def _slice(
    w: Any, x: Any, start: Any, end: Any, lookahead: Any, on: Any, sums: Any, codes: Any, lane: Any, mask: Any
) -> Any:
    """One lane's slice: its sum is replaced in the first cycle, and grows with every activation that is not zero.

    Returns vectors: flipped bits of the sum and of the weight.
    """
    held, code = load(sums, LANES * lane), load(codes, LANES * lane)
    total = held ^ (held & on)
    flipped, flipped_codes = splat(np.int32(0)), splat(np.int32(0))
    replaced = False
    for k in range(start, end):
        if x[k] == 0:
            continue
        if not replaced and k >= start + lookahead:
            flipped += popcount((total ^ held) & mask)
            held = total
        replaced = True
        weight = load(w, LANES * k)
        total += weight * splat(np.int32(x[k]))
        flipped += popcount((total ^ held) & mask)
        held = total
        changed = ((weight & splat(_CODE)) ^ code) & on
        flipped_codes += popcount(changed)
        code ^= changed
    if not replaced:
        flipped += popcount((total ^ held) & mask)
    store(sums, LANES * lane, total)
    store(codes, LANES * lane, code)
    return flipped, flipped_codes
