"""What the hardware did, as named integer counts. Counting happens here; pricing happens in `bitsim.cost`.

An event belongs to one ledger, which decides the conventions that include its energy:

* `arithmetic`: the papers' own abstraction (an add or a multiplication of a number format). Only the `arithmetic`
  convention prices these; the same work appears in the `datapath` ledger as what the hardware really switched.
* `datapath`: adders, multipliers, registers, clocks and accumulators of the matmul units.
* `system`: SRAM, DRAM and the vector unit. The `system` convention is the `datapath` ledger plus this one.
* `activity`: counted and reported, carries no energy of its own (overflows, padding).
"""

import re
from collections.abc import ItemsView, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from bitsim.errors import BitsimError, UnknownNameError

Ledger = Literal["arithmetic", "datapath", "system", "activity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventKind:
    """One family of events; `{x}` in `template` stands for a name of letters, digits and underscores.

    `component`: what the energy of these events is booked under, with the same placeholders. `data_dependent`: the
    count follows from operand values, not from shapes alone, so that an estimate needs statistics.
    """

    template: str
    ledger: Ledger
    component: str
    meaning: str
    data_dependent: bool = False


def _arithmetic(template: str, component: str, meaning: str) -> EventKind:
    return EventKind(template=template, ledger="arithmetic", component=component, meaning=meaning)


def _logic(template: str, component: str, meaning: str, *, data_dependent: bool = False) -> EventKind:
    return EventKind(
        template=template, ledger="datapath", component=component, meaning=meaning, data_dependent=data_dependent
    )


def _flip(register: str, meaning: str) -> EventKind:
    return _logic(f"reg.{register}.toggle", "registers", meaning, data_dependent=True)


def _system(template: str, component: str, meaning: str) -> EventKind:
    return EventKind(template=template, ledger="system", component=component, meaning=meaning)


EVENT_KINDS = (
    _arithmetic("add.{format}", "add {format}", "addition of a format, as the papers count it"),
    _arithmetic("mul.{format}", "mul {format}", "multiplication, as the papers count it"),
    # PE arrays
    _logic("pe.{unit}.add", "PE logic", "a ternary PE adds (weight +1)", data_dependent=True),
    _logic("pe.{unit}.sub", "PE logic", "a ternary PE subtracts (weight -1)", data_dependent=True),
    _logic("pe.{unit}.skip", "PE logic", "a ternary PE passes its sum on (weight 0)", data_dependent=True),
    _logic("pe.{unit}.idle", "PE logic", "a ternary PE holds still: weight 0 again, same sum", data_dependent=True),
    _logic("pe.{unit}.mac", "PE logic", "a PE multiplies and adds"),
    _logic(
        "acc.add.{format}",
        "column accumulators",
        "addition in the accumulator below a column, or of two tiles of K beside the buffer of sums",
    ),
    # adder trees
    _logic(
        "tree.{depth}.add_bits",
        "adder tree",
        "one bit of an adder of a sign-selecting tree or of its accumulator adds; `depth1`, `depth2`, ...: adders in "
        "a row between two registers",
    ),
    # lookup tables
    _logic(
        "lut.build.{depth}.add_bits",
        "table building",
        "one bit of an adder that builds entries of a lookup table adds; `depth2`: it takes what another adder gives",
    ),
    _logic("lut.build.{format}", "table building", "an adder of floats that builds an entry of a lookup table adds"),
    _logic(
        "tree.{format}.add", "adder tree", "an adder of floats adds: of a tree behind lookup tables, or its accumulator"
    ),
    _logic("lut.{table}.read", "table reads", "an entry is selected from a lookup table in registers, by its code"),
    _logic("lut.sram.read_bits", "table SRAM", "bits read from a lookup table in SRAM"),
    _logic("lut.sram.write_bits", "table SRAM", "bits of entries written to a lookup table in SRAM"),
    # bit-serial arrays
    _logic(
        "serial.{depth}.add_bits",
        "bit-serial cells",
        "one bit of an adder of a bit-serial cell adds, the accumulator's apart; `depth5`: adders in a row",
        data_dependent=True,
    ),
    # popcount arrays
    _logic(
        "popcount.{depth}.add_bits",
        "popcounts",
        "one bit of an adder that counts ones, or of the accumulator behind it, adds; `depth7`: adders in a row",
    ),
    # CPU kernels
    _logic(
        "simd.{isa}.{op}",
        "vector instructions",
        "a vector instruction of a CPU kernel, on registers of 256 (avx2) or 128 bits (neon)",
    ),
    # units that skip
    _logic("lane.look_bits", "zero skipping", "a bit of an activation that a lane looks at", data_dependent=True),
    _logic("lane.add_bits", "PE logic", "one bit of a sign-selecting adder of a lane adds", data_dependent=True),
    _logic(
        "merge.{depth}.add_bits",
        "adder tree",
        "one bit of the adders adds that merge the lanes of a column; `depth1`, `depth2`, ...: adders in a row",
        data_dependent=True,
    ),
    _logic("gate.closed", "gates", "a weight of 0 stops an adder and the register behind it", data_dependent=True),
    # computing ROM
    _logic("rom.read_bits", "ROM", "bits of weights read from a bank of ROM", data_dependent=True),
    EventKind(template="rom.wakes", ledger="activity", component="ROM", meaning="a bank of ROM wakes from its sleep"),
    EventKind(
        template="rom.awake_bank_cycles", ledger="activity", component="ROM", meaning="a bank of ROM is awake, a cycle"
    ),
    # tensor cores
    _logic("mma.{unit}.mac", "tensor cores", "a tensor core multiplies and adds, operands that pad a tile included"),
    EventKind(
        template="mma.{unit}.padding",
        ledger="activity",
        component="padding",
        meaning="an operation of a tensor core whose token, k or output does not exist; `mma.{unit}.mac` has it, too",
    ),
    _logic("dequant.{format}", "dequantisation", "the code of a weight becomes a number of a format"),
    _logic("dequant.{format}.scale", "dequantisation", "such a number is multiplied by the scale of its group"),
    _logic("dequant.{format}.select", "dequantisation", "a ternary code chooses -s, 0 or +s of a format, s its scale"),
    _logic("regfile.read_bits", "register file", "bits read from the register file"),
    _logic("regfile.write_bits", "register file", "bits written to the register file"),
    # all matmul units
    _logic("scale.mul.{format}", "scale multipliers", "scale multiplication of a quantised linear"),
    _logic("reg.clock", "clock", "one register bit is clocked for one cycle"),
    _logic(
        "reg.{register}.clock",
        "clock",
        "one bit of a register is clocked for one cycle, where operands decide how many cycles there are",
        data_dependent=True,
    ),
    _flip("act", "an activation register bit flips"),
    _flip("weight", "a weight register bit flips"),
    _flip("psum", "a partial-sum register bit flips"),
    _flip("table", "a bit of an entry of a lookup table in registers flips"),
    _flip("index", "a bit of a register for the code of some weights flips"),
    _flip("serial", "a bit of a register that puts the bit planes of a sum together flips"),
    _flip("tree{level}", "a bit of the pipeline registers behind a level of an adder tree flips"),
    _system("sram.{buffer}.read_bits", "sram {buffer}", "bits read from an on-chip buffer"),
    EventKind(
        template="sram.{buffer}.read_on_demand_bits",
        ledger="system",
        component="sram {buffer}",
        meaning="bits read from an on-chip buffer as operands demand",
        data_dependent=True,
    ),
    _system("sram.{buffer}.write_bits", "sram {buffer}", "bits written to an on-chip buffer"),
    _system("dram.{content}.read_bits", "dram {content}", "bits read from DRAM"),
    _system("dram.{content}.write_bits", "dram {content}", "bits written to DRAM"),
    _system("host.read_bits", "host link", "bits that the host reads from the chip"),
    _system("host.write_bits", "host link", "bits that the host writes to the chip"),
    EventKind(
        template="host.worked_values",
        ledger="activity",
        component="host",
        meaning="a value that the host's own processor works out, or a MAC that it does, in place of the chip",
    ),
    _system("vec.{op}.{format}", "vector unit", "an operation of the vector unit"),
    EventKind(
        template="overflow.{where}",
        ledger="activity",
        component="overflows",
        meaning="a sum left its range, or an FP16 output is not finite",
        data_dependent=True,
    ),
)
_PATTERNS = tuple(
    (re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>\\w+)", re.escape(kind.template))), kind) for kind in EVENT_KINDS
)


class EventCountError(BitsimError):
    """An event count is negative or not an integer."""


@cache
def _recognised(name: str) -> tuple[EventKind, Mapping[str, str]]:
    for pattern, kind in _PATTERNS:
        if found := pattern.fullmatch(name):
            return kind, found.groupdict()
    raise UnknownNameError("event", name, [kind.template for kind in EVENT_KINDS])


def event_kind(name: str) -> EventKind:
    """The kind of the event `name`; raises `UnknownNameError` for a name outside the vocabulary."""
    return _recognised(name)[0]


@cache
def event_component(name: str) -> str:
    """The component of the chip that the energy of the event `name` is booked under."""
    kind, names = _recognised(name)
    return kind.component.format(**names)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventName:
    """An event's name in parts: `sram.weights.read_bits` is of unit sram, at place weights, and read_bits.

    A name of two parts has no place, and one that gives a format (`add.int8`) has it as its action.
    """

    unit: str
    place: str
    action: str


@cache
def parsed(name: str) -> EventName:
    """The parts of an event's name."""
    unit, *place, action = name.split(".")
    return EventName(unit=unit, place=".".join(place), action=action)


def is_data_dependent(name: str) -> bool:
    """Whether the count follows from operand values, not from shapes alone."""
    return event_kind(name).data_dependent


class Events(Mapping[str, int]):
    """Immutable named counts. `+` and `* n` are exact (Python integers); zero counts are kept out."""

    __slots__ = ("_counts",)

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        checked: dict[str, int] = {}
        for name, count in (counts or {}).items():
            event_kind(name)
            value = int(count)
            if value != count or value < 0:
                raise EventCountError(f"event {name}: expected a count >= 0, got {count!r}")
            if value:
                checked[name] = value
        self._counts = checked

    @classmethod
    def _of(cls, counts: dict[str, int]) -> "Events":
        made = cls.__new__(cls)
        made._counts = counts
        return made

    def __getitem__(self, name: str) -> int:
        event_kind(name)
        return self._counts.get(name, 0)

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)

    def __contains__(self, name: object) -> bool:
        return name in self._counts

    def items(self) -> ItemsView[str, int]:
        return self._counts.items()

    def __add__(self, other: "Events") -> "Events":
        total = dict(self._counts)
        for name, count in other._counts.items():
            total[name] = total.get(name, 0) + count
        return Events._of(total)

    def __mul__(self, n: int) -> "Events":
        if n < 0 or int(n) != n:
            raise EventCountError(f"events can be multiplied by an integer >= 0, got {n!r}")
        return Events._of({name: count * int(n) for name, count in self._counts.items()} if n else {})

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Events) and self._counts == other._counts

    def __hash__(self) -> int:
        return hash(frozenset(self._counts.items()))

    def __repr__(self) -> str:
        return f"Events({self._counts!r})"

    def in_ledger(self, *ledgers: Ledger) -> "Events":
        """The events that belong to `ledgers`."""
        return Events._of({n: c for n, c in self._counts.items() if event_kind(n).ledger in ledgers})

    def of_unit(self, *units: str) -> "Events":
        """The events of `units`, such as "dram" or "overflow"."""
        return Events._of({n: c for n, c in self._counts.items() if parsed(n).unit in units})

    def apart_from(self, *units: str) -> "Events":
        """The events of all other units."""
        return Events._of({n: c for n, c in self._counts.items() if parsed(n).unit not in units})

    def count(self) -> int:
        """How many there are of all kinds together."""
        return sum(self._counts.values())

    def data_independent(self) -> "Events":
        """The events that follow from shapes alone (law 3 ties `estimate` and `run` on these)."""
        return Events._of({n: c for n, c in self._counts.items() if not is_data_dependent(n)})


def total(parts: "list[Events]") -> Events:
    """The exact sum of many Events."""
    counts: dict[str, int] = {}
    for part in parts:
        for name, count in part._counts.items():
            counts[name] = counts.get(name, 0) + count
    return Events._of(counts)
