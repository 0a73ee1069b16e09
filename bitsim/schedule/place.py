"""Place one operator on a chip: who does it, in how many cycles, what it moves and what bounds it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from bitsim.datapath.base import Datapath, scale_events
from bitsim.datapath.registry import build_datapath
from bitsim.errors import OperandError
from bitsim.events import Events
from bitsim.hw.chip import ELEMENTARY, Chip
from bitsim.model.operators import Operator
from bitsim.schedule.memory import MemoryModel, StreamingMemory


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One operator on a chip.

    `events`: scales, vector unit and traffic; `array_events`: the data-independent events of its datapath, which a run
    replaces by those of the execution. `unit`: what does the work ("array" or "vector"); `unit_cycles`: how long it is
    busy; `dram_cycles`: how long the transfers take meanwhile.
    """

    events: Events
    array_events: Events
    unit: str
    unit_cycles: int
    dram_cycles: int

    @property
    def cycles(self) -> int:
        """From start to end."""
        return max(self.unit_cycles, self.dram_cycles)

    @property
    def bound(self) -> str:
        """What the operator waits for."""
        return self.unit if self.unit_cycles >= self.dram_cycles else "dram"


@contextmanager
def naming(op: Operator) -> Iterator[None]:
    """Put the operator's name in front of what its datapath says against operands or shapes."""
    try:
        yield
    except OperandError as error:
        raise OperandError(f"{op.name}: {error}") from error


class Placement:
    """The operators' places on one chip, under one memory model."""

    def __init__(self, chip: Chip, memory: MemoryModel | None = None) -> None:
        self.chip = chip
        self.memory: MemoryModel = StreamingMemory() if memory is None else memory
        self.bitlinear: Datapath = build_datapath(chip.bitlinear)
        self.wide: Datapath = build_datapath(chip.wide)

    def datapath(self, op: Operator) -> Datapath:
        """The datapath that computes a matmul operator."""
        return self.bitlinear if op.is_bitlinear else self.wide

    @cached_property
    def dram_bits_per_cycle(self) -> Fraction:
        dram = self.chip.memory.dram
        bits_per_ns = Fraction(dram.bandwidth.nominal) * 8 * Fraction(dram.efficiency.nominal)
        return bits_per_ns / Fraction(self.chip.clock.nominal)

    def place(self, op: Operator) -> Placed:
        with naming(op):
            return self._place(op)

    def _place(self, op: Operator) -> Placed:
        datapath = self.datapath(op) if op.is_matmul else None
        events, array_events = self.memory.traffic(op, datapath) + scale_events(op), Events()
        if datapath is not None:
            array_events = datapath.count(op.m, op.k, op.n) * op.repeat
            busy, unit = datapath.cycles(op.m, op.k, op.n) * op.repeat, "array"
        else:
            vector_events, busy = self.vector(op)
            events, unit = events + vector_events, "vector"
        moved = sum(count for name, count in events.items() if name.startswith("dram."))
        return Placed(
            events=events,
            array_events=array_events,
            unit=unit,
            unit_cycles=busy,
            dram_cycles=-int(-moved // self.dram_bits_per_cycle),
        )

    def vector(self, op: Operator) -> tuple[Events, int]:
        """Elementary operations and cycles of the vector unit, which expands exp, rsqrt and div into adds and muls."""
        spec = self.chip.vector
        counts: dict[str, int] = {}
        lane_cycles = 0
        for name, number in op.vector.items():
            cost = spec.costs[name]
            lane_cycles += number * cost.cycles
            elementary = {name: 1} if name in ELEMENTARY else {"add": cost.add, "mul": cost.mul}
            for elementary_name, times in elementary.items():
                event = f"vec.{elementary_name}.{spec.format}"
                counts[event] = counts.get(event, 0) + number * times
        return Events(counts), -(-lane_cycles // spec.lanes)
