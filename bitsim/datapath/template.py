"""What all datapaths do alike: operands are checked, outputs formed, events gathered, dear toggles sampled.

A class of datapaths fills in the methods of the second half; see docs/adding_a_datapath.md.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, replace
from functools import lru_cache
from typing import Any, Generic, TypeVar

import numpy as np

from bitsim.datapath.accumulation import Accumulation, Summed, accumulate
from bitsim.datapath.base import (
    Array,
    Deviation,
    Execution,
    Observation,
    Overflow,
    Range,
    Statistics,
    Streams,
    TileCosts,
    Toggles,
    as_matrix,
)
from bitsim.datapath.formats import integer_operand, round_to_half
from bitsim.datapath.matmul import int8_matmul, ternary_matmul
from bitsim.datapath.packed import PackedTernary
from bitsim.errors import OperandError
from bitsim.events import Events, total
from bitsim.hw.datapaths import DatapathDescription
from bitsim.model.weights import FloatWeight

_BLOCK_ROWS = 2048
SAMPLED_TILES = 8  # at most so many column tiles are sampled for dear toggles
Spec = TypeVar("Spec", bound=DatapathDescription)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedWeights:
    """Weights (N, K) laid out for one datapath; `facts`: what its class counts from them once and for all.

    `live`: of one execution, the outputs (M, N) that are needed; None: all. `ternary`: of floating-point datapaths, the
    weights as they were given, if ternary: exact sums are formed from them.
    """

    operand: Array | PackedTernary
    n: int
    k: int
    facts: Any
    live: Array | None = None
    ternary: PackedTernary | None = None
    sampled: dict[int, Array] = field(default_factory=dict)

    def codes(self) -> Array:
        """All weights, (N, K)."""
        return self.operand.codes() if isinstance(self.operand, PackedTernary) else self.operand

    def columns(self, chosen: Array, seed: int) -> Array:
        """The weights of some output columns, (len(chosen), K); a sample, drawn by `seed`, is kept."""
        if chosen.size < self.n and seed in self.sampled:
            return self.sampled[seed]
        w = self.operand.rows(chosen) if isinstance(self.operand, PackedTernary) else self.operand[chosen]
        if chosen.size < self.n:
            self.sampled[seed] = w
        return w


class CountedDatapath(ABC, Generic[Spec]):
    """A datapath as its description says; a subclass tells how it accumulates and what it counts.

    `act_range`, `weight_range`: the integers that are legal operands; weights of -1..1 are laid out at 2 bits each.
    `zero_acts`, `zero_weights`: whether 0 is one of them (False for operands that are -1 or 1).
    `leaves_out_outputs`: outputs that are not `live` cost nothing; otherwise all are computed.
    `holds_weights`: see `bitsim.datapath.base.Datapath`. `takes_arrays`: `cycles` and `streams` also work element by
    element on int64 arrays of shapes.
    `has_dear_toggles`: it counts toggles of registers that see running sums; False: it has none to count or to sample.
    """

    act_range: tuple[int, int] = (-128, 127)
    weight_range: tuple[int, int] = (-1, 1)
    zero_acts: bool = True
    zero_weights: bool = True
    leaves_out_outputs: bool = False
    holds_weights: bool = False
    takes_arrays: bool = False
    has_dear_toggles: bool = True

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._counted = lru_cache(maxsize=4096)(self.data_independent)
        self._timed = lru_cache(maxsize=4096)(self.cycles)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.spec.text()})"

    @property
    def exact(self) -> bool:
        return True

    @property
    def remarks(self) -> tuple[str, ...]:
        held = ("holds all weights: they are not read from DRAM, and those of every model are taken to fit",)
        return (() if self.exact else ("is not exact: it rounds as it sums",)) + (held if self.holds_weights else ())

    def prepare(self, w: Array | PackedTernary) -> PreparedWeights:
        """Check the weights and lay them out: `w` (N, K), ternary codes packed or not."""
        operand, codes = self.weight_operand(w)
        n, k = codes.shape
        ternary = None if self.spec.integer else given_ternary(w)
        return PreparedWeights(operand=operand, n=n, k=k, facts=self.weight_facts(codes), ternary=ternary)

    def prepare_stored(self, weight: FloatWeight, *, whole: bool) -> PreparedWeights:
        """Lay out a stored float matrix, rounded to binary16; `whole`: every call will need all of it."""
        halves = np.empty((weight.n, weight.k), dtype=np.float16)
        for low in range(0, weight.n, _BLOCK_ROWS):
            halves[low : low + _BLOCK_ROWS] = round_to_half(weight.rows(low, low + _BLOCK_ROWS))
        return self.prepare(halves)

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
            deviation=None if self.exact else self.deviation(as_matrix("x", x), acts, weights, summed),
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

    def observe_all(self, x: Array, w: Array, *, toggles: Toggles = "exact", seed: int = 0) -> Observation:
        """`observe` on many pairs, added up: `x` (R, M, K), `w` (S, N, K), each for R / S of `x` in a row."""
        shared = np.repeat(w, len(x) // len(w), axis=0)
        done = [self.observe(a, b, toggles=toggles, seed=seed) for a, b in zip(x, shared, strict=True)]
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

    def registers(self) -> Mapping[str, int]:
        """Its integer accumulators by their names in `overflow.*` events, and their bits."""
        return (
            {register.name: register.bits for register, _ in self.accumulation.stages(1)} if self.spec.integer else {}
        )

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
        events = self.count(acts.shape[0], weights.k, weights.n) + Events(self.cheap_events(acts, weights))
        dear, columns = self._dear_events(acts, weights, mode, seed, summed)
        return (events + dear if columns else events), columns

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

    # What a class tells. ----------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def accumulation(self) -> Accumulation:
        """How its sums are formed."""

    @property
    @abstractmethod
    def tile_columns(self) -> int:
        """Output columns that are computed side by side; dear toggles are sampled in tiles of so many."""

    @property
    @abstractmethod
    def grain(self) -> tuple[int, int, int]:
        """M, K and N of its smallest unit of work: tiles that are no multiples of it leave parts of it idle."""

    @abstractmethod
    def cycles(self, m: int, k: int, n: int) -> int:
        """Clock cycles of one matmul; where they depend on the operands, those of operands without zeros."""

    @abstractmethod
    def streams(self, m: int, k: int, n: int) -> Streams:
        """What one matmul reads from the buffers and writes to them."""

    @abstractmethod
    def data_independent(self, m: int, k: int, n: int) -> Events:
        """The events of one matmul that follow from its shape."""

    @abstractmethod
    def chances(self, m: int, k: int, n: int) -> Mapping[str, int]:
        """How often each data-dependent event (overflows apart) could happen in one matmul."""

    def weight_facts(self, codes: Array) -> Any:
        """What can be counted from the weights `codes` (N, K) alone, once for many calls."""
        return None

    @abstractmethod
    def cheap_events(self, acts: Array, weights: PreparedWeights) -> Mapping[str, int]:
        """The data-dependent events that one pass over the operands gives."""

    # What most classes leave as it is. --------------------------------------------------------------------------------

    def tile_costs(self, m: Array, k: Array, n: Array) -> TileCosts:
        """`cycles` and `streams` of many shapes: int64 arrays that broadcast."""
        sizes = np.broadcast_arrays(*(np.asarray(size, dtype=np.int64) for size in (m, k, n)))
        if self.takes_arrays:
            at_once: Any = self
            return TileCosts.of(sizes[0].shape, at_once.cycles(*sizes), at_once.streams(*sizes))
        shapes = list(zip(*(size.ravel().tolist() for size in sizes), strict=True))
        cycles = np.array([self.cycles(*shape) for shape in shapes]).reshape(sizes[0].shape)
        each = [astuple(self.streams(*shape)) for shape in shapes]
        moved: Any = np.array(each, dtype=np.int64).T.reshape(-1, *sizes[0].shape)
        return TileCosts.of(sizes[0].shape, cycles, Streams(*moved))

    @property
    def act_bits(self) -> int:
        """Bits of an activation in its buffer."""
        return self.spec.widest_act if self.spec.integer else 16

    @property
    def sum_bits(self) -> int:
        """Bits of a partial sum in its buffer: those of the widest accumulator."""
        return max(self.registers().values(), default=self.spec.acc_bits)

    def parts(self) -> Mapping[str, int] | None:
        """What it is built of: how many of each part, by the names in a technology's `areas`; None: not told.

        Every register and every gate belongs to one part. Buffers around the datapath are the chip's, not its own.
        """
        return None

    @property
    def no_parts(self) -> str:
        return "do not tell what they are built of"

    def dear_toggles(self, acts: Array, w: Array, y: Array | None, *, overflowed: bool) -> Mapping[str, int]:
        """The toggles that only a kernel finds, on the columns `w` (n, K) with the outputs `y` (M, n) if known.

        `overflowed`: some sum of the whole matmul left its register.
        """
        raise NotImplementedError(f"{self!r}: has_dear_toggles, but does not tell them")

    def column_toggles(
        self, acts: Array, weights: PreparedWeights, columns: Array, seed: int, summed: Summed | None
    ) -> Mapping[str, int]:
        """The dear toggles of some output columns; a class overrides this one or `dear_toggles`."""
        y = None if summed is None else summed.y[:, columns]
        overflowed = summed is not None and bool(summed.overflows)
        return self.dear_toggles(acts, weights.columns(columns, seed), y, overflowed=overflowed)

    def executed_cycles(self, acts: Array, weights: PreparedWeights) -> int:
        """Cycles of one execution; to be overridden where they depend on the operands."""
        return self._timed(acts.shape[0], weights.k, weights.n)

    def deviation(self, x: Array, acts: Array, weights: PreparedWeights, summed: Summed) -> Deviation | None:
        """How far the sums of a datapath that is not exact are off.

        None of a floating-point one unless `x`, as given, is int8 and the weights are ternary.
        """
        if not self.spec.integer and x.dtype != np.int8:
            return None
        w = weights.operand if self.spec.integer else weights.ternary
        if w is None:
            return None
        if not self.spec.integer:
            acts = x
        return Deviation.between(
            summed.y, ternary_matmul(acts, w) if isinstance(w, PackedTernary) else int8_matmul(acts, w)
        )

    def act_operand(self, x: Array) -> Array:
        """`x` as the datapath holds it, (M, K); raises `OperandError` naming the first value out of range."""
        return integer_operand("x", x, *self.act_range, zero=self.zero_acts)

    def weight_operand(self, w: Array | PackedTernary) -> tuple[Array | PackedTernary, Array]:
        """The weights as the matmul takes them, and as (N, K) codes; raises as `act_operand`."""
        ternary = self.weight_range == (-1, 1)
        given = w.codes() if isinstance(w, PackedTernary) else w
        codes = integer_operand("w", given, *self.weight_range, zero=self.zero_weights)
        if isinstance(w, PackedTernary) and ternary:
            return w, codes
        return PackedTernary.from_codes(codes) if ternary else codes, codes

    def sums(self, acts: Array, weights: PreparedWeights) -> Summed:
        """The outputs, with the accumulators' widths and overflows."""
        largest = max(abs(limit) for limit in self.weight_range)
        return accumulate(acts, weights.operand, self.accumulation, largest_weight=largest)


def given_ternary(w: Array | PackedTernary) -> PackedTernary | None:
    """`w` (N, K) packed, if it is int8 and holds -1, 0 and 1 only."""
    if isinstance(w, PackedTernary):
        return w
    return PackedTernary.from_codes(w) if w.dtype == np.int8 and ((w >= -1) & (w <= 1)).all() else None


def _live_outputs(live: Array, shape: tuple[int, int]) -> Array:
    if live.dtype != np.bool_ or live.shape != shape:
        raise OperandError(f"live: expected bool {shape}, the outputs, got {live.dtype} {live.shape}")
    return live
