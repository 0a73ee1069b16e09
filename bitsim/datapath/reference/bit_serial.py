"""The twin of the bit-serial array: every lane, adder and register, plane by plane."""

from collections.abc import Callable

from bitsim.datapath.base import Array
from bitsim.datapath.formats import integer_operand
from bitsim.datapath.reference.common import Ledger, Outcome, Register, in_order, in_pairs, in_tiles, limit
from bitsim.hw.datapaths.bit_serial import BitSerialSpec

# Ternary: bit 0 passes the activation's bit on, bit 1 negates it. Binary: the bit says that the weight is 1.
WEIGHT_CODES = {"ternary": {0: 0b00, 1: 0b01, -1: 0b11}, "binary": {-1: 0, 1: 1}}


class Cell:
    """One cell: it adds up a plane, puts the planes of a group together and accumulates groups."""

    def __init__(self, spec: BitSerialSpec, ledger: Ledger) -> None:
        self.spec, self.ledger = spec, ledger
        self.serial = Register(ledger, "serial", spec.serial_bits)
        self.accumulator = Register(ledger, "psum", spec.acc_bits)
        self.group_sum = 0

    def add_plane(self, bits: list[int], codes: list[int], plane: int, ones: int, *, first: bool) -> None:
        """Add a plane's `bits` times the weights with these register `codes`; `ones`: how many bits are set."""
        if self.spec.weights == "ternary":
            signs = [0 if code == 0 else -bit if code >> 1 else bit for bit, code in zip(bits, codes, strict=True)]
            total = tree_sum(signs, 2, self.count_bits)
        else:
            agreeing = tree_sum([bit & code for bit, code in zip(bits, codes, strict=True)], 1, self.count_bits)
            total = 2 * agreeing - ones
            self.count_bits(self.spec.levels + 2)
        shifted = total << plane
        addend = -shifted if plane == self.spec.act_bits - 1 else shifted  # the sign plane counts -2^plane
        self.group_sum = addend if first else self.group_sum + addend
        self.count_bits(self.serial.bits)
        assert limit(self.group_sum, self.serial.bits, "wrap") == (self.group_sum, False)
        self.latch(self.group_sum)

    def latch(self, value: int) -> None:
        self.serial.take(value)
        self.ledger.counts["reg.serial.clock"] += self.serial.bits

    def accumulate(self, before: int) -> tuple[int, bool]:
        total, overflowed = limit(before + self.group_sum, self.spec.acc_bits, self.spec.overflow)
        self.ledger.counts[f"acc.add.int{self.spec.acc_bits}"] += 1
        self.accumulator.take(total)
        self.ledger.counts["reg.clock"] += self.accumulator.bits
        return total, overflowed

    def count_bits(self, bits: int) -> None:
        count_adder(bits, self.spec, self.ledger)


def tree_sum(nodes: list[int], bits: int, count: Callable[[int], None]) -> int:
    """The sum of `nodes`, pair by pair; `bits`: width of a node, which grows by one per level."""
    while len(nodes) > 1:
        bits += 1
        count(len(nodes) // 2 * bits)
        nodes = in_pairs(nodes)
        assert all(value.bit_length() <= bits for value in nodes)
    return nodes[0]


def count_adder(bits: int, spec: BitSerialSpec, ledger: Ledger) -> None:
    """Book the bits of an adder under the number of adders in a row of its cell."""
    depth = f"depth{spec.levels + 1}" if spec.weights == "ternary" else f"popcount_depth{spec.levels + 2}"
    ledger.counts[f"serial.{depth}.add_bits"] += bits


def run(x: Array, w: Array, spec: BitSerialSpec) -> Outcome:
    """One matmul on the array."""
    least = -(1 << (spec.act_bits - 1))
    acts = in_order(integer_operand("x", x, least, -least - 1))
    weights = in_order(integer_operand("w", w, -1, 1, zero=spec.weights == "ternary"))
    written = spec.weight_bits * len(weights) * len(weights[0])
    return in_tiles(acts, weights, spec.cols, spec, run_tile, written)


def run_tile(
    acts: list[list[int]],
    weights: list[list[int]],
    columns: range,
    spec: BitSerialSpec,
    ledger: Ledger,
    y: list[list[int]],
) -> None:
    """One output per column of cells, from reset until all registers are back at zero."""
    rows = range(min(spec.rows, len(acts)))
    held_weights = {n: [Register(ledger, "weight", spec.weight_bits) for _ in range(spec.lanes)] for n in columns}
    held_bits = [[Register(ledger, "act", 1) for _ in range(spec.lanes)] for _ in rows]
    cells = {(i, n): Cell(spec, ledger) for i in rows for n in columns}
    for m0 in range(0, len(acts), spec.rows):
        block = acts[m0 : m0 + spec.rows]
        for k0 in range(0, len(acts[0]), spec.lanes):
            for n in columns:
                entering = [WEIGHT_CODES[spec.weights][weight] for weight in weights[n][k0 : k0 + spec.lanes]]
                load(held_weights[n], entering, "reg.clock", ledger)
                ledger.moved["weight_reads"] += spec.weight_bits * len(entering)
            group = [lanes_of(row, k0, spec.lanes) for row in block]
            ledger.moved["act_reads"] += spec.act_bits * sum(len(row[k0 : k0 + spec.lanes]) for row in block)
            ledger.moved["act_reads"] += spec.act_bits * spec.skip_zero_planes  # a flag for each plane
            planes = planes_of(group, spec)
            for plane in planes:
                ledger.cycles += 1
                for i, row in enumerate(group):
                    bits = [act >> plane & 1 for act in row]
                    load(held_bits[i], bits, "reg.act.clock", ledger)
                    ones = count_ones(bits, spec, ledger) if spec.weights == "binary" else 0
                    for n in columns:
                        codes = [register.held for register in held_weights[n]]
                        cells[i, n].add_plane(bits, codes, plane, ones, first=plane == planes[0])
            for i in range(len(group)):
                for n in columns:
                    y[m0 + i][n], overflowed = cells[i, n].accumulate(y[m0 + i][n] if k0 else 0)
                    if overflowed:
                        ledger.counts["overflow.acc"] += 1
                        ledger.overflows.append((m0 + i, k0, n))
    drain(held_weights, held_bits, cells, ledger)
    ledger.cycles += 3  # fill the operand registers, pass the cells' registers, hand over the sums
    ledger.moved["psum_writes"] += len(acts) * len(columns) * spec.acc_bits


def planes_of(group: list[list[int]], spec: BitSerialSpec) -> list[int]:
    """The planes that are worked on, the sign first; at least one, so that the weights have a cycle to come in."""
    planes = list(range(spec.act_bits - 1, -1, -1))
    if not spec.skip_zero_planes:
        return planes
    return [plane for plane in planes if any(act >> plane & 1 for row in group for act in row)] or [0]


def count_ones(bits: list[int], spec: BitSerialSpec, ledger: Ledger) -> int:
    """How many bits of a row's plane are set, found once for all cells of the row."""
    return tree_sum(bits, 1, lambda width: count_adder(width, spec, ledger))


def load(registers: list[Register], codes: list[int], clock: str, ledger: Ledger) -> None:
    """Lanes take their codes, those beyond K zeros."""
    for i, register in enumerate(registers):
        register.take(codes[i] if i < len(codes) else 0)
        ledger.counts[clock] += register.bits


def drain(
    held_weights: dict[int, list[Register]],
    held_bits: list[list[Register]],
    cells: dict[tuple[int, int], Cell],
    ledger: Ledger,
) -> None:
    """Zeros follow the last operands through all registers, and the accumulators are cleared."""
    for registers in held_weights.values():
        load(registers, [], "reg.clock", ledger)
    for registers in held_bits:
        load(registers, [], "reg.act.clock", ledger)
    for cell in cells.values():
        cell.latch(0)
        cell.accumulator.take(0)
        ledger.counts["reg.clock"] += cell.accumulator.bits


def lanes_of(row: list[int], k0: int, lanes: int) -> list[int]:
    """`row[k0 : k0 + lanes]`, filled up with zeros."""
    part = row[k0 : k0 + lanes]
    return part + [0] * (lanes - len(part))
