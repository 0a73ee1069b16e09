"""All tiles and loop orders of one nest, evaluated."""

import numpy as np
from numpy.typing import NDArray

from bitsim._jit import kernel
from bitsim.schedule.kernels.nest import COUNTS, ORDERS, TIME, Ints, Loops, Timing, evaluate, extents

Floats = NDArray[np.float64]
Room = tuple[Floats, Floats, NDArray[np.bool_]]
LATENCY, ENERGY, EDP = 0, 1, 2
_FINISHED = 1  # flags of a nest without earlier sums, which finishes its own


@kernel
def search(
    dims: Ints,
    sizes: tuple[Ints, Ints, Ints],
    at: tuple[Ints, Ints, Ints],
    cycles: Ints,
    spent: Floats,
    used: Ints,
    timing: Timing,
    room: Room,
    prices: Floats,
    objective: int,
    found: tuple[Ints, Floats, Ints],
) -> None:
    """Fill `found` = (times, energies, keeps), each (candidates of M, K, N; orders); a time of -1 says: no room.

    * `dims`: M, K, N and repetitions; `sizes`: candidate tile sizes of M, K, N; `at`, each (candidates, 2): where along
      the axes of `cycles` and `spent`, the time and energy of single tiles, a candidate's full and last tile are; so
      for `used` (..., memories), their cycles of each memory.
    * `room` = (bits of each level, bits (levels, 3) per element of weights, activations, sums in them, whether they
      are double). `prices`: energy per element of each count of `nest`. `objective`: LATENCY, ENERGY or EDP.

    Operands are kept where there is room, since that moves less and nothing more; of several ways to share the room
    of a level the best is taken.
    """
    times, energies, keeps = found
    tile, chosen = np.empty(3, dtype=np.int64), np.empty((4, 2, 2, 2), dtype=np.int64)
    memories = used.shape[3]
    counts, steps = np.empty(COUNTS, dtype=np.int64), np.empty((4, 2, 2, 2), dtype=np.int64)
    uses, occupied = np.empty((4, 2, 2, 2, memories), dtype=np.int64), np.empty(memories, dtype=np.int64)
    tried, needs = np.zeros(8, dtype=np.bool_), np.empty((3, 2), dtype=np.int64)
    power = np.empty((2, 2, 2), dtype=np.float64)
    times[:] = -1
    for im in range(sizes[0].size):
        for ik in range(sizes[1].size):
            for i_n in range(sizes[2].size):
                tile[0], tile[1], tile[2] = sizes[0][im], sizes[1][ik], sizes[2][i_n]
                if not _has_room((dims, tile, ORDERS[0], 0, _FINISHED), room, needs):
                    continue
                for em in range(2):
                    for ek in range(2):
                        for en in range(2):
                            place = (at[0][im, em], at[1][ik, ek], at[2][i_n, en])
                            chosen[:, em, ek, en] = cycles[place]
                            power[em, ek, en] = spent[place]
                            uses[:, em, ek, en] = used[place]
                several = 0
                for d in range(3):
                    several += dims[d] > tile[d]
                for o in range(ORDERS.shape[0] if several > 1 else 1):
                    spot = (im, ik, i_n, o)
                    for keep in range(7, -1, -1):
                        loops = (dims, tile, ORDERS[o], keep, _FINISHED)
                        tried[keep] = not _covered(keep, tried) and _has_room(loops, room, needs)
                        if not tried[keep]:
                            continue
                        evaluate(loops, chosen, uses, timing, counts, occupied, steps)
                        time, energy = counts[TIME], _energy(counts, steps, prices, power)
                        if times[spot] < 0 or _better(objective, time, energy, times[spot], energies[spot]):
                            times[spot], energies[spot], keeps[spot] = time, energy, keep


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
def _energy(counts: Ints, steps: Ints, prices: Floats, power: Floats) -> float:
    """Energy of what moves and of all tiles."""
    energy = 0.0
    for c in range(COUNTS):
        energy += counts[c] * prices[c]
    for flag in range(4):
        for em in range(2):
            for ek in range(2):
                for en in range(2):
                    energy += steps[flag, em, ek, en] * power[em, ek, en]
    return energy
