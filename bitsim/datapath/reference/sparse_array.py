"""The twin of the sparse array: every lane, window, register and gate, cycle by cycle."""

from collections.abc import Mapping, Sequence

from bitsim.datapath.base import Array
from bitsim.datapath.formats import integer_operand
from bitsim.datapath.reference.common import Ledger, Outcome, Register, in_order, limit, paper_additions
from bitsim.hw.datapaths.sparse_array import SparseArraySpec

WEIGHT_CODES = {0: 0b00, 1: 0b01, -1: 0b11}


class Counted(Register):
    """A register whose clock is gated: each bit that it latches is booked."""

    def take(self, value: int) -> None:
        super().take(value)
        self.ledger.counts["reg.gated.clock"] += self.bits


class Lane:
    """One lane: its slice of the activations, and what it picks from it."""

    def __init__(self, spec: SparseArraySpec, ledger: Ledger) -> None:
        self.spec, self.ledger = spec, ledger
        self.store = [Counted(ledger, "act", 8) for _ in range(spec.depth)]
        self.pick = Counted(ledger, "act", 8)
        self.next = self.start = self.length = 0
        self.acts: list[int] = []

    def load(self, acts: list[int], k: int) -> None:
        """The next slice, whose first activation is number `k`, zeros beyond its end."""
        for d, register in enumerate(self.store):
            register.take(acts[d] if d < len(acts) else 0)
        self.acts, self.start, self.next, self.length = acts, k, 0, len(acts)
        self.ledger.counts["sram.acts.read_on_demand_bits"] += 8 * len(acts)

    @property
    def done(self) -> bool:
        return self.next >= self.length

    def look(self) -> int | None:
        """One cycle: the number k of the activation that is picked, if there is one in the window."""
        if self.done:
            return None
        self.ledger.counts["lane.look_bits"] += 8 * self.spec.lookahead
        for d in range(self.next, min(self.next + self.spec.lookahead, self.length)):
            if self.acts[d] != 0:
                self.pick.take(self.acts[d])
                self.next = d + 1
                return self.start + d
        self.next += self.spec.lookahead
        return None


class Column:
    """One column: a weight and a sum per lane, and an accumulator."""

    def __init__(self, spec: SparseArraySpec, ledger: Ledger) -> None:
        self.spec, self.ledger = spec, ledger
        self.weights = [Counted(ledger, "weight", 2) for _ in range(spec.lanes)]
        self.sums = [Counted(ledger, "psum", spec.lane_bits) for _ in range(spec.lanes)]
        self.values = [0] * spec.lanes
        self.accumulator = Counted(ledger, "psum", spec.acc_bits)

    def step(self, lane: int, act: int, weight: int | None, *, first: bool) -> None:
        """One cycle of one lane; `weight` None: it picked nothing. `first`: of an interval."""
        before = 0 if first else self.values[lane]
        if weight is None:
            if first:
                self.latch(lane, 0)
            return
        self.weights[lane].take(WEIGHT_CODES[weight])
        self.ledger.counts["sram.weights.read_on_demand_bits"] += 2
        if weight == 0 and self.spec.weight_gating:
            self.ledger.counts["gate.closed"] += 1
            if first:
                self.latch(lane, 0)
            return
        self.ledger.counts["lane.add_bits"] += self.spec.lane_bits
        self.latch(lane, before + weight * act)

    def latch(self, lane: int, value: int) -> None:
        assert -(1 << (self.spec.lane_bits - 1)) <= value < 1 << (self.spec.lane_bits - 1)
        self.values[lane] = value
        self.sums[lane].take(value)

    def clear(self) -> None:
        for register in (*self.weights, *self.sums, self.accumulator):
            register.take(0)


def run(x: Array, w: Array, spec: SparseArraySpec, live: Array | None = None) -> Outcome:
    """One matmul on the array; outputs that are not `live` stay 0."""
    acts, weights = in_order(integer_operand("x", x, -128, 127)), in_order(integer_operand("w", w, -1, 1))
    ledger = Ledger()
    y = [[0] * len(weights) for _ in acts]
    for n0 in range(0, len(weights), spec.tile_columns):
        columns = range(n0, min(n0 + spec.tile_columns, len(weights)))
        needed = [[n for n in columns if live is None or live[m][n]] for m in range(len(acts))]
        if any(needed):
            run_tile(acts, weights, columns, needed, spec, ledger, y)
    paper_additions(ledger, len(acts), len(acts[0]), len(weights))
    ledger.moved["weight_writes"] = 2 * len(weights) * len(weights[0])
    ledger.moved["psum_writes"] = ledger.moved["psum_reads"] = spec.acc_bits * len(weights) * len(acts)
    return ledger.outcome(y)


def run_tile(
    acts: list[list[int]],
    weights: list[list[int]],
    columns: range,
    needed: list[list[int]],
    spec: SparseArraySpec,
    ledger: Ledger,
    y: list[list[int]],
) -> None:
    """The outputs `columns` of all tokens, from reset until all registers are back at zero."""
    lanes = [Lane(spec, ledger) for _ in range(spec.lanes)]
    units = [Column(spec, ledger) for _ in range(min(spec.cols, len(columns)))]
    for m, outputs in enumerate(needed):
        turns = [[n for n in outputs if (n - columns.start) % spec.cols == c] for c in range(len(units))]
        for turn in range(max(len(queue) for queue in turns)):
            busy = {queue[turn]: unit for queue, unit in zip(turns, units, strict=True) if turn < len(queue)}
            for k0 in range(0, len(acts[m]), spec.interval):
                run_interval(acts[m], weights, lanes, busy, k0, ledger)
                for n, unit in busy.items():
                    y[m][n], overflowed = limit((y[m][n] if k0 else 0) + sum(unit.values), spec.acc_bits, spec.overflow)
                    ledger.counts[spec.merge_event] += count_merge_bits(spec)
                    unit.accumulator.take(y[m][n])
                    if overflowed:
                        ledger.counts["overflow.acc"] += 1
                        ledger.overflows.append((m, k0, n))
    for lane in lanes:
        for register in (*lane.store, lane.pick):
            register.take(0)
    for unit in units:
        unit.clear()
    ledger.cycles += 3  # fill the operand registers, merge the last sums, hand them over


def run_interval(
    row: list[int],
    weights: list[list[int]],
    lanes: Sequence[Lane],
    busy: Mapping[int, Column],
    k0: int,
    ledger: Ledger,
) -> None:
    """All lanes work through their slices; the slowest one decides."""
    depth = len(lanes[0].store)
    for i, lane in enumerate(lanes):
        start = k0 + i * depth
        lane.load(row[start : start + depth], start)
    first = True
    while not all(lane.done for lane in lanes):
        ledger.cycles += 1
        for i, lane in enumerate(lanes):
            k = lane.look()
            for n, unit in busy.items():
                unit.step(i, 0 if k is None else row[k], None if k is None else weights[n][k], first=first)
        first = False


def count_merge_bits(spec: SparseArraySpec) -> int:
    """Bits of the adders that merge one column's lanes, adder by adder."""
    bits, width, nodes = 0, spec.lane_bits, spec.lanes
    while nodes > 1:
        width, pairs = width + 1, nodes // 2
        bits += pairs * width
        nodes -= pairs
    return bits + spec.acc_bits
