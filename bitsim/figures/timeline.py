"""A timeline of what a chip does, operator by operator, in the JSON trace format that ui.perfetto.dev opens.

Source: Trace Event Format (Google, 2016), complete events ("X") and metadata events ("M").
"""

import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from bitsim.hw.chip import Chip
from bitsim.model.operators import Operator, Phase
from bitsim.results.rows import memory_bytes
from bitsim.schedule.host import HOST
from bitsim.schedule.matmul import DRAM
from bitsim.schedule.place import Placed

MOST_EVENTS = 200_000
STEPS, LAYERS, OPERATORS, BITLINEAR, WIDE, VECTOR = range(1, 7)  # tracks; those of memories and host come behind
_TRACKS = ("steps", "layers", "operators", "array (bitlinear)", "array (wide)", "vector unit")
HOW = (
    "operators follow each other; arrays, vector unit and memory ports are drawn busy from an operator's start for as "
    "many cycles as it needs of them in all, not at the moments when it does"
)


@dataclass(slots=True)
class Step:
    """One forward pass: `executions` in order, the cycles that they take, and at most how many events draw them."""

    phase: Phase
    executions: list[tuple[Operator, Placed]] = field(default_factory=list)
    cycles: int = 0
    events: int = 1
    number: int = 0

    def add(self, op: Operator, placed: Placed) -> None:
        self.executions.append((op, placed))
        self.cycles += placed.cycles
        self.events += 2 + len(placed.occupied)  # itself, what it occupies, and at worst a layer


class Timeline:
    """Receives every execution of an operator in order, keeps the first and the last steps, and draws them.

    A step begins with its embedding. Steps are kept whole: the first step, and of the others as many of the first and
    of the last as `most_events` allow, half of them each. Those in between are left out, the time they took is not.
    """

    def __init__(self, chip: Chip, *, most_events: int = MOST_EVENTS) -> None:
        self.chip = chip
        self.half = most_events // 2
        self.room = self.half  # how many events there may still be of the first steps
        self._first: list[Step] = []
        self._last: deque[Step] = deque()
        self._last_events = 0
        self._open: Step | None = None
        self._skipped: dict[Phase, tuple[int, int]] = {}  # steps and their cycles
        self._numbers: dict[Phase, int] = {}

    def add(self, op: Operator, placed: Placed) -> None:
        """One execution: what was done, and where."""
        if op.kind == "embedding" or self._open is None:
            self.close()
            self._open = Step(op.phase)
        self._open.add(op, placed)

    def close(self) -> None:
        """The step that is being executed is complete."""
        step, self._open = self._open, None
        if step is not None:
            self.add_step(step)

    def add_step(self, step: Step) -> None:
        """All executions of one step at once."""
        self._numbers[step.phase] = step.number = self._numbers.get(step.phase, 0) + 1
        if step.events <= self.room or not self._first:
            self._first.append(step)
            self.room -= step.events
            return
        self.room = 0
        self._last.append(step)
        self._last_events += step.events
        while self._last_events > self.half:
            self._forget()

    def skip(self, phase: Phase, steps: int, cycles: int) -> None:
        """Steps that are not drawn; those that come later are the last ones."""
        self.close()
        self.room = 0
        while self._last:
            self._forget()
        self._leave_out(phase, steps, cycles)
        self._numbers[phase] = self._numbers.get(phase, 0) + steps

    def _forget(self) -> None:
        oldest = self._last.popleft()
        self._last_events -= oldest.events
        self._leave_out(oldest.phase, 1, oldest.cycles)

    def _leave_out(self, phase: Phase, steps: int, cycles: int) -> None:
        before = self._skipped.get(phase, (0, 0))
        self._skipped[phase] = (before[0] + steps, before[1] + cycles)

    @property
    def left_out(self) -> str:
        """What is not drawn, for people; empty if everything is."""
        parts = [f"{steps:,} of {self._numbers[phase]:,} {phase} steps" for phase, (steps, _) in self._skipped.items()]
        return f"{' and '.join(parts)} between the first and the last ones are not drawn" if parts else ""

    def to_json(self, inputs: Mapping[str, str] | None = None) -> str:
        """The trace; times are in microseconds of simulated time. `inputs`: what was used, for its metadata."""
        self.close()
        head = {"how": HOW, "left_out": self.left_out or "nothing", "clock_ghz": self.chip.clock.nominal}
        names = {"otherData": head | dict(inputs or {}), "displayTimeUnit": "ns"}
        lines = ",\n".join(json.dumps(event, separators=(",", ":"), allow_nan=False) for event in self.events())
        return f'{json.dumps(names, allow_nan=False)[:-1]}, "traceEvents": [\n{lines}\n]}}\n'

    def events(self) -> Iterator[dict[str, Any]]:
        """All events of the trace."""
        self.close()
        yield from self._names()
        pen, now = _Pen(self.chip), 0
        for step in self._first:
            yield from pen.step(step, now)
            now += step.cycles
        for phase, (steps, cycles) in self._skipped.items():
            name = f"{steps:,} {phase} steps not drawn"
            yield pen.event(STEPS, name, now, cycles, {"steps": steps, "cycles": cycles})
            now += cycles
        for step in self._last:
            yield from pen.step(step, now)
            now += step.cycles

    def _names(self) -> Iterator[dict[str, Any]]:
        yield {"ph": "M", "pid": 1, "name": "process_name", "args": {"name": self.chip.name}}
        for tid, name in enumerate((*_TRACKS, *(f"port {memory}" for memory in _ports(self.chip))), start=1):
            yield {"ph": "M", "pid": 1, "tid": tid, "name": "thread_name", "args": {"name": name}}
            yield {"ph": "M", "pid": 1, "tid": tid, "name": "thread_sort_index", "args": {"sort_index": tid}}


def _ports(chip: Chip) -> tuple[str, ...]:
    """The memories' ports and, if it is modelled, the host."""
    return (*chip.memory.names, DRAM, *((HOST,) if chip.host is not None else ()))


class _Pen:
    """Draws steps as complete events."""

    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self._cycle_ns = 1.0 / chip.clock.nominal
        self._ports = {name: VECTOR + 1 + i for i, name in enumerate(_ports(chip))}
        self._described: dict[int, dict[str, Any]] = {}  # by identity of a place, which the timeline keeps alive

    def event(
        self, tid: int, name: str, start: int, cycles: int, args: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Both ends are rounded to a nanosecond, so that events that follow each other still do."""
        begin, end = round(start * self._cycle_ns), round((start + cycles) * self._cycle_ns)
        event = {"ph": "X", "pid": 1, "tid": tid, "name": name, "ts": begin / 1000, "dur": (end - begin) / 1000}
        return event | ({"args": dict(args)} if args else {})

    def step(self, step: Step, start: int) -> Iterator[dict[str, Any]]:
        """A step, its layers, its operators, and what these keep busy."""
        yield self.event(STEPS, f"{step.phase} {step.number}", start, step.cycles, {"cycles": step.cycles})
        now = start
        for layer, group in groupby(step.executions, key=lambda done: done[0].layer):
            first = now
            for op, placed in group:
                yield from self._operator(op, placed, now)
                now += placed.cycles
            if layer is not None:
                yield self.event(LAYERS, f"layer {layer}", first, now - first)

    def _operator(self, op: Operator, placed: Placed, start: int) -> Iterator[dict[str, Any]]:
        if id(placed) not in self._described:
            self._described[id(placed)] = description(op, placed, self._chip)
        args = {"operator": op.name} | self._described[id(placed)]
        name = op.name.rpartition(".")[2]
        yield self.event(OPERATORS, name, start, placed.cycles, args)
        unit = VECTOR if placed.unit == "vector" else BITLINEAR if op.is_bitlinear else WIDE
        for what, cycles in placed.occupied.items():
            if cycles:
                track = self._ports.get(what, unit)
                yield self.event(track, name, start, cycles)


def description(op: Operator, placed: Placed, chip: Chip) -> dict[str, Any]:
    """What one execution of an operator was: shape, cycles and their lower bound, bytes per memory, plan."""
    shape = {"shape": f"{op.m} x {op.k} x {op.n} (M x K x N)", "repeat": op.repeat, "macs": op.macs}
    moved = {name: count for name, count in memory_bytes(placed.events, chip).items() if count}
    return {
        "kind": op.kind,
        **(shape if op.is_matmul else {}),
        "cycles": placed.cycles,
        "unit_cycles": placed.unit_cycles,
        "bound": placed.bound,
        "bound_cycles": placed.least_cycles,
        "gap": round(placed.gap, 6),
        **moved,
        **({"plan": placed.plan.text()} if placed.plan is not None else {}),
    }
