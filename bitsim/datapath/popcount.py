"""Popcount arrays: activations and weights of one or two bits are compared word by word, and ones are counted.

    activations, one group of L per cycle, in registers that all columns share
       binary, 1 bit (set for 1)                      ternary, 2 bits (not zero, negative)

       x0 w0   x1 w1   x2 w2   x3 w3                  both = x.nonzero & w.nonzero,  differ = x.negative ^ w.negative
         |       |       |       |
       XNOR    XNOR    XNOR    XNOR   & k < K         both & ~differ        both & differ
          \\     /          \\     /                         |                    |
           ( + )           ( + )      2 bits           popcount tree        popcount tree
               \\          /                                  \\                  /
                +--( + )--+           3 bits                  +------( - )------+
                      | P                                              |
                ( 2 P - L )           log2 L + 2 bits                  |
                      |                                                |
       acc[t] ---> ( + )                                acc[t] ---> ( + )

A product of two values -1 or 1 is 1 where their bits agree, so that L products sum to 2 P - L; in the last group, L is
the number of lanes that K leaves, and the lanes beyond are masked. A product of ternary values is not 0 where both
are not, and -1 where their signs differ. Binary weights with activations of 8 or 4 bits count ones plane by plane:
`bitsim.datapath.bit_serial` with `weights: binary`.

Order of work, as in an adder tree that is not pipelined: for each tile of `cols` outputs, for each block of `tokens`,
for each group of L of K, for each token of the block one cycle. Weight registers change once per block and group,
activation registers in every cycle. The accumulator takes the first group's sum instead of adding it. A tile of M
tokens takes M ceil(K / L) cycles, one to fill the operand registers and one in which the accumulators hand over their
sums and are cleared; zeros follow through all registers. Tiles start from reset and do not overlap. Lanes beyond K hold
zeros and are clocked; columns beyond N do nothing.

Exact for operands that are all -1 or 1, or all -1, 0 or 1; the count can't overflow, accumulators wrap or saturate
(`overflow.acc`, at the first k of the group). Others raise: models whose
activations have 8 or 4 bits can't run here, and no model that comes with bitsim has narrower ones, so that there are no
measured rates and estimates refuse. `bitsim datapath compare` gives the shipped chips `popcount-w1a1` and
`popcount-ternary` the signs of a model's operands, and says so.

Events: `popcount.depth{d}.add_bits`, the bits of all adders with d of them in a row: the tree's log2 L levels, the
subtractor of two trees, and the accumulator's. What 2 P - L subtracts is constant and no adder in the row, but its
bits are counted. XNOR gates and masks are part of the price. It comes from the synthesised `xnor32` of study B (d = 6:
32 binary or 16 ternary lanes) and `xnor64_acc16` of study A (d = 7); other depths have no price, and masks were not
synthesised.

Published: XNOR-Net (arXiv 1603.05279), CUTIE (ternary x ternary, popcount of +1 less popcount of -1).
"""

from collections.abc import Mapping
from dataclasses import dataclass

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
from bitsim.hw.datapaths.base import adders_at
from bitsim.hw.datapaths.popcount import PopcountSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """How one matmul passes through the columns; `loads`: groups of weights that enter a column."""

    tiles: int
    passes: int
    loads: int
    blocks: int


class Popcount(GroupSums[PopcountSpec]):
    """A popcount array as its `PopcountSpec` describes it."""

    takes_arrays = True

    act_range = (-1, 1)

    def __init__(self, spec: PopcountSpec) -> None:
        super().__init__(spec)
        self.zero_acts = self.zero_weights = spec.zero_weights

    @property
    def grain(self) -> tuple[int, int, int]:
        return self.spec.tokens, self.spec.lanes, self.spec.cols

    def walk(self, m: int, k: int, n: int) -> Walk:
        spec = self.spec
        groups, blocks = -(-k // spec.lanes), -(-m // spec.tokens)
        return Walk(
            tiles=-(-n // spec.cols),
            passes=m * groups,
            loads=blocks * groups,
            blocks=blocks,
        )

    def cycles(self, m: int, k: int, n: int) -> int:
        walk = self.walk(m, k, n)
        return walk.tiles * (walk.passes + 2)

    def streams(self, m: int, k: int, n: int) -> Streams:
        """Weights are read once per block of tokens, activations once per tile, sums written and read once."""
        walk, sums = self.walk(m, k, n), m * n * self.spec.acc_bits
        weights = k * n * self.spec.code_bits
        return Streams(
            weight_writes=weights,
            weight_reads=weights * walk.blocks,
            act_reads=m * k * self.spec.code_bits * walk.tiles,
            psum_reads=sums,
            psum_writes=sums,
        )

    @property
    def adder_bits(self) -> int:
        """Bits of the adders of one column: one tree or two, the subtractor and the accumulator's."""
        spec = self.spec
        tree = sum(adders_at(spec.lanes, level) * (level + 1) for level in range(1, spec.levels + 1))
        return spec.code_bits * tree + spec.sum_bits + spec.acc_bits

    def parts(self) -> Mapping[str, int]:
        """Adders with their share of the XNOR gates, or of the masks of ternary operands, and all registers."""
        spec, operand = self.spec, self.spec.code_bits * self.spec.lanes
        adder = "popcount.add_bit" if spec.operands == "binary" else "popcount.mask_add_bit"
        return {
            adder: spec.cols * self.adder_bits,
            "reg.bit": operand + spec.cols * (operand + spec.tokens * spec.acc_bits),
        }

    def data_independent(self, m: int, k: int, n: int) -> Events:
        counts = {f"popcount.depth{self.spec.depth}.add_bits": self.walk(m, k, n).passes * self.adder_bits * n}
        counts["reg.clock"] = sum(self.chances(m, k, n).values())
        return Events(counts) + arithmetic_events("int8", m, k, n, multiplies=False)

    def chances(self, m: int, k: int, n: int) -> Mapping[str, int]:
        """Register bits times how often they take a value, zero at the end among them: all can flip and are clocked."""
        spec, walk = self.spec, self.walk(m, k, n)
        lanes = spec.code_bits * spec.lanes
        return {
            "reg.act.toggle": walk.tiles * (walk.passes + 1) * lanes,
            "reg.weight.toggle": n * (walk.loads + 1) * lanes,
            "reg.psum.toggle": n * (walk.passes + min(m, spec.tokens)) * spec.acc_bits,
        }

    def patterns(self, codes: Array) -> Array:
        """What registers hold for `codes`, uint8."""
        return weight_patterns("ternary", codes).astype(np.uint8) if self.zero_weights else (codes > 0).view(np.uint8)

    def weight_facts(self, codes: Array) -> WeightFacts:
        return weight_facts(self.patterns(codes), self.spec.lanes)

    def cheap_events(self, acts: Array, weights: PreparedWeights) -> Mapping[str, int]:
        walk = self.walk(acts.shape[0], weights.k, weights.n)
        stream = entering(self.patterns(acts), self.spec.lanes, self.spec.tokens)
        return {
            "reg.act.toggle": walk.tiles * stream_toggles(stream, 0),
            "reg.weight.toggle": weights.facts.toggles(walk.blocks),
        }

    def dear_toggles(self, acts: Array, w: Array, y: Array | None, *, overflowed: bool) -> Mapping[str, int]:
        spec = self.spec
        saturate = overflowed and spec.overflow == "saturate"
        if not saturate:
            return {"reg.psum.toggle": group_toggles(acts, w, spec.lanes, spec.tokens, spec.acc_bits)}
        return {"reg.psum.toggle": int(tree_toggles(acts, w, spec.lanes, spec.tokens, (), spec.acc_bits, saturate)[0])}
