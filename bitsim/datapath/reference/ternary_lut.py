"""The twin of the ternary lookup-table engine: every table, entry, code and register, cycle by cycle."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from bitsim.datapath.base import Array
from bitsim.datapath.formats import fp16_operand, integer_operand
from bitsim.datapath.kernels.simd_half import HALF_NAN
from bitsim.datapath.kernels.ternary_float_array import SINGLE_NAN
from bitsim.datapath.reference.common import (
    Ledger,
    Outcome,
    Register,
    in_order,
    in_tiles,
    limit,
    paper_additions,
)
from bitsim.hw.datapaths.ternary_lut import TernaryLutSpec

Rows = list[list[Any]]  # integers, or scalars of binary16 or binary32


def bits_of(value: Any) -> int:
    """What a register holds of an integer or a float."""
    if isinstance(value, np.float16):
        return HALF_NAN if np.isnan(value) else int(value.view(np.uint16))
    if isinstance(value, np.float32):
        return SINGLE_NAN if np.isnan(value) else int(value.view(np.uint32))
    return int(value)


def zero_of(spec: TernaryLutSpec) -> Any:
    """What activations and entries are before there are any."""
    return 0 if spec.integer else np.float16(0)


def sum_type(spec: TernaryLutSpec) -> Any:
    """The type of sums behind the tables, of FP16 activations."""
    return np.float16 if spec.acc_bits == 16 else np.float32


def code_of(weights: list[int], spec: TernaryLutSpec) -> int:
    """The code of `g` weights: their value in balanced ternary, first weight lowest, as the table's kind writes it."""
    value = balanced_ternary(weights)
    if spec.table == "full":
        return value & ((1 << spec.index_bits) - 1)
    return (int(value < 0) << (spec.index_bits - 1)) | abs(value)


def balanced_ternary(weights: Sequence[int]) -> int:
    """The number that weights -1, 0, 1 write, lowest place first."""
    value, place = 0, 1
    for weight in weights:
        value, place = value + weight * place, place * 3
    return value


class Table:
    """One table: an entry for each pattern of weights that the table's kind holds, by its value."""

    def __init__(self, spec: TernaryLutSpec, ledger: Ledger) -> None:
        self.spec, self.ledger = spec, ledger
        self.patterns: dict[int, tuple[int, ...]] = {}
        for pattern in product((-1, 0, 1), repeat=spec.g):
            value = balanced_ternary(pattern)
            if value > 0 or (value < 0 and spec.table == "full"):
                self.patterns[value] = pattern
        self.sums: dict[int, Any] = dict.fromkeys(self.patterns, zero_of(spec))
        if spec.storage == "registers":
            self.registers = {value: Register(ledger, "table", spec.entry_bits) for value in self.patterns}

    def build_floats(self, acts: list[Any]) -> None:
        """Entries of positive value: the last activation plus or minus the entry of those before it; others negate."""
        for value, pattern in sorted(self.patterns.items(), key=lambda item: abs(item[0])):
            if value < 0:
                continue
            last = max(i for i, weight in enumerate(pattern) if weight)
            before = balanced_ternary(pattern[:last])
            entry = acts[last]
            if before:
                rest = self.sums[abs(before)]
                entry = entry + rest if before > 0 else entry - rest
                self.ledger.counts["lut.build.fp16"] += 1
            self.hold(value, entry)
            if -value in self.patterns:
                self.hold(-value, -entry)

    def build(self, acts: list[Any]) -> None:
        """All entries, each from an entry with one weight less; an activation itself is copied, its negative is not.

        The first term of an entry is one with weight +1, if it has any, so that as many adders stand in a row as there
        are other terms.
        """
        if not self.spec.integer:
            self.build_floats(acts)
            return
        for value, pattern in self.patterns.items():
            terms = [weight * act for weight, act in zip(pattern, acts, strict=True) if weight]
            if depth := len(terms) - (max(pattern) > 0):
                self.ledger.counts[f"lut.build.depth{depth}.add_bits"] += self.spec.entry_bits
            self.hold(value, sum(terms))

    def hold(self, value: int, entry: Any) -> None:
        spec = self.spec
        assert not spec.integer or -(1 << (spec.entry_bits - 1)) <= entry < 1 << (spec.entry_bits - 1)
        self.sums[value] = entry
        if spec.storage == "registers":
            self.registers[value].take(bits_of(entry))
            self.ledger.counts["reg.clock"] += spec.entry_bits * spec.clock_gating
        else:
            self.ledger.counts["lut.sram.write_bits"] += spec.entry_bits * spec.lanes

    def look_up(self, code: int) -> Any:
        """The sum that `code` stands for."""
        spec = self.spec
        if spec.storage == "sram":
            self.ledger.counts["lut.sram.read_bits"] += spec.entry_bits
        else:
            self.ledger.counts[f"lut.{spec.kept}.read"] += 1
        sign = code >> (spec.index_bits - 1)
        if spec.table == "full":
            value = code - (sign << spec.index_bits)
            return self.sums[value] if value else zero_of(spec)
        position = code & ((1 << (spec.index_bits - 1)) - 1)
        entry = self.sums[position] if position else zero_of(spec)
        return -entry if sign else entry


class Lane:
    """What one output at a time needs: a register for the codes of all tables, accumulators for all outputs in turn."""

    def __init__(self, spec: TernaryLutSpec, ledger: Ledger) -> None:
        self.spec, self.ledger = spec, ledger
        self.codes = [Register(ledger, "index", spec.index_bits) for _ in range(spec.tables)]
        self.accumulators = [Register(ledger, "psum", spec.acc_bits) for _ in range(spec.reuse)]

    def take_codes(self, codes: list[int]) -> None:
        for register, code in zip(self.codes, codes, strict=True):
            register.take(code)
            self.ledger.counts["reg.clock"] += register.bits * self.spec.clock_gating

    def accumulate(self, slot: int, value: Any) -> None:
        self.accumulators[slot].take(bits_of(value))
        self.ledger.counts["reg.clock"] += self.spec.acc_bits * self.spec.clock_gating

    def count_adders(self) -> None:
        """The tree that adds up one entry of each table, and the accumulator's adder, all in one row."""
        if not self.spec.integer:
            self.ledger.counts[f"tree.fp{self.spec.acc_bits}.add"] += self.spec.tables
            return
        level, entries = 0, self.spec.tables
        bits = self.spec.acc_bits
        while entries > 1:
            level, pairs = level + 1, entries // 2
            bits += pairs * (self.spec.entry_bits + level)
            entries -= pairs
        self.ledger.counts[f"tree.depth{level + 1}.add_bits"] += bits


def run(x: Array, w: Array, spec: TernaryLutSpec) -> Outcome:
    """One matmul on the engine."""
    weights = in_order(integer_operand("w", w, -1, 1))
    written = sum(spec.index_bits * len(range(0, len(row), spec.g)) for row in weights)
    if not spec.integer:
        halves = [[np.float16(v) for v in row] for row in fp16_operand("x", x).view(np.float16)]
        with np.errstate(over="ignore", invalid="ignore", under="ignore"):
            return run_floats(halves, weights, spec, written)
    acts = in_order(integer_operand("x", x, -128, 127))
    return in_tiles(acts, weights, spec.lanes * spec.reuse, spec, run_tile, written)


def run_floats(acts: Rows, weights: Rows, spec: TernaryLutSpec, written: int) -> Outcome:
    """As `in_tiles`, of FP16 activations; outputs that are not finite are counted at the last k."""
    ledger, width = Ledger(), spec.lanes * spec.reuse
    y: Rows = [[sum_type(spec)(0)] * len(weights) for _ in acts]
    for n0 in range(0, len(weights), width):
        run_tile(acts, weights, range(n0, min(n0 + width, len(weights))), spec, ledger, y)
    paper_additions(ledger, len(acts), len(acts[0]), len(weights), f"fp{spec.acc_bits}")
    ledger.moved["weight_writes"] = written
    ledger.moved["psum_reads"] = ledger.moved["psum_writes"]
    for m, row in enumerate(y):
        for n, value in enumerate(row):
            if not np.isfinite(value):
                ledger.counts["overflow.output"] += 1
                ledger.overflows.append((m, len(acts[0]) - 1, n))
    return ledger.outcome(y, np.float32)


def pairwise(entries: list[Any]) -> Any:
    """The sum of one step, as a tree of adders gives it: neighbours in pairs, one without a partner passes on."""
    while len(entries) > 1:
        pairs = [a + b for a, b in zip(entries[::2], entries[1::2], strict=False)]
        entries = pairs + entries[len(entries) - len(entries) % 2 :]
    return entries[0]


def run_tile(acts: Rows, weights: Rows, columns: range, spec: TernaryLutSpec, ledger: Ledger, y: Rows) -> None:
    """The outputs `columns`, lane after lane and then slot after slot, from reset until all registers are at zero."""
    inputs = [Register(ledger, "act", act_bits(spec)) for _ in range(spec.group)]
    tables = [Table(spec, ledger) for _ in range(spec.tables)]
    lanes = [Lane(spec, ledger) for _ in range(min(spec.lanes, len(columns)))]
    build_cycles = spec.entries if spec.storage == "sram" else 1
    start = ledger.cycles
    ledger.cycles += 1 + build_cycles  # the first activations come in, the first tables are built
    for m, row in enumerate(acts):
        for k0 in range(0, len(row), spec.group):
            take_acts(inputs, padded(row, k0, spec.group, zero_of(spec)), spec, ledger)
            ledger.moved["act_reads"] += act_bits(spec) * len(row[k0 : k0 + spec.group])
            for i, table in enumerate(tables):
                table.build(padded(row, k0 + i * spec.g, spec.g, zero_of(spec)))
            used = 0
            for slot, first in enumerate(range(columns.start, columns.stop, spec.lanes)):
                used += 1
                for n in range(first, min(first + spec.lanes, columns.stop)):
                    look_up_and_add(lanes[n - first], slot, tables, weights[n], (m, k0, n), ledger, y)
            last = m == len(acts) - 1 and k0 + spec.group >= len(row)
            # The next tables are built meanwhile; where that takes longer, the lanes wait.
            ledger.cycles += used if last else max(used, build_cycles)
    ledger.cycles += 1  # the accumulators hand over their sums and are cleared
    ledger.moved["psum_writes"] += len(acts) * len(columns) * spec.acc_bits
    drain(inputs, tables, lanes, columns, spec, ledger)
    if not spec.clock_gating:
        bits = act_bits(spec) * spec.group + spec.lanes * (spec.tables * spec.index_bits + spec.reuse * spec.acc_bits)
        bits += sum(r.bits for table in tables if spec.storage == "registers" for r in table.registers.values())
        ledger.counts["reg.clock"] += bits * (ledger.cycles - start)


def look_up_and_add(
    lane: Lane, slot: int, tables: list[Table], weights: list[int], at: tuple[int, int, int], ledger: Ledger, y: Rows
) -> None:
    """One cycle of one lane: the output n at token m, all tables of the group that starts at k0; `at`: (m, k0, n)."""
    (m, k0, n), spec = at, lane.spec
    codes = [code_of(padded(weights, k0 + i * spec.g, spec.g), spec) for i in range(spec.tables)]
    ledger.moved["weight_reads"] += spec.index_bits * len(range(k0, min(k0 + spec.group, len(weights)), spec.g))
    lane.take_codes(codes)
    found = [table.look_up(code) for table, code in zip(tables, codes, strict=True)]
    lane.count_adders()
    if not spec.integer:
        step = pairwise([sum_type(spec)(entry) for entry in found])
        y[m][n] = y[m][n] + step if k0 else step
        lane.accumulate(slot, y[m][n])
        return
    total = sum(found)
    y[m][n], overflowed = limit((y[m][n] if k0 else 0) + total, spec.acc_bits, spec.overflow)
    lane.accumulate(slot, y[m][n])
    if overflowed:
        ledger.counts["overflow.acc"] += 1
        ledger.overflows.append(at)


def act_bits(spec: TernaryLutSpec) -> int:
    return 8 if spec.integer else 16


def take_acts(inputs: list[Register], acts: list[Any], spec: TernaryLutSpec, ledger: Ledger) -> None:
    for register, act in zip(inputs, acts, strict=True):
        register.take(bits_of(act))
        ledger.counts["reg.clock"] += act_bits(spec) * spec.clock_gating


def drain(
    inputs: list[Register], tables: list[Table], lanes: list[Lane], columns: range, spec: TernaryLutSpec, ledger: Ledger
) -> None:
    """Zeros follow the last operands, and the accumulators that were used are cleared; an SRAM keeps what it holds."""
    take_acts(inputs, [zero_of(spec)] * spec.group, spec, ledger)
    if spec.storage == "registers":
        for table in tables:
            for value in table.patterns:
                table.hold(value, zero_of(spec))
    for lane in lanes:
        lane.take_codes([0] * spec.tables)
    for i in range(len(columns)):
        lanes[i % spec.lanes].accumulate(i // spec.lanes, 0)


def padded(row: list[Any], start: int, size: int, zero: Any = 0) -> list[Any]:
    """`row[start : start + size]`, filled up with zeros."""
    part = row[start : start + size]
    return part + [zero] * (size - len(part))
