"""One loop nest over tiles in closed form: what moves and how long it takes.

A nest has four loops, `repeat` outermost and m, k, n in some order; a step of it works on one tile. Steps that have the
same neighbours and the same sizes cost the same, and what a step sees of its neighbours follows from whether each of
its indices is the first, the last but one, the last, or another. So at most four indices stand for all of a loop, and
4^4 steps for the whole nest, whatever its length: this is the closed form. `walker.py` takes every step.

Transfers: weights (0), activations (1), partial sums (2), which come and go, and finished outputs (3).
`timing` = (cost, den, wait, overlaps): `cost[q, o] / den[q]` cycles of memory q per element of o, `wait[q]` cycles
before the first bit, and whether the buffers of weights, activations and sums are double.

`loops` = (dims, tile, order, keep, flags), with dims (4,): M, K, N and repetitions; tile (3,); order (3,): loops from
the outermost; keep: bits for weights (1), activations (2), sums (4); flags: 2 * (sums continue earlier ones) + (sums
are finished), of the whole nest. Flags of a tile are made the same way.

Kept operands: without more room, a buffer holds one tile of an operand (and the next one, if it is double), which must
come again when another one was there in between. An operand that is kept stays while the loop runs that it does not
depend on (m for weights, n for activations, k for sums), with all its tiles that the loops inside of that one use.

Time: the first tile is loaded; then each step takes as long as its execution or as the last outputs' storing and then
the next tile's loading, whichever is longer (double buffers), plus what its single buffers let the datapath wait for;
at the end the last outputs are stored. A memory that serves execution and transfers in the same step takes no less than
both need of it, since its ports are used once per cycle: so no memory is ever busier than time passes.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitsim._jit import kernel

Ints = NDArray[np.int64]
Timing = tuple[Ints, Ints, Ints, NDArray[np.bool_]]
Loops = tuple[Ints, Ints, Ints, int, int]

M, K, N, R = 0, 1, 2, 3
ORDERS = np.array([[M, K, N], [M, N, K], [K, M, N], [K, N, M], [N, M, K], [N, K, M]], dtype=np.int64)
# What an evaluation returns: cycles, and the elements of each transfer; sums that come back apart from those that go.
TIME, MOVED_WEIGHTS, MOVED_ACTS, PSUMS_IN, PSUMS_OUT, MOVED_OUTPUTS = 0, 1, 2, 3, 4, 5
COUNTS = 6


@kernel
def evaluate(
    loops: Loops, execution: Ints, used: Ints, timing: Timing, counts: Ints, occupied: Ints, steps: Ints
) -> None:
    """Fill `counts` with what one nest takes and moves, and `steps` with how often tiles of each kind are executed.

    `execution`, int64 (4, 2, 2, 2): cycles of a tile by flags and by whether it is the last, smaller one of M, K, N;
    `used`, int64 (4, 2, 2, 2, memories): for how many of them it needs each memory. The results are `counts`, int64
    (6,), `occupied`, int64 (memories,): cycles of each for the nest's own transfers, and `steps`, int64 (4, 2, 2, 2).
    """
    dims, tile, order, keep, flags = loops
    trips = np.empty(4, dtype=np.int64)
    for d in range(3):
        trips[d] = -(-dims[d] // tile[d])
    trips[R] = dims[R]
    index, times = np.empty((4, 4), dtype=np.int64), np.empty((4, 4), dtype=np.int64)
    number = np.empty(4, dtype=np.int64)
    for d in range(4):
        number[d] = _representatives(trips[d], index[d], times[d])
    counts[:] = 0
    occupied[:] = 0
    steps[:] = 0
    now, after, before = np.empty(4, dtype=np.int64), np.empty(4, dtype=np.int64), np.empty(4, dtype=np.int64)
    needs, stored, left = np.empty(3, dtype=np.int64), np.empty(2, dtype=np.int64), np.empty(2, dtype=np.int64)
    nothing, idle = np.zeros(2, dtype=np.int64), np.zeros(occupied.size, dtype=np.int64)
    for choice in range(number[0] * number[1] * number[2] * number[3]):
        count, rest = 1, choice
        for d in range(4):
            now[d], count = index[d, rest % number[d]], count * times[d, rest % number[d]]
            rest //= number[d]
        follows = _neighbour(now, trips, order, 1, after)
        leads = _neighbour(now, trips, order, -1, before)
        _arriving(now, after, follows, dims, tile, trips, keep, flags, needs)
        _leaving(now, after, follows, dims, tile, trips, keep, flags, stored)
        left[:] = 0
        if leads:
            _leaving(before, now, True, dims, tile, trips, keep, flags, left)
        ends = (now[M] == trips[M] - 1, now[K] == trips[K] - 1, now[N] == trips[N] - 1)
        kind = (2 * (flags >> 1 or now[K] > 0) + (flags & 1 and ends[1]), ends[0] * 1, ends[1] * 1, ends[2] * 1)
        steps[kind] += count
        counts[TIME] += count * _step(execution[kind], used[kind], needs, left, stored, count, timing, occupied)
        for operand in range(3):
            counts[1 + operand] += count * needs[operand]
        counts[PSUMS_OUT] += count * stored[0]
        counts[MOVED_OUTPUTS] += count * stored[1]
        if not leads:
            _first(dims, tile, flags, needs)
            counts[TIME] += _step(0, idle, needs, nothing, nothing, 1, timing, occupied)
            for operand in range(3):
                counts[1 + operand] += needs[operand]
        if not follows:
            needs[:] = 0
            counts[TIME] += _step(0, idle, needs, stored, nothing, 1, timing, occupied)


@kernel
def extents(loops: Loops, needs: Ints) -> None:
    """`needs`, int64 (3, 2): elements of weights, activations, sums that stay in their buffers, and of one tile."""
    dims, tile, order, keep, _ = loops
    place = np.empty(3, dtype=np.int64)
    for p in range(3):
        place[order[p]] = p
    for operand in range(3):
        free = (M, N, K)[operand]
        stays, one = 1, 1
        for d in range(3):
            if d != free:
                inside = keep >> operand & 1 and place[d] > place[free]
                stays *= dims[d] if inside else tile[d]
                one *= tile[d]
        needs[operand, 0], needs[operand, 1] = stays, one


@kernel
def _representatives(trips: int, index: Ints, times: Ints) -> int:
    """Indices that stand for all of a loop, and for how many each; returns how many there are."""
    if trips <= 4:
        for i in range(trips):
            index[i] = i
            times[i] = 1
        return trips
    index[0], index[1], index[2], index[3] = 0, 1, trips - 2, trips - 1
    times[0], times[1], times[2], times[3] = 1, trips - 3, 1, 1
    return 4


@kernel
def _neighbour(now: Ints, trips: Ints, order: Ints, step: int, there: Ints) -> bool:
    """`there` becomes the indices one step later (1) or earlier (-1); returns whether there is such a step."""
    there[:] = now
    for p in range(2, -2, -1):
        d = order[p] if p >= 0 else R
        i = there[d] + step
        if 0 <= i < trips[d]:
            there[d] = i
            return True
        there[d] = 0 if step > 0 else trips[d] - 1
    return False


@kernel
def _extent(d: int, i: int, dims: Ints, tile: Ints, trips: Ints) -> Any:
    return dims[d] - (trips[d] - 1) * tile[d] if i == trips[d] - 1 else tile[d]


@kernel
def _arriving(
    now: Ints, after: Ints, follows: bool, dims: Ints, tile: Ints, trips: Ints, keep: int, flags: int, needs: Ints
) -> None:
    """Elements of weights, activations, sums (3,) that must come for the tile `after` while `now` is worked on."""
    needs[:] = 0
    if not follows:
        return
    m, k, n = now[M] != after[M], now[K] != after[K], now[N] != after[N]
    again = now[R] != after[R]
    if after[M] == 0 if keep & 1 else k or n or again:
        needs[0] = _extent(K, after[K], dims, tile, trips) * _extent(N, after[N], dims, tile, trips)
    if after[N] == 0 if keep & 2 else m or k or again:
        needs[1] = _extent(M, after[M], dims, tile, trips) * _extent(K, after[K], dims, tile, trips)
    resumes = flags >> 1 or after[K] > 0
    if resumes and (after[K] == 0 if keep & 4 else m or n or again):
        needs[2] = _extent(M, after[M], dims, tile, trips) * _extent(N, after[N], dims, tile, trips)


@kernel
def _leaving(
    now: Ints, after: Ints, follows: bool, dims: Ints, tile: Ints, trips: Ints, keep: int, flags: int, stored: Ints
) -> None:
    """Elements of sums that go unfinished and of outputs (2,) that leave when `after` takes the place of `now`."""
    stored[:] = 0
    ends = now[K] == trips[K] - 1
    stays = follows and now[M] == after[M] and now[N] == after[N] and now[R] == after[R]
    if ends if keep & 4 else not stays:
        size = _extent(M, now[M], dims, tile, trips) * _extent(N, now[N], dims, tile, trips)
        stored[1 if ends and flags & 1 else 0] = size


@kernel
def _first(dims: Ints, tile: Ints, flags: int, needs: Ints) -> None:
    """What the first tile of all needs."""
    m, k, n = min(dims[M], tile[M]), min(dims[K], tile[K]), min(dims[N], tile[N])
    needs[0], needs[1], needs[2] = k * n, m * k, m * n * (flags >> 1)


@kernel
def _step(
    busy: int, used: Ints, needs: Ints, left: Ints, stored: Ints, times: int, timing: Timing, occupied: Ints
) -> Any:
    """Cycles of a step that is taken `times` times; what its transfers need of each memory is added to `occupied`.

    `needs` (3,) must have come when it ends. Of sums and outputs, double buffers give up `left` (2,) meanwhile, single
    ones `stored` (2,) at its end.
    """
    cost, den, wait, overlaps = timing
    weights, acts, sums = needs[0] * overlaps[0], needs[1] * overlaps[1], needs[2] * overlaps[2]
    late_weights, late_acts, late_sums = needs[0] - weights, needs[1] - acts, needs[2] - sums
    storing, loading, shared, late_storing, late_loading = 0, 0, busy, 0, 0
    for q in range(den.size):
        load = _transfer(weights * cost[q, 0] + acts * cost[q, 1] + sums * cost[q, 2], den[q], wait[q])
        late = _transfer(late_weights * cost[q, 0] + late_acts * cost[q, 1] + late_sums * cost[q, 2], den[q], wait[q])
        store, late_store = 0, 0
        if overlaps[2]:
            store = _transfer(left[0] * cost[q, 2] + left[1] * cost[q, 3], den[q], wait[q])
        else:
            late_store = _transfer(stored[0] * cost[q, 2] + stored[1] * cost[q, 3], den[q], wait[q])
        storing, loading, shared = max(storing, store), max(loading, load), max(shared, used[q] + store + load)
        late_storing, late_loading = max(late_storing, late_store), max(late_loading, late)
        occupied[q] += times * (store + load + late_store + late)
    return max(shared, storing + loading) + late_storing + late_loading


@kernel
def _transfer(amount: int, den: int, wait: int) -> Any:
    return wait - (-amount // den) if amount > 0 else 0


@kernel
def cycles_of_many(
    dims: Ints, tiles: Ints, loops: Loops, execution: Ints, used: Ints, costs: Ints, timing: Timing, cycles: Ints
) -> None:
    """`evaluate`'s time of nests that differ in sizes only: dims (C, 4) and tiles (C, 3) instead of those in `loops`.

    `execution` (C, 4, 2, 2, 2) and `used` (C, 4, 2, 2, 2, memories) are those of each; `costs`, (C, memories, 4),
    replaces the cost of `timing`. `cycles`, (C,), is the result.
    """
    _, _, order, keep, flags = loops
    _, den, wait, overlaps = timing
    counts, steps = np.empty(COUNTS, dtype=np.int64), np.empty((4, 2, 2, 2), dtype=np.int64)
    occupied = np.empty(den.size, dtype=np.int64)
    for c in range(cycles.size):
        one, with_cost = (dims[c], tiles[c], order, keep, flags), (costs[c], den, wait, overlaps)
        evaluate(one, execution[c], used[c], with_cost, counts, occupied, steps)
        cycles[c] = counts[TIME]
