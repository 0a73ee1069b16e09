"""All tiles and loop orders of one nest, evaluated."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitsim._jit import kernel
from bitsim.schedule.kernels.nest import COUNTS, ORDERS, TIME, Ints, K, Loops, Timing, evaluate, extents

Floats = NDArray[np.float64]
Costs = tuple[Ints, Floats, Ints]
Room = tuple[Floats, Floats, NDArray[np.bool_]]
LATENCY, ENERGY, EDP = 0, 1, 2
MOST = 2.0**62
_FINISHED = 1  # flags of a nest without earlier sums, which finishes its own


@kernel
def search(
    dims: Ints,
    sizes: tuple[Ints, Ints, Ints],
    at: tuple[Ints, Ints, Ints],
    costs: Costs,
    staying: Costs,
    holds: tuple[int, int],
    timing: Timing,
    room: Room,
    prices: Floats,
    objective: int,
    only_best: bool,
    found: tuple[Ints, Floats, Ints],
) -> tuple[int, int]:
    """Fill `found` = (times, energies, keeps), each (candidates of M, K, N; orders); a time of -1 says: not a plan.

    Returns how many plans were evaluated, and how many were ruled out, since their tiles alone take longer (or more
    energy, or both) than the best plan so far; that is done if `only_best` of them is wanted.

    * `dims`: M, K, N and repetitions; `sizes`: candidate tile sizes of M, K, N; `at`, each (candidates, 2): where along
      the axes of `costs` a candidate's full and last tile are. These are the time and energy of single tiles and
      (..., memories) for how many of their cycles they need each memory; `staying`: the same for tiles of K whose sums
      stay in the datapath, which `holds` so many (M, N) between tiles of K that follow each other.
    * `room` = (bits of each level, bits (levels, 3) per element of weights, activations, sums in them, whether they
      are double). `prices`: energy per element of each count of `nest`. `objective`: LATENCY, ENERGY or EDP.

    * `only_fastest`: a tile whose executions alone take longer than the best time so far is not looked into; its time
      is then that lower bound.

    Operands are kept where there is room, since that moves less and nothing more; of several ways to share the room
    of a level the best is taken.
    """
    times, energies, keeps = found
    memories = costs[2].shape[3]
    tile, needs = np.empty(3, dtype=np.int64), np.empty((3, 2), dtype=np.int64)
    chosen, power = np.empty((4, 2, 2, 2), dtype=np.int64), np.empty((2, 2, 2), dtype=np.float64)
    uses, tried = np.empty((4, 2, 2, 2, memories), dtype=np.int64), np.zeros(8, dtype=np.bool_)
    spots = np.empty((2, 2, 2, 3), dtype=np.int64)
    results = (
        np.empty(COUNTS, dtype=np.int64),
        np.empty(memories, dtype=np.int64),
        np.empty((4, 2, 2, 2), dtype=np.int64),
    )
    times[:] = -1
    evaluated, ruled_out, best_time, best_energy = 0, 0, -1, 0.0
    moved = dims[3] * (prices[1] * dims[1] * dims[2] + prices[2] * dims[0] * dims[1] + prices[5] * dims[0] * dims[2])
    for im, ik, i_n in np.ndindex(times.shape[0], times.shape[1], times.shape[2]):
        tile[0], tile[1], tile[2] = sizes[0][im], sizes[1][ik], sizes[2][i_n]
        if not _has_room((dims, tile, ORDERS[0], 0, _FINISHED), room, needs):
            continue
        for em, ek, en in np.ndindex(2, 2, 2):
            spots[em, ek, en] = (at[0][im, em], at[1][ik, ek], at[2][i_n, en])
        orders = ORDERS.shape[0] if (dims[:3] > tile).sum() > 1 else 1
        may_stay = dims[1] > tile[1] and tile[0] <= holds[0] and tile[2] <= holds[1]
        _fill(spots, costs, staying, may_stay, chosen, power, uses)
        if not _countable(dims, tile, chosen[0], timing):
            continue
        if only_best and best_time >= 0:
            time, energy = _executions(dims, tile, chosen[0], power)
            if _better(objective, best_time, best_energy, time, moved + energy):
                ruled_out += orders
                continue
        for o in range(orders):
            spot = (im, ik, i_n, o)
            if may_stay:
                _fill(spots, costs, staying, _adjacent(dims, tile, ORDERS[o]), chosen, power, uses)
            for keep in range(7, -1, -1):
                loops = (dims, tile, ORDERS[o], keep, _FINISHED)
                tried[keep] = not _covered(keep, tried) and _has_room(loops, room, needs)
                if not tried[keep]:
                    continue
                evaluate(loops, chosen, uses, timing, results[0], results[1], results[2])
                evaluated += 1
                time, energy = results[0][TIME], _energy(results[0], results[2], prices, power)
                if times[spot] < 0 or _better(objective, time, energy, times[spot], energies[spot]):
                    times[spot], energies[spot], keeps[spot] = time, energy, keep
            if best_time < 0 or _better(objective, times[spot], energies[spot], best_time, best_energy):
                best_time, best_energy = times[spot], energies[spot]
    return evaluated, ruled_out


@kernel
def _fill(spots: Ints, costs: Costs, staying: Costs, stays: bool, chosen: Ints, power: Floats, uses: Ints) -> None:
    """Time, energy and use of memories of a full and a last tile; `stays`: sums stay until the last tile of K."""
    for em, ek, en in np.ndindex(2, 2, 2):
        a, b, c = spots[em, ek, en]
        cycles, spent, used = staying if stays and not ek else costs
        chosen[:, em, ek, en], power[em, ek, en] = cycles[a, b, c], spent[a, b, c]
        uses[:, em, ek, en] = used[a, b, c]


@kernel
def _adjacent(dims: Ints, tile: Ints, order: Ints) -> bool:
    """Whether no other tile comes between those of K."""
    inside = False
    for d in order:
        if inside and dims[d] > tile[d]:
            return False
        inside = inside or d == K
    return True


@kernel
def _countable(dims: Ints, tile: Ints, cycles: Ints, timing: Timing) -> Any:
    """Whether no count of a nest with these tiles can reach 2^63, by a bound in floating point."""
    cost, den, wait, _ = timing
    steps: Any = 1.0 * dims[3]
    elements: Any = 1.0
    longest: Any = 0.0
    slowest: Any = 0.0
    for d in range(3):
        steps *= -(-dims[d] // tile[d])
        elements = max(elements, 1.0 * tile[d] * tile[(d + 1) % 3])
    for em, ek, en in np.ndindex(2, 2, 2):
        longest = max(longest, 1.0 * cycles[em, ek, en])
    for q in range(den.size):
        for operand in range(4):
            if elements * cost[q, operand] > MOST:
                return False
            slowest += wait[q] + elements * cost[q, operand] / den[q]
    return (steps + 1) * max(elements, longest + slowest) <= MOST


@kernel
def _executions(dims: Ints, tile: Ints, cycles: Ints, power: Floats) -> tuple[int, float]:
    """Time and energy of all tiles, without what moves."""
    time, energy = 0, 0.0
    full = (-(-dims[0] // tile[0]) - 1, -(-dims[1] // tile[1]) - 1, -(-dims[2] // tile[2]) - 1)
    for em, ek, en in np.ndindex(2, 2, 2):
        times = dims[3] * (1 if em else full[0]) * (1 if ek else full[1]) * (1 if en else full[2])
        time += times * cycles[em, ek, en]
        energy += times * power[em, ek, en]
    return time, energy


@kernel
def _better(objective: int, time: int, energy: float, other_time: int, other_energy: float) -> bool:
    """Whether a plan beats another one: by the objective, then by what the objective leaves open."""
    if objective == LATENCY:
        return time < other_time or (time == other_time and energy < other_energy)
    score, other = energy, other_energy
    if objective == EDP:
        score, other = energy * time, other_energy * other_time
    return score < other or (score == other and time < other_time)


@kernel
def _covered(keep: int, tried: NDArray[np.bool_]) -> bool:
    """Whether a choice that keeps more was tried already."""
    for more in range(keep + 1, 8):  # noqa: SIM110 (numba has no any() of generators)
        if tried[more] and more & keep == keep:
            return True
    return False


@kernel
def _has_room(loops: Loops, room: Room, needs: Ints) -> bool:
    """Whether what stays, and the next tile where buffers are double, fits into every level."""
    capacity, held, double = room
    extents(loops, needs)
    for level in range(capacity.size):
        bits = 0.0
        for operand in range(3):
            bits += held[level, operand] * (needs[operand, 0] + double[level] * needs[operand, 1])
        if bits > capacity[level]:
            return False
    return True


@kernel
def _energy(counts: Ints, steps: Ints, prices: Floats, power: Floats) -> Any:
    """Energy of what moves and of all tiles."""
    energy: Any = 0.0
    for c in range(COUNTS):
        energy += counts[c] * prices[c]
    for flag, em, ek, en in np.ndindex(4, 2, 2, 2):
        energy += steps[flag, em, ek, en] * power[em, ek, en]
    return energy
