"""Chains of fused dot-adds, as floating-point tensor cores do them; `bitsim.datapath.tensor_core.reference` says what.

Without shifts, in float32 lanes of 16 columns: the largest addend's power of two is a maximum of products of powers of
two; an addend times 2^alignment_bits over that power, converted to int32, is aligned and cut toward zero. Products of
two significands of up to 12 bits are exact in float32, and 16 of them with 25 alignment bits exact in an int32 sum.
Lanes that leave the range in which all of this is exact (specials, very small and very large numbers) are computed
one by one in float64, which is exact for everything.
"""

import math
from typing import Any, NamedTuple

import numba
import numpy as np

from bitsim._jit import inlined, kernel, parallel_kernel, team
from bitsim.datapath.kernels.simd import load, splat, store
from bitsim.datapath.kernels.simd_float import (
    LANES,
    lanes_outside,
    larger,
    power_of_two,
    power_quotient,
    round_sum,
    smaller,
    truncate,
)

NAN_SCALE = 2**14  # stands for a NaN among the exponents of block scales
_MAX_FAST_ALIGNMENT_BITS = 25  # 16 * 4 * 2^25 = 2^31
_MAX_FAST_BLOCK = 32
_EXACT_PRODUCTS = 16
_LOWEST = np.float32(2.0**-100)  # of the largest addend: its scale and all results are normal float32
_HIGHEST = np.float32(2.0**125)  # of the largest addend: no product overflows float32
_LARGEST_SCALE = np.float32(2.0**127)
_WORTH_A_TEAM = 2**17  # MACs


class Rules(NamedTuple):
    """How sums are aligned and rounded.

    * `block`: products per block, `alignment_bits`: kept of an addend.
    * `fraction_bits`, `least_exponent`, `nearest`: of the result; 2^`overflow_exponent` is infinity.
    * `zero_power`: the power of two of c = 0; `c_least_power`: that of subnormal c; `floor`: least power of a block.
    """

    block: int
    alignment_bits: int
    fraction_bits: int
    least_exponent: int
    nearest: bool
    overflow_exponent: int
    zero_power: float
    c_least_power: float
    floor: float


class Operand(NamedTuple):
    """A, or B with 16 columns side by side.

    * `values`, `powers`: float32, numbers and 2^exponent, for zeros by convention. A: (M, K); B: (N / 16, K, 16).
    * `scale_exponents`: int16, of the scale of each block of k, 0 if there are none, `NAN_SCALE` for NaN.
      A: (M, K / block); B: (N / 16, K / block, 16). Padding columns hold any numbers.
    * `fast_scales`: float32, of the same shape: see `fast_scales`.
    """

    values: Any
    powers: Any
    scale_exponents: Any
    fast_scales: Any


def fast_scales(scale_exponents: Any, has_specials: Any, rules: Rules) -> Any:
    """float32: 2^scale exponent, and NaN for blocks that the fast lanes can't do."""
    possible = rules.alignment_bits <= _MAX_FAST_ALIGNMENT_BITS and rules.block <= _MAX_FAST_BLOCK
    fast = possible & ~has_specials & (scale_exponents < NAN_SCALE)
    return np.where(fast, np.ldexp(np.float32(1.0), np.where(fast, scale_exponents, 0)), np.float32(np.nan))


def fused_dot_adds(a: Operand, b: Operand, y: Any, n: int, rules: Rules) -> None:
    """`y`: float32 (N / 16, M, 16), c on entry and the result on return; `n`: columns that are not padding.

    Every NaN of the result is one, but which one is not defined.
    """
    with team(a.values.size * n, _WORTH_A_TEAM):
        _all_columns(a, b, y, n, rules)


@kernel
def power(exponent: Any) -> Any:
    """2^exponent in float64, -1022 <= exponent <= 1023; quicker than `math.ldexp`."""
    return np.int64((np.int64(exponent) + 1023) << 52).view(np.float64)


@kernel
def exponent_of(x: Any) -> Any:
    """floor(log2|x|) of a normal float64."""
    return ((np.float64(x).view(np.int64) >> 52) & 0x7FF) - 1023


@kernel
def round_once(x: Any, rules: Any) -> Any:
    """`x`, zero or a normal float64, as an accumulator: rounded once; zero is +0."""
    if x == 0.0:
        return 0.0
    last_place = power(max(exponent_of(x), rules.least_exponent) - rules.fraction_bits)
    steps = np.rint(x / last_place) if rules.nearest else np.trunc(x / last_place)
    result = steps * last_place
    if abs(result) >= power(rules.overflow_exponent):
        return math.copysign(np.inf, result)
    return result + 0.0


@kernel
def accumulator_power(c: Any, rules: Any) -> Any:
    """2^exponent of a finite accumulator."""
    if c == 0.0:
        return rules.zero_power
    return max(power(exponent_of(c)), rules.c_least_power)


@kernel
def _special_sum(a: Any, b: Any, c: Any, m: Any, block: Any, ks: Any, lane: Any) -> Any:
    """NaN, an infinity, or 0 if the products and c are all finite."""
    total = 0.0 if math.isfinite(c) else c
    for k in range(ks[0], ks[1]):
        product = np.float64(a.values[m, k]) * np.float64(b.values[block, k, lane])
        if not math.isfinite(product):
            total += product
    return total


@kernel
def _exact_lane(a: Any, b: Any, c: Any, m: Any, block: Any, t: Any, lane: Any, rules: Any) -> Any:
    """Block `t` of k of one output, in float64."""
    ks = t * rules.block, (t + 1) * rules.block
    scale_exponent: Any = np.int64(a.scale_exponents[m, t]) + np.int64(b.scale_exponents[block, t, lane])
    if scale_exponent > NAN_SCALE // 2:
        return np.nan
    special = _special_sum(a, b, c, m, block, ks, lane)
    if special != 0.0:
        return special
    scale = power(scale_exponent)
    largest = max(accumulator_power(c, rules), rules.floor)
    for k in range(ks[0], ks[1]):
        largest = max(largest, scale * np.float64(a.powers[m, k]) * np.float64(b.powers[block, k, lane]))
    if largest == 0.0:
        return 0.0
    to_steps = power(rules.alignment_bits) / largest
    total = np.trunc(c * to_steps)
    for k in range(ks[0], ks[1]):
        total += np.trunc(scale * to_steps * np.float64(a.values[m, k]) * np.float64(b.values[block, k, lane]))
    return round_once(total / to_steps, rules)


@inlined
def _aligned_sum(a: Any, b: Any, m: Any, row: Any, ks: Any, to_steps: Any) -> Any:
    total = splat(np.int32(0))
    for k in range(ks[0], ks[1]):
        total += truncate(splat(a.values[m, k]) * load(b.values, LANES * (row + k)) * to_steps)
    return total


@inlined
def _fast_lanes(a: Any, b: Any, c: Any, m: Any, block: Any, t: Any, rules: Any) -> Any:
    """Block `t` of k of 16 outputs, c: f32x16; returns f32x16 and the bits of the lanes that are not to be trusted."""
    first, end = t * rules.block, (t + 1) * rules.block
    row = block * a.values.shape[1]
    products = splat(np.float32(0.0))
    for k in range(first, end):
        products = larger(splat(a.powers[m, k]) * load(b.powers, LANES * (row + k)), products)
    scale = splat(a.fast_scales[m, t]) * load(b.fast_scales, LANES * (block * a.fast_scales.shape[1] + t))
    c_power = power_of_two(c)
    # 0 for c = 0, else at least 2^-24 * 2^10.
    subnormal = smaller(c_power * splat(np.float32(2.0**10)), splat(np.float32(rules.c_least_power)))
    largest = larger(larger(larger(c_power, subnormal), splat(np.float32(rules.floor))), products * scale)
    to_steps = power_quotient(rules.alignment_bits, largest)
    # A scale beyond float32 meets products that are all 0.
    product_to_steps = smaller(scale * to_steps, splat(_LARGEST_SCALE))
    middle = min(end, first + _EXACT_PRODUCTS)
    sums = (
        _aligned_sum(a, b, m, row, (first, middle), product_to_steps),
        _aligned_sum(a, b, m, row, (middle, end), product_to_steps),
        truncate(c * to_steps),
    )
    unit = largest * splat(np.float32(2.0**-rules.alignment_bits))
    result = round_sum(sums, unit, rules.fraction_bits, rules.least_exponent, rules.nearest)
    # Infinity from 2^overflow_exponent on.
    gain = 2.0 ** (128 - rules.overflow_exponent)
    result = result * splat(np.float32(gain)) * splat(np.float32(1.0 / gain))
    return result, lanes_outside(largest, splat(_LOWEST), splat(_HIGHEST))


@parallel_kernel
def _all_columns(a: Any, b: Any, y: Any, n: Any, rules: Any) -> None:
    for item in numba.prange(y.shape[0]):
        block = np.int64(item)
        used = (1 << min(LANES, n - LANES * block)) - 1
        mended = np.empty(LANES, np.float32)
        for t in range(a.scale_exponents.shape[1]):
            for m in range(y.shape[1]):
                at = LANES * (block * y.shape[1] + m)
                result, untrusted = _fast_lanes(a, b, load(y, at), m, block, t, rules)
                if untrusted & used:
                    store(mended, 0, result)
                    for lane in range(LANES):
                        if (untrusted & used) >> lane & 1:
                            mended[lane] = _exact_lane(a, b, np.float64(y[block, m, lane]), m, block, t, lane, rules)
                    result = load(mended, 0)
                store(y, at, result)
