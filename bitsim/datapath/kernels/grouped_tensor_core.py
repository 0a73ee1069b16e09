"""Fused dot-adds of FP4 with scales: a group of neighbours in k is summed exactly; its scaled sum is one addend."""

import math
from typing import Any, NamedTuple

import numba
import numpy as np

from bitsim._jit import inlined, kernel, parallel_kernel, team
from bitsim.datapath.kernels.simd import load, splat, store
from bitsim.datapath.kernels.simd_float import LANES
from bitsim.datapath.kernels.tensor_core import Rules, accumulator_power, power, round_once

_WORTH_A_TEAM = 2**17  # MACs


class GroupedOperand(NamedTuple):
    """A, or B with 16 columns side by side.

    * `values`: float32, multiples of 1/2 up to 6. A: (M, K); B: (N / 16, K, 16).
    * `scales` and `powers`: float64, the scale of each group, and 2^exponent of it, for zeros by convention.
      A: (M, K / group); B: (N / 16, K / group, 16).
    """

    values: Any
    scales: Any
    powers: Any


def grouped_dot_adds(a: GroupedOperand, b: GroupedOperand, y: Any, n: int, group: int, rules: Rules) -> None:
    """`y`: float32 (N / 16, M, 16), c on entry and the result on return; `n`: columns that are not padding.

    Every NaN of the result is one, but which one is not defined.
    """
    with team(a.values.size * n, _WORTH_A_TEAM):
        _all_columns(a, b, y, n, group, rules)


@inlined
def _dots(a: Any, b: Any, m: Any, block: Any, t: Any, group: Any, rules: Any, dots: Any) -> None:
    """dots: float32 (block / group, 16), written: the exact sums of the products of each group."""
    row = block * a.values.shape[1]
    for g in range(dots.shape[0]):
        first = t * rules.block + g * group
        total = splat(np.float32(0.0))
        for k in range(first, first + group):
            total += splat(a.values[m, k]) * load(b.values, LANES * (row + k))
        store(dots, LANES * g, total)


@kernel
def _add_groups(a: Any, b: Any, dots: Any, c: Any, m: Any, block: Any, t: Any, lane: Any, rules: Any) -> Any:
    """One output of block `t` of k, in float64, which is exact."""
    first = t * dots.shape[0]
    largest, scales = accumulator_power(c, rules), 0.0
    for g in range(dots.shape[0]):
        largest = max(largest, a.powers[m, first + g] * b.powers[block, first + g, lane])
        scales += a.scales[m, first + g] * b.scales[block, first + g, lane]
    if math.isnan(scales):
        return np.nan
    if not math.isfinite(c):
        return c
    to_steps = power(rules.alignment_bits) / largest
    total = np.trunc(c * to_steps)
    for g in range(dots.shape[0]):
        scale = a.scales[m, first + g] * b.scales[block, first + g, lane]
        total += np.trunc(np.float64(dots[g, lane]) * scale * to_steps)
    return round_once(total / to_steps, rules)


@parallel_kernel
def _all_columns(a: Any, b: Any, y: Any, n: Any, group: int, rules: Any) -> None:
    for item in numba.prange(y.shape[0]):
        block = np.int64(item)
        dots = np.empty((rules.block // group, LANES), np.float32)
        for t in range(a.values.shape[1] // rules.block):
            for m in range(y.shape[1]):
                _dots(a, b, m, block, t, group, rules, dots)
                for lane in range(min(LANES, n - LANES * block)):
                    c = np.float64(y[block, m, lane])
                    y[block, m, lane] = _add_groups(a, b, dots, c, m, block, t, lane, rules)
