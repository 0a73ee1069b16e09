"""A plan: a tile and an order of loops for each rank of buffers, and what a matmul does under it, in closed form."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from bitsim.datapath.base import Array, Datapath
from bitsim.hw.chip import Chip
from bitsim.hw.memory import OPERANDS
from bitsim.schedule.host import Calls
from bitsim.schedule.kernels import nest
from bitsim.schedule.matmul import Matmul
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
    """Loops by rank, from the datapath outwards; `searched`: how many were compared; `cut`: what was left out."""

    loops: tuple[Loops, ...]
    searched: int
    cut: str = ""

    def blocks(self, m: int) -> list[int]:
        """The tokens of each call of the datapath."""
        return self.parts(0, m)

    def parts(self, dimension: int, size: int) -> list[int]:
        """M (0), K (1) or N (2) in tiles, rank by rank."""
        parts = [size]
        for loops in reversed(self.loops):
            tile = loops.tile[dimension]
            parts = [min(tile, part - start) for part in parts for start in range(0, part, tile)]
        return parts

    def text(self) -> str:
        return "; ".join(loops.text() for loops in reversed(self.loops))


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a schedule does: cycles from start to end, cycles in which the datapath works, and what moves.

    `moved`, int64 (ranks, 5): elements of weights, activations, sums that come and go, outputs, by rank. `streams`,
    int64 (4,): bits of weights and activations that the datapath reads, of sums that it reads and writes.
    """

    cycles: int
    busy: int
    moved: Array
    streams: Array


class Schedule:
    """Evaluates plans of one datapath on one chip; `calls`: those of the host that drives it, if one does."""

    def __init__(self, chip: Chip, datapath: Datapath, calls: Calls | None = None) -> None:
        self.chip = chip
        self.calls = calls
        self.datapath = datapath
        self.ranks = len(chip.memory.ranks())
        inner = [chip.memory.chain(operand)[0].name for operand in ("weights", "acts", "psums")]
        self._ports = [int(bits_per_cycle(chip, name)) for name in inner]
        self._shared = [[i for i in range(3) if inner[i] == name] for name in dict.fromkeys(inner)]
        self._tiles: dict[tuple[Tile, Fraction], Work] = {}

    def transfers(self, matmul: Matmul) -> tuple[Transfers, ...]:
        return tuple(transfers_of(self.chip, matmul, rank) for rank in range(self.ranks))

    def tiles(self, sizes: Sequence[Array], pace: Fraction = Fraction(1)) -> tuple[Array, Array, Array]:
        """Of tiles of many sizes: cycles of the datapath, cycles with its buffers' ports and host, streams (4, ...).

        `pace`: how many of its cycles the datapath takes on the operands at hand.
        """
        costs = self.datapath.tile_costs(*sizes)
        busy = -(-costs.cycles * pace.numerator // pace.denominator)
        streams = np.stack([costs.weight_reads, costs.act_reads, costs.psum_reads, costs.psum_writes])
        moved = [streams[0], streams[1], streams[2] + streams[3]]
        cycles = busy
        for together in self._shared:
            bits = sum(moved[i] for i in together)
            cycles = np.maximum(cycles, -(-bits // self._ports[together[0]]))
        if self.calls is not None:
            cycles = np.maximum(cycles, self.calls.cycles(*sizes))
        return busy, cycles, streams

    def work(self, matmul: Matmul, plan: Plan, transfers: tuple[Transfers, ...], pace: Fraction = Fraction(1)) -> Work:
        """What the matmul does under a plan."""
        done: dict[tuple[int, Tile, int, int], Work] = {}

        def nested(rank: int, dims: Tile, repeat: int, flags: int) -> Work:
            key = (rank, dims, repeat, flags)
            if key not in done:
                done[key] = self._tile(dims, pace) if rank < 0 else outer(rank, dims, repeat, flags)
            return done[key]

        def outer(rank: int, dims: Tile, repeat: int, flags: int) -> Work:
            loops, legs = plan.loops[rank].within(dims), transfers[rank]
            sizes = [_full_and_last(size, tile) for size, tile in zip(dims, loops.tile, strict=True)]
            shape = np.array([*dims, repeat], dtype=np.int64)
            tile = np.array(loops.tile, dtype=np.int64)
            execution, counts = np.zeros((4, 2, 2, 2), np.int64), np.empty(nest.COUNTS, np.int64)
            steps = np.empty((4, 2, 2, 2), np.int64)
            nested_loops = (shape, tile, nest.ORDERS[loops.order], loops.keep, flags)
            nest.evaluate(nested_loops, execution, legs.timing, counts, steps)
            parts: list[tuple[int, Work]] = []
            for flag, em, ek, en in np.argwhere(steps):
                size = (sizes[0][em], sizes[1][ek], sizes[2][en])
                part = nested(rank - 1, size, 1, int(flag) if rank else WHOLE)
                execution[flag, em, ek, en] = part.cycles
                parts.append((int(steps[flag, em, ek, en]), part))
            nest.evaluate(nested_loops, execution, legs.timing, counts, steps)
            moved, streams = np.zeros((self.ranks, nest.COUNTS - 1), np.int64), np.zeros(4, np.int64)
            for times, part in parts:
                moved += times * part.moved
                streams += times * part.streams
            moved[rank] += counts[1:]
            busy = sum(times * part.busy for times, part in parts)
            return Work(cycles=int(counts[nest.TIME]), busy=busy, moved=moved, streams=streams)

        return nested(self.ranks - 1, matmul.dims, matmul.repeat, WHOLE)

    def _tile(self, dims: Tile, pace: Fraction) -> Work:
        if (dims, pace) not in self._tiles:
            busy, cycles, streams = self.tiles([np.array(size) for size in dims], pace)
            moved = np.zeros((self.ranks, nest.COUNTS - 1), np.int64)
            self._tiles[dims, pace] = Work(cycles=int(cycles), busy=int(busy), moved=moved, streams=streams)
        return self._tiles[dims, pace]


def _full_and_last(size: int, tile: int) -> tuple[int, int]:
    return tile, size - (-(-size // tile) - 1) * tile
