"""The contract that every datapath keeps: prepare weights once, execute matmuls, count them in closed form."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from bitsim.datapath.packed import PackedTernary
from bitsim.errors import ConfigError, OperandError, UnknownNameError
from bitsim.events import Events
from bitsim.model.operators import Operator
from bitsim.model.weights import FloatWeight

Toggles = Literal["exact", "sample", "off"]
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overflow:
    """The first overflow of a matmul, in the order m, k, n.

    `k` of an accumulator that takes the sum of a tile or group is the first k of it; an output of an FP16 array that is
    not finite has the last k.
    """

    m: int
    k: int
    n: int

    def __str__(self) -> str:
        return f"token {self.m}, k {self.k}, output {self.n}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """How far the outputs of a datapath that is not exact lie from the exact matmul of the integers it was given.

    `wrong` of `outputs` differ, by `largest` at most (infinity if one is not finite); sums of squares of the
    differences and of the exact sums.
    """

    outputs: int
    wrong: int
    largest: float
    error_squares: float
    exact_squares: float

    @classmethod
    def between(cls, y: Array, exact: Array) -> "Deviation":
        """Of outputs `y` from `exact` sums, both of one shape, not empty."""
        error, sums = np.abs(y.astype(np.float64) - exact), exact.astype(np.float64)
        error[np.isnan(error)] = np.inf
        return cls(
            outputs=y.size,
            wrong=int(np.count_nonzero(error)),
            largest=float(error.max()),
            error_squares=float((error * error).sum()),
            exact_squares=float((sums * sums).sum()),
        )

    @property
    def rms_relative(self) -> float:
        """Root mean square of the differences over that of the exact sums."""
        if not self.error_squares:
            return 0.0
        return math.sqrt(self.error_squares / self.exact_squares) if self.exact_squares else math.inf

    def __add__(self, other: "Deviation") -> "Deviation":
        return Deviation(
            outputs=self.outputs + other.outputs,
            wrong=self.wrong + other.wrong,
            largest=max(self.largest, other.largest),
            error_squares=self.error_squares + other.error_squares,
            exact_squares=self.exact_squares + other.exact_squares,
        )

    def __str__(self) -> str:
        return (
            f"{self.wrong:,} of {self.outputs:,} sums differ from the exact ones, by {self.largest:,.6g} at most; "
            f"root mean square {self.rms_relative:.3g} of theirs"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one matmul did: its events and cycles.

    `toggle_columns`: how many of the N columns the dear toggles (those of registers that see running sums) were
    counted on exactly; below N they are scaled up to N, and 0 means that they were not counted; N of a datapath that
    has none.
    """

    events: Events
    cycles: int
    toggle_columns: int
    first_overflow: Overflow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution(Observation):
    """What one matmul did and gave: `y` (M, N), integers of an exact datapath or float32.

    `deviation`: of datapaths that are not exact; of floating-point ones for int8 times ternary.
    """

    y: Array
    deviation: Deviation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Averages of real operands, from which `expect` estimates the data-dependent events.

    * `weight_zeros`: fraction of ternary weights that are 0; the signs are taken as equally frequent.
    * `rates`: by kind of datapath (a description's `rates`) and event, the fraction of the chances to happen that it
      takes: of a toggle, the flipped fraction of a register's bits at each of its updates.
    * `source`: on what they were measured.
    """

    weight_zeros: float
    rates: Mapping[str, Mapping[str, float]]
    source: str

    def expected(self, kind: str, chances: Mapping[str, int]) -> dict[str, int]:
        """The events of a datapath with the rates of `kind`, from how often each of them could happen."""
        if not chances:
            return {}
        known = self.rates.get(kind)
        if known is None:
            raise UnknownNameError(f"kind of datapath in the statistics ({self.source})", kind, self.rates)
        missing = [event for event in chances if event not in known]
        if missing:
            raise ConfigError(f"statistics ({self.source}): {kind}: expected a rate for {missing[0]!r}, got none")
        return {event: round(number * known[event]) for event, number in chances.items()}


@dataclass(frozen=True, slots=True)
class Streams:
    """Bits that one matmul moves between a datapath and the buffers around it.

    `weight_writes`: the weights once, in the datapath's own code, as they come into their buffer; the others are what
    the datapath reads from the buffers and writes to them.
    """

    weight_writes: int
    weight_reads: int
    act_reads: int
    psum_reads: int
    psum_writes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TileCosts:
    """Cycles of many tiles, and the bits that they move between the datapath and the buffers: int64 arrays."""

    cycles: Array
    weight_reads: Array
    act_reads: Array
    psum_reads: Array
    psum_writes: Array

    @classmethod
    def of(cls, shape: tuple[int, ...], cycles: Array, streams: "Streams") -> "TileCosts":
        """All of one `shape`; `streams` holds arrays or numbers."""
        moved = (streams.weight_reads, streams.act_reads, streams.psum_reads, streams.psum_writes)
        spread = [np.broadcast_to(np.asarray(values, dtype=np.int64), shape) for values in (cycles, *moved)]
        return cls(
            cycles=spread[0], weight_reads=spread[1], act_reads=spread[2], psum_reads=spread[3], psum_writes=spread[4]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The values that an integer register holds, 0 among them."""

    low: int
    high: int

    @property
    def bits(self) -> int:
        """The narrowest two's complement register for them."""
        return max((-self.low - 1).bit_length() if self.low else 0, self.high.bit_length()) + 1

    def __or__(self, other: "Range") -> "Range":
        return Range(low=min(self.low, other.low), high=max(self.high, other.high))


class Datapath(Protocol):
    """How a matmul `Y[M, N] = X[M, K] W[N, K]^T` is computed, and what switches while it is."""

    @property
    def exact(self) -> bool:
        """Whether the output equals the int64 matmul for all operands that cause no overflow."""
        ...

    @property
    def act_range(self) -> tuple[int, int]:
        """The integers that are legal activations; of floating point, which rounds numbers, those of int8."""
        ...

    @property
    def zero_acts(self) -> bool:
        """Whether an activation may be 0."""
        ...

    @property
    def zero_weights(self) -> bool:
        """Whether a weight may be 0."""
        ...

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of its results must know, as continuations of "the datapath ..."."""
        ...

    @property
    def holds_weights(self) -> bool:
        """Whether it holds all weights of a model for good, so that none comes from DRAM."""
        ...

    def prepare(self, w: Array | PackedTernary) -> Any:
        """Check and lay out the weights (N, K) once, for many calls of `execute`."""
        ...

    def prepare_stored(self, weight: FloatWeight, *, whole: bool) -> Any:
        """As `prepare`, from a stored float matrix rounded to binary16; `whole`: every call will need all of it."""
        ...

    def execute(
        self, x: Array, w: Any, *, toggles: Toggles = "exact", seed: int = 0, live: Array | None = None
    ) -> Execution:
        """Run one matmul on real operands: `x` (M, K), `w` an array (N, K) or what `prepare` returned.

        `live`: bool (M, N), the outputs that are needed, None: all. The others may have any value, and a datapath that
        can leave them out spends nothing on them.
        """
        ...

    def observe(self, x: Array, w: Any, *, toggles: Toggles = "exact", seed: int = 0) -> Observation:
        """As `execute` where outputs need not be formed; overflows are found only where they are."""
        ...

    def observe_all(self, x: Array, w: Array, *, toggles: Toggles = "exact", seed: int = 0) -> Observation:
        """`observe` on many pairs, added up: `x` (R, M, K), `w` (S, N, K), each for R / S of `x` in a row."""
        ...

    def count(self, m: int, k: int, n: int) -> Events:
        """The data-independent events of one matmul, in closed form; equal to those of `execute`."""
        ...

    def expect(self, m: int, k: int, n: int, statistics: Statistics) -> Events:
        """The data-dependent events that `statistics` predict for one matmul."""
        ...

    def cycles(self, m: int, k: int, n: int) -> int:
        """Clock cycles of one matmul; where they depend on the operands, those of operands without zeros."""
        ...

    def streams(self, m: int, k: int, n: int) -> Streams:
        """What one matmul reads from the buffers and writes to them."""
        ...

    @property
    def grain(self) -> tuple[int, int, int]:
        """M, K and N of its smallest unit of work: tiles that are no multiples of it leave parts of it idle."""
        ...

    def tile_costs(self, m: Array, k: Array, n: Array) -> TileCosts:
        """`cycles` and `streams` of many shapes: int64 arrays that broadcast."""
        ...

    @property
    def act_bits(self) -> int:
        """Bits of an activation in its buffer."""
        ...

    @property
    def sum_bits(self) -> int:
        """Bits of a partial sum in its buffer."""
        ...

    def parts(self) -> Mapping[str, int] | None:
        """What it is built of: how many of each part, by the names in a technology's `areas`; None: not told."""
        ...

    @property
    def no_parts(self) -> str:
        """Why `parts` is None, as continuation of "datapaths of kind ..."."""
        ...

    def registers(self) -> Mapping[str, int]:
        """Its integer accumulators by their names in `overflow.*` events, and their bits."""
        ...

    def bounds(self, k: int) -> Mapping[str, Range]:
        """By accumulator, the sums that legal operands of depth `k` can reach; empty for floating point."""
        ...

    def seen(self, x: Array, w: Any) -> Mapping[str, Range]:
        """By accumulator, the sums that these operands reach in registers of unlimited width."""
        ...


def scale_events(op: Operator) -> Events:
    """Scale multiplications of a quantised linear: K per token before it and N per token after it.

    Source: arXiv 2310.11453 eq. 18 (`m p + m n`), counted for every linear on its own even where q, k and v share
    their quantised input. The paper prices them at FP16, and so does every convention here.
    """
    if not op.is_bitlinear:
        return Events()
    count = op.m * (op.k + op.n) * op.repeat
    return Events({"mul.fp16": count, "scale.mul.fp16": count})


def arithmetic_events(number_format: str, m: int, k: int, n: int, *, multiplies: bool = True) -> Events:
    """One matmul as the papers count it: M (K - 1) N additions and, unless weights are +-1 or 0, M K N multiplications.

    Source: arXiv 2310.11453 eq. 16-18.
    """
    counts = {f"add.{number_format}": m * (k - 1) * n}
    if multiplies:
        counts[f"mul.{number_format}"] = m * k * n
    return Events(counts)


def as_matrix(name: str, values: Array) -> Array:
    """`values` as a C-contiguous 2-D array; raises `OperandError` for any other rank or for an empty one."""
    array = np.ascontiguousarray(values)
    if array.ndim != 2 or 0 in array.shape:
        raise OperandError(f"{name}: expected a non-empty 2-D array, got shape {np.shape(values)}")
    return array
