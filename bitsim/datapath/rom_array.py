"""Compute-in-ROM: weights that never move, read a word at a time next to accumulators that add, subtract or skip.

    activations of one token, one per bank and cycle
         |                           |
       [reg]  8 bits               [reg]
         |                           |
    +----+-------- bank 0 ---+  +----+-------- bank 1 ---+        +- bank 2 -+  +- bank 3 -+
    | word r: w w w w ... w  |  | word r: w w w w ... w  |        |          |  |          |
    | k = r   | | | |     |  |  | k = R+r | | | |     |  |  ...   |  asleep  |  |  asleep  |   the weights of other
    |        +-0+-0+-0   +-0 |  |        +-0+-0+-0   +-0 |        |          |  |          |   tiles, layers, ...
    |  C accumulators `acc_bits` |  C accumulators       |        +----------+  +----------+
    +---------+-+-+-+-----+--+  +---------+-+-+-+-----+--+
              | | | |     |               | | | |     |
              +-+-+-+-----+---------------+-+-+-+-----+--->  ( + ) C column accumulators of `column_acc_bits`,
                                                                   one bank after the other

All weights of a model are in ROM: every tile of R of K and C of N is a bank of its own, and none is ever loaded. A word
holds the C weights, 2 bits each, that one activation meets. `banks` of them are awake at once, for consecutive slices
of K of the same outputs; per-bank gating keeps all others asleep.

Order of work: for each tile of C outputs, for each round of `banks` slices of K, for each token. A round wakes its
banks once (`wake_cycles`, and one cycle to fill the activation registers). A token takes as many cycles as the longest
slice of the round has activations, and one per bank in which its sums go to the column accumulators and it is cleared;
nothing else can hold them, so that reading waits. Column accumulators are written to the buffer of partial sums after
each round and read back for every round but the first. Rounds do not overlap.

Zeros save energy and no cycles: a weight of 0 closes the gate in front of its accumulator (`gate.closed`, the skip of
BitROM's TriMLA); the word of an activation of 0 is not read and its bank holds still (`zero_gating`). For skipped
cycles see `bitsim.datapath.sparse_array`.

Overflows: `overflow.psum` in a bank at its k, `overflow.column` where the sums meet, at the slice's first k; both wrap
or saturate. Exact for every activation in -128..127 and weights -1, 0, 1.

Events: `rom.read_bits`; `pe.<unit>.add` and `.sub` for the accumulators, which are ternary PEs; `acc.add.<format>` for
the column accumulators, whose registers are not counted (as in `bitsim.datapath.pe_array`). `rom.wakes` and
`rom.awake_bank_cycles` are activity without energy: nothing is published from which waking or a bank's leakage could be
priced. The read's price is an upper stand-in, all that BitROM spends on a MAC (hw_models/technology).

Area: of the awake banks; sources for a bit of ROM lie far apart, at 7 nm by a factor of 50. Not modelled: how much ROM
there is (all weights of any model fit), several columns of cells per accumulator, and adapters in SRAM (TOM).

Published: BitROM (arXiv 2509.08542: 2048 x 1024, two weights per transistor, 65 nm), TOM (arXiv 2602.20662: standard-
cell ROM, gated banks), ankhdjet (one transistor per weight).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bitsim.datapath.accumulation import WHOLE_ROW, Accumulation, Register, accumulate
from bitsim.datapath.base import Array, Statistics, Streams, arithmetic_events
from bitsim.datapath.kernels.saturating import os_saturating_toggles
from bitsim.datapath.prepared import PreparedWeights
from bitsim.datapath.registers import stream_toggles
from bitsim.datapath.template import CountedDatapath
from bitsim.datapath.toggles import acc_toggles_os
from bitsim.events import Events
from bitsim.hw.datapaths.rom_array import RomArraySpec

ACT_BITS = 8
WEIGHT_BITS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFacts:
    """By k, how many weights of the N outputs are +1 and -1: int64 (K,)."""

    plus: Array
    minus: Array


class RomArray(CountedDatapath[RomArraySpec]):
    """ROM banks as their `RomArraySpec` describes them."""

    holds_weights = True
    sums_tiles = True

    @property
    def accumulation(self) -> Accumulation:
        spec = self.spec
        return Accumulation(
            group=spec.rows,
            inner=Register(name="psum", bits=spec.acc_bits),
            outer=Register(name="column", bits=spec.column_acc_bits),
            overflow=spec.overflow,
        )

    @property
    def grain(self) -> tuple[int, int, int]:
        return 1, self.spec.rows * self.spec.banks, self.spec.cols

    def slices(self, k: int) -> list[slice]:
        """The slices of K, one per bank."""
        return [slice(k0, min(k0 + self.spec.rows, k)) for k0 in range(0, k, self.spec.rows)]

    def rounds(self, m: int, k: int) -> list[tuple[int, int]]:
        """Of each round of one tile of outputs: how many banks are awake, and for how many cycles."""
        spec, slices = self.spec, self.slices(k)
        groups = [slices[i : i + spec.banks] for i in range(0, len(slices), spec.banks)]
        return [
            (len(group), spec.wake_cycles + 1 + m * (group[0].stop - group[0].start + len(group))) for group in groups
        ]

    def cycles(self, m: int, k: int, n: int) -> int:
        return self._tiles(n) * sum(cycles for _, cycles in self.rounds(m, k))

    def streams(self, m: int, k: int, n: int) -> Streams:
        """Activations are read once per tile of outputs, sums written and read once per round; no weight moves."""
        moved = m * n * self.spec.column_acc_bits * len(self.rounds(m, k))
        return Streams(
            weight_writes=0,
            weight_reads=0,
            act_reads=m * k * ACT_BITS * self._tiles(n),
            psum_reads=moved,
            psum_writes=moved,
        )

    def parts(self) -> Mapping[str, int]:
        """Awake banks with their adders, gates and registers, and an adder below each column, as in a PE array.

        Not counted: banks that sleep, whose number is the model's, and what wakes them.
        """
        spec = self.spec
        accumulators = spec.banks * spec.cols
        return {
            "rom.bit": accumulators * spec.rows * WEIGHT_BITS,
            "tree.add_bit": accumulators * spec.acc_bits,
            "gate": accumulators,
            "reg.bit": spec.banks * ACT_BITS + accumulators * spec.acc_bits,
            f"add.{spec.column_format}": spec.cols,
        }

    def data_independent(self, m: int, k: int, n: int) -> Events:
        spec, tiles, banks, rounds = self.spec, self._tiles(n), len(self.slices(k)), self.rounds(m, k)
        counts = {
            f"acc.add.{spec.column_format}": m * n * banks,
            "reg.clock": banks * (m * n * spec.acc_bits + tiles * ACT_BITS),
            "rom.wakes": tiles * banks,
            "rom.awake_bank_cycles": tiles * sum(awake * cycles for awake, cycles in rounds),
        }
        return Events(counts) + arithmetic_events("int8", m, k, n, multiplies=False)

    def chances(self, m: int, k: int, n: int) -> Mapping[str, int]:
        """Every word is read and no weight is 0."""
        spec, tiles, banks = self.spec, self._tiles(n), len(self.slices(k))
        acts, sums = tiles * m * k * ACT_BITS, m * k * n * spec.acc_bits
        return {
            "rom.read_bits": m * k * n * WEIGHT_BITS,
            "reg.act.toggle": acts + tiles * banks * ACT_BITS,
            "reg.psum.toggle": sums + m * n * banks * spec.acc_bits,
            "reg.gated.clock": acts + sums,
        }

    def expect(self, m: int, k: int, n: int, statistics: Statistics) -> Events:
        """The weights that are read skip, add and subtract as often as they have these values."""
        expected, unit = super().expect(m, k, n, statistics), f"pe.{self.spec.unit}"
        operations = expected["rom.read_bits"] // WEIGHT_BITS
        skips = round(operations * statistics.weight_zeros)
        subs = (operations - skips) // 2
        return expected + Events({"gate.closed": skips, f"{unit}.sub": subs, f"{unit}.add": operations - skips - subs})

    def weight_facts(self, codes: Array) -> WeightFacts:
        return WeightFacts(
            plus=(codes == 1).sum(axis=0, dtype=np.int64), minus=(codes == -1).sum(axis=0, dtype=np.int64)
        )

    def cheap_events(self, acts: Array, weights: PreparedWeights) -> Mapping[str, int]:
        spec, tiles, facts = self.spec, self._tiles(weights.n), weights.facts
        taken = self._taken(acts)
        reads = taken.sum(axis=0, dtype=np.int64)
        words, adds, subs = int(reads.sum()), int(reads @ facts.plus), int(reads @ facts.minus)
        entering = ((acts[:, part].view(np.uint8), taken[:, part]) for part in self.slices(weights.k))
        streams = (values[read] for values, read in entering)
        return {
            "rom.read_bits": words * weights.n * WEIGHT_BITS,
            f"pe.{spec.unit}.add": adds,
            f"pe.{spec.unit}.sub": subs,
            "gate.closed": words * weights.n - adds - subs,
            "reg.act.toggle": tiles * sum(stream_toggles(stream[:, None], 0) for stream in streams if stream.size),
            "reg.gated.clock": (adds + subs) * spec.acc_bits + tiles * words * ACT_BITS,
        }

    def dear_toggles(self, acts: Array, w: Array, y: Array | None, *, overflowed: bool) -> Mapping[str, int]:
        """Bank by bank: the running sums from 0, and clearing them."""
        bits, clipped = self.spec.acc_bits, overflowed and self.spec.overflow == "saturate"
        bank = Accumulation(
            group=WHOLE_ROW, inner=Register(name="psum", bits=bits), outer=None, overflow=self.spec.overflow
        )
        mask, flips = np.uint64((1 << bits) - 1), 0
        for part in self.slices(acts.shape[1]):
            x_bank, w_bank = np.ascontiguousarray(acts[:, part]), np.ascontiguousarray(w[:, part])
            running = os_saturating_toggles if clipped else acc_toggles_os
            sums = accumulate(x_bank, w_bank, bank, largest_weight=1).y.astype(np.int64).view(np.uint64)
            flips += int(running(x_bank, w_bank, bits)) + int(np.bitwise_count(sums & mask).sum(dtype=np.int64))
        return {"reg.psum.toggle": flips}

    def _tiles(self, n: int) -> int:
        return -(-n // self.spec.cols)

    def _taken(self, acts: Array) -> Array:
        """The activations whose word is read, bool (M, K)."""
        return acts != 0 if self.spec.zero_gating else np.ones(acts.shape, np.bool_)
