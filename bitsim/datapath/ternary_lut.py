"""Lookup tables of ternary sums: G tables of g activations, read by the codes of g weights, shared by many outputs.

    activations of one group, g per table          codes of g weights, one per lane and table
     a0 a1 a2 | a3 a4 a5 | ...  (8-bit registers)    [sign, position]   (registers of every lane)
        |          |                                        |
     build adders: an entry from one with a weight less      |
        |          |                                        |
     [ a0       ] [ a3       ]                              |
     [ a1       ] [ a4       ]    entries: registers, or     |
     [ a1 + a0  ] [ a4 + a3  ]    SRAM, a copy per lane      |
     [ a1 - a0  ] [ ...      ]                              |
     [ ...      ] [          ]                              |
        |  select  <-----|----------- position -------------+
      +-+ negate   <-----|----------- sign (half tables only: inversion, and a carry as in adder trees)
      |            +-----+
       \\         /
         ( + ) ...    log2 G levels of adders
           |
         ( + ) <- acc[p]      one accumulator for each of the `reuse` outputs that a lane takes in turn

A full table holds the sum of each pattern of weights but the empty one, which needs no entry: 3^g - 1. Half a table
holds those whose last weight that is not 0 is +1, (3^g - 1) / 2 of them; the sign of the code negates. The code of g
weights is their value in balanced ternary, the first weight lowest: as sign and magnitude for half a table, in two's
complement for a full one. Either has 4, 5, 7 or 8 bits for g = 2 to 5, 2, 1.67, 1.75 or 1.6 bits per weight.

Building: an entry of more than one term is one addition, an activation itself is copied, its negative is an addition:
entries - g additions of the entry's width per table, whatever the storage. Registers take all entries at once, so that
a table is built while the one before it is used. An SRAM has one write port: a table is written in as many cycles as it
has entries, double-buffered, and lanes wait where `reuse` does not cover that; every lane has a copy of each table,
because its lookups go to a place of their own.

Order of work: for each tile of `lanes` x `reuse` outputs, for each token, for each group of g G of K: build the tables;
then one cycle for every `lanes` outputs of the tile. So a table serves all outputs of a tile, and is built again for
the next tile. A tile takes one cycle to fill the activation registers, one build, the lookups, and one cycle in which
the accumulators hand over their sums and are cleared; zeros follow through all registers. The accumulator takes the
first group's sum instead of adding it. Tiles start from reset and do not overlap. Tables beyond K are built from zeros;
a lane without an output does nothing (without clock gating it is clocked). Codes are read anew for every token.

INT8 activations: exact for every operand in -128..127 and weights -1, 0, 1; entries can't overflow, accumulators wrap
or saturate (`overflow.acc`, at the first k of the group).

FP16 activations (`acts: fp16`): an entry of half a table is f16(a + e) or f16(a - e), a its last activation, e the
entry of the others; the rest is that with the other sign, which takes no adder. Sums behind the tables are rounded at
each adder, to FP16 or FP32 as `acc_bits` says, pairs in the order of tables; the accumulator takes the first group's
sum. Not exact: sums of small integers are while they stay below 2^11 (2^24). Events: `lut.build.fp16` per addition,
`lut.g{g}_{half,full}_fp16.read`, and `tree.fp16.add` or `tree.fp32.add` per adder behind the tables, accumulator
included. Prices: synthesised float adders as in ternary PEs; the selection is that of integer entries times 16 bits
over their width, assumed.

Events: `lut.build.depth{d}.add_bits`, d adders in a row from the copied activation; `lut.g{g}_{half,full}.read` (the
selection from registers) or `lut.sram.*_bits`; the adders behind it, negation included, as in adder trees:
`tree.depth{d}.add_bits`, d = log2 G + 1 in a row; toggles of entries, codes (`reg.index`), activations and
accumulators. Price of a selection: what the synthesised lookup with its accumulator costs beyond a ternary PE of the
same width, in the AND-OR style; a selection written as a variable part-select costs up to 4.5 times as much
(tools/derive_prices.py). Events times prices rebuild the synthesised lookups within 15 %, registers included, `low` for
tables that are held and `high` for those that change in every cycle; and builders of g = 2 and 3 with their registers
as measured (tests/hw/test_rebuilt_lookups.py). At 7 nm only the builder of g = 2 was synthesised; longer rows of adders
are scaled from 45 nm, rows of more than two extrapolated. Wires from a table to its lanes have no price.

Published: TeLLMe (g = 3, full), TENET's STL, Platinum, ternary-lut-dse (arXiv 2604.25183); synthesised as
`lutread_t_g*` and `precompute_t_g*`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import comb

import numpy as np

from bitsim.datapath.accumulation import Summed, finite
from bitsim.datapath.base import Array, Streams, arithmetic_events
from bitsim.datapath.formats import HALF_BITS, fp16_operand, round_to_half
from bitsim.datapath.kernels.grouped_sums import grouped_toggles
from bitsim.datapath.kernels.simd_half import HALF_NAN
from bitsim.datapath.kernels.ternary_lut import table_toggles
from bitsim.datapath.kernels.ternary_lut_float import float_lookups
from bitsim.datapath.lanes import WeightFacts, in_groups
from bitsim.datapath.prepared import PreparedWeights
from bitsim.datapath.registers import ones, stream_toggles
from bitsim.datapath.template import GroupSums
from bitsim.events import Events
from bitsim.hw.datapaths.base import adders_at, levels_over
from bitsim.hw.datapaths.ternary_lut import TernaryLutSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A tile of outputs: how many there are, the lanes that they use, and the outputs of the busiest lane."""

    outputs: int
    lanes: int
    rounds: int


class TernaryLut(GroupSums[TernaryLutSpec]):
    """A lookup-table engine as its `TernaryLutSpec` describes it."""

    takes_arrays = True

    @property
    def exact(self) -> bool:
        return self.spec.integer

    @property
    def arithmetic(self) -> str:
        return "int8" if self.spec.integer else f"fp{self.spec.acc_bits}"

    @property
    def grain(self) -> tuple[int, int, int]:
        return 1, self.spec.group, self.spec.lanes * self.spec.reuse

    def steps(self, m: int, k: int) -> int:
        """Sets of tables that are built per tile."""
        return m * -(-k // self.spec.group)

    def tiles(self, n: int) -> dict[Tile, int]:
        """The kinds of tiles and how often they come: full ones and a rest."""
        full, rest = divmod(n, self.tile_columns)
        found = {self._tile(self.tile_columns): full, self._tile(rest): 1 if rest else 0}
        return {tile: count for tile, count in found.items() if count}

    def _tile(self, outputs: int) -> Tile:
        return Tile(outputs=outputs, lanes=min(outputs, self.spec.lanes), rounds=-(-outputs // self.spec.lanes))

    @property
    def build_cycles(self) -> int:
        return self.spec.entries if self.spec.storage == "sram" else 1

    def cycles(self, m: int, k: int, n: int) -> int:
        steps, build = self.steps(m, k), self.build_cycles
        full, rest = n // self.tile_columns, n % self.tile_columns

        def tile(rounds: int) -> int:
            waiting = (build - rounds) * (build > rounds)
            return 2 + build + (steps - 1) * (rounds + waiting) + rounds

        return full * tile(self.spec.reuse) + (rest > 0) * tile(-(-rest // self.spec.lanes))

    def streams(self, m: int, k: int, n: int) -> Streams:
        """Codes are read once per token, activations once per tile, sums written and read once."""
        codes, sums = -(-k // self.spec.g) * n * self.spec.index_bits, m * n * self.spec.acc_bits
        tiles = -(-n // self.tile_columns)
        return Streams(
            weight_writes=codes,
            weight_reads=codes * m,
            act_reads=m * k * self.act_bits * tiles,
            psum_reads=sums,
            psum_writes=sums,
        )

    @property
    def table_bits(self) -> int:
        """Bits of all entries of all tables."""
        return self.spec.tables * self.spec.entries * self.spec.entry_bits

    def adder_bits(self) -> tuple[int, int]:
        """Bits of the adders of a lane, accumulator included, and how many adders stand in a row."""
        spec = self.spec
        levels = levels_over(spec.tables)
        tree = sum(adders_at(spec.tables, level) * (spec.entry_bits + level) for level in range(1, levels + 1))
        return tree + spec.acc_bits, levels + 1

    @property
    def build_bits(self) -> Mapping[int, int]:
        """Bits of the adders that build one table, by how many of them stand in a row.

        An entry of t terms is built from a copied activation in t - 1 additions; one of weights -1 only needs t.
        """
        spec, bits = self.spec, dict.fromkeys(range(1, self.spec.g + 1), 0)
        for terms in range(1, spec.g + 1):
            chosen = comb(spec.g, terms)
            if spec.table == "full":
                bits[terms] += chosen * spec.entry_bits
            if terms > 1:
                signs = 1 << (terms - 1) if spec.table == "half" else (1 << terms) - 1
                bits[terms - 1] += chosen * signs * spec.entry_bits
        return {depth: width for depth, width in bits.items() if width}

    def parts(self) -> Mapping[str, int]:
        """Builders, tables, selections and the signed adders behind them; an SRAM is double-buffered in every lane."""
        spec, registers = self.spec, self.act_bits * self.spec.group
        registers += spec.lanes * (spec.tables * spec.index_bits + spec.reuse * spec.acc_bits)
        if spec.integer:
            counts = {
                "adder.bit": spec.tables * sum(self.build_bits.values()),
                "tree.add_bit": spec.lanes * self.adder_bits()[0],
            }
        else:
            counts = {"add.fp16": spec.tables * self.float_builds}
            added = f"add.fp{spec.acc_bits}"
            counts[added] = counts.get(added, 0) + spec.lanes * spec.tables
        if spec.storage == "sram":
            return counts | {"reg.bit": registers, "lut.sram.bit": 2 * spec.lanes * self.table_bits}
        selections = {f"lut.{spec.kept}.read": spec.lanes * spec.tables}
        return counts | selections | {"reg.bit": registers + self.table_bits}

    def data_independent(self, m: int, k: int, n: int) -> Events:
        spec, steps = self.spec, self.steps(m, k)
        builds = steps * sum(self.tiles(n).values()) * spec.tables
        lookups = steps * n * spec.tables
        counts = {"reg.clock": self._clocked_bits(m, k, n)}
        if spec.integer:
            bits, depth = self.adder_bits()
            counts |= {f"lut.build.depth{d}.add_bits": builds * width for d, width in self.build_bits.items()}
            counts[f"tree.depth{depth}.add_bits"] = steps * n * bits
        else:
            counts |= {"lut.build.fp16": builds * self.float_builds, f"tree.{self.arithmetic}.add": lookups}
        if spec.storage == "sram":
            counts["lut.sram.write_bits"] = builds * spec.entries * spec.entry_bits * spec.lanes
            counts["lut.sram.read_bits"] = lookups * spec.entry_bits
        else:
            counts[f"lut.{spec.kept}.read"] = lookups
        return Events(counts) + arithmetic_events(self.arithmetic, m, k, n, multiplies=False)

    @property
    def float_builds(self) -> int:
        """Additions of floats that build one table: of half a table's entries all but the activations themselves."""
        return self.spec.half_entries - self.spec.g

    def _clocked_bits(self, m: int, k: int, n: int) -> int:
        """Register bits x cycles in which they are clocked; gated: when a value enters, and to return to zero."""
        spec, steps = self.spec, self.steps(m, k)
        acts, codes = self.act_bits * spec.group, spec.tables * spec.index_bits
        shared = acts + (self.table_bits if spec.storage == "registers" else 0)
        if not spec.clock_gating:
            return self.cycles(m, k, n) * (shared + spec.lanes * (codes + spec.reuse * spec.acc_bits))
        tiles = self.tiles(n)
        lanes = sum(count * tile.lanes for tile, count in tiles.items())
        clocked = sum(tiles.values()) * (steps + 1) * shared
        return clocked + (n * steps + lanes) * codes + n * (steps + 1) * spec.acc_bits

    def chances(self, m: int, k: int, n: int) -> Mapping[str, int]:
        spec, steps, tiles = self.spec, self.steps(m, k), self.tiles(n)
        passes = sum(tiles.values()) * (steps + 1)
        lanes = sum(count * tile.lanes for tile, count in tiles.items())
        updates = {
            "reg.act.toggle": passes * self.act_bits * spec.group,
            "reg.index.toggle": (n * steps + lanes) * spec.tables * spec.index_bits,
            "reg.psum.toggle": n * (steps + 1) * spec.acc_bits,
        }
        return updates | ({"reg.table.toggle": passes * self.table_bits} if spec.storage == "registers" else {})

    def codes(self, weights: Array) -> Array:
        """The codes (N, steps of a token, tables) of `weights` (N, K), as unsigned patterns."""
        groups = self._groups(weights.astype(np.int16))
        values = groups @ (3 ** np.arange(self.spec.g, dtype=np.int16))
        if self.spec.table == "full":
            return np.asarray(values & ((1 << self.spec.index_bits) - 1), np.uint8)
        signs = (values < 0).astype(np.int16) << (self.spec.index_bits - 1)
        return np.asarray(np.abs(values) | signs, np.uint8)

    def weight_facts(self, codes: Array) -> WeightFacts:
        patterns = self.codes(codes)
        enter = within = again = leave = 0
        for start in range(0, patterns.shape[0], self.tile_columns):
            passing = self._in_turn(patterns[start : start + self.tile_columns])
            enter += ones(passing[0])
            within += ones(passing[1:] ^ passing[:-1])
            again += ones(passing[-1] ^ passing[0])
            leave += ones(passing[-1])
        return WeightFacts(enter=enter, within=within, again=again, leave=leave)

    def _in_turn(self, tile: Array) -> Array:
        """The codes of a tile (outputs, steps, tables) as lanes take them: (steps x rounds, lanes, tables).

        A lane that has no output in the last round keeps the code of the round before.
        """
        outputs, steps, tables = tile.shape
        lanes = min(outputs, self.spec.lanes)
        missing = -outputs % lanes
        held = np.concatenate([tile, tile[outputs - lanes : outputs - lanes + missing]])
        in_turn: Array = held.reshape(-1, lanes, steps, tables).transpose(2, 0, 1, 3).reshape(-1, lanes, tables)
        return in_turn

    def cheap_events(self, acts: Array, weights: PreparedWeights) -> Mapping[str, int]:
        spec, m = self.spec, acts.shape[0]
        tiles = sum(self.tiles(weights.n).values())
        groups = self._groups(acts)  # (M, steps of a token, tables, g)
        passing = groups.reshape(-1, spec.group)
        counts = {
            "reg.act.toggle": tiles * stream_toggles(passing.view(np.uint8 if spec.integer else np.uint16), 0),
            "reg.index.toggle": weights.facts.toggles(m),
        }
        if spec.storage == "registers":
            built, full = groups.reshape(-1, spec.tables, spec.g), spec.table == "full"
            flips = table_toggles(built, full, spec.entry_bits) if spec.integer else float_table_toggles(built, full)
            counts["reg.table.toggle"] = tiles * flips
        return counts

    def act_operand(self, x: Array) -> Array:
        return super().act_operand(x) if self.spec.integer else fp16_operand("x", x)

    def sums(self, acts: Array, weights: PreparedWeights) -> Summed:
        if self.spec.integer:
            return super().sums(acts, weights)
        return finite(self._looked_up(acts, weights.codes())[0], acts.shape[1])

    def _looked_up(self, acts: Array, w: Array) -> tuple[Array, int]:
        """Sums of FP16 activations (M, K) on the columns `w` (n, K), and flips of the accumulators."""
        groups = self._groups(acts)
        entries = float_entries(groups.reshape(-1, self.spec.g)).reshape(*groups.shape[:3], -1)
        values = (self._groups(w.astype(np.int16)) @ (3 ** np.arange(self.spec.g, dtype=np.int16))).astype(np.int16)
        return float_lookups(entries, values, single=self.spec.acc_bits > HALF_BITS)

    def dear_toggles(self, acts: Array, w: Array, y: Array | None, *, overflowed: bool) -> Mapping[str, int]:
        if not self.spec.integer:
            return {"reg.psum.toggle": self._looked_up(acts, w)[1]}
        saturate = overflowed and self.spec.overflow == "saturate"
        return {"reg.psum.toggle": grouped_toggles(acts, w, self.spec.group, self.spec.acc_bits, saturate)}

    def _groups(self, values: Array) -> Array:
        """(rows, K) -> (rows, steps, tables, g), zeros beyond K."""
        spec = self.spec
        return in_groups(values, spec.group).reshape(values.shape[0], -1, spec.tables, spec.g)


def float_entries(acts: Array) -> Array:
    """The FP16 sums of half a table each of FP16 patterns (R, g): float32 (R, entries), by balanced ternary value.

    The entry of a value whose last weight is +1 is f16(a + e), a the last activation and e the entry of the others.
    """
    values = np.ascontiguousarray(acts).view(np.float16).astype(np.float32)
    entries = np.empty((len(values), 0), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for act in values.T[:, :, None]:
            less, more = (
                round_to_half(act + sign * entries).astype(np.float32) for sign in (np.float32(-1), np.float32(1))
            )
            entries = np.concatenate([entries, less[:, ::-1], act, more], axis=1)
    return entries


def float_table_toggles(groups: Array, full: bool) -> int:
    """As `table_toggles`, of FP16 entries; `groups`: patterns (S, T, g)."""
    flips = 0
    for table in range(groups.shape[1]):
        entries = float_entries(groups[:, table])
        for values in (entries, -entries) if full else (entries,):
            with np.errstate(over="ignore"):
                held = np.where(np.isnan(values), np.uint16(HALF_NAN), values.astype(np.float16).view(np.uint16))
            flips += stream_toggles(held, 0)
    return flips
