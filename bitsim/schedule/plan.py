"""A plan: a tile and an order of loops for each rank of buffers, and what a matmul does under it, in closed form."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from bitsim.datapath.base import Array
from bitsim.datapath.protocol import Datapath
from bitsim.datapath.tiles import Nest, Tiles
from bitsim.hw.chip import Chip
from bitsim.hw.memory import OPERANDS
from bitsim.schedule.host import Calls
from bitsim.schedule.kernels import nest
from bitsim.schedule.matmul import DRAM, Matmul
from bitsim.schedule.transfers import Transfers, bits_per_cycle, transfers_of

Tile = tuple[int, int, int]
WHOLE = 1  # the flags of a whole matmul: no earlier sums, and its own are finished
_LETTERS = "mkn"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loops:
    """A tile of one rank of buffers, and the order of the loops over tiles, from the outermost.

    `order`: row of `nest.ORDERS`; `keep`: the operands that are kept, as bits (1 weights, 2 activations, 4 sums).
    """

    tile: Tile
    order: int
    keep: int

    def within(self, dims: Tile) -> "Loops":
        """The same loops over something smaller."""
        tile = tuple(min(size, most) for size, most in zip(self.tile, dims, strict=True))
        return Loops(tile=tile, order=self.order, keep=self.keep)  # type: ignore[arg-type]

    def keeps_sums(self, dims: Tile, holds: tuple[int, int]) -> bool:
        """Whether sums stay in the datapath, which `holds` so many (M, N), while the tiles of K pass through it.

        They do if a tile's have room there, and no other tiles come between those of K.
        """
        trips = [-(-size // tile) for size, tile in zip(dims, self.tile, strict=True)]
        order = [int(d) for d in nest.ORDERS[self.order]]
        inside = order[order.index(nest.K) + 1 :]
        fits = self.tile[nest.M] <= holds[0] and self.tile[nest.N] <= holds[1]
        return fits and trips[nest.K] > 1 and all(trips[d] == 1 for d in inside)

    @property
    def dataflow(self) -> str:
        """What stays in its buffer while the innermost loop runs."""
        return {0: "weight", 1: "output", 2: "input"}[int(nest.ORDERS[self.order, 2])] + "-stationary"

    def text(self) -> str:
        """`n k m, tiles of 128 x 640 x 64 (M x K x N), acts kept`."""
        order = " ".join(_LETTERS[d] for d in nest.ORDERS[self.order])
        kept = [operand for bit, operand in enumerate(OPERANDS) if self.keep >> bit & 1]
        text = f"{order}, tiles of {' x '.join(str(size) for size in self.tile)} (M x K x N)"
        return f"{text}, {' and '.join(kept)} kept" if kept else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Loops by rank, from the datapath outwards.

    `searched`: how many plans were compared or ruled out; `cut`: to what the search was limited, empty if to nothing.
    """

    loops: tuple[Loops, ...]
    searched: int
    cut: str = ""

    def tiles(self, dims: Tile, holds: tuple[int, int]) -> Tiles:
        """The calls of the datapath, which `holds` so many sums between tiles of K.

        What is kept follows from the first tile of the outer ranks, which is the largest.
        """
        nests, inside = [], dims
        for loops in reversed(self.loops[1:]):
            inside = loops.within(inside).tile
        for loops in reversed(self.loops):
            m, k, n = (int(d) for d in nest.ORDERS[loops.order])
            nests.append(Nest(tile=loops.tile, order=(m, k, n)))
        return Tiles(dims=dims, nests=tuple(nests), kept=self.loops[0].within(inside).keeps_sums(inside, holds))

    def text(self) -> str:
        return "; ".join(loops.text() for loops in reversed(self.loops))


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a schedule does: cycles from start to end, cycles in which the datapath works, and what moves.

    `moved`, int64 (ranks, 5): elements of weights, activations, sums that come and go, outputs, by rank. `streams`,
    int64 (4,): bits of weights and activations that the datapath reads, of sums that it reads and writes. `used`, int64
    (memories,): for how many of the cycles each memory works, DRAM last.
    """

    cycles: int
    busy: int
    moved: Array
    streams: Array
    used: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class TileWork:
    """Calls of the datapath on tiles of many sizes, int64 (...): cycles that it works, and that the call takes.

    `streams` (4, ...) and `used` (memories, ...) as in `Work`: a call may wait for the ports of its buffers.
    """

    busy: Array
    cycles: Array
    streams: Array
    used: Array


class Schedule:
    """Evaluates plans of one datapath on one chip; `calls`: those of the host that drives it, if one does."""

    def __init__(self, chip: Chip, datapath: Datapath, calls: Calls | None = None) -> None:
        self.chip = chip
        self.calls = calls
        self.datapath = datapath
        self.memories = (*chip.memory.names, DRAM)
        self.ranks = len(chip.memory.ranks())
        self._inner = [self.memories.index(chip.memory.chain(operand)[0].name) for operand in OPERANDS]
        self._tiles: dict[tuple[Tile, Fraction, bool], Work] = {}

    def transfers(self, matmul: Matmul) -> tuple[Transfers, ...]:
        return tuple(transfers_of(self.chip, matmul, rank) for rank in range(self.ranks))

    def at(self, transfers: Transfers) -> list[int]:
        """Where among all memories the ones of one rank's transfers are."""
        return [self.memories.index(name) for name in transfers.ports]

    def tiles(self, sizes: Sequence[Array], pace: Fraction = Fraction(1), *, stays: bool = False) -> TileWork:
        """What the datapath does on tiles of `sizes` (M, K, N), arrays that broadcast.

        `pace`: how many of its cycles it takes on the operands at hand; `stays`: sums stay in it at the end.
        """
        costs = (self.datapath.staying if stays else self.datapath).tile_costs(*sizes)
        busy = -(-costs.cycles * pace.numerator // pace.denominator)
        streams = np.stack([costs.weight_reads, costs.act_reads, costs.psum_reads, costs.psum_writes])
        used = np.zeros((len(self.memories), *busy.shape), dtype=np.int64)
        for memory, bits in zip(self._inner, (streams[0], streams[1], streams[2] + streams[3]), strict=True):
            used[memory] += bits
        for memory in set(self._inner):
            used[memory] = -(-used[memory] // int(bits_per_cycle(self.chip, self.memories[memory])))
        cycles = np.maximum(busy, used.max(axis=0))
        if self.calls is not None:
            cycles = np.maximum(cycles, self.calls.cycles(*sizes))
        return TileWork(busy=busy, cycles=cycles, streams=streams, used=used)

    def work(self, matmul: Matmul, plan: Plan, transfers: tuple[Transfers, ...], pace: Fraction = Fraction(1)) -> Work:
        """What the matmul does under a plan."""
        done: dict[tuple[int, Tile, int, int], Work] = {}
        kept = plan.tiles(matmul.dims, self.datapath.holds).kept

        def nested(rank: int, dims: Tile, repeat: int, flags: int) -> Work:
            key = (rank, dims, repeat, flags)
            if key not in done:
                done[key] = outer(rank, dims, repeat, flags)
            return done[key]

        def outer(rank: int, dims: Tile, repeat: int, flags: int) -> Work:
            loops, through = plan.loops[rank].within(dims), transfers[rank]
            sizes = [_full_and_last(size, tile) for size, tile in zip(dims, loops.tile, strict=True)]
            shape, tile = np.array([*dims, repeat], dtype=np.int64), np.array(loops.tile, dtype=np.int64)
            nest_loops, ports = (shape, tile, nest.ORDERS[loops.order], loops.keep, flags), self.at(through)
            execution, used = np.zeros((4, 2, 2, 2), np.int64), np.zeros((4, 2, 2, 2, len(ports)), np.int64)
            counts, occupied, steps = np.empty(nest.COUNTS, np.int64), np.empty(len(ports), np.int64), execution.copy()
            nest.evaluate(nest_loops, execution, used, through.timing, counts, occupied, steps)
            parts: list[tuple[int, Work]] = []
            for flag, em, ek, en in np.argwhere(steps):
                size = (sizes[0][em], sizes[1][ek], sizes[2][en])
                last = bool(ek)  # of K
                part = nested(rank - 1, size, 1, int(flag)) if rank else self._tile(size, pace, kept and not last)
                execution[flag, em, ek, en], used[flag, em, ek, en] = part.cycles, part.used[ports]
                parts.append((int(steps[flag, em, ek, en]), part))
            nest.evaluate(nest_loops, execution, used, through.timing, counts, occupied, steps)
            work = _sum_of(parts, int(counts[nest.TIME]))
            work.moved[rank] += counts[1:]
            work.used[ports] += occupied
            return work

        return nested(self.ranks - 1, matmul.dims, matmul.repeat, WHOLE)

    def _tile(self, dims: Tile, pace: Fraction, stays: bool) -> Work:
        key = (dims, pace, stays)
        if key not in self._tiles:
            tiles = self.tiles([np.array(size) for size in dims], pace, stays=stays)
            moved = np.zeros((self.ranks, nest.COUNTS - 1), np.int64)
            self._tiles[key] = Work(
                cycles=int(tiles.cycles), busy=int(tiles.busy), moved=moved, streams=tiles.streams, used=tiles.used
            )
        return self._tiles[key]


def _sum_of(parts: Sequence[tuple[int, Work]], cycles: int) -> Work:
    """What all parts do, each so many times, in `cycles` from start to end."""
    return Work(
        cycles=cycles,
        busy=sum(times * part.busy for times, part in parts),
        moved=np.sum([times * part.moved for times, part in parts], axis=0),
        streams=np.sum([times * part.streams for times, part in parts], axis=0),
        used=np.sum([times * part.used for times, part in parts], axis=0),
    )


def _full_and_last(size: int, tile: int) -> tuple[int, int]:
    return tile, size - (-(-size // tile) - 1) * tile
