"""The mapper: which tiles and loop orders, under all capacities, for the least time, energy or their product.

Tiles follow the datapath's grain, or a part of it where that has no room, unless other tiles are better by more than
WORTH. All `candidates` are tried with all six orders and all ways to keep operands, but for those whose tiles alone
cost more than the best plan. `Plan.cut` says to what a search was limited; it may be off by its gap to the lower bound
at most.

With more than one rank of buffers the outer tiles are taken in the order of a lower bound, with the datapath's own
cycles in place of everything inside, until no outer tile that is left can beat the best plan found. Inner loops are
chosen for the full outer tile, apart from what the outer ranks do, and cut to size in the last ones; kept operands of
the outer ranks are those that are best with the lower bound. `Plan.cut` says that, too.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from bitsim.datapath.base import Array
from bitsim.datapath.protocol import Datapath
from bitsim.errors import ConfigError
from bitsim.hw.chip import Chip
from bitsim.hw.memory import LevelSpec
from bitsim.schedule.candidates import candidates, sizes_of_tiles
from bitsim.schedule.host import Calls
from bitsim.schedule.kernels import nest
from bitsim.schedule.kernels.search import EDP, ENERGY, LATENCY, search
from bitsim.schedule.matmul import DRAM, Matmul
from bitsim.schedule.plan import Loops, Plan, Schedule, Tile
from bitsim.schedule.transfers import Transfers, bits_per_cycle

Objective = Literal["latency", "energy", "edp"]
OBJECTIVES: dict[Objective, int] = {"latency": LATENCY, "energy": ENERGY, "edp": EDP}
PerBit = Mapping[str, tuple[float, float]]
# Shapes of tiles whose costs are found for a search, together or one by one: either takes less than a second.
MOST_SHAPES, MOST_SHAPES_ONE_BY_ONE = 2**18, 2**15
# Of one operator: at most 64 bits for each, to and from four buffers, are counted in 63 bits.
MOST_MACS = 2**55
TOO_MANY = "have counts beyond 63 bits (take fewer tokens, a smaller batch or smaller chunks)"
# Without prices, ties of latency go to the plan that moves less, a bit of DRAM counting as a hundred of SRAM.
DRAM_WEIGHT = 100.0
# How freely a matmul is cut: K only as far as buffers make it necessary, at the grain, anywhere (but for K where sums
# are rounded, which that would change). What cuts cost the datapath is not seen here, so freer ones must gain WORTH.
Cut = Literal["deep", "grain", "anywhere"]
CUTS: tuple[Cut, ...] = ("deep", "grain", "anywhere")
WORTH = 0.05


class ScheduleError(ConfigError):
    """A matmul that no tiling brings onto the chip."""


class CountError(ScheduleError):
    """A matmul so large that its events and cycles would not be counted exactly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What plans are chosen for; `per_bit`: pJ per bit read and written, by memory."""

    objective: Objective
    per_bit: PerBit

    def rank(self, time: float, energy: float) -> tuple[float, ...]:
        """What alternatives are compared by: the objective, and what decides between equals."""
        if self.objective == "latency":
            return float(time), float(energy)
        product = float(energy) if self.objective == "energy" else float(time) * float(energy)
        return product, float(time)


def plain_goal(chip: Chip) -> Goal:
    """Latency; ties go to less traffic."""
    memories = dict.fromkeys(chip.memory.names, (1.0, 1.0)) | {"dram": (DRAM_WEIGHT, DRAM_WEIGHT)}
    return Goal(objective="latency", per_bit=memories)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    """One matmul to find a plan for; `inner`: the plans found for the ranks inside, by rank and outer tile.

    `cut`: how freely it is cut into tiles, see `Mapper._plan`.
    """

    matmul: Matmul
    transfers: tuple[Transfers, ...]
    cut: Cut = "deep"
    inner: dict[tuple[int, Tile], Plan] = field(default_factory=dict)


class Mapper:
    """Finds plans for the matmuls of one datapath on one chip; the same matmul gets the same plan, always."""

    def __init__(self, chip: Chip, datapath: Datapath, goal: Goal | None = None, calls: Calls | None = None) -> None:
        self.schedule = Schedule(chip, datapath, calls)
        self.goal = plain_goal(chip) if goal is None else goal
        self.plan = lru_cache(maxsize=4096)(self._plan)

    def _plan(self, matmul: Matmul) -> Plan:
        if matmul.m * matmul.k * matmul.n * matmul.repeat > MOST_MACS:
            raise CountError(f"{self._shape(matmul)}: more than {MOST_MACS:,} multiplications {TOO_MANY}")
        transfers = self.schedule.transfers(matmul)
        for legs in transfers:
            self._check_room(legs)
        found: list[tuple[float, Plan]] = []
        for cut in CUTS if self._sums_are_cut else CUTS[1:]:
            task = _Task(matmul=matmul, transfers=transfers, cut=cut)
            plan = self._search(task, len(transfers) - 1, matmul.dims, matmul.repeat)
            found.append((self.score(matmul, plan, transfers)[0], plan))
            if found[-1][0] <= (1 + WORTH) * self._least(matmul):
                break
        best = min(score for score, _ in found)
        return next(plan for score, plan in found if score <= (1 + WORTH) * best)

    @property
    def _sums_are_cut(self) -> bool:
        """Whether every tile of K costs additions and empties registers."""
        return not self.schedule.datapath.sums_tiles and not self.schedule.datapath.holds[0]

    def _least(self, matmul: Matmul) -> int:
        """Cycles that no plan goes below, for the whole matmul and for its weights; 0 with another objective."""
        if self.goal.objective != "latency":
            return 0
        dram = matmul.stored_bits if matmul.weights_move else 0
        loaded = -int(-dram // bits_per_cycle(self.schedule.chip, DRAM))
        return max(loaded, self.schedule.datapath.cycles(*matmul.dims) * matmul.repeat)

    def _search(self, task: _Task, rank: int, dims: Tile, repeat: int) -> Plan:
        """The best loops of one rank and those inside of it, for `repeat` matmuls of `dims`."""
        legs = task.transfers[rank]
        datapath = self.schedule.datapath
        anywhere = task.cut == "anywhere"
        broken = (anywhere, anywhere and datapath.exact, anywhere)
        units = [self.unit(legs, dims, deep=task.cut == "deep"), self._grain(dims)]
        m, k, n = (units[parts][d] for d, parts in enumerate(broken))
        sizes, cut = candidates(
            dims,
            (m, k, n),
            rank,
            len(task.transfers),
            broken=broken,
            largest=self._largest(legs, dims),
            most_shapes=self._most_shapes,
        )
        lattice = [sizes_of_tiles(size, tiles) for size, tiles in zip(dims, sizes, strict=True)]
        places = _open([values for values, _ in lattice])
        costs = self._costs(legs, places, stays=False)
        holds = (0, 0) if rank else datapath.holds
        shape = (*(len(tiles) for tiles in sizes), len(nest.ORDERS))
        times, energies, keeps = np.empty(shape, np.int64), np.zeros(shape), np.zeros(shape, np.int64)
        evaluated, ruled_out = search(
            np.array([*dims, repeat], dtype=np.int64),
            (sizes[0], sizes[1], sizes[2]),
            (lattice[0][1], lattice[1][1], lattice[2][1]),
            costs,
            self._costs(legs, places, stays=True) if holds[0] else costs,
            holds,
            legs.timing,
            (legs.room, legs.held, legs.double),
            legs.prices(self.goal.per_bit),
            OBJECTIVES[self.goal.objective],
            rank == 0,
            (times, energies, keeps),
        )
        if times.max() < 0:
            raise CountError(f"{self.schedule.chip.name}: all plans for {self._shape(task.matmul)} {TOO_MANY}")
        ranking = self._ranking(times, energies)
        if rank == 0:
            best = np.unravel_index(ranking[0], shape)
            return Plan(loops=(_loops(sizes, keeps, best),), searched=evaluated + ruled_out, cut=cut)
        return self._refined(task, rank, sizes, (times, energies, keeps), ranking, cut)

    def _costs(self, legs: Transfers, sizes: tuple[Array, Array, Array], *, stays: bool) -> tuple[Array, Array, Array]:
        """Of single tiles: time, energy of what the datapath reads and writes, cycles of each memory."""
        tiles = self.schedule.tiles(sizes, stays=stays)
        used = np.ascontiguousarray(np.moveaxis(tiles.used[self.schedule.at(legs)], 0, -1))
        return tiles.cycles, self._spent(tiles.streams), used

    def _grain(self, dims: Tile) -> Tile:
        m, k, n = (min(size, most) for size, most in zip(self.schedule.datapath.grain, dims, strict=True))
        return m, k, n

    def unit(self, legs: Transfers, dims: Tile, *, deep: bool = False) -> Tile:
        """What tiles are multiples of: the grain, its largest dimension halved until the buffers have room.

        `deep`: of K all that there is room for, in whole grains.
        """
        unit, depth = [*self._grain(dims)], dims[1]
        while deep and depth > unit[1]:
            if not self._too_small(legs, (unit[0], depth, unit[2])):
                return unit[0], depth, unit[2]
            depth = -(-(depth // 2) // unit[1]) * unit[1]
        while self._too_small(legs, (unit[0], unit[1], unit[2])):
            d = unit.index(max(unit))
            unit[d] = -(-unit[d] // 2)
        return unit[0], unit[1], unit[2]

    def _too_small(self, legs: Transfers, tile: Tile) -> list[tuple[LevelSpec, float, float]]:
        """The buffers without room for a tile (and the next one, if they are double), what it needs and what there is.

        In bits.
        """
        m, k, n = tile
        needs = (legs.held @ np.array([k * n, m * k, m * n])) * (1 + legs.double)
        rows = zip(legs.levels, needs, legs.room, strict=True)
        return [(level, need, room) for level, need, room in rows if need > room]

    def _refined(
        self,
        task: _Task,
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
            bound = self.goal.rank(float(bounds[0][at]), float(bounds[1][at]))
            if bounds[0][at] < 0 or (best is not None and bound >= best[0]):
                break
            loops = _loops(sizes, bounds[2], at)
            inside = (rank - 1, loops.tile)
            if inside not in task.inner:
                task.inner[inside] = self._search(task, *inside, 1)
                searched += task.inner[inside].searched
            plan = Plan(loops=(*task.inner[inside].loops, loops), searched=0, cut=cut)
            score = self.score(task.matmul, plan, task.transfers) if rank == len(task.transfers) - 1 else bound
            if best is None or score < best[0]:
                best = score, plan
        assert best is not None  # the smallest tile has room in every rank
        return Plan(loops=best[1].loops, searched=searched, cut=best[1].cut)

    def score(self, matmul: Matmul, plan: Plan, transfers: tuple[Transfers, ...]) -> tuple[float, ...]:
        """What plans are compared by: the objective, and what decides between equals."""
        work = self.schedule.work(matmul, plan, transfers)
        energy = float(self._spent(work.streams))
        for legs, moved in zip(transfers, work.moved, strict=True):
            energy += math.fsum(legs.prices(self.goal.per_bit)[1:] * moved)  # not the BLAS, whose order is the CPU's
        return self.goal.rank(work.cycles, energy)

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

    @property
    def _most_shapes(self) -> int:
        return MOST_SHAPES if self.schedule.datapath.takes_arrays else MOST_SHAPES_ONE_BY_ONE

    def _largest(self, legs: Transfers, dims: Tile) -> Tile:
        """The largest M, K and N for which there is room if the other two are 1."""
        found = list(dims)
        for held, double, room in zip(legs.held, legs.double, legs.room, strict=True):
            weights, acts, sums = held * (1 + double)
            for d, (grows, stays) in enumerate(
                ((acts + sums, weights), (weights + acts, sums), (weights + sums, acts))
            ):
                if grows > 0:
                    found[d] = min(found[d], max(1, int((room - stays) / grows)))
        return found[0], found[1], found[2]

    @staticmethod
    def _shape(matmul: Matmul) -> str:
        return f"{matmul.m} x {matmul.k} x {matmul.n} (M x K x N), {matmul.repeat} times"

    def _check_room(self, legs: Transfers) -> None:
        """Raise `ScheduleError` if a tile of a single product has no room."""
        for level, need, room in self._too_small(legs, (1, 1, 1)):
            raise ScheduleError(
                f"{self.schedule.chip.name}: memory.levels.{level.name}: the smallest tile, 1 x 1 x 1 (M x K x N), "
                f"needs {need / 8:,.2f} bytes{' with the next one' if level.double_buffered else ''}, "
                f"there are {room / 8:,.2f}"
            )


def _open(axes: list[Array]) -> tuple[Array, Array, Array]:
    m, k, n = axes
    return m[:, None, None], k[None, :, None], n[None, None, :]


def _loops(sizes: list[Array], keeps: Array, at: tuple[Any, ...]) -> Loops:
    tile = tuple(int(tiles[i]) for tiles, i in zip(sizes, at[:3], strict=True))
    return Loops(tile=tile, order=int(at[3]), keep=int(keeps[at]))  # type: ignore[arg-type]
