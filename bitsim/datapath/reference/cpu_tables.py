"""The twin of TL1 and TL2: weights packed as bitnet.cpp packs them, tables built and looked up byte by byte."""

from itertools import product

from bitsim.datapath.reference.common import limit
from bitsim.datapath.reference.cpu_machine import Machine
from bitsim.hw.datapaths.cpu_simd import CpuSimdSpec

Table = tuple[list[int], list[int]]  # 16 low bytes and 16 high bytes
TL2_ROWS = [8 * block + row for block in (0, 2, 1, 3) for row in range(8)]  # the row of each byte of a register


def pair_code(w: list[int]) -> int:
    return 3 * w[0] + w[1] + 4


def triple_value(w: list[int]) -> int:
    return 9 * w[0] + 3 * w[1] + w[2]


class Packed:
    """The planes of a matrix of weights, in the kernel's order: registers of bytes, or of 16-bit words of signs."""

    def __init__(self, weights: list[list[int]], spec: CpuSimdSpec) -> None:
        self.weights, self.spec = weights, spec
        self.rows, k = len(weights), len(weights[0])
        self.threes = k - k % spec.block_k if spec.kernel == "tl2" else 0
        self.indices: list[list[int]] = []
        self.signs: list[list[int]] = []
        self.pairs: list[list[int]] = []
        if spec.kernel == "tl1":
            self._pack_tl1(k)
        else:
            self._pack_tl2(k)
        stored = sum(map(len, self.indices)) + 2 * sum(map(len, self.signs)) + sum(map(len, self.pairs))
        self.bits = 8 * stored

    def stripes(self, width: int) -> list[range]:
        """First rows of the stripes of each block of `bm` rows."""
        return [range(r, r + self.spec.block_n, width) for r in range(0, self.rows, self.spec.block_n)]

    def _pack_tl1(self, k: int) -> None:
        spec, by = self.spec, 256 // self.spec.stripe
        for stripes in self.stripes(spec.stripe):
            for k0, r0 in product(range(0, k, spec.block_k), stripes):
                for g, r16, u in product(range(spec.block_k // by), range(spec.stripe // 16), range(by // 4)):
                    at = k0 + g * by + 4 * u
                    rows = [self.weights[r0 + 16 * r16 + row] for row in range(16)]
                    self.pairs.append([pair_code(w[at : at + 2]) << 4 | pair_code(w[at + 2 : at + 4]) for w in rows])

    def _pack_tl2(self, k: int) -> None:
        bk = self.spec.block_k
        for stripes in self.stripes(32):
            for k0, r0 in product(range(0, self.threes, bk), stripes):
                for at in range(k0, k0 + bk, 6):
                    values = [(triple_value(w[at : at + 3]), triple_value(w[at + 3 : at + 6])) for w in self._rows(r0)]
                    self.indices.append([abs(first) << 4 | abs(second) for first, second in values])
                for at in range(k0, k0 + bk, 24):
                    self.signs.append([self._signs(r0 + c, r0 + 16 + c, at) for c in range(16)])
            for k0, r0 in product(range(self.threes, k, 32), stripes):
                for at in range(k0, k0 + 32, 4):
                    codes = [(pair_code(w[at : at + 2]), pair_code(w[at + 2 : at + 4])) for w in self._rows(r0)]
                    self.pairs.append([first << 4 | second for first, second in codes])

    def _rows(self, r0: int) -> list[list[int]]:
        return [self.weights[r0 + row] for row in TL2_ROWS]

    def _signs(self, upper: int, lower: int, k0: int) -> int:
        """Bit `15 - (2 j + h)`: the sign of triple j, of row `upper` (h = 0) or `lower` (h = 1)."""
        word = 0
        for j, (h, row) in product(range(8), enumerate((upper, lower))):
            at = k0 + 3 * j
            word |= (triple_value(self.weights[row][at : at + 3]) < 0) << (15 - (2 * j + h))
        return word


def split(entries: list[int]) -> Table:
    """int16 entries as low and high bytes, 16 of each."""
    assert all(-(1 << 15) <= entry < 1 << 15 for entry in entries)
    words = [entry & 0xFFFF for entry in entries] + [0] * (16 - len(entries))
    return [word & 0xFF for word in words], [word >> 8 for word in words]


def joined(low: int, high: int) -> int:
    """The int16 whose bytes they are."""
    return limit(high << 8 | low, 16, "wrap")[0]


def pair_tables(q: list[int], machine: Machine, add: str) -> list[Table]:
    """The tables of the pairs of 16 activations, eight at a time in the lanes of a register."""
    a, b, zero = q[::2], q[1::2], [0] * 8

    def plus(x: list[int], y: list[int], sign: int = 1) -> list[int]:
        return machine.does(add, [i + sign * j for i, j in zip(x, y, strict=True)])

    minus_a = plus(zero, a, -1)
    columns = [plus(plus(zero, a, -1), b, -1), minus_a, plus(plus(zero, a, -1), b), plus(zero, b, -1), zero]
    columns += [b, plus(a, b, -1), a, plus(a, b)]
    return [split([column[i] for column in columns]) for i in range(8)]


def triple_tables(q: list[int], machine: Machine) -> list[Table]:
    """The tables of the triples of 24 activations, eight at a time."""
    a, b, c = q[::3], q[1::3], q[2::3]

    def total(first: list[int], *terms: tuple[int, list[int]]) -> list[int]:
        for sign, term in terms:
            first = machine.does("add_int32", [i + sign * j for i, j in zip(first, term, strict=True)])
        return first

    columns = [[0] * 8, c, total(b, (-1, c)), b, total(b, (1, c)), total(a, (-1, b), (-1, c)), total(a, (-1, b))]
    columns += [total(a, (-1, b), (1, c)), total(a, (-1, c)), a, total(a, (1, c)), total(a, (1, b), (-1, c))]
    columns += [total(a, (1, b)), total(a, (1, b), (1, c))]
    return [split([column[i] for column in columns]) for i in range(8)]


def transpose_and_store(machine: Machine) -> None:
    """From eight tables in lanes to eight tables in memory, as bytes."""
    steps = {"zip": 48, "tbl": 16, "store": 32}
    if machine.isa == "avx2":
        steps = {"permute": 64, "unpack": 32, "pack": 8, "shuffle": 8, "store": 8}
    for op, number in steps.items():
        machine.times(op, number)


def run_token(q: list[int], packed: Packed, spec: CpuSimdSpec, machine: Machine) -> list[int]:
    """The sums of one token with all rows of weights."""
    machine.ledger.moved["act_reads"] += 8 * len(q)
    triples, pairs = [], []
    for k0 in range(0, packed.threes, 24):
        triples += triple_tables(q[k0 : k0 + 24], machine)
        transpose_and_store(machine)
    for k0 in range(packed.threes, len(q), 16):
        pairs += pair_tables(q[k0 : k0 + 16], machine, "add_int16" if spec.kernel == "tl1" else "add_int32")
        transpose_and_store(machine)
    y = [0] * packed.rows
    if spec.kernel == "tl1":
        run_tl1(pairs, packed, spec, machine, y)
    else:
        run_tl2(triples, pairs, packed, spec, machine, y)
    return y


def load_table(machine: Machine, table: Table) -> Table:
    return machine.load(table[0], 8, "act_reads"), machine.load(table[1], 8, "act_reads")


def widen(machine: Machine, sums: list[int], y: list[int], rows: range) -> None:
    """Add int16 sums to int32 sums in memory, a register at a time."""
    lanes = 8 if machine.isa == "avx2" else 4
    for first in range(0, len(sums), lanes):
        at = rows[first : first + lanes]
        if machine.isa == "avx2" and first % 16:
            machine.times("extract", 1)
        wide = machine.does("widen", sums[first : first + lanes])
        before = machine.load([y[row] for row in at], 32, "psum_reads")
        for row, old, new in zip(at, before, wide, strict=True):
            y[row] = old + new
        machine.times("add_int32", 1)
        machine.times("store", 1)
        machine.ledger.moved["psum_writes"] += 32 * lanes


def add16(machine: Machine, sums: list[int], values: list[int]) -> None:
    """Add a register of values to int16 sums, which must hold the result."""
    total = machine.does("add_int16", [a + b for a, b in zip(sums, values, strict=True)])
    assert all(-(1 << 15) <= value < 1 << 15 for value in total)
    sums[:] = total


def run_tl1(tables: list[Table], packed: Packed, spec: CpuSimdSpec, machine: Machine, y: list[int]) -> None:
    plane, by = iter(packed.pairs), 256 // spec.stripe
    for stripes in packed.stripes(spec.stripe):
        for k0 in range(0, 2 * len(tables), spec.block_k):
            held = [load_table(machine, table) for table in tables[k0 // 2 : (k0 + spec.block_k) // 2]]
            for r0 in stripes:
                sums = [machine.does("and", [0] * 8) for _ in range(spec.stripe // 8)]
                for g, r16, u in product(range(spec.block_k // by), range(spec.stripe // 16), range(by // 4)):
                    codes = machine.load(next(plane), 8, "weight_reads")
                    top = machine.does("shift", [byte >> 4 for byte in codes])
                    bottom = machine.does("and", [byte & 15 for byte in codes])
                    for half, entries in enumerate((top, bottom)):
                        low, high = held[g * by // 2 + 2 * u + half]
                        lows = machine.does("tbl", [low[entry] for entry in entries])
                        highs = machine.does("tbl", [high[entry] for entry in entries])
                        values = [joined(a, b) for a, b in zip(lows, highs, strict=True)]
                        for eight in range(2):
                            value = machine.does("zip", values[8 * eight : 8 * eight + 8])
                            add16(machine, sums[2 * r16 + eight], value)
                widen(machine, [total for eight in sums for total in eight], y, range(r0, r0 + spec.stripe))


def run_tl2(
    triples: list[Table], pairs: list[Table], packed: Packed, spec: CpuSimdSpec, machine: Machine, y: list[int]
) -> None:
    indices, signs, plane = iter(packed.indices), iter(packed.signs), iter(packed.pairs)
    for stripes in packed.stripes(32):
        for t0, r0 in product(range(0, len(triples), spec.block_k // 3), stripes):
            block = triples[t0 : t0 + spec.block_k // 3]
            held = [machine.load(next(indices), 8, "weight_reads") for _ in range(len(block) // 2)]
            words = [machine.load(next(signs), 16, "weight_reads") for _ in range(len(block) // 8)]
            sums = [[0] * 16, [0] * 16]
            for t in range(0, len(block), 2):
                look_up(machine, held[t // 2], block[t : t + 2], sums, words[t // 8], 2 * (t % 8))
            widen(machine, sums[0] + sums[1], y, range(r0, r0 + 32))
        for t0, r0 in product(range(0, len(pairs), 16), stripes):
            held = [machine.load(next(plane), 8, "weight_reads") for _ in range(8)]
            sums = [[0] * 16, [0] * 16]
            for t in range(0, 16, 2):
                look_up(machine, held[t // 2], pairs[t0 + t : t0 + t + 2], sums, None, 0)
            widen(machine, sums[0] + sums[1], y, range(r0, r0 + 32))


def look_up(
    machine: Machine, codes: list[int], tables: list[Table], sums: list[list[int]], signs: list[int] | None, shift: int
) -> None:
    """Two triples or pairs of 32 rows; `signs`: words whose bits `15 - shift` and below are these triples' signs."""
    held = [load_table(machine, table) for table in tables]
    machine.times("insert", 4)  # each half of a table into both halves of a register
    top = machine.does("and", [byte & 15 for byte in machine.does("shift", [byte >> 4 for byte in codes])])
    bottom = machine.does("and", [byte & 15 for byte in codes])
    for half, entries in enumerate((top, bottom)):
        low, high = held[half]
        lows = machine.does("shuffle", [low[entry] for entry in entries])
        highs = machine.does("shuffle", [high[entry] for entry in entries])
        for h, order in enumerate(((0, 2), (1, 3))):
            at = [8 * block + i for block in order for i in range(8)]
            values = machine.does("unpack", [joined(lows[i], highs[i]) for i in at])
            if signs is not None:
                up = machine.does("shift", [word << (shift + 2 * half + h) & 0xFFFF for word in signs])
                mask = machine.does("shift", [-(word >> 15) for word in up])
                values = machine.does("add_int16", [value + s for value, s in zip(values, mask, strict=True)])
                values = machine.does("xor", [value ^ s for value, s in zip(values, mask, strict=True)])
            add16(machine, sums[h], values)
