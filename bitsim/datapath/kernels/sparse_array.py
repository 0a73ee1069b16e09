"""Toggles of the registers that see weights and running sums in a sparse array.

32 columns side by side: the sum of a slice has 15 bits at most. A column that has nothing to do in a turn keeps all
that it holds; its lanes of the vector are masked by `on` (0 or -1). Which outputs take their turn together depends on
the token: unless all columns are at the same output, the weights that meet an activation are gathered. What activations
a lane takes, and when, is the same for all columns and is listed once (`Picks`).
"""

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from bitsim._jit import kernel, parallel_kernel, team
from bitsim.datapath.kernels.simd import hsum, load, popcount, splat, store

COLUMNS = 32
_HALF = 16  # accumulators of 32 bits side by side
_WORTH_A_TEAM = 2**18  # MACs
_CODE = np.int16(3)  # the two bits of a weight register
_LINES = 64  # of 64 bytes: they stay in the cache while they are filled column by column
_UNCOUNTED = 1024  # updates of 15 bits whose flips fit 16-bit lanes, and another slice of 64


class Picks(NamedTuple):
    """The activations that are not zero, token by token, slice by slice, in order.

    `at`: int64 (M, K), their numbers k; `values`: int16 (M, K); `starts`: int64 (M, S + 1), where the picks of each of
    the S slices begin; `late`: bool (M, S), slices whose first cycle takes none.
    """

    at: NDArray[np.int64]
    values: NDArray[np.int16]
    starts: NDArray[np.int64]
    late: NDArray[np.bool_]


def sparse_toggles(
    x: NDArray[np.int8],
    w: NDArray[np.int8],
    live: NDArray[np.bool_] | None,
    shape: tuple[int, int, int],
    columns: tuple[int, int],
    bits: tuple[int, int],
    saturate: bool,
) -> NDArray[np.int64]:
    """Toggled bits of partial-sum and of weight registers, int64 (2,).

    x: int8 (M, K); w: int8 (N, K) of -1, 0, 1; live: bool (M, N), outputs that are computed, None: all. `shape`: lanes,
    depth (at most 64), lookahead; `columns`: columns, and outputs that take turns on each; `bits`: of a lane's sum,
    which never overflows, and of the accumulators (clamped at their ends if `saturate`). Registers start and end at 0
    in every tile of columns x outputs. K < 2^23.
    """
    (m, k), n = x.shape, w.shape[0]
    (lanes, depth, lookahead), (cols, outputs) = shape, columns
    slices = -(-k // (lanes * depth)) * lanes
    picks = Picks(
        at=np.empty((m, k), np.int64),
        values=np.empty((m, k), np.int16),
        starts=np.zeros((m, slices + 1), np.int64),
        late=np.empty((m, slices), np.bool_),
    )
    tiles, wide = -(-n // (cols * outputs)), -(-cols // COLUMNS)
    flips = np.zeros((tiles * wide, 2), np.int64)
    needed = np.ones((1, n), np.bool_) if live is None else np.ascontiguousarray(live)
    with team(m * k * n, _WORTH_A_TEAM):
        _list_picks(np.ascontiguousarray(x), depth, lookahead, picks)
        _all_blocks(np.ascontiguousarray(w), needed, picks, lanes, cols, outputs, bits, saturate, flips)
    total: NDArray[np.int64] = flips.sum(axis=0)
    return total


@kernel
def _list_picks(x: Any, depth: int, lookahead: int, picks: Any) -> None:
    at, values, starts, late = picks
    for m in range(x.shape[0]):
        found = 0
        for s in range(late.shape[1]):
            start = min(s * depth, x.shape[1])
            first = start + lookahead
            for k in range(start, min(start + depth, x.shape[1])):
                at[m, found], values[m, found] = k, x[m, k]
                if x[m, k] != 0:
                    first = min(first, k)
                    found += 1
            late[m, s] = first == start + lookahead
            starts[m, s + 1] = found


@parallel_kernel
def _all_blocks(
    w: Any, live: Any, picks: Any, lanes: int, cols: int, outputs: int, bits: Any, saturate: bool, flips: Any
) -> None:
    """w: int8 (N, K); live: bool (M or 1, N); flips: int64 (B, 2), added to: tile by tile, in blocks of 32 columns."""
    wide = (cols + COLUMNS - 1) // COLUMNS
    for block in numba.prange(flips.shape[0]):
        first = block % wide * COLUMNS
        start = block // wide * cols * outputs + first
        width = min(COLUMNS, cols - first)
        lines = _lay_out(w, start, width, cols, outputs)
        _one_block(lines, live, start, width, cols, picks, lanes, bits, saturate, flips[block])


@kernel
def _lay_out(w: Any, start: int, width: int, cols: int, outputs: int) -> Any:
    """The weights of a block, int16 (outputs that exist, K, 32); what does not exist is 0.

    Column j has the outputs start + j, start + j + cols, ...
    """
    n, k_total = w.shape
    there = min(outputs, (n - start + cols - 1) // cols) if n > start else 0
    lines = np.zeros((there, k_total, COLUMNS), np.int16)
    for e in range(there):
        first = start + e * cols
        for k0 in range(0, k_total, _LINES):
            for j in range(min(width, n - first)):
                for k in range(k0, min(k0 + _LINES, k_total)):
                    lines[e, k, j] = w[first + j, k]
    return lines


@kernel
def _one_block(
    lines: Any,
    live: Any,
    start: int,
    width: int,
    cols: int,
    picks: Any,
    lanes: int,
    bits: Any,
    saturate: bool,
    flips: Any,
) -> None:
    at, values, starts, late = picks
    there, k_total = lines.shape[0], lines.shape[1]
    flat, gathered = lines.reshape(there * k_total, COLUMNS), np.zeros((k_total, COLUMNS), np.int16)
    in_order = np.arange(k_total)
    sums, codes = np.zeros((lanes, COLUMNS), np.int16), np.zeros((lanes, COLUMNS), np.int16)
    acc = np.zeros(COLUMNS, np.int32)
    order, waiting = np.zeros((there, COLUMNS), np.int64), np.zeros(COLUMNS, np.int64)
    on, masks = np.zeros(COLUMNS, np.int16), np.zeros((there, COLUMNS), np.int16)
    for m in range(values.shape[0]):
        _queue(live[min(m, live.shape[0] - 1)], start, width, cols, order, waiting)
        for turn in range(waiting.max()):
            for j in range(COLUMNS):
                on[j] = -1 if turn < waiting[j] else 0
            output = order[turn, 0]
            if _alike(order[turn], on, min(width, live.shape[1] - start - output * cols)):
                _pass(
                    flat,
                    output * k_total,
                    at[m],
                    values[m],
                    starts[m],
                    late[m],
                    on,
                    sums,
                    codes,
                    acc,
                    bits,
                    saturate,
                    flips,
                )
            else:
                _gather(flat, order[turn], on, at[m, : starts[m, -1]], gathered, masks)
                _pass(gathered, 0, in_order, values[m], starts[m], late[m], on, sums, codes, acc, bits, saturate, flips)
    lane_mask = splat(np.int16((np.int64(1) << bits[0]) - 1))
    for lane in range(lanes):
        flips[0] += hsum(popcount(load(sums, COLUMNS * lane) & lane_mask))
        flips[1] += hsum(popcount(load(codes, COLUMNS * lane)))
    acc_mask = splat(np.int32((np.int64(1) << bits[1]) - 1))
    flips[0] += hsum(popcount(load(acc, 0) & acc_mask)) + hsum(popcount(load(acc, _HALF) & acc_mask))


@kernel
def _alike(chosen: Any, on: Any, there: int) -> bool:
    """Whether exactly the first `there` columns, those that have the first one's output, are on, all at that output."""
    same = True
    for j in range(COLUMNS):
        same = same and (on[j] != 0 and chosen[j] == chosen[0] if j < there else on[j] == 0)
    return same


@kernel
def _queue(live: Any, start: int, width: int, cols: int, order: Any, waiting: Any) -> None:
    """live: bool (N,); order[i, j]: the i-th output that is needed of column j; waiting[j]: how many are."""
    waiting[:] = 0
    for e in range(order.shape[0]):
        first = start + e * cols
        for j in range(min(width, live.shape[0] - first)):
            if live[first + j]:
                order[waiting[j], j] = e
                waiting[j] += 1


@kernel
def _gather(flat: Any, chosen: Any, on: Any, at: Any, gathered: Any, masks: Any) -> None:
    """gathered[p, j]: the weight that pick `p` meets at output chosen[j] of column j, 0 in columns that are not on.

    masks: int16 (outputs, 32), scratch: of each output that some column is at, those columns.
    """
    k_total, found = gathered.shape[0], 0
    rows = np.empty(masks.shape[0], np.int64)
    for e in range(masks.shape[0]):
        rows[found] = e * k_total
        here = False
        for j in range(COLUMNS):
            masks[found, j] = on[j] if chosen[j] == e else 0
            here = here or masks[found, j] != 0
        found += here
    for p in range(at.shape[0]):
        line = splat(np.int16(0))
        for i in range(found):
            line |= load(flat, COLUMNS * (rows[i] + at[p])) & load(masks, COLUMNS * i)
        store(gathered, COLUMNS * p, line)


@kernel
def _pass(
    lines: Any,
    offset: int,
    at: Any,
    values: Any,
    starts: Any,
    late: Any,
    on: Any,
    sums: Any,
    codes: Any,
    acc: Any,
    bits: Any,
    saturate: bool,
    flips: Any,
) -> None:
    """One token through all intervals. lines: int16 (R, 32), 0 in columns that are not on; pick p meets offset + at[p].

    A lane's sum is replaced in the first cycle of its slice and grows with every pick.
    """
    zero, busy = splat(np.int16(0)), load(on, 0)
    mask = splat(np.int16((np.int64(1) << bits[0]) - 1))
    kept = busy & splat(_CODE)
    flipped, flipped_codes, uncounted = zero, zero, 0
    lanes = sums.shape[0]
    for s in range(late.shape[0]):
        lane = s % lanes
        held, code = load(sums, COLUMNS * lane), load(codes, COLUMNS * lane)
        total, idle = held ^ (held & busy), code ^ (code & busy)
        if late[s]:
            flipped += popcount((total ^ held) & mask)
            held = total
        for p in range(starts[s], starts[s + 1]):
            weight = load(lines, COLUMNS * (offset + at[p]))
            total += weight * splat(values[p])
            flipped += popcount((total ^ held) & mask)
            held = total
            new = (weight & kept) | idle
            flipped_codes += popcount(new ^ code)
            code = new
        store(sums, COLUMNS * lane, held)
        store(codes, COLUMNS * lane, code)
        uncounted += starts[s + 1] - starts[s] + 1
        if uncounted > _UNCOUNTED:
            flips[0] += hsum(flipped)
            flips[1] += hsum(flipped_codes)
            flipped, flipped_codes, uncounted = zero, zero, 0
        if lane == lanes - 1:
            flips[0] += _merge(sums, on, acc, s < lanes, bits[1], saturate)
    flips[0] += hsum(flipped)
    flips[1] += hsum(flipped_codes)


@kernel
def _merge(sums: Any, on: Any, acc: Any, first: bool, acc_bits: int, saturate: bool) -> Any:
    """The lanes' sums enter the accumulators of the columns that are on, or replace them; the bits that flip."""
    total = np.zeros(COLUMNS, np.int32)
    for lane in range(sums.shape[0]):
        for j in range(COLUMNS):
            total[j] += sums[lane, j]
    high = (np.int64(1) << (acc_bits - 1)) - 1
    flipped = np.int64(0)
    for j in range(COLUMNS):
        old = acc[j]
        if on[j]:
            new = np.int64(total[j]) + (0 if first else old)
            acc[j] = min(max(new, -high - 1), high) if saturate else new
        flipped += popcount(np.uint32(acc[j] ^ old) & np.uint32(2 * high + 1))
    return flipped
