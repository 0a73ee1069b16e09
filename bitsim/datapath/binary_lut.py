"""Bit-serial tables: two binary planes of ternary weights look up mirrored tables of four activations.

    activations of one group, four per table            codes: 4 bits of one plane, per lane and table
     a0 a1 a2 a3 | a4 a5 a6 a7   (8-bit registers)         b3 b2 b1 b0     (registers of every lane)
          |            |                                    |   |
       build adders: a3 +- a2, a1 +- a0, their sums         |   +-- XOR b3: position
          |            |            and differences         |          |
       [ round to `table_bits` ]                            |          |
          |            |                                    |          |
     [ a3 + a2 + a1 + a0 ] [ a7 ...  ]   8 entries,         |          |
     [ a3 + a2 + a1 - a0 ] [         ]   in registers       |          |
     [ ...               ] [         ]  ---- select <-------|----------+
     [ a3 - a2 - a1 - a0 ] [         ]          |           |
                                             negate <-------+   (inversion, and a carry as in adder trees)
                                                |
                                              ( + ) ...    log2 G levels of adders
                                                |
                                              ( + ) <- acc      twice the output, one per lane

A ternary weight is the mean of two signs: w = (s1 + s0) / 2, with (+, +) for 1, (-, -) for -1 and (+, -) for 0. So both
planes have the same weight, x . w = (x . s1 + x . s0) / 2 exactly, and the accumulator needs neither shift nor
correction; its last bit is dropped at the end. (Published designs take 2-bit weights as planes of weight 2 and 1 and
correct by the sum of the activations. For ternary weights the mean does the same in as many planes.)

Bit b of a code is 1 for the sign -. A sum of four signed activations and the sum of all signs turned are negatives of
each other, so that a table of 8 entries, those with + before a3, serves all 16 codes ("mirrored").

`table_bits` 10 is exact. With fewer an entry is rounded, half up, to a multiple of 2^d, d = 10 - `table_bits`, and
clamped to its width (511 rounds to 512): this is not exact, because a rounded sum and its rounded parts differ. An
execution then reports its `deviation` from the exact sums. 8 bits is the INT8 table of T-MAC and LUT Tensor Core, with
one fixed power of two in place of T-MAC's float scale per block of tables, which is finer where activations are small.

Order of work: for each tile of `lanes` outputs, for each token, for each group of 4 G of K: build the tables; then one
cycle per plane. Tables are built while those before them are read. A tile takes one cycle to fill the activation
registers, one to build, two per group and token, and one in which the accumulators hand over their sums and are
cleared; zeros follow through all registers. The accumulator takes the first sum of a token instead of adding it. Tiles
start from reset and do not overlap. Tables beyond K are built from zeros, codes beyond K are 0; a lane without an
output does nothing (without clock gating it is clocked). Codes are read anew for every token: 2 bits per weight.

Accumulators wrap or saturate (`overflow.acc`, at the first k of the group); they hold twice the output over 2^d.

Events: `lut.build.depth{d}.add_bits`, 4 and 8 adders per table with d = 1 and 2, one more per entry to round;
`lut.b4_t{bits}.read`, selection with its XORs; adders behind it as in adder trees, d = log2 G + 1 in a row:
`tree.depth{d}.add_bits`; toggles of activations, entries (`reg.table`), codes (`reg.index`) and accumulators. Clamping
is not counted. Building is priced by adders in a row, so that glitches of the second addition are in: events times
prices rebuild the synthesised `precompute_b_g4` (45 nm only), and lookups into its table, within 15 %
(tests/hw/test_rebuilt_lookups.py).

Published: T-MAC (arXiv 2407.00088, CPU), LUT Tensor Core (arXiv 2408.06003); synthesised as `lutread_b_g4`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bitsim.datapath.accumulation import Summed, accumulate
from bitsim.datapath.base import Array, Range, Streams, arithmetic_events
from bitsim.datapath.kernels.binary_lut import Lookups, binary_lookups
from bitsim.datapath.kernels.group_toggles import group_toggles
from bitsim.datapath.kernels.rounded_lookups import rounded_lookups
from bitsim.datapath.lanes import WeightFacts, in_groups, weight_facts
from bitsim.datapath.prepared import PreparedWeights
from bitsim.datapath.registers import stream_toggles
from bitsim.datapath.template import GroupSums
from bitsim.events import Events
from bitsim.hw.datapaths.base import adders_at
from bitsim.hw.datapaths.binary_lut import ENTRIES, GROUP, BinaryLutSpec

ACT_BITS = 8
PLANES = 2
BUILD_BITS = {1: 4 * 9, 2: ENTRIES * 10}  # four adders of two activations, then one adder per entry
UNLIMITED = 62
# By position, the signs of a0..a3 in its entry: bit b of a position is 1 for -, a3 has +.
SIGNS = np.array([[1 - 2 * (position >> b & 1) for b in range(GROUP)] for position in range(ENTRIES)], np.int16)
# By code, four bytes in one number: the signs that it stands for, and twice the pluses of the entry that it looks up.
_CODES = np.arange(2 * ENTRIES)
CODE_SIGNS = (1 - 2 * (_CODES[:, None] >> np.arange(GROUP) & 1)).astype(np.int8).view(np.int32)[:, 0]
CODE_PLUS = (SIGNS + 1)[np.where(_CODES & ENTRIES, ~_CODES, _CODES) % ENTRIES].astype(np.uint8).view(np.int32)[:, 0]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeFacts:
    """The codes (N, 2, tables of a token), and the flips of the registers that hold them in turn."""

    codes: Array
    held: WeightFacts


class BinaryLut(GroupSums[BinaryLutSpec]):
    """Bit-serial tables as their `BinaryLutSpec` describes them."""

    takes_arrays = True

    @property
    def exact(self) -> bool:
        return not self.spec.dropped_bits

    @property
    def remarks(self) -> tuple[str, ...]:
        return () if self.exact else (f"is not exact: it rounds the entries of tables to {self.spec.table_bits} bits",)

    @property
    def grain(self) -> tuple[int, int, int]:
        return 1, self.spec.group, self.spec.lanes

    def steps(self, m: int, k: int) -> int:
        """Sets of tables that are built per tile."""
        return m * -(-k // self.spec.group)

    def tiles(self, n: int) -> int:
        return -(-n // self.spec.lanes)

    def cycles(self, m: int, k: int, n: int) -> int:
        return self.tiles(n) * (3 + PLANES * self.steps(m, k))

    def streams(self, m: int, k: int, n: int) -> Streams:
        """Codes are read once per token, activations once per tile, sums written and read once."""
        codes, sums = PLANES * GROUP * -(-k // GROUP) * n, m * n * self.spec.acc_bits
        return Streams(
            weight_writes=codes,
            weight_reads=codes * m,
            act_reads=m * k * ACT_BITS * self.tiles(n),
            psum_reads=sums,
            psum_writes=sums,
        )

    def adder_bits(self) -> int:
        """Bits of the adders of a lane, accumulator included."""
        spec = self.spec
        widths = (adders_at(spec.tables, level) * (spec.table_bits + level) for level in range(1, spec.levels + 1))
        return sum(widths) + spec.acc_bits

    @property
    def build_bits(self) -> Mapping[int, int]:
        """Bits of the adders that build one table, by how many of them stand in a row."""
        return BUILD_BITS | ({3: ENTRIES * self.spec.table_bits} if self.spec.dropped_bits else {})

    def parts(self) -> Mapping[str, int]:
        """Builders, selections and the signed adders behind them, and all registers; what clamps is not counted."""
        spec, bits = self.spec, self._register_bits
        return {
            "adder.bit": spec.tables * sum(self.build_bits.values()),
            f"lut.b{GROUP}_t{spec.table_bits}.read": spec.lanes * spec.tables,
            "tree.add_bit": spec.lanes * self.adder_bits(),
            "reg.bit": bits["act"] + bits["table"] + spec.lanes * (bits["index"] + bits["psum"]),
        }

    def data_independent(self, m: int, k: int, n: int) -> Events:
        spec, steps = self.spec, self.steps(m, k)
        lookups, builds = PLANES * steps * n, steps * self.tiles(n) * spec.tables
        counts = {f"lut.build.depth{d}.add_bits": builds * width for d, width in self.build_bits.items()}
        counts |= {
            f"lut.b{GROUP}_t{spec.table_bits}.read": lookups * spec.tables,
            f"tree.depth{spec.levels + 1}.add_bits": lookups * self.adder_bits(),
            "reg.clock": self._clocked_bits(m, k, n),
        }
        return Events(counts) + arithmetic_events("int8", m, k, n, multiplies=False)

    @property
    def _register_bits(self) -> dict[str, int]:
        """Bits of the registers of an engine (activations, entries) and of a lane (codes, accumulator)."""
        spec = self.spec
        return {
            "act": ACT_BITS * spec.group,
            "table": ENTRIES * spec.table_bits * spec.tables,
            "index": GROUP * spec.tables,
            "psum": spec.acc_bits,
        }

    def _clocked_bits(self, m: int, k: int, n: int) -> int:
        """Register bits x cycles in which they are clocked; gated: when a value enters, and to return to zero."""
        if self.spec.clock_gating:
            return sum(self.chances(m, k, n).values())
        bits, lanes = self._register_bits, self.spec.lanes
        return self.cycles(m, k, n) * (bits["act"] + bits["table"] + lanes * (bits["index"] + bits["psum"]))

    def chances(self, m: int, k: int, n: int) -> Mapping[str, int]:
        steps, bits = self.steps(m, k), self._register_bits
        shared, own = self.tiles(n) * (steps + 1), n * (PLANES * steps + 1)
        updates = {"act": shared, "table": shared, "index": own, "psum": own}
        return {f"reg.{name}.toggle": number * bits[name] for name, number in updates.items()}

    def codes(self, weights: Array) -> Array:
        """The codes of both planes of `weights` (N, K), uint8 (N, 2, tables of a token)."""
        groups = self._groups(weights)
        real = self._groups(np.ones((1, weights.shape[1]), np.int8)) == 1
        minus = np.stack([groups < 0, (groups < 1) & real], axis=1)
        return np.asarray(minus @ (1 << np.arange(GROUP)), np.uint8)

    def weight_facts(self, codes: Array) -> CodeFacts:
        planes = self.codes(codes)
        n, tables = planes.shape[0], self.spec.tables
        passing = planes.reshape(n, PLANES, -1, tables).swapaxes(1, 2).reshape(n, -1)
        return CodeFacts(codes=planes, held=weight_facts(passing, tables))

    def built(self, acts: Array) -> Array:
        """The entries of all tables of `acts` (M, K), int16 (M, tables of a token, 8)."""
        entries = (self._groups(acts).astype(np.float32) @ SIGNS.T.astype(np.float32)).astype(np.int16)
        dropped = self.spec.dropped_bits
        if not dropped:
            return entries
        rounded = (entries + np.int16(1 << (dropped - 1))) >> dropped
        return np.asarray(np.minimum(rounded, (1 << (self.spec.table_bits - 1)) - 1), np.int16)

    def cheap_events(self, acts: Array, weights: PreparedWeights) -> Mapping[str, int]:
        spec, tiles = self.spec, self.tiles(weights.n)
        passing = self._groups(acts).reshape(-1, spec.group)
        tables = self.built(acts).reshape(-1, spec.tables * ENTRIES).view(np.uint16) & ((1 << spec.table_bits) - 1)
        return {
            "reg.act.toggle": tiles * stream_toggles(passing.view(np.uint8), 0),
            "reg.table.toggle": tiles * stream_toggles(tables.astype(np.uint16), 0),
            "reg.index.toggle": weights.facts.held.toggles(acts.shape[0]),
        }

    def column_toggles(
        self, acts: Array, weights: PreparedWeights, columns: Array, seed: int, summed: Summed | None
    ) -> Mapping[str, int]:
        chosen = weights.facts.codes if columns.size == weights.n else weights.facts.codes[columns]
        return {"reg.psum.toggle": self._code_toggles(acts, chosen)}

    def _code_toggles(self, acts: Array, codes: Array) -> int:
        """Flips of the accumulators for `codes` (n, 2, tables of a token)."""
        if not self._fits(acts):
            return self.look_up(acts, codes, self.spec.acc_bits).flips
        if not self.exact:
            return self._rounded(acts, codes)[1]
        group = self.spec.group
        twice = np.repeat(in_groups(acts, group), PLANES, axis=1).reshape(len(acts), -1)
        planes = CODE_SIGNS[codes].reshape(len(codes), PLANES, -1, self.spec.tables).swapaxes(1, 2)
        return group_toggles(twice, planes.reshape(len(codes), -1).view(np.int8), group, 1, self.spec.acc_bits)

    def look_up(self, acts: Array, codes: Array, acc_bits: int) -> Lookups:
        saturate = self.spec.overflow == "saturate"
        return binary_lookups(self.built(acts), self.relative(codes), self.spec.tables, acc_bits, saturate)

    def relative(self, codes: Array) -> Array:
        """Codes with positions as the selection sees them: inverted where the sign is set."""
        return np.asarray(np.where(codes & 8, codes ^ 7, codes), np.uint8)

    def _rounded(self, acts: Array, codes: Array) -> tuple[Array, int]:
        """Accumulators (M, N) and their flips where none can overflow."""
        spec = self.spec
        plus, negated = CODE_PLUS[codes], codes >> np.uint8(GROUP - 1)
        return rounded_lookups(self._groups(acts), plus, negated, spec.tables, spec.dropped_bits, spec.acc_bits)

    def sums(self, acts: Array, weights: PreparedWeights) -> Summed:
        spec, fits = self.spec, self._fits(acts)
        if self.exact and fits:
            return accumulate(acts, weights.operand, self.accumulation, largest_weight=1)
        if fits:
            acc = self._rounded(acts, weights.facts.codes)[0].astype(np.int64)
            return Summed(y=(acc << spec.dropped_bits) >> 1, overflows={})
        done = self.look_up(acts, weights.facts.codes, spec.acc_bits)
        overflows = {"overflow.acc": done.overflows} if done.overflows else {}
        first = (done.first[0], done.first[1] * spec.group, done.first[2]) if done.first else None
        return Summed(y=(done.acc << spec.dropped_bits) >> 1, overflows=overflows, first=first)

    def _fits(self, acts: Array) -> bool:
        """Whether no sum of any weights can leave the accumulator; an entry is the sum of its magnitudes at most."""
        limit = 1 << (self.spec.acc_bits - 1)
        if self.bounds(acts.shape[1])["acc"].high < limit:
            return True
        entries = np.abs(self._groups(acts).astype(np.int64)).sum(axis=2)
        if self.spec.dropped_bits:
            entries = (entries + (1 << (self.spec.dropped_bits - 1))) >> self.spec.dropped_bits
        return PLANES * int(entries.sum(axis=1).max()) < limit

    @property
    def output_range(self) -> Range:
        """Accumulators hold twice the output, in units of an entry's last bit."""
        limit = 1 << (self.spec.acc_bits - 1)
        return Range(low=(-limit << self.spec.dropped_bits) >> 1, high=((limit - 1) << self.spec.dropped_bits) >> 1)

    def bounds(self, k: int) -> Mapping[str, Range]:
        """Twice the output over the weight of an entry's last bit; reached by -128 and equal signs."""
        most = PLANES * k * (128 >> self.spec.dropped_bits)
        return {"acc": Range(low=-most, high=most)}

    def seen(self, x: Array, w: Array | PreparedWeights) -> Mapping[str, Range]:
        acts, weights = self._operands(x, w)
        done = self.look_up(acts, weights.facts.codes, UNLIMITED)
        return {"acc": Range(low=done.low, high=done.high)}

    def _groups(self, values: Array) -> Array:
        """(rows, K) -> (rows, tables of a token, 4), zeros beyond K."""
        return in_groups(values, self.spec.group).reshape(values.shape[0], -1, GROUP)
