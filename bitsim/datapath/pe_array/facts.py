"""What a PE array counts from its weights, once for many calls."""

from collections.abc import Sequence
from dataclasses import dataclass

from bitsim.datapath.base import Array
from bitsim.datapath.pe_array.between import Edges, joined


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFacts:
    """What a PE array counts from its weights once and for all.

    `adds`, `subs`, `skips`, `idles`: weights that are +1, -1, 0 and, in output-stationary arrays, 0 behind 0 or at the
    beginning (ternary only). `toggles`: weight-register toggles of one pass over all tiles of K and N, each from reset.
    `edges`: of an array that keeps its weights between tiles, what they do to those before and after.
    """

    adds: int
    subs: int
    skips: int
    idles: int
    toggles: int
    edges: Edges | None = None


def summed(facts: Sequence[WeightFacts], axis: int) -> WeightFacts:
    """Of further weights along K (0) or N (1)."""
    names = ("adds", "subs", "skips", "idles", "toggles")
    ends = [one.edges for one in facts if one.edges is not None]
    return WeightFacts(
        **{name: sum(getattr(one, name) for one in facts) for name in names},
        edges=joined(ends, axis) if ends else None,
    )


def repeated_zeros(codes: Array) -> int:
    """How many weights of `codes` (N, K) are 0 and have one of 0, or none, before them in their row."""
    zero = codes == 0
    return int((zero[:, 1:] & zero[:, :-1]).sum()) + int(zero[:, 0].sum())
