"""The PE array: R x C processing elements, weight- or output-stationary, ternary, INT8 or FP16.

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

All registers start at 0 and every tile starts from a reset array, so that events of tiles add up. Unused rows and
columns hold weight 0: they are no operations, but their registers pass values on, toggle and are clocked.

Exact: the INT8 and ternary arrays equal the int64 matmul as long as no sum leaves `acc_bits` (counted and reported);
the FP16 array rounds every product and every sum to binary16, k ascending, and is not exact.
"""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from bitsim.datapath import sums, switching
from bitsim.datapath.base import Array, Execution, Observation, Overflow, Statistics, Toggles, arithmetic_events
from bitsim.datapath.formats import PE_FORMATS, PEFormat, fp16_operand, integer_operand, weight_patterns
from bitsim.datapath.geometry import Tiling
from bitsim.datapath.packed import PackedTernary
from bitsim.errors import OperandError
from bitsim.events import Events
from bitsim.hw.chip import PEArraySpec

SAMPLED_TILES = 8  # at most so many column tiles are sampled for partial-sum toggles


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedWeights:
    """Weights laid out for one array, with what can be counted from them once and for all.

    `adds`, `subs`, `skips`: weights that are +1, -1, 0 (ternary only). `toggles`: weight-register toggles of one pass
    over all tiles of K and N.
    """

    operand: Array | PackedTernary
    n: int
    k: int
    adds: int
    subs: int
    skips: int
    toggles: int
    sampled: dict[int, Array] = field(default_factory=dict)

    def columns(self, chosen: Array, seed: int) -> Array:
        """The weights of some output columns, (len(chosen), K); a sample, drawn by `seed`, is kept."""
        if chosen.size < self.n and seed in self.sampled:
            return self.sampled[seed]
        w = self.operand.rows(chosen) if isinstance(self.operand, PackedTernary) else self.operand[chosen]
        if chosen.size < self.n:
            self.sampled[seed] = w
        return w


@lru_cache(maxsize=4096)
def data_independent_events(spec: PEArraySpec, m: int, k: int, n: int) -> Events:
    """What one matmul does whatever its operands are, in closed form."""
    tiling = Tiling(dataflow=spec.dataflow, rows=spec.rows, cols=spec.cols, m=m, k=k, n=n)
    fmt = PE_FORMATS[spec.pe]
    clocked = tiling.clocked_bits(fmt.act_bits, fmt.weight_bits, spec.acc_bits, spec.clock_gating)
    counts = {"reg.clock": clocked}
    if fmt.multiplies:
        counts[f"pe.{spec.unit}.mac"] = m * k * n
    if tiling.weight_stationary:
        counts[f"acc.add.{spec.column_format}"] = m * n * tiling.k_tiles
    return Events(counts) + arithmetic_events(fmt.arithmetic, m, k, n, multiplies=fmt.multiplies)


class PEArray:
    """An R x C array as its `PEArraySpec` describes it."""

    def __init__(self, spec: PEArraySpec) -> None:
        self.spec = spec
        self.format: PEFormat = PE_FORMATS[spec.pe]

    def __repr__(self) -> str:
        return f"PEArray({self.spec.unit}, {self.spec.dataflow}, {self.spec.rows}x{self.spec.cols})"

    @property
    def exact(self) -> bool:
        return self.spec.pe != "fp16"

    def tiling(self, m: int, k: int, n: int) -> Tiling:
        return Tiling(dataflow=self.spec.dataflow, rows=self.spec.rows, cols=self.spec.cols, m=m, k=k, n=n)

    def cycles(self, m: int, k: int, n: int) -> int:
        return self.tiling(m, k, n).cycles

    def prepare(self, w: Array | PackedTernary) -> PreparedWeights:
        """Check the weights and lay them out: `w` int8 (N, K), ternary codes packed or not, or numbers for FP16."""
        operand: Array | PackedTernary
        pe, packed = self.spec.pe, isinstance(w, PackedTernary)
        values = w.codes() if isinstance(w, PackedTernary) else w
        if pe == "fp16":
            operand = codes = fp16_operand("w", values)
        else:
            codes = integer_operand("w", values, *((-1, 1) if pe == "ternary" else (-128, 127)))
            operand = w if packed else PackedTernary.from_codes(codes) if pe == "ternary" else codes
        adds, subs = (int((codes == 1).sum()), int((codes == -1).sum())) if pe == "ternary" else (0, 0)
        stationary_rows = self.spec.rows if self.spec.dataflow == "weight_stationary" else None
        return PreparedWeights(
            operand=operand,
            n=codes.shape[0],
            k=codes.shape[1],
            adds=adds,
            subs=subs,
            skips=codes.size - adds - subs if pe == "ternary" else 0,
            toggles=switching.weight_toggles(weight_patterns(pe, codes), stationary_rows),
        )

    def execute(self, x: Array, w: Array | PreparedWeights, *, toggles: Toggles = "exact", seed: int = 0) -> Execution:
        """Run `x` (M, K) through the array: int8 for ternary and INT8 PEs, any numbers for FP16 (rounded to it)."""
        weights = w if isinstance(w, PreparedWeights) else self.prepare(w)
        acts = self._operand(x, weights)
        summed = sums.array_sums(acts, weights.operand, self.spec)
        events, columns = self._events(acts, weights, toggles, seed, summed)
        return Execution(
            y=summed.y,
            events=events + Events(summed.overflows),
            cycles=self.cycles(acts.shape[0], weights.k, weights.n),
            toggle_columns=columns,
            first_overflow=Overflow(m=summed.first[0], k=summed.first[1], n=summed.first[2]) if summed.first else None,
        )

    def observe(
        self, x: Array, w: Array | PreparedWeights, *, toggles: Toggles = "exact", seed: int = 0
    ) -> Observation:
        """The events of `execute`, but for the overflows of an FP16 array, whose sums are not formed."""
        if self.exact:
            return self.execute(x, w, toggles=toggles, seed=seed)
        weights = w if isinstance(w, PreparedWeights) else self.prepare(w)
        acts = self._operand(x, weights)
        events, columns = self._events(acts, weights, toggles, seed, None)
        return Observation(
            events=events, cycles=self.cycles(acts.shape[0], weights.k, weights.n), toggle_columns=columns
        )

    def count(self, m: int, k: int, n: int) -> Events:
        return data_independent_events(self.spec, m, k, n)

    def expect(self, m: int, k: int, n: int, statistics: Statistics) -> Events:
        tiling = self.tiling(m, k, n)
        spec, fmt, rates = self.spec, self.format, statistics.rates[self.spec.pe]
        updates = tiling.register_updates
        counts = {
            "reg.act.toggle": round(updates.act * fmt.act_bits * rates.act),
            "reg.weight.toggle": round(updates.weight * fmt.weight_bits * rates.weight),
            "reg.psum.toggle": round(updates.psum * spec.acc_bits * rates.psum),
        }
        if not fmt.multiplies:
            operations = m * k * n
            skips = round(operations * statistics.weight_zeros)
            subs = (operations - skips) // 2
            counts[f"pe.{spec.unit}.skip"] = skips
            counts[f"pe.{spec.unit}.sub"] = subs
            counts[f"pe.{spec.unit}.add"] = operations - skips - subs
        return Events(counts)

    def _operand(self, x: Array, weights: PreparedWeights) -> Array:
        acts = fp16_operand("x", x) if self.spec.pe == "fp16" else integer_operand("x", x, -128, 127)
        if acts.shape[1] != weights.k:
            raise OperandError(f"x has K = {acts.shape[1]}, but the weights have K = {weights.k}")
        return acts

    def _events(
        self, acts: Array, weights: PreparedWeights, mode: Toggles, seed: int, summed: sums.Summed | None
    ) -> tuple[Events, int]:
        """All events but overflows, and the number of columns on which partial-sum toggles were counted."""
        m, n = acts.shape[0], weights.n
        events = self.count(m, weights.k, n) + self._weight_events(m, weights) + self._act_toggles(acts, n)
        columns = self._toggle_columns(n, mode, seed)
        if columns.size:
            counted = switching.psum_toggles(
                acts,
                weights.columns(columns, seed),
                self.spec,
                saturated=summed is not None and bool(summed.overflows),
                sums=None if summed is None else summed.y[:, columns],
            )
            events += Events({"reg.psum.toggle": round(counted * n / columns.size)})
        return events, columns.size

    def _weight_events(self, m: int, weights: PreparedWeights) -> Events:
        """What follows from the weights' values: M operations per weight, and their way into the registers."""
        counts = {"reg.weight.toggle": weights.toggles}
        tiling = self.tiling(m, weights.k, weights.n)
        if not tiling.weight_stationary:
            counts["reg.weight.toggle"] *= self.spec.rows * tiling.m_tiles
        if not self.format.multiplies:
            unit = f"pe.{self.spec.unit}"
            counts |= {f"{unit}.add": m * weights.adds, f"{unit}.sub": m * weights.subs}
            counts[f"{unit}.skip"] = m * weights.skips
        return Events(counts)

    def _toggle_columns(self, n: int, mode: Toggles, seed: int) -> Array:
        """The output columns on which partial-sum toggles are counted: all, whole tiles drawn by `seed`, or none."""
        tiles = -(-n // self.spec.cols)
        if mode == "off" or mode == "exact" or tiles == 1:
            return np.arange(0 if mode == "off" else n)
        drawn = np.random.default_rng(seed).choice(tiles, min(-(-tiles // 8), SAMPLED_TILES), replace=False)
        columns = (np.sort(drawn)[:, None] * self.spec.cols + np.arange(self.spec.cols)).ravel()
        return columns[columns < n]

    def _act_toggles(self, acts: Array, n: int) -> Events:
        """Activation registers: the same stream passes through all C registers of a row, for each tile of N."""
        tiling = self.tiling(acts.shape[0], acts.shape[1], n)
        bits = acts if acts.dtype == np.uint16 else acts.view(np.uint8)
        passing = switching.stream_toggles(bits, 0 if tiling.weight_stationary else 1)
        return Events({"reg.act.toggle": self.spec.cols * tiling.n_tiles * passing})
