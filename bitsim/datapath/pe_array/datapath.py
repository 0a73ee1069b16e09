"""The PE array: R x C processing elements, weight- or output-stationary; ternary, INT8 or FP16, ternary ones of floats.

    weight-stationary, PE (r, c)            weights are shifted in from above and stay
         psum_in   w                          psum_out <= psum_in + {a, -a, 0}   (or psum_in + a * w)
            |      |                          a_out    <= a_in
    a_in -> [  PE  ] -> a_out               below each column an accumulator adds up the tiles of K
               |
            psum_out

    output-stationary, PE (r, c)
    a_in -> [ acc  ] -> a_out                 acc   <= acc + {a, -a, 0};  a_out <= a_in;  w_out <= w_in
               |                            when K is through, the sums are shifted out downwards
             w_out

Timing, weight-stationary, R = 3, C = 2, M = 4 (row r's activation of token m enters in cycle R + m + r):

    cycle    0  1  2 | 3   4   5   6   7   8   9  10        weights shift in for R cycles, then M + R + C - 1 more
    row 0    weights | x0  x1  x2  x3
    row 1    weights |     x0  x1  x2  x3
    row 2    weights |         x0  x1  x2  x3
    y[., 0]          |         y0  y1  y2  y3               formed in the last PE of column 0, for its accumulator
    y[., 1]          |             y0  y1  y2  y3

and cycle 10 clears the last sum. A tile is R of K by C of N and takes 2 R + M + C - 1 cycles. Output-stationary: a tile
is R of M by C of N; operands stream for K + R + C - 1 cycles, and R more take the sums out. Tiles do not overlap
(`geometry` has the closed forms, `cycle_model` steps every register).

Registers start at 0 and every tile starts from a reset array, so that events of tiles add up. Unused rows and columns
hold weight 0: they are no operations, but their registers pass values on, toggle and are clocked.

Exact: the INT8 and ternary arrays equal the int64 matmul as long as no sum leaves `acc_bits` (counted and reported);
the FP16 array rounds every product and every sum to binary16, k ascending, and is not exact. The array of ternary PEs
of floats (`ternary_fp16`, `ternary_bf16`) rounds activations to their format and every sum to binary16 or binary32, k
ascending; a weight of 0 adds nothing, not even of an activation that is infinite (`kernels.ternary_float_array`).

Priced from synthesised PEs (tools/derive_prices.py). Events times prices rebuild their energies within 15 %, `low` that
of the lower study, `nominal` and `high` those with glitches (tests/hw/test_rebuilt_prices.py). Add, sub and skip have
one price, because a sum that passes through a PE switches its adder; but an output-stationary PE that skips after a
skip holds still (`pe.*.idle`), so that gate energy falls with about 1 - zeros^2, and `low` is rebuilt for shares of
zeros from 0 to 0.9. Events can't do it for `high` of every share: the measured glitches with unit delays are those of
one run, and do not fall as zeros grow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Self

import numpy as np

from bitsim.datapath.accumulation import Accumulation, Summed
from bitsim.datapath.base import Array, Statistics, Streams, Toggles, arithmetic_events
from bitsim.datapath.formats import PE_FORMATS, float_operand, fp16_operand, integer_operand, weight_patterns
from bitsim.datapath.outcomes import Observation
from bitsim.datapath.packed import PackedTernary
from bitsim.datapath.pe_array import sums, switching
from bitsim.datapath.pe_array.between import edges as edges_of
from bitsim.datapath.pe_array.between import kept_toggles
from bitsim.datapath.pe_array.facts import WeightFacts, repeated_zeros, summed
from bitsim.datapath.pe_array.geometry import Tiling
from bitsim.datapath.pe_array.stored_halves import StoredHalves, half_blocks
from bitsim.datapath.prepared import PreparedWeights
from bitsim.datapath.registers import stream_toggles
from bitsim.datapath.template import CountedDatapath
from bitsim.datapath.tiles import Tiles, slices
from bitsim.events import Events
from bitsim.hw.datapaths.pe_array import PEArraySpec
from bitsim.model.weights import FloatWeight


class PEArray(CountedDatapath[PEArraySpec]):
    """An R x C array as its `PEArraySpec` describes it."""

    takes_arrays = True

    def __init__(self, spec: PEArraySpec, *, stays: bool = False, edges: bool = False) -> None:
        super().__init__(spec)
        self.stays = stays
        self.stationary = spec.dataflow == "weight_stationary"
        self.sums_tiles = self.stationary
        self.keeps_weights = spec.between_tiles == "keep"
        self.finds_edges = edges or self.keeps_weights
        self.format = PE_FORMATS[spec.pe]
        self.weight_range = (-128, 127) if self.format.multiplies else (-1, 1)

    def __repr__(self) -> str:
        return f"PEArray({self.spec.unit}, {self.spec.dataflow}, {self.spec.rows}x{self.spec.cols})"

    @property
    def exact(self) -> bool:
        return self.spec.integer

    @property
    def arithmetic(self) -> str:
        return self.spec.arithmetic

    @property
    def accumulation(self) -> Accumulation:
        return sums.accumulation(self.spec)

    @property
    def grain(self) -> tuple[int, int, int]:
        return (1, self.spec.rows, self.spec.cols) if self.stationary else (self.spec.rows, 1, self.spec.cols)

    @property
    def holds(self) -> tuple[int, int]:
        """Output-stationary: a sum per PE."""
        return (0, 0) if self.stationary else (self.spec.rows, self.spec.cols)

    @cached_property
    def staying(self) -> Self:
        return type(self)(self.spec, stays=True)

    @cached_property
    def reset(self) -> Self:
        if not self.keeps_weights:
            return self
        return type(self)(self.spec.model_copy(update={"between_tiles": "reset"}), edges=True)

    def tiling(self, m: int, k: int, n: int) -> Tiling:
        spec = self.spec
        return Tiling(
            dataflow=spec.dataflow,
            rows=spec.rows,
            cols=spec.cols,
            m=m,
            k=k,
            n=n,
            stays=self.stays,
            interval=spec.interval,
        )

    def cycles(self, m: int, k: int, n: int) -> int:
        return self.tiling(m, k, n).cycles

    def parts(self) -> Mapping[str, int]:
        """The PEs with their sums and activation registers, weight registers, and an adder below each column.

        Not counted: registers that delay operands at the edges, and control.
        """
        spec = self.spec
        pes = spec.rows * spec.cols
        counts = {f"pe.{spec.unit}": pes, "reg.bit": pes * self.format.weight_bits}
        return counts | ({f"add.{spec.column_format}": spec.cols} if spec.dataflow == "weight_stationary" else {})

    def streams(self, m: int, k: int, n: int) -> Streams:
        """Activations are read once per tile of N and weights once per tile of M.

        Weight-stationary arrays write the column accumulators once per tile of K and read them back for every tile but
        the first; the finished sums are read once more by the vector unit.
        """
        spec, tiling = self.spec, self.tiling(m, k, n)
        sum_bits = spec.column_acc_bits if tiling.weight_stationary and spec.integer else spec.acc_bits
        weights = k * n * self.format.weight_bits
        moved = 0 if self.stays else m * n * sum_bits * tiling.k_tiles
        return Streams(
            weight_writes=weights,
            weight_reads=weights * tiling.m_tiles,
            act_reads=m * k * self.format.act_bits * tiling.n_tiles,
            psum_reads=moved,
            psum_writes=moved,
        )

    def data_independent(self, m: int, k: int, n: int) -> Events:
        spec, fmt, tiling = self.spec, self.format, self.tiling(m, k, n)
        clocked = tiling.clocked_bits(fmt.act_bits, fmt.weight_bits, spec.acc_bits, spec.clock_gating)
        counts = {"reg.clock": clocked}
        if fmt.multiplies:
            counts[f"pe.{spec.unit}.mac"] = m * k * n
        if tiling.weight_stationary:
            counts[f"acc.add.{spec.column_format}"] = m * n * tiling.k_tiles
        return Events(counts) + arithmetic_events(spec.arithmetic, m, k, n, multiplies=fmt.multiplies)

    def chances(self, m: int, k: int, n: int) -> Mapping[str, int]:
        tiling = self.tiling(m, k, n)
        updates = tiling.register_updates
        weights = tiling.kept_weight_updates if self.keeps_weights else updates.weight
        return {
            "reg.act.toggle": updates.act * self.format.act_bits,
            "reg.weight.toggle": weights * self.format.weight_bits,
            "reg.psum.toggle": updates.psum * self.spec.acc_bits,
        }

    def expect(self, m: int, k: int, n: int, statistics: Statistics) -> Events:
        toggles = super().expect(m, k, n, statistics)
        if self.format.multiplies:
            return toggles
        operations, unit = m * k * n, f"pe.{self.spec.unit}"
        zeros = round(operations * statistics.weight_zeros)
        idles = 0 if self.stationary else round(zeros * statistics.weight_zeros)
        subs = (operations - zeros) // 2
        counts = {"skip": zeros - idles, "idle": idles, "sub": subs, "add": operations - zeros - subs}
        return toggles + Events({f"{unit}.{action}": count for action, count in counts.items()})

    def prepare_stored(self, weight: FloatWeight, *, whole: bool, cuts: tuple[int, ...] = ()) -> PreparedWeights:
        if whole or self.spec.pe != "fp16":
            return super().prepare_stored(weight, whole=whole, cuts=cuts)
        facts = summed([self.facts_of(block, cuts) for block in half_blocks(weight)], axis=1)
        return StoredHalves(
            operand=np.empty((0, weight.k)), n=weight.n, k=weight.k, facts=facts, weight=weight, cuts=cuts
        )

    def observe_all(
        self, x: Array, w: Array, *, toggles: Toggles = "exact", seed: int = 0, cuts: tuple[int, ...] = ()
    ) -> Observation:
        if self.spec.pe != "fp16" or self.keeps_weights:
            return super().observe_all(x, w, toggles=toggles, seed=seed, cuts=cuts)
        (repeat, m, k), n, sharing = x.shape, w.shape[1], len(x) // len(w)
        acts = fp16_operand("x", x.reshape(-1, k)).reshape(x.shape)
        codes = fp16_operand("w", w.reshape(-1, k))
        facts = self.facts_of(codes, cuts)
        facts = replace(facts, toggles=facts.toggles * sharing)
        stack = PreparedWeights(operand=codes, n=n, k=k, facts=facts, cuts=cuts)
        events, counted = self._count_pieces(m, stack) * repeat + Events(self.cheap_events(acts, stack)), 0
        if toggles != "off":
            matrices = codes.reshape(w.shape)
            for i, one in enumerate(acts):
                weights = PreparedWeights(operand=matrices[i // sharing], n=n, k=k, facts=None)
                dear, columns = self._dear_events(one, weights, toggles, seed, None)
                events, counted = events + dear, counted + columns
        cycles = repeat * self.executed_cycles(acts, stack)
        return Observation(events=events, cycles=cycles, toggle_columns=counted)

    def act_operand(self, x: Array) -> Array:
        return integer_operand("x", x, *self.act_range) if self.exact else float_operand(self.spec.number_format, x)

    def weight_operand(self, w: Array | PackedTernary) -> tuple[Array | PackedTernary, Array]:
        if self.spec.pe != "fp16":
            return super().weight_operand(w)
        codes = fp16_operand("w", w.codes() if isinstance(w, PackedTernary) else w)
        return codes, codes

    def sums(self, acts: Array, weights: PreparedWeights) -> Summed:
        return sums.array_sums(acts, weights.codes() if self.spec.pe == "fp16" else weights.operand, self.spec)

    def weight_facts(self, codes: Array) -> WeightFacts:
        ternary = not self.format.multiplies
        adds, subs = (int((codes == 1).sum()), int((codes == -1).sum())) if ternary else (0, 0)
        rows = self.spec.rows if self.stationary else None
        idles = repeated_zeros(codes) if ternary and rows is None else 0
        patterns = weight_patterns(self.spec.pe, codes)
        return WeightFacts(
            adds=adds,
            subs=subs,
            skips=codes.size - adds - subs - idles if ternary else 0,
            idles=idles,
            toggles=switching.weight_toggles(patterns, rows),
            edges=edges_of(patterns, self.spec.rows) if self.finds_edges else None,
        )

    def facts_of(self, codes: Array, cuts: tuple[int, ...]) -> WeightFacts:
        """Registers are at zero between the pieces."""
        if len(cuts) < 2:
            return self.weight_facts(codes)
        return summed([self.weight_facts(np.ascontiguousarray(codes[:, piece])) for piece in slices(cuts)], axis=0)

    def between(self, apart: Sequence[Sequence[PreparedWeights]], tiles: Tiles) -> Mapping[str, int]:
        edges = [[weights.facts.edges for weights in row] for row in apart]
        depths = [weights.k for weights in apart[0]]
        return {"reg.weight.toggle": kept_toggles(edges, depths, tiles, self.spec.rows, self.spec.cols)}

    def cheap_events(self, acts: Array, weights: PreparedWeights) -> Mapping[str, int]:
        """M operations per weight, the weights' way into the registers, and the activations'.

        The same stream passes through all C activation registers of a row, for each tile of N. `acts` may be a stack
        of matrices (R, M, K), with the facts of all R matrices of weights.
        """
        m, facts = acts.shape[-2], weights.facts
        tiling = self.tiling(m, weights.k, weights.n)
        bits = acts if acts.dtype == np.uint16 else acts.view(np.uint8)
        axis = -2 if tiling.weight_stationary else -1
        pieces = [bits] if len(weights.pieces) == 1 else [bits[..., piece] for piece in slices(weights.pieces)]
        passing = sum(stream_toggles(piece, axis) for piece in pieces)
        passes = 1 if tiling.weight_stationary else self.spec.rows * tiling.m_tiles
        counts = {
            "reg.act.toggle": self.spec.cols * tiling.n_tiles * passing,
            "reg.weight.toggle": facts.toggles * passes,
        }
        if not self.format.multiplies:
            unit = f"pe.{self.spec.unit}"
            counts |= {f"{unit}.add": m * facts.adds, f"{unit}.sub": m * facts.subs, f"{unit}.skip": m * facts.skips}
            counts[f"{unit}.idle"] = m * facts.idles
        if self.keeps_weights:
            counts |= self.between([[weights]], Tiles.whole(m, weights.k, weights.n))
        return counts

    def dear_toggles(self, acts: Array, w: Array, y: Array | None, *, overflowed: bool) -> Mapping[str, int]:
        return {"reg.psum.toggle": switching.psum_toggles(acts, w, self.spec, saturated=overflowed, sums=y)}
