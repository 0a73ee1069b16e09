"""Adder trees: L sign-selecting lanes, a balanced tree of adders, an accumulator; C trees see the same activations.

    activations, one group of L per cycle, 8-bit registers that all trees share
       a0      a1      a2      a3      a4      a5      a6      a7
       |       |       |       |       |       |       |       |
      sel w0  sel w1  sel w2  sel w3  sel w4  sel w5  sel w6  sel w7     w = 01: a    11: ~a, carry s = 1    00: 0
        \\      /        \\      /        \\      /        \\      /
         ( + )-- s0      ( + )-- s2      ( + )-- s4      ( + )-- s6      9 bits
             \\            /                  \\            /
              +--( + )--+ s1                  +--( + )--+ s5             10 bits
       = = = = = = = = = = = = = = = = = = = = = = = = = = = = = = = =   a rank of pipeline registers (`pipeline`: 1)
                      \\                         /
                       +--------( + )----------+ s3                      11 bits
                                  |
                    acc[t] ---> ( + )-- s7
                      ^           |
                      +-----------+      one accumulator of `acc_bits` for each of the T `tokens` that share weights

Negation is inversion plus one. The ones are free: every adder has a carry input, and L lanes have L - 1 adders and the
accumulator's. An adder takes the carry of its left child; that of its right child waits for the next adder. So a node
of level l (adders in a row above it, starting at 1) needs 8 + l bits, and its register one more for the waiting carry.
Where L is no power of two, some levels have an odd number of nodes: the last one has no partner and passes on as it is,
with its carry, through a register as wide as those of its level.

Order of work: for each tile of C outputs, for each block of T tokens, for each group of L of K, for each token of the
block one cycle. Weight registers change once per block and group, activation registers in every cycle. The accumulator
takes the first group's sum instead of adding it. A tile of M tokens takes M ceil(K / L) cycles, one to fill the operand
registers, one per rank and one in which the accumulators hand over their sums and are cleared; meanwhile zeros follow
through all registers. With an `interval` of I, each of these cycles is I of the chip's. Tiles start from reset and do
not overlap. Lanes beyond K hold zeros and are clocked; trees beyond N do nothing (without clock gating they are
clocked).

Exact for every operand in -128..127 and weights -1, 0, 1; the tree itself can't overflow, accumulators wrap or saturate
(`overflow.acc`, at the first k of the group).

Events: `tree.depth{d}.add_bits` are the bits of all adders that work, those of the accumulators among them, booked
under the number d of adders in a row between two ranks of registers: glitches grow from adder to adder, so that a bit
costs more in a deeper stage. Sign selection is part of their price (tools/derive_prices.py: the synthesised 16-lane
tree is d = 5, the ternary PE d = 1). `reg.tree{l}.toggle` are the pipeline registers behind level l. Events times
prices rebuild the synthesised trees within 15 % while at most half of the weights are 0. Beyond, they can't: an adder
holds still if all lanes above it have weight 0 twice in a row, and all bits of a tree have one price. At 0.7 zeros
`low` is 11 to 22 % too high and `high` 41 to 49 %, at 0.9 72 % and more (tests/hw/test_rebuilt_prices.py).

Published: TerEffic's TMat (arXiv 2502.16473), ternfpga's dot pipe; synthesised as `tree16` and `tdot16_a8_acc24`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bitsim.datapath.base import Array, Streams, arithmetic_events
from bitsim.datapath.formats import weight_patterns
from bitsim.datapath.kernels.adder_tree import tree_toggles
from bitsim.datapath.kernels.group_toggles import group_toggles
from bitsim.datapath.lanes import WeightFacts, entering, weight_facts
from bitsim.datapath.prepared import PreparedWeights
from bitsim.datapath.registers import stream_toggles
from bitsim.datapath.template import GroupSums
from bitsim.events import Events
from bitsim.hw.datapaths.adder_tree import ACT_BITS, AdderTreeSpec
from bitsim.hw.datapaths.base import adders_at, nodes_at

WEIGHT_BITS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """How one matmul passes through the trees."""

    groups: int
    blocks: int
    tiles: int
    passes: int


class AdderTree(GroupSums[AdderTreeSpec]):
    """Adder trees as their `AdderTreeSpec` describes them."""

    takes_arrays = True

    @property
    def grain(self) -> tuple[int, int, int]:
        return self.spec.tokens, self.spec.lanes, self.spec.trees

    def walk(self, m: int, k: int, n: int) -> Walk:
        spec = self.spec
        groups = -(-k // spec.lanes)
        return Walk(
            groups=groups,
            blocks=-(-m // spec.tokens),
            tiles=-(-n // spec.trees),
            passes=m * groups,
        )

    def cycles(self, m: int, k: int, n: int) -> int:
        walk = self.walk(m, k, n)
        return walk.tiles * (walk.passes + self.spec.pipeline + 2) * self.spec.interval

    def streams(self, m: int, k: int, n: int) -> Streams:
        """Weights are read once per block of tokens, activations once per tile, sums written and read once."""
        walk, weights, sums = self.walk(m, k, n), k * n * WEIGHT_BITS, m * n * self.spec.acc_bits
        return Streams(
            weight_writes=weights,
            weight_reads=weights * walk.blocks,
            act_reads=m * k * ACT_BITS * walk.tiles,
            psum_reads=sums,
            psum_writes=sums,
        )

    def adder_bits(self) -> dict[int, int]:
        """Bits of the adders of one tree, accumulator included, by the number of adders in a row of their stage."""
        spec = self.spec
        widths = {level: adders_at(spec.lanes, level) * (ACT_BITS + level) for level in range(1, spec.levels + 1)}
        widths[spec.levels + 1] = spec.acc_bits
        bits: dict[int, int] = {}
        edges = (0, *spec.ranks, spec.levels + 1)
        for start, end in pairwise(edges):
            bits[end - start] = bits.get(end - start, 0) + sum(widths[level] for level in range(start + 1, end + 1))
        return bits

    def rank_bits(self) -> dict[int, int]:
        """Bits of the pipeline registers of one tree by level: each node's sum and its waiting carry."""
        return {level: nodes_at(self.spec.lanes, level) * (ACT_BITS + level + 1) for level in self.spec.ranks}

    def parts(self) -> Mapping[str, int]:
        """Adders with their share of the sign selection, bit by bit, and all registers; control is not counted."""
        spec = self.spec
        registers = spec.lanes * WEIGHT_BITS + sum(self.rank_bits().values()) + spec.tokens * spec.acc_bits
        adders = sum(self.adder_bits().values())
        return {"tree.add_bit": spec.trees * adders, "reg.bit": ACT_BITS * spec.lanes + spec.trees * registers}

    def data_independent(self, m: int, k: int, n: int) -> Events:
        passes = self.walk(m, k, n).passes
        counts = {f"tree.depth{depth}.add_bits": bits * passes * n for depth, bits in self.adder_bits().items()}
        counts["reg.clock"] = self._clocked_bits(m, k, n)
        return Events(counts) + arithmetic_events("int8", m, k, n, multiplies=False)

    def _clocked_bits(self, m: int, k: int, n: int) -> int:
        """Register bits x cycles in which they are clocked.

        Gated: when a value enters and once more to return to zero, in trees that have an output only.
        """
        spec, walk = self.spec, self.walk(m, k, n)
        acts, weights, ranks = ACT_BITS * spec.lanes, WEIGHT_BITS * spec.lanes, sum(self.rank_bits().values())
        if not spec.clock_gating:
            return self.cycles(m, k, n) * (acts + spec.trees * (weights + ranks + spec.tokens * spec.acc_bits))
        per_tree = (walk.blocks * walk.groups + 1) * weights + (walk.passes + 1) * ranks
        per_tree += (walk.passes + min(m, spec.tokens)) * spec.acc_bits
        return walk.tiles * (walk.passes + 1) * acts + n * per_tree

    def chances(self, m: int, k: int, n: int) -> Mapping[str, int]:
        spec, walk = self.spec, self.walk(m, k, n)
        updates = {
            "reg.act.toggle": walk.tiles * (walk.passes + 1) * ACT_BITS * spec.lanes,
            "reg.weight.toggle": n * (walk.blocks * walk.groups + 1) * WEIGHT_BITS * spec.lanes,
            "reg.psum.toggle": n * (walk.passes + min(m, spec.tokens)) * spec.acc_bits,
        }
        ranks = self.rank_bits().items()
        return updates | {f"reg.tree{level}.toggle": n * (walk.passes + 1) * bits for level, bits in ranks}

    def weight_facts(self, codes: Array) -> WeightFacts:
        return weight_facts(weight_patterns("ternary", codes).astype(np.uint8), self.spec.lanes)

    def cheap_events(self, acts: Array, weights: PreparedWeights) -> Mapping[str, int]:
        walk = self.walk(acts.shape[0], weights.k, weights.n)
        stream = entering(acts.view(np.uint8), self.spec.lanes, self.spec.tokens)
        return {
            "reg.act.toggle": walk.tiles * stream_toggles(stream, 0),
            "reg.weight.toggle": weights.facts.toggles(walk.blocks),
        }

    def dear_toggles(self, acts: Array, w: Array, y: Array | None, *, overflowed: bool) -> Mapping[str, int]:
        spec = self.spec
        saturate = overflowed and spec.overflow == "saturate"
        if not spec.ranks and not saturate:
            return {"reg.psum.toggle": group_toggles(acts, w, spec.lanes, spec.tokens, spec.acc_bits)}
        *ranks, accumulators = tree_toggles(acts, w, spec.lanes, spec.tokens, spec.ranks, spec.acc_bits, saturate)
        counts = {f"reg.tree{level}.toggle": int(flips) for level, flips in zip(spec.ranks, ranks, strict=True)}
        return counts | {"reg.psum.toggle": int(accumulators)}
