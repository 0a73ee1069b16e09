"""Hypothesis strategies of integer matmuls that hardware gets wrong: sizes, ternary weights, activations, depths."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bitsim.datapath.accumulation import Accumulation
from bitsim.datapath.base import Array
from bitsim.datapath.tiles import Shape
from bitsim.errors import OperandError
from bitsim.testing.extra import arrays
from bitsim.testing.extra import strategies as st

PRIMES = (2, 3, 5, 7, 11, 13, 17, 31, 67, 127, 257, 1021)
ONE_BY_ONE = 256  # numbers of a matrix that hypothesis draws, and shrinks, each by itself
DEEPEST = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Takes:
    """The operands that a design takes, and which sizes tell something about it.

    * `acts`, `weights`: least and greatest legal integer; `zero_acts`, `zero_weights`: whether 0 is legal.
    * `tile`: M, K and N that fill the design once; sizes around its multiples are drawn often. Its last number is also
      how many outputs are computed side by side: splits of N at its multiples change no event.
    * `largest`: M, K and N at most.
    """

    acts: tuple[int, int] = (-128, 127)
    weights: tuple[int, int] = (-1, 1)
    zero_acts: bool = True
    zero_weights: bool = True
    tile: Shape = (1, 1, 1)
    largest: Shape = (4, 40, 8)

    def __post_init__(self) -> None:
        for name, (low, high) in (("acts", self.acts), ("weights", self.weights)):
            if not low <= high or not (low or high):
                raise OperandError(
                    f"Takes.{name}: expected (least, greatest) with a number other than 0, got {(low, high)}"
                )
        for name, sizes in (("tile", self.tile), ("largest", self.largest)):
            if len(sizes) != 3 or min(sizes) < 1:
                raise OperandError(f"Takes.{name}: expected M, K and N of at least 1, got {sizes}")

    @classmethod
    def of(cls, datapath: Any, largest: Shape = (13, 13, 13)) -> "Takes":
        """Of a datapath of bitsim, in integers."""
        m, k, _ = datapath.grain
        return cls(
            acts=datapath.act_range,
            weights=getattr(datapath, "weight_range", (-1, 1)),
            zero_acts=datapath.zero_acts,
            zero_weights=datapath.zero_weights,
            tile=(m, k, datapath.tile_columns),
            largest=largest,
        )

    @property
    def extremes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """An activation and a weight with the least product, and those with the greatest."""
        pairs = [(x, w) for x in self.acts for w in self.weights]
        return min(pairs, key=lambda pair: pair[0] * pair[1]), max(pairs, key=lambda pair: pair[0] * pair[1])

    def depth(self, how: Accumulation) -> int:
        """The least K at which each accumulator of `how` can leave its range, in both directions.

        Raises `OperandError` beyond `DEEPEST`, where a simulation would not end: check a narrower one.
        """
        (x0, w0), (x1, w1) = self.extremes
        least = min(-x0 * w0, x1 * w1)
        if least <= 0:
            raise OperandError(f"Takes: expected products of both signs, got {x0 * w0} to {x1 * w1}")
        registers = [register for register, _ in how.stages(1)]
        needed = max(register.limit // least + 1 for register in registers)
        if needed > DEEPEST:
            raise OperandError(
                f"accumulator of {max(r.bits for r in registers)} bits: leaves its range at K = {needed:,} only, laws "
                f"go to {DEEPEST:,}; check the design with a narrower one"
            )
        return needed


def sizes(largest: int, tile: int = 1) -> st.SearchStrategy[int]:
    """Generates 1, primes, multiples of `tile`, their neighbours, and anything else up to `largest`."""
    around = [size for n in (1, 2, 3) for size in (n * tile - 1, n * tile, n * tile + 1)]
    telling = sorted({1, *(size for size in (*PRIMES, *around) if 1 <= size <= largest)})
    return st.one_of(st.integers(1, largest), st.sampled_from(telling))  # the first is what hypothesis shrinks to


def acc_bits(least: int, spare: int = 3) -> st.SearchStrategy[int]:
    """Generates widths of accumulators that overflow on a few operands: `least`, which holds one term, or few more."""
    return st.integers(least, least + spare)


def _dtype(limits: tuple[int, int]) -> np.dtype[Any]:
    """The narrowest signed integers that hold `limits`."""
    types = [np.iinfo(width) for width in (np.int8, np.int16, np.int32, np.int64)]
    return next(np.dtype(one.dtype) for one in types if one.min <= limits[0] and limits[1] <= one.max)


def _legal(values: Array, limits: tuple[int, int], zero: bool) -> Array:
    """`values` in the narrowest type, the zeros replaced by a legal neighbour where none is legal."""
    if not zero:
        values = np.where(values == 0, 1 if limits[1] >= 1 else -1, values)
    return values.astype(_dtype(limits))


def _plain(limits: tuple[int, int]) -> st.SearchStrategy[int]:
    """Generates one of few telling integers in a single choice, so that hypothesis shrinks to constant operands."""
    return st.sampled_from([value for value in (0, 1, -1, *limits) if limits[0] <= value <= limits[1]])


@st.composite
def activations(draw: st.DrawFn, m: int, k: int, takes: Takes) -> Array:
    """Generates integers (M, K): constant, one by one, extremes, few outliers among small ones, or uniform."""
    low, high = takes.acts
    kind = draw(st.sampled_from(("constant", "one by one", "extremes", "outliers", "uniform", "uniform")))
    if kind == "constant":
        x: Array = np.full((m, k), draw(_plain(takes.acts)))
    elif kind == "one by one" and m * k <= ONE_BY_ONE:
        x = draw(arrays(np.int64, (m, k), elements=st.integers(low, high)))
    else:
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        x = rng.integers(low, high + 1, (m, k))
        if kind == "extremes":
            x = rng.choice(np.array([low, min(low + 1, high), np.clip(0, low, high), high]), (m, k))
        if kind == "outliers":
            small = np.clip(rng.integers(-3, 4, (m, k)), low, high)
            x = np.where(rng.random((m, k)) < 0.03, rng.choice(np.array([low, high]), (m, k)), small)
    return _legal(x, takes.acts, takes.zero_acts)


@st.composite
def weights(draw: st.DrawFn, n: int, k: int, takes: Takes) -> Array:
    """Generates integers (N, K): constant, one by one, runs of equal ones along K, many zeros, or uniform."""
    low, high = takes.weights
    kind = draw(st.sampled_from(("constant", "one by one", "runs", "zeros", "uniform", "uniform")))
    if kind == "constant":
        w: Array = np.full((n, k), draw(_plain(takes.weights)))
    elif kind == "one by one" and n * k <= ONE_BY_ONE:
        w = draw(arrays(np.int64, (n, k), elements=st.integers(low, high)))
    else:
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        w = rng.integers(low, high + 1, (n, k))
        if kind == "runs":
            begun = np.cumsum(rng.random(k) < 0.2)
            w = w[:, begun - begun[0]]
        if kind == "zeros":
            w = np.where(rng.random((n, k)) < 0.9, np.clip(0, low, high), w)
    return _legal(w, takes.weights, takes.zero_weights)


@st.composite
def matmuls(draw: st.DrawFn, takes: Takes) -> tuple[Array, Array]:
    """Generates `x_q` (M, K) and `w` (N, K) that a design takes."""
    m, k, n = (draw(sizes(most, unit)) for most, unit in zip(takes.largest, takes.tile, strict=True))
    return draw(activations(m, k, takes)), draw(weights(n, k, takes))


@st.composite
def half_matmuls(draw: st.DrawFn, largest: int = 13) -> tuple[Array, Array]:
    """Generates binary16 `x` (M, K) and `w` (N, K), sums beyond the largest finite number among them."""
    m, k, n = (draw(st.integers(1, largest)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = np.clip(rng.normal(0, draw(st.sampled_from((1e-4, 1.0, 50.0, 3e4))), (m, k)), -6e4, 6e4)
    return x.astype(np.float16), rng.normal(0, 1, (n, k)).astype(np.float16)


@st.composite
def ternary_half_matmuls(draw: st.DrawFn, largest: int = 13) -> tuple[Array, Array]:
    """Generates float32 `x` (M, K), some of it infinite, subnormal or -0 as FP16, and ternary `w` int8 (N, K)."""
    x, w = draw(half_matmuls(largest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    special = np.array([0.0, -0.0, 6e-8, -3e-41, 65520.0, -np.inf, 1.00048828125], np.float32)
    rare = rng.random(x.shape) < draw(st.sampled_from((0.0, 0.2)))
    values: Array = np.where(rare, rng.choice(special, x.shape), x.astype(np.float32))
    return values.astype(np.float32), np.sign(np.rint(w)).astype(np.int8)


@st.composite
def overflowing(draw: st.DrawFn, takes: Takes, depth: int) -> tuple[Array, Array]:
    """Generates few rows around the depth at which equal extremes leave an accumulator, some numbers changed."""
    k = draw(st.integers(max(1, depth - 2), depth + depth // 2 + 2))
    m, n = draw(st.integers(1, 2)), draw(st.integers(1, min(3, takes.largest[2])))
    x_side, w_side = draw(st.sampled_from(takes.extremes))
    x, w = np.full((m, k), x_side), np.full((n, k), w_side)
    if draw(st.booleans()):
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        others = rng.integers(takes.acts[0], takes.acts[1] + 1, (m, k))
        x = np.where(rng.random((m, k)) < draw(st.sampled_from((0.02, 0.2))), others, x)
        if takes.weights[0] <= -w_side <= takes.weights[1]:
            w = np.where(rng.random((n, k)) < 0.02, -w, w)
    return _legal(x, takes.acts, takes.zero_acts), _legal(w, takes.weights, takes.zero_weights)


def worst_cases(takes: Takes, depth: int) -> list[tuple[Array, Array]]:
    """One output each, at `depth`: the least and the greatest product throughout."""
    return [
        (_legal(np.full((1, depth), x), takes.acts, True), _legal(np.full((1, depth), w), takes.weights, True))
        for x, w in takes.extremes
    ]
