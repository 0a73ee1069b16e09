"""Fixed-point steps on float32 lanes, lane by lane."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim._jit import kernel
from bitsim.datapath.kernels.simd import load, store
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

EDGES = np.array(
    [
        0.0,
        -0.0,
        1.0,
        -1.0,
        1.5,
        2.0,
        -3.99,
        np.inf,
        -np.inf,
        np.nan,
        1e-45,
        2.0**-126,
        2.0**127,
        3e38,
        0.1,
        -(2.0**-30),
    ],
    np.float32,
)


@kernel
def lane_ops(x: Any, y: Any, out: Any) -> Any:
    a, b = load(x, 0), load(y, 0)
    store(out, 0, larger(a, b))
    store(out, LANES, smaller(a, b))
    store(out, 2 * LANES, power_of_two(a))
    return lanes_outside(a, b, load(y, LANES))


@kernel
def fixed_point(x: Any, powers: Any, exponent: int, integers: Any, quotients: Any) -> None:
    store(integers, 0, truncate(load(x, 0)))
    store(quotients, 0, power_quotient(exponent, load(powers, 0)))


@kernel
def rounded(sums: Any, unit: Any, fraction_bits: int, least_exponent: int, nearest: bool, out: Any) -> None:
    three = (load(sums, 0), load(sums, LANES), load(sums, 2 * LANES))
    store(out, 0, round_sum(three, load(unit, 0), fraction_bits, least_exponent, nearest))


@pytest.mark.parametrize("shift", range(16))
def test_comparisons_keep_a_nan_on_the_right_and_drop_one_on_the_left(shift: int) -> None:
    x, y = EDGES, np.concatenate([np.roll(EDGES, shift), np.full(LANES, 2.0, np.float32)])
    out = np.empty(3 * LANES, np.float32)
    outside = lane_ops(x, y, out)
    low, powers = y[:LANES], out[2 * LANES :]
    np.testing.assert_array_equal(out[:LANES].view(np.uint32), np.where(x > low, x, low).view(np.uint32))
    np.testing.assert_array_equal(out[LANES : 2 * LANES].view(np.uint32), np.where(x < low, x, low).view(np.uint32))
    np.testing.assert_array_equal(powers, (x.view(np.uint32) & np.uint32(0x7F800000)).view(np.float32))
    assert [bool(outside >> lane & 1) for lane in range(LANES)] == (~((low <= x) & (x <= 2.0))).tolist()


@given(st.integers(0, 2**32 - 1), st.integers(0, 30))
def test_truncation_is_toward_zero_and_quotients_of_powers_are_exact(seed: int, exponent: int) -> None:
    rng = np.random.default_rng(seed)
    x = (rng.uniform(-1, 1, LANES) * 2.0 ** rng.integers(-3, 31, LANES)).astype(np.float32)
    powers = (2.0 ** rng.integers(-96, 120, LANES)).astype(np.float32)
    integers, quotients = np.empty(LANES, np.int32), np.empty(LANES, np.float32)
    fixed_point(x, powers, exponent, integers, quotients)
    assert integers.tolist() == [int(v) for v in x]
    np.testing.assert_array_equal(quotients, (2.0**exponent / powers.astype(np.float64)).astype(np.float32))


@given(st.integers(0, 2**32 - 1), st.integers(1, 23), st.sampled_from([-126, -14]), st.booleans(), st.integers(0, 31))
def test_sums_are_rounded_once(seed: int, fraction_bits: int, least: int, nearest: bool, size: int) -> None:
    rng = np.random.default_rng(seed)
    sums = rng.integers(-(2**size), 2**size, 3 * LANES).astype(np.int32)
    sums[::LANES] = (5, 0, -5)
    unit = (2.0 ** rng.integers(-40, 40, LANES)).astype(np.float32)
    out = np.empty(LANES, np.float32)
    rounded(sums, unit, fraction_bits, least, nearest, out)
    for lane in range(LANES):
        exact = sum(int(v) for v in sums[lane::LANES]) * Fraction(float(unit[lane]))
        exponent = least
        while abs(exact) >= Fraction(2) ** (exponent + 1):
            exponent += 1
        last_place = Fraction(2) ** (exponent - fraction_bits)
        steps = round(exact / last_place) if nearest else int(exact / last_place)
        assert Fraction(float(out[lane])) == steps * last_place
        assert not (out[lane] == 0 and np.signbit(out[lane]))
