"""The twin of the bit-serial tables: every entry, code and register, cycle by cycle."""

from itertools import product

from bitsim.datapath.base import Array
from bitsim.datapath.formats import integer_operand
from bitsim.datapath.reference.common import Ledger, Outcome, Register, in_order, in_pairs, in_tiles, limit
from bitsim.hw.datapaths.binary_lut import BinaryLutSpec

PLANE_SIGNS = {1: (1, 1), 0: (1, -1), -1: (-1, -1)}


class Table:
    """One mirrored table of four activations: an entry for each choice of signs of a2, a1, a0, with + before a3."""

    def __init__(self, spec: BinaryLutSpec, ledger: Ledger) -> None:
        self.spec, self.ledger = spec, ledger
        self.registers = {signs: Register(ledger, "table", spec.table_bits) for signs in product((1, -1), repeat=3)}
        self.entries = dict.fromkeys(self.registers, 0)

    def build(self, acts: list[int]) -> None:
        """a3 +- a2 and a1 +- a0 first, in adders of 9 bits, then sums and differences of these in adders of 10."""
        a0, a1, a2, a3 = acts
        self.ledger.counts["lut.build.depth1.add_bits"] += 4 * 9
        upper = {sign: a3 + sign * a2 for sign in (1, -1)}
        lower = {sign: a1 + sign * a0 for sign in (1, -1)}
        for s2, s1, s0 in self.registers:
            self.ledger.counts["lut.build.depth2.add_bits"] += 10
            entry = upper[s2] + s1 * lower[s1 * s0]
            assert entry == a3 + s2 * a2 + s1 * a1 + s0 * a0
            self.hold((s2, s1, s0), self.rounded(entry))

    def rounded(self, entry: int) -> int:
        assert -512 <= entry < 512
        drop = self.spec.dropped_bits
        if not drop:
            return entry
        self.ledger.counts["lut.build.depth3.add_bits"] += self.spec.table_bits
        return min((entry + (1 << (drop - 1))) >> drop, (1 << (self.spec.table_bits - 1)) - 1)

    def hold(self, signs: tuple[int, ...], entry: int) -> None:
        self.entries[signs] = entry
        self.registers[signs].take(entry)
        self.ledger.counts["reg.clock"] += self.spec.table_bits * self.spec.clock_gating

    def look_up(self, code: int) -> int:
        """The sum for four signs: bit b of the code is 1 for a minus before a_b."""
        self.ledger.counts[f"lut.b4_t{self.spec.table_bits}.read"] += 1
        s0, s1, s2, s3 = (-1 if code >> b & 1 else 1 for b in range(4))
        return s3 * self.entries[s3 * s2, s3 * s1, s3 * s0]


class Lane:
    """The registers of one output."""

    def __init__(self, spec: BinaryLutSpec, ledger: Ledger) -> None:
        self.spec, self.ledger = spec, ledger
        self.codes = [Register(ledger, "index", 4) for _ in range(spec.tables)]
        self.accumulator = Register(ledger, "psum", spec.acc_bits)
        self.value = 0

    def take_codes(self, codes: list[int]) -> None:
        for register, code in zip(self.codes, codes, strict=True):
            register.take(code)
            self.ledger.counts["reg.clock"] += 4 * self.spec.clock_gating

    def hold(self, value: int) -> None:
        self.value = value
        self.accumulator.take(value)
        self.ledger.counts["reg.clock"] += self.spec.acc_bits * self.spec.clock_gating

    def add(self, entries: list[int]) -> int:
        """The accumulator plus the entries, added up in a tree."""
        level, bits = 0, self.spec.acc_bits
        while len(entries) > 1:
            level += 1
            bits += len(entries) // 2 * (self.spec.table_bits + level)
            entries = in_pairs(entries)
        self.ledger.counts[f"tree.depth{level + 1}.add_bits"] += bits
        return self.value + entries[0]


def run(x: Array, w: Array, spec: BinaryLutSpec) -> Outcome:
    """One matmul on the engine."""
    acts, weights = in_order(integer_operand("x", x, -128, 127)), in_order(integer_operand("w", w, -1, 1))
    written = sum(2 * 4 * len(range(0, len(row), 4)) for row in weights)
    return in_tiles(acts, weights, spec.lanes, spec, run_tile, written)


def run_tile(
    acts: list[list[int]],
    weights: list[list[int]],
    columns: range,
    spec: BinaryLutSpec,
    ledger: Ledger,
    y: list[list[int]],
) -> None:
    """The outputs `columns`, one per lane, from reset until all registers are at zero."""
    inputs = [Register(ledger, "act", 8) for _ in range(spec.group)]
    tables = [Table(spec, ledger) for _ in range(spec.tables)]
    lanes = {n: Lane(spec, ledger) for n in columns}
    start = ledger.cycles
    ledger.cycles += 2  # the first activations come in, the first tables are built
    for m, row in enumerate(acts):
        for k0 in range(0, len(row), spec.group):
            take(inputs, padded(row[k0 : k0 + spec.group], spec.group), spec, ledger)
            ledger.moved["act_reads"] += 8 * len(row[k0 : k0 + spec.group])
            for i, table in enumerate(tables):
                table.build(padded(row[k0 : k0 + spec.group][4 * i : 4 * i + 4], 4))
            for plane in range(2):
                ledger.cycles += 1
                for n, lane in lanes.items():
                    part = weights[n][k0 : k0 + spec.group]
                    ledger.moved["weight_reads"] += 4 * len(range(0, len(part), 4))
                    lane.take_codes([code_of(part[4 * i : 4 * i + 4], plane) for i in range(spec.tables)])
                    if k0 == plane == 0:
                        lane.value = 0
                    total = lane.add([t.look_up(code.held) for t, code in zip(tables, lane.codes, strict=True)])
                    total, overflowed = limit(total, spec.acc_bits, spec.overflow)
                    lane.hold(total)
                    if overflowed:
                        ledger.counts["overflow.acc"] += 1
                        ledger.overflows.append((m, k0, n))
        for n, lane in lanes.items():
            y[m][n] = (lane.value << spec.dropped_bits) >> 1
    ledger.cycles += 1  # the accumulators hand over their sums and are cleared
    ledger.moved["psum_writes"] += len(acts) * len(columns) * spec.acc_bits
    take(inputs, [0] * spec.group, spec, ledger)
    for table in tables:
        for signs in table.registers:
            table.hold(signs, 0)
    for lane in lanes.values():
        lane.take_codes([0] * spec.tables)
        lane.hold(0)
    if not spec.clock_gating:
        bits = spec.group * 8 + spec.tables * 8 * spec.table_bits + spec.lanes * (4 * spec.tables + spec.acc_bits)
        ledger.counts["reg.clock"] += bits * (ledger.cycles - start)


def code_of(weights: list[int], plane: int) -> int:
    """The signs of up to four weights in one plane; beyond K a bit is 0."""
    return sum((PLANE_SIGNS[weight][plane] < 0) << b for b, weight in enumerate(weights))


def take(inputs: list[Register], acts: list[int], spec: BinaryLutSpec, ledger: Ledger) -> None:
    for register, act in zip(inputs, acts, strict=True):
        register.take(act)
        ledger.counts["reg.clock"] += 8 * spec.clock_gating


def padded(part: list[int], size: int) -> list[int]:
    """`part`, filled up with zeros."""
    return part + [0] * (size - len(part))
