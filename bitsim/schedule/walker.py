"""The slow, obvious twin of the closed form: every step of a plan, one after another, with the contents of all buffers.

What comes and goes follows from what is in the buffers, and time from one transfer after another. The rules are those
that `kernels.nest` states; shared with it are only the plan and the widths of `transfers`.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain, pairwise

import numpy as np

from bitsim.datapath.protocol import Datapath
from bitsim.events import Events
from bitsim.hw.chip import Chip
from bitsim.schedule.buffers import Buffers, Index, Moves, size_at, steps
from bitsim.schedule.host import Calls
from bitsim.schedule.matmul import DRAM, Matmul
from bitsim.schedule.plan import WHOLE, Plan, Tile, Work
from bitsim.schedule.transfers import STEPS, Transfers, bits_per_cycle

MOVES = ("weights", "acts", "psums in", "psums out", "outputs")
STREAMS = ("weights read", "acts read", "psums read", "psums write")
_SUMS = {"psums in": "psums", "psums out": "psums"}  # moves that share a leg


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Something that goes on from `start` to `end`, in cycles.

    `unit`: "array" or a memory; `rank`: whose transfer it is, -1 for the datapath's own. A memory may serve two ranks
    at once. `what`: the operands that move, or M x K x N of the datapath's tile.
    """

    unit: str
    rank: int
    what: str
    start: int
    end: int


OnSpan = Callable[[Span], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """What was done. `events`: bits by memory; `peaks`: the most elements that a buffer held, by rank and operand."""

    work: Work
    events: Events
    peaks: dict[tuple[int, str], int]


def walk(
    chip: Chip,
    datapath: Datapath,
    matmul: Matmul,
    plan: Plan,
    transfers: tuple[Transfers, ...],
    pace: Fraction = Fraction(1),
    on_span: OnSpan | None = None,
    calls: Calls | None = None,
) -> Walked:
    """Work a matmul off as planned, one tile after another; `on_span` is told what the array and memories do when.

    `pace`: how many of its cycles the datapath takes on the operands at hand; `calls`: of the host that drives it.
    """
    kept = plan.tiles(matmul.dims, datapath.holds).kept
    walker = _Walker(chip, datapath, plan, transfers, pace, on_span, calls, kept)
    end = walker.nest(len(transfers) - 1, matmul.dims, matmul.repeat, WHOLE, 0)
    moved = [[walker.moved[rank, move] for move in MOVES] for rank in range(len(transfers))]
    work = Work(
        cycles=end,
        busy=walker.busy,
        moved=np.array(moved, dtype=np.int64),
        streams=np.array([walker.streams[name] for name in STREAMS], dtype=np.int64),
        used=np.array([walker.used[name] for name in (*chip.memory.names, DRAM)], dtype=np.int64),
    )
    return Walked(work=work, events=walker.events(), peaks=walker.peaks)


@dataclass(slots=True)
class _Walker:
    """`bits`: by event, rank and operand; `used`: cycles by memory."""

    chip: Chip
    datapath: Datapath
    plan: Plan
    transfers: tuple[Transfers, ...]
    pace: Fraction
    on_span: OnSpan | None
    calls: Calls | None
    kept: bool
    busy: int = 0
    moved: Counter[tuple[int, str]] = field(default_factory=Counter)
    streams: Counter[str] = field(default_factory=Counter)
    used: Counter[str] = field(default_factory=Counter)
    bits: dict[tuple[str, int, str], Fraction] = field(default_factory=dict)
    peaks: dict[tuple[int, str], int] = field(default_factory=dict)

    def nest(self, rank: int, dims: Tile, repeat: int, flags: int, start: int) -> int:
        """Work off `repeat` matmuls of `dims` on one rank of buffers; returns when that is done."""
        loops = self.plan.loops[rank].within(dims)
        buffers = Buffers(self.transfers[rank], loops, dims, flags)
        way = steps(loops, dims, repeat)
        first = next(way)
        clock = start + _longest(self.move(rank, buffers.load(first, double=True), start))
        clock += _longest(self.move(rank, buffers.load(first, double=False), clock))
        left = None
        for now, after in pairwise(chain([first], way, [None])):
            assert now is not None
            clock = self.step(rank, buffers, left, now, after, clock)
            left = buffers.leaving(now, after)
            if not buffers.sums.double:
                clock += _longest(self.move(rank, buffers.store(left), clock))
                left = None
            if after is not None:
                clock += _longest(self.move(rank, buffers.load(after, double=False), clock))
        for buffer in (buffers.weights, buffers.acts, buffers.sums):
            self.peaks[rank, buffer.operand] = max(self.peaks.get((rank, buffer.operand), 0), buffer.peak)
        return clock + _longest(self.move(rank, buffers.store(left), clock))

    def step(self, rank: int, buffers: Buffers, left: Index | None, now: Index, after: Index | None, start: int) -> int:
        """Execute a tile; meanwhile double buffers give up the last sums, then take what the next tile needs."""
        buffers.begin(now)
        before = self.used.copy()
        stays = self.kept and not rank and after is not None and buffers.sums.place(after) == buffers.sums.place(now)
        end = self.execute(rank, buffers, now, start, stays)
        used = self.used - before
        stores = self.move(rank, buffers.store(left), start)
        loads = self.move(rank, {} if after is None else buffers.load(after, double=True), start + _longest(stores))
        together = used + stores + loads
        return start + max(end - start, _longest(stores) + _longest(loads), _longest(together))

    def execute(self, rank: int, buffers: Buffers, at: Index, start: int, stays: bool) -> int:
        """The tile at `at` on the next rank inside, or on the datapath, in which its sums may stay; returns the end."""
        size = size_at(buffers.loops, buffers.dims, at)
        return self.nest(rank - 1, size, 1, buffers.flags(at), start) if rank else self.call(size, start, stays)

    def call(self, size: Tile, start: int, stays: bool) -> int:
        """One call of the datapath; it may have to wait for the ports of its buffers. Returns the end."""
        m, k, n = size
        datapath = self.datapath.staying if stays else self.datapath
        busy = -int(-datapath.cycles(m, k, n) * self.pace // 1)
        streams = datapath.streams(m, k, n)
        reads = (streams.weight_reads, streams.act_reads, streams.psum_reads, streams.psum_writes)
        through: Counter[str] = Counter()
        for name, bits in zip(STREAMS, reads, strict=True):
            operand, way = name.split()
            memory = self.chip.memory.chain(operand)[0].name  # type: ignore[arg-type]
            through[memory] += bits
            self.streams[name] += bits
            self.book(memory, "", way, -1, name, bits)
        waits = Counter({name: -int(-bits // bits_per_cycle(self.chip, name)) for name, bits in through.items()})
        self.busy += busy
        self.used += waits
        self.tell("array", -1, f"{m} x {k} x {n}", start, busy)
        driven = 0 if self.calls is None else int(self.calls.cycles(m, k, n))
        return start + max(busy, _longest(waits), driven)

    def move(self, rank: int, moves: Moves, start: int) -> Counter[str]:
        """Move tiles between the buffers of a rank and what lies outside; returns cycles by memory."""
        amounts: dict[str, Fraction] = {}
        for move, elements in moves.items():
            self.moved[rank, move] += elements
            leg = self.transfers[rank].legs.get(_SUMS.get(move, move))
            if leg is None:
                continue
            inward = move not in ("psums out", "outputs")
            content = self.transfers[rank].matmul.content if move == "weights" else _SUMS.get(move, "acts")
            for memory, bits, way in (
                (leg.outer, leg.outer_bits, "read" if inward else "write"),
                (leg.inner, leg.inner_bits, "write" if inward else "read"),
            ):
                if memory:
                    self.book(memory, content, way, rank, move, elements * bits)
                    amounts[memory] = amounts.get(memory, Fraction(0)) + elements * Fraction(
                        -int(-bits * STEPS // 1), STEPS
                    )
        took = Counter({memory: self.transfer(memory, bits) for memory, bits in amounts.items()})
        self.used += took
        for memory, cycles in took.items():
            self.tell(memory, rank, ", ".join(moves), start, cycles)
        return took

    def transfer(self, memory: str, bits: Fraction) -> int:
        """Cycles for so many bits, in one go."""
        if not bits:
            return 0
        rate = Fraction(int(bits_per_cycle(self.chip, memory) * STEPS), STEPS)
        dram, clock = self.chip.memory.dram, self.chip.clock
        latency = (
            Fraction(repr(dram.latency.nominal)) * Fraction(repr(clock.nominal)) if memory == DRAM else Fraction(0)
        )
        return -int(-latency // 1) - int(-bits // rate)

    def book(self, memory: str, content: str, way: str, rank: int, what: str, bits: Fraction | int) -> None:
        event = f"dram.{content}.{way}_bits" if memory == DRAM else f"sram.{memory}.{way}_bits"
        self.bits[event, rank, what] = self.bits.get((event, rank, what), Fraction(0)) + bits

    def events(self) -> Events:
        """All bits that moved, those of each rank and operand rounded up on their own."""
        counts: Counter[str] = Counter()
        for (event, _, _), bits in self.bits.items():
            counts[event] -= int(-bits // 1)
        return Events(counts)

    def tell(self, unit: str, rank: int, what: str, start: int, cycles: int) -> None:
        if self.on_span is not None and cycles:
            self.on_span(Span(unit=unit, rank=rank, what=what, start=start, end=start + cycles))


def _longest(cycles: Counter[str]) -> int:
    return max(cycles.values(), default=0)
