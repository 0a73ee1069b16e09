"""Weights laid out for one datapath, once for many calls."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bitsim.datapath.base import Array
from bitsim.datapath.packed import PackedTernary


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedWeights:
    """Weights (N, K) laid out for one datapath; `facts`: what its class counts from them once and for all.

    `live`: of one execution, the outputs (M, N) that are needed; None: all. `ternary`: of floating-point datapaths, the
    weights as they were given, if ternary: exact sums are formed from them. `cuts`: the pieces in which K comes, if
    sums stay in the datapath between them.
    """

    operand: Array | PackedTernary
    n: int
    k: int
    facts: Any
    live: Array | None = None
    ternary: PackedTernary | None = None
    cuts: tuple[int, ...] = ()
    sampled: dict[int, Array] = field(default_factory=dict)

    @property
    def pieces(self) -> tuple[int, ...]:
        """K in its pieces."""
        return self.cuts or (self.k,)

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


def given_ternary(w: Array | PackedTernary) -> PackedTernary | None:
    """`w` (N, K) packed, if it is int8 and holds -1, 0 and 1 only."""
    if isinstance(w, PackedTernary):
        return w
    return PackedTernary.from_codes(w) if w.dtype == np.int8 and ((w >= -1) & (w <= 1)).all() else None
