"""What all datapaths do alike: operands are checked, outputs formed, events gathered, dear toggles sampled."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bitsim.datapath.accumulation import Accumulation, Register, Summed
from bitsim.datapath.base import Array, Range, Statistics, Toggles, as_matrix
from bitsim.datapath.formats import round_to_half
from bitsim.datapath.outcomes import Execution, Observation, Overflow
from bitsim.datapath.packed import PackedTernary
from bitsim.datapath.prepared import PreparedWeights, given_ternary
from bitsim.datapath.structure import Spec, Structure
from bitsim.errors import OperandError
from bitsim.events import Events, total
from bitsim.model.weights import FloatWeight

_BLOCK_ROWS = 2048
SAMPLED_TILES = 8  # at most so many column tiles are sampled for dear toggles


class CountedDatapath(Structure[Spec]):
    """A datapath that executes and counts as its structure tells."""

    def prepare(self, w: Array | PackedTernary, cuts: tuple[int, ...] = ()) -> PreparedWeights:
        """Check the weights and lay them out: `w` (N, K), ternary codes packed or not."""
        operand, codes = self.weight_operand(w)
        n, k = codes.shape
        ternary = None if self.spec.integer else given_ternary(w)
        return PreparedWeights(operand=operand, n=n, k=k, facts=self.facts_of(codes, cuts), ternary=ternary, cuts=cuts)

    def prepare_stored(self, weight: FloatWeight, *, whole: bool, cuts: tuple[int, ...] = ()) -> PreparedWeights:
        """Lay out a stored float matrix, rounded to binary16; `whole`: every call will need all of it."""
        halves = np.empty((weight.n, weight.k), dtype=np.float16)
        for low in range(0, weight.n, _BLOCK_ROWS):
            halves[low : low + _BLOCK_ROWS] = round_to_half(weight.rows(low, low + _BLOCK_ROWS))
        return self.prepare(halves, cuts)

    def execute(
        self,
        x: Array,
        w: Array | PreparedWeights,
        *,
        toggles: Toggles = "exact",
        seed: int = 0,
        live: Array | None = None,
    ) -> Execution:
        """Run `x` (M, K) through the datapath."""
        acts, weights = self._operands(x, w)
        if live is not None and self.leaves_out_outputs:
            weights = replace(weights, live=_live_outputs(live, (len(acts), weights.n)))
        summed = self.sums(acts, weights)
        events, columns = self._events(acts, weights, toggles, seed, summed)
        return Execution(
            y=summed.y,
            events=events + Events(summed.overflows) if summed.overflows else events,
            cycles=self.executed_cycles(acts, weights),
            toggle_columns=columns,
            first_overflow=Overflow(m=summed.first[0], k=summed.first[1], n=summed.first[2]) if summed.first else None,
            exact_y=None if self.exact else self.exact_sums(as_matrix("x", x), acts, weights, summed),
        )

    def observe(
        self, x: Array, w: Array | PreparedWeights, *, toggles: Toggles = "exact", seed: int = 0
    ) -> Observation:
        """The events of `execute`; where it rounds, sums are not formed and overflows not found."""
        if self.exact:
            return self.execute(x, w, toggles=toggles, seed=seed)
        acts, weights = self._operands(x, w)
        events, columns = self._events(acts, weights, toggles, seed, None)
        return Observation(events=events, cycles=self.executed_cycles(acts, weights), toggle_columns=columns)

    def observe_all(
        self, x: Array, w: Array, *, toggles: Toggles = "exact", seed: int = 0, cuts: tuple[int, ...] = ()
    ) -> Observation:
        """`observe` on many pairs, added up: `x` (R, M, K), `w` (S, N, K), each for R / S of `x` in a row."""
        shared = np.repeat(w, len(x) // len(w), axis=0)
        done = [
            self.observe(a, self.prepare(b, cuts), toggles=toggles, seed=seed) for a, b in zip(x, shared, strict=True)
        ]
        return Observation(
            events=total([one.events for one in done]),
            cycles=sum(one.cycles for one in done),
            toggle_columns=sum(one.toggle_columns for one in done),
            first_overflow=next((one.first_overflow for one in done if one.first_overflow is not None), None),
        )

    def count(self, m: int, k: int, n: int) -> Events:
        """The data-independent events of one matmul, in closed form; equal to those of `execute`."""
        return self._counted(m, k, n)

    def expect(self, m: int, k: int, n: int, statistics: Statistics) -> Events:
        """The data-dependent events that `statistics` predict for one matmul.

        Raises `OperandError` if they are those of weights of 0 and none is legal.
        """
        if statistics.weight_zeros and not self.zero_weights:
            raise OperandError(
                f"{self!r} takes weights of -1 or 1 only, but {statistics.weight_zeros:.1%} of the weights are 0 "
                f"({statistics.source}); choose a model with binary weights or another chip"
            )
        return Events(statistics.expected(self.spec.rates, self.chances(m, k, n)))

    def bounds(self, k: int) -> Mapping[str, Range]:
        """By accumulator, the sums that legal operands of depth `k` can reach; empty where sums are no integers."""
        if not self.spec.integer:
            return {}
        products = [x * w for x in self.act_range for w in self.weight_range]
        return self.accumulation.bounds(k, Range(low=min(*products, 0), high=max(*products, 0)))

    def seen(self, x: Array, w: Array | PreparedWeights) -> Mapping[str, Range]:
        """By accumulator, the sums that these operands reach in registers of unlimited width."""
        acts, weights = self._operands(x, w)
        return self.accumulation.seen(acts, weights.codes()) if self.spec.integer else {}

    def _operands(self, x: Array, w: Array | PreparedWeights) -> tuple[Array, PreparedWeights]:
        weights = w if isinstance(w, PreparedWeights) else self.prepare(w)
        acts = self.act_operand(x)
        if acts.shape[1] != weights.k:
            raise OperandError(f"x has K = {acts.shape[1]}, but the weights have K = {weights.k}")
        return acts, weights

    def _events(
        self, acts: Array, weights: PreparedWeights, mode: Toggles, seed: int, summed: Summed | None
    ) -> tuple[Events, int]:
        """All events but overflows, and the number of columns on which dear toggles were counted."""
        events = self._count_pieces(acts.shape[0], weights) + Events(self.cheap_events(acts, weights))
        dear, columns = self._dear_events(acts, weights, mode, seed, summed)
        return (events + dear if columns else events), columns

    def _count_pieces(self, m: int, weights: PreparedWeights) -> Events:
        """The data-independent events, if K comes in pieces between which sums stay in the registers."""
        n, (*before, last) = weights.n, weights.pieces
        counted = self.count(m, last, n)
        if not before:
            return counted
        joined = Events({f"add.{self.arithmetic}": m * n * len(before)})
        return total([*(self.staying.count(m, k, n) for k in before), counted, joined])

    def _dear_events(
        self, acts: Array, weights: PreparedWeights, mode: Toggles, seed: int, summed: Summed | None
    ) -> tuple[Events, int]:
        if not self.has_dear_toggles:
            return Events(), weights.n
        columns = self._toggle_columns(weights.n, mode, seed)
        if not columns.size:
            return Events(), 0
        counted = self.column_toggles(acts, weights, columns, seed, summed)
        if not counted:  # nothing is left out by a sample of nothing
            return Events(), weights.n
        return Events({event: round(n * weights.n / columns.size) for event, n in counted.items()}), columns.size

    def _toggle_columns(self, n: int, mode: Toggles, seed: int) -> Array:
        """The output columns on which dear toggles are counted: all, whole tiles drawn by `seed`, or none."""
        width = self.tile_columns
        tiles = -(-n // width)
        if mode == "off" or mode == "exact" or tiles == 1:
            return np.arange(0 if mode == "off" else n)
        drawn = np.random.default_rng(seed).choice(tiles, min(-(-tiles // 8), SAMPLED_TILES), replace=False)
        columns = (np.sort(drawn)[:, None] * width + np.arange(width)).ravel()
        return columns[columns < n]


class GroupSums(CountedDatapath[Spec]):
    """A datapath that forms the sum of a group of products at once, exactly, and adds up the groups in one accumulator.

    A group is what its `grain` takes of K.
    """

    @property
    def accumulation(self) -> Accumulation:
        accumulator = Register(name="acc", bits=self.spec.acc_bits)
        return Accumulation(group=self.grain[1], inner=None, outer=accumulator, overflow=self.spec.overflow)


def _live_outputs(live: Array, shape: tuple[int, int]) -> Array:
    if live.dtype != np.bool_ or live.shape != shape:
        raise OperandError(f"live: expected bool {shape}, the outputs, got {live.dtype} {live.shape}")
    return live
