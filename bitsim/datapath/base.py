"""What is said of datapaths: statistics of operands, bits that move, ranges of sums, and the papers' own counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bitsim.errors import ConfigError, OperandError, UnknownNameError
from bitsim.events import Events
from bitsim.model.operators import Operator

WIDE = "wide_"
Toggles = Literal["exact", "sample", "off"]
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Averages of real operands, from which `expect` estimates the data-dependent events.

    * `weight_zeros`: fraction of ternary weights that are 0; the signs are taken as equally frequent.
    * `rates`: by kind of datapath (a description's `rates`, behind "wide_" where it multiplies attention and head in
      integers) and event, the fraction of the chances to happen that it takes: of a toggle, the flipped fraction of a
      register's bits at each of its updates.
    * `source`: on what they were measured. `prefix`: of the kinds that are looked up.
    """

    weight_zeros: float
    rates: Mapping[str, Mapping[str, float]]
    source: str
    prefix: str = ""

    @property
    def of_wide_integers(self) -> "Statistics":
        """Those of attention and head in integers; their weights are not ternary."""
        rates = {kind: rates for kind, rates in self.rates.items() if kind.startswith(WIDE)}
        return Statistics(weight_zeros=0.0, rates=rates, source=self.source, prefix=WIDE)

    def expected(self, kind: str, chances: Mapping[str, int]) -> dict[str, int]:
        """The events of a datapath with the rates of `kind`, from how often each of them could happen."""
        if not chances:
            return {}
        kind = self.prefix + kind
        known = self.rates.get(kind)
        if known is None and self.prefix:
            own = ", ".join(self.rates) or "none"
            raise ConfigError(
                f"statistics ({self.source}): attention and head in integers: expected rates of {kind!r} with "
                f"{', '.join(chances)}, got {own} (measure them, or leave statistics out for those that are shipped)"
            )
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


def scale_events(op: Operator) -> Events:
    """Scale multiplications of a matmul of codes: K per token before it, if these are quantised, and N after it.

    Source: arXiv 2310.11453 eq. 18 (`m p + m n`), counted for every linear on its own even where q, k and v share
    their quantised input. The paper prices them at FP16, and so does every convention here.
    """
    if not (op.is_bitlinear or op.is_wide_integer):
        return Events()
    quantised = op.reads[0].form != "values"
    count = op.m * (op.k * quantised + op.n) * op.repeat
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
