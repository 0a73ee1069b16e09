"""The mapper: which tiles and loop orders, under all capacities, for the least time, energy or their product.

A tile size matters only by how many tiles it makes: for every number of tiles of M, K and N the smallest size that
makes so many, in units of the datapath's grain, is a candidate, and no other size can be better, since it needs more
room and moves as much. All candidates are tried with all six orders. With more than one rank of buffers the outer tiles
are taken in the order of a lower bound, with the datapath's own cycles in place of everything inside, until no outer
tile that is left can beat the best plan found; inner loops are chosen for the full outer tile and cut to size in the
last ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from bitsim.datapath.base import Array, Datapath
from bitsim.errors import ConfigError
from bitsim.hw.chip import Chip
from bitsim.schedule.kernels import nest
from bitsim.schedule.kernels.search import EDP, ENERGY, LATENCY, search
from bitsim.schedule.matmul import Matmul
from bitsim.schedule.plan import Loops, Plan, Schedule, Tile
from bitsim.schedule.transfers import Transfers

Objective = Literal["latency", "energy", "edp"]
OBJECTIVES: dict[Objective, int] = {"latency": LATENCY, "energy": ENERGY, "edp": EDP}
MOST_SIZES = 64  # candidates per dimension and rank; with several ranks MOST_OUTER
MOST_OUTER = 8
PerBit = Mapping[str, tuple[float, float]]
# Without prices, ties of latency go to the plan that moves less, a bit of DRAM counting as a hundred of SRAM.
DRAM_WEIGHT = 100.0


class ScheduleError(ConfigError):
    """A matmul that no tiling brings onto the chip."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What plans are chosen for; `per_bit`: pJ per bit read and written, by memory."""

    objective: Objective
    per_bit: PerBit


def plain_goal(chip: Chip) -> Goal:
    """Latency; ties go to less traffic."""
    memories = dict.fromkeys(chip.memory.names, (1.0, 1.0)) | {"dram": (DRAM_WEIGHT, DRAM_WEIGHT)}
    return Goal(objective="latency", per_bit=memories)


class Mapper:
    """Finds plans for the matmuls of one datapath on one chip; the same matmul gets the same plan, always."""

    def __init__(self, chip: Chip, datapath: Datapath, goal: Goal | None = None) -> None:
        self.schedule = Schedule(chip, datapath)
        self.goal = plain_goal(chip) if goal is None else goal
        self.plan = lru_cache(maxsize=4096)(self._plan)

    def _plan(self, matmul: Matmul) -> Plan:
        transfers = self.schedule.transfers(matmul)
        return self._search(matmul, transfers, len(transfers) - 1, matmul.dims, matmul.repeat)

    def _search(self, matmul: Matmul, transfers: tuple[Transfers, ...], rank: int, dims: Tile, repeat: int) -> Plan:
        legs, most = transfers[rank], MOST_SIZES if len(transfers) == 1 else MOST_OUTER
        sizes, cut = self._candidates(legs, dims, most)
        lattice = [_lattice(size, candidates) for size, candidates in zip(dims, sizes, strict=True)]
        tiles = self.schedule.tiles(_open([values for values, _ in lattice]))
        spent = self._spent(tiles.streams) if rank == 0 else np.zeros(tiles.cycles.shape)
        used = np.ascontiguousarray(np.moveaxis(tiles.used[self.schedule.at(legs)], 0, -1))
        shape = (*(len(candidates) for candidates in sizes), len(nest.ORDERS))
        times, energies, keeps = np.empty(shape, np.int64), np.zeros(shape), np.zeros(shape, np.int64)
        search(
            np.array([*dims, repeat], dtype=np.int64),
            (sizes[0], sizes[1], sizes[2]),
            (lattice[0][1], lattice[1][1], lattice[2][1]),
            tiles.cycles,
            spent,
            used,
            legs.timing,
            (legs.room, legs.held, legs.double),
            legs.prices(self.goal.per_bit),
            OBJECTIVES[self.goal.objective],
            (times, energies, keeps),
        )
        searched = int(np.count_nonzero(times >= 0))
        if not searched:
            raise self._no_room(legs, [candidates.min() for candidates in sizes])
        ranking = self._ranking(times, energies)
        if rank == 0:
            best = np.unravel_index(ranking[0], shape)
            return Plan(loops=(_loops(sizes, keeps, best),), searched=searched, cut=cut)
        return self._refined(matmul, transfers, rank, sizes, (times, energies, keeps), ranking, cut)

    def _refined(
        self,
        matmul: Matmul,
        transfers: tuple[Transfers, ...],
        rank: int,
        sizes: list[Array],
        bounds: tuple[Array, Array, Array],
        ranking: Array,
        cut: str,
    ) -> Plan:
        """The best plan with all inner ranks, taking outer loops in the order of their lower bounds."""
        best: tuple[tuple[float, ...], Plan] | None = None
        searched, shape = 0, bounds[0].shape
        for flat in ranking:
            at = np.unravel_index(flat, shape)
            bound = self._score(float(bounds[0][at]), float(bounds[1][at]))
            if bounds[0][at] < 0 or (best is not None and bound >= best[0]):
                break
            loops = _loops(sizes, bounds[2], at)
            try:
                inner = self._search(matmul, transfers, rank - 1, loops.tile, 1)
            except ScheduleError:
                continue
            plan = Plan(loops=(*inner.loops, loops), searched=0, cut=cut or inner.cut)
            searched += inner.searched
            score = self._true_score(matmul, plan, transfers) if rank == len(transfers) - 1 else bound
            if best is None or score < best[0]:
                best = score, plan
        if best is None:
            raise self._no_room(transfers[rank - 1], [min(candidates) for candidates in sizes])
        return Plan(loops=best[1].loops, searched=searched, cut=best[1].cut)

    def _true_score(self, matmul: Matmul, plan: Plan, transfers: tuple[Transfers, ...]) -> tuple[float, ...]:
        work = self.schedule.work(matmul, plan, transfers)
        energy = float(self._spent(work.streams))
        for legs, moved in zip(transfers, work.moved, strict=True):
            energy += float(legs.prices(self.goal.per_bit)[1:] @ moved)
        return self._score(work.cycles, energy)

    def _score(self, time: float, energy: float) -> tuple[float, ...]:
        if self.goal.objective == "latency":
            return float(time), float(energy)
        product = float(energy) if self.goal.objective == "energy" else float(time) * float(energy)
        return product, float(time)

    def _ranking(self, times: Array, energies: Array) -> Array:
        """Flat positions of all plans, the best first; ties go to the one that was listed first."""
        t, e = times.ravel().astype(np.float64), energies.ravel()
        t, e = np.where(times.ravel() < 0, np.inf, t), np.where(times.ravel() < 0, 1.0, e)
        if self.goal.objective == "latency":
            first, second = t, e
        else:
            first, second = np.where(np.isinf(t), np.inf, e if self.goal.objective == "energy" else t * e), t
        return np.lexsort((np.arange(t.size), second, first))

    def _spent(self, streams: Array) -> Array:
        """Energy of what the datapath reads and writes, from `streams` (4, ...)."""
        inner = [self.schedule.chip.memory.chain(operand)[0].name for operand in ("weights", "acts", "psums")]
        (w, _), (a, _), (read, written) = (self.goal.per_bit[name] for name in inner)
        spent: Array = streams[0] * w + streams[1] * a + streams[2] * read + streams[3] * written
        return spent

    def _candidates(self, legs: Transfers, dims: Tile, most: int) -> tuple[list[Array], str]:
        """Tile sizes of M, K and N; if the smallest of them has no room, the grain of N, then K, then M is halved."""
        grain = [min(unit, size) for unit, size in zip(self.schedule.datapath.grain, dims, strict=True)]
        for d in (2, 1, 0):
            while grain[d] > 1 and not _has_room(legs, grain):
                grain[d] = -(-grain[d] // 2)
        found, thinned = [], []
        for name, size, unit in zip("MKN", dims, grain, strict=True):
            sizes = _sizes(size, unit)
            if len(sizes) > most:
                kept = np.unique(np.geomspace(1, len(sizes), most).round().astype(int)) - 1
                thinned.append(f"{len(kept)} of {len(sizes)} tile sizes of {name}")
                sizes = [sizes[i] for i in kept]
            found.append(np.array(sizes, dtype=np.int64))
        return found, f"tried only {', '.join(thinned)}" if thinned else ""

    def _no_room(self, legs: Transfers, tile: list[int]) -> ScheduleError:
        m, k, n = (int(size) for size in tile)
        needs = _needs(legs, [m, k, n])
        for level, need, room in zip(legs.levels, needs, legs.room, strict=True):
            if need > room:
                return ScheduleError(
                    f"{self.schedule.chip.name}: memory.levels.{level.name}: the smallest tile, {m} x {k} x {n} "
                    f"(M x K x N), needs {need / 8:,.0f} bytes, there are {room / 8:,.0f}"
                )
        return ScheduleError(f"{self.schedule.chip.name}: no tiling fits all levels at once ({m} x {k} x {n} tried)")


def _has_room(legs: Transfers, tile: list[int]) -> bool:
    return bool((_needs(legs, tile) <= legs.room).all())


def _needs(legs: Transfers, tile: list[int]) -> Array:
    """Bits that each level needs for tiles of this size, kept or not."""
    m, k, n = tile
    needs: Array = legs.held @ np.array([k * n, m * k, m * n], dtype=np.float64) * (1 + legs.double)
    return needs


def _sizes(size: int, unit: int) -> list[int]:
    """For each number of tiles that sizes in steps of `unit` can make, the smallest such size, the largest first."""
    units = -(-size // unit)
    sizes: list[int] = []
    tiles = 1
    while tiles <= units:
        per_tile = -(-units // tiles)
        sizes.append(min(per_tile * unit, size))
        if per_tile == 1:
            break
        tiles = max(tiles + 1, -(-units // (per_tile - 1)))
    return sizes


def _lattice(size: int, candidates: Array) -> tuple[Array, Array]:
    """All sizes that tiles of one dimension have, sorted, and where in them each candidate's full and last tile are."""
    last = size - (-(-size // candidates) - 1) * candidates
    values = np.unique(np.concatenate([candidates, last]))
    return values, np.stack([np.searchsorted(values, candidates), np.searchsorted(values, last)], axis=1)


def _open(axes: list[Array]) -> tuple[Array, Array, Array]:
    m, k, n = axes
    return m[:, None, None], k[None, :, None], n[None, None, :]


def _loops(sizes: list[Array], keeps: Array, at: tuple[Any, ...]) -> Loops:
    tile = tuple(int(candidates[i]) for candidates, i in zip(sizes, at[:3], strict=True))
    return Loops(tile=tile, order=int(at[3]), keep=int(keeps[at]))  # type: ignore[arg-type]


def pace_of(executed: int, nominal: int) -> Fraction:
    """How many of its cycles the datapath takes, from what an execution took."""
    return Fraction(executed, nominal) if nominal else Fraction(1)
