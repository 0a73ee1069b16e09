"""What a class of datapaths tells of itself; see docs/adding_a_datapath.md."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Generic, Self, TypeVar

import numpy as np

from bitsim.datapath.accumulation import Accumulation, Summed, accumulate
from bitsim.datapath.base import Array, Range, Streams, TileCosts
from bitsim.datapath.formats import integer_operand
from bitsim.datapath.matmul import int8_matmul, ternary_matmul
from bitsim.datapath.packed import PackedTernary
from bitsim.datapath.prepared import PreparedWeights
from bitsim.datapath.tiles import Tiles
from bitsim.events import Events
from bitsim.hw.datapaths import DatapathDescription
from bitsim.hw.datapaths.base import COLUMN_ACC_BITS

Spec = TypeVar("Spec", bound=DatapathDescription)


class Structure(ABC, Generic[Spec]):
    """A datapath as its description says: what only its class can tell, how it accumulates and what it counts.

    `act_range`, `weight_range`: the integers that are legal operands; weights of -1..1 are laid out at 2 bits each.
    `zero_acts`, `zero_weights`: whether 0 is one of them (False for operands that are -1 or 1).
    `leaves_out_outputs`: outputs that are not `live` cost nothing; otherwise all are computed.
    `holds_weights`: see `bitsim.datapath.protocol`. `takes_arrays`: `cycles` and `streams` also work element by element
    on int64 arrays of shapes.
    `has_dear_toggles`: it counts toggles of registers that see running sums; False: it has none to count or to sample.
    `sums_tiles`: see `bitsim.datapath.protocol`.
    """

    act_range: tuple[int, int] = (-128, 127)
    weight_range: tuple[int, int] = (-1, 1)
    zero_acts: bool = True
    zero_weights: bool = True
    leaves_out_outputs: bool = False
    holds_weights: bool = False
    takes_arrays: bool = False
    has_dear_toggles: bool = True
    sums_tiles: bool = False

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

    @property
    @abstractmethod
    def accumulation(self) -> Accumulation:
        """How its sums are formed."""

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

    def facts_of(self, codes: Array, cuts: tuple[int, ...]) -> Any:
        """`weight_facts` of weights that come in pieces of K, between which sums stay (see `holds`)."""
        return self.weight_facts(codes)

    @abstractmethod
    def cheap_events(self, acts: Array, weights: PreparedWeights) -> Mapping[str, int]:
        """The data-dependent events that one pass over the operands gives."""

    # What most classes leave as it is. --------------------------------------------------------------------------------

    @property
    def tile_columns(self) -> int:
        """Output columns that are computed side by side; dear toggles are sampled in tiles of so many."""
        return self.grain[2]

    def tile_costs(self, m: Array, k: Array, n: Array) -> TileCosts:
        """`cycles` and `streams` of many shapes: int64 arrays that broadcast."""
        sizes = np.broadcast_arrays(*(np.asarray(size, dtype=np.int64) for size in (m, k, n)))
        if self.takes_arrays:
            at_once: Any = self
            return TileCosts.of(sizes[0].shape, at_once.cycles(*sizes), at_once.streams(*sizes))
        shapes = list(zip(*(size.ravel().tolist() for size in sizes), strict=True))
        cycles = np.array([self.cycles(*shape) for shape in shapes]).reshape(sizes[0].shape)
        moved: Any = np.array([_numbers(self.streams(*shape)) for shape in shapes], dtype=np.int64)
        moved = moved.T.reshape(-1, *sizes[0].shape)
        return TileCosts.of(sizes[0].shape, cycles, Streams(*moved))

    @property
    def cycles_vary(self) -> bool:
        return self.spec.cycles_vary

    # How tiles of one matmul go together; see `bitsim.datapath.protocol`. ---------------------------------------------

    @property
    def holds(self) -> tuple[int, int]:
        return 0, 0

    @property
    def staying(self) -> Self:
        return self

    @property
    def reset(self) -> Self:
        return self

    def between(self, apart: Sequence[Sequence[PreparedWeights]], tiles: Tiles) -> Mapping[str, int]:
        raise NotImplementedError(f"{self!r}: keeps no values between tiles")

    def joining(self, m: int, n: int) -> Events:
        number = f"int{COLUMN_ACC_BITS}" if self.spec.integer else f"fp{self.sum_bits}"
        return Events({f"acc.add.{number}": m * n})

    @property
    def output_range(self) -> Range | None:
        limit = 1 << (self.sum_bits - 1)
        return Range(low=-limit, high=limit - 1) if self.spec.integer else None

    @property
    def saturates(self) -> bool:
        return self.spec.overflow == "saturate"

    @property
    def join_overflow(self) -> str:
        return f"overflow.{list(self.registers())[-1]}" if self.spec.integer else "overflow.output"

    @property
    def arithmetic(self) -> str:
        return "int8" if self.spec.integer else "fp16"

    @property
    def number_format(self) -> str:
        return self.spec.number_format

    @property
    def act_bits(self) -> int:
        """Bits of an activation in its buffer."""
        return self.spec.widest_act if self.spec.integer else 16

    def registers(self) -> Mapping[str, int]:
        """Its integer accumulators by their names in `overflow.*` events, and their bits."""
        return (
            {register.name: register.bits for register, _ in self.accumulation.stages(1)} if self.spec.integer else {}
        )

    @property
    def sum_bits(self) -> int:
        """Bits of a partial sum in its buffer: those of the widest accumulator."""
        return max(self.registers().values(), default=self.spec.acc_bits)

    @property
    def tile_depth(self) -> int:
        return self.grain[1]

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
        m, n, (*before, last) = acts.shape[-2], weights.n, weights.pieces
        return sum(self.staying.cycles(m, k, n) for k in before) + self._timed(m, last, n)

    def exact_sums(self, x: Array, acts: Array, weights: PreparedWeights, summed: Summed) -> Array | None:
        """What the sums of a datapath that is not exact should be.

        None of a floating-point one unless `x`, as given, is int8 and the weights are ternary.
        """
        if not self.spec.integer and x.dtype != np.int8:
            return None
        w = weights.operand if self.spec.integer else weights.ternary
        if w is None:
            return None
        if not self.spec.integer:
            acts = x
        return ternary_matmul(acts, w) if isinstance(w, PackedTernary) else int8_matmul(acts, w)

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


def _numbers(streams: Streams) -> tuple[int, int, int, int, int]:
    """As `dataclasses.astuple`, which copies and takes ten times as long."""
    return (
        streams.weight_writes,
        streams.weight_reads,
        streams.act_reads,
        streams.psum_reads,
        streams.psum_writes,
    )
