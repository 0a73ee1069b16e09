"""How integer datapaths accumulate: the exact matmul where nothing can overflow, the stepwise kernel elsewhere.

Every integer datapath here adds up `group` consecutive products at a time (the rows of an array, the lanes of a tree,
the weights of the lookups of one cycle) and puts the group's sum into an accumulator. Both sums may have a width.
"""

from dataclasses import dataclass

import numpy as np

from bitsim.datapath.base import Array, Range
from bitsim.datapath.kernels.extremes import running_extremes
from bitsim.datapath.kernels.overflow import WIDEST, array_ws_overflow
from bitsim.datapath.matmul import int8_matmul, ternary_matmul
from bitsim.datapath.packed import PackedTernary
from bitsim.hw.datapaths.base import OverflowMode

WHOLE_ROW = 2**30  # a group that is longer than every K


@dataclass(frozen=True, slots=True, kw_only=True)
class Summed:
    """`y` (M, N); counts of overflows by event name; the first overflow's (m, k, n)."""

    y: Array
    overflows: dict[str, int]
    first: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """A register that sums: its name in `overflow.*` events, and its bits."""

    name: str
    bits: int

    @property
    def limit(self) -> int:
        """The least magnitude that may not fit."""
        return 1 << (self.bits - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accumulation:
    """Groups of `group` products are summed one by one in `inner`, and group after group in `outer`.

    `inner` None: a group's sum is formed at once and exactly, as adder trees do. `outer` None: one group is all.
    """

    group: int
    inner: Register | None
    outer: Register | None
    overflow: OverflowMode

    def stages(self, k: int) -> list[tuple[Register, int]]:
        """The registers, each with the number of products that it sums at most at depth `k`."""
        pairs = [(self.inner, min(self.group, k)), (self.outer, k)]
        return [(register, depth) for register, depth in pairs if register is not None]

    def bounds(self, k: int, product: Range) -> dict[str, Range]:
        """What each register reaches at worst when no product leaves `product`, which includes 0."""
        return {
            register.name: Range(low=depth * product.low, high=depth * product.high)
            for register, depth in self.stages(k)
        }

    def seen(self, acts: Array, codes: Array) -> dict[str, Range]:
        """What each register reaches on `acts` int8 (M, K) and `codes` int8 (N, K), widths not regarded."""
        found = running_extremes(acts, codes, self.group)
        pairs = zip((self.inner, self.outer), found.tolist(), strict=True)
        return {register.name: Range(low=low, high=high) for register, (low, high) in pairs if register is not None}

    def fits(self, acts: Array, largest_weight: int) -> bool:
        """Whether no sum can leave its register: |sum| <= sum of |x| times the largest |w|, at each stage."""
        if all(128 * depth * largest_weight < register.limit for register, depth in self.stages(acts.shape[1])):
            return True  # whatever the int8 values are
        magnitude = np.abs(acts.astype(np.int16))
        starts = np.arange(0, acts.shape[1], self.group)
        if self.inner is not None:
            in_group = int(np.add.reduceat(magnitude, starts, axis=1, dtype=np.int64).max())
            if in_group * largest_weight >= self.inner.limit:
                return False
        in_row = int(magnitude.sum(axis=1, dtype=np.int64).max())
        return self.outer is None or in_row * largest_weight < self.outer.limit


def accumulate(acts: Array, w: Array | PackedTernary, how: Accumulation, *, largest_weight: int) -> Summed:
    """The outputs for `acts` int8 (M, K) and weights (N, K), with the accumulators' widths and overflows.

    An overflow of `outer` is reported at the first k of its group.
    """
    if how.fits(acts, largest_weight):
        return Summed(y=ternary_matmul(acts, w) if isinstance(w, PackedTernary) else int8_matmul(acts, w), overflows={})
    codes = w.codes() if isinstance(w, PackedTernary) else w
    inner_bits, outer_bits = (WIDEST if register is None else register.bits for register in (how.inner, how.outer))
    saturate = how.overflow == "saturate"
    y, inner, outer, first = array_ws_overflow(acts, codes, how.group, inner_bits, outer_bits, saturate)
    return Summed(y=y, overflows=_named(how, (inner, outer)), first=_position(first))


def _named(how: Accumulation, counts: tuple[int, int]) -> dict[str, int]:
    pairs = zip((how.inner, how.outer), counts, strict=True)
    return {f"overflow.{register.name}": int(count) for register, count in pairs if register is not None and count}


def _position(first: Array) -> tuple[int, int, int] | None:
    return (int(first[0]), int(first[1]), int(first[2])) if first[0] >= 0 else None


def finite(y: Array, k: int) -> Summed:
    """Sums of floats of depth `k`; those that are not finite are counted."""
    lost = np.argwhere(~np.isfinite(y))
    if not len(lost):
        return Summed(y=y, overflows={})
    first = (int(lost[0, 0]), k - 1, int(lost[0, 1]))
    return Summed(y=y, overflows={"overflow.output": len(lost)}, first=first)
