"""exp, log, cosine and sine: equal to their plain twins, and how far from the exact values."""

import math
from decimal import Context, Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bitsim._jit import kernel
from bitsim.floats import functions, plain, scalars
from bitsim.floats.exponentials import exponentials, logarithms
from bitsim.floats.functions import ANGLES_BELOW, cosines_and_sines

PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798")
DIGITS = Context(prec=90)


@kernel
def of_exp(x: Any) -> Any:
    return functions.exp(x[0])


@kernel
def of_log(x: Any) -> Any:
    return functions.log(x[0])


@kernel
def of_cos_sin(x: Any) -> Any:
    return functions.cos_sin(x[0])


def ulps(got: float, exact: Decimal) -> float:
    return float(abs(Decimal(got) - exact) / Decimal(math.ulp(float(exact))))


def exact_cos_sin(x: float) -> tuple[Decimal, Decimal]:
    """Their Taylor series in 90 digits, of x modulo 2 pi."""
    with localcontext(DIGITS):
        r = Decimal(x) - 2 * PI * (Decimal(x) / (2 * PI)).to_integral_value()
        term, sums = Decimal(1), [Decimal(0), Decimal(0)]
        for n in range(60):
            sums[n % 2] += term * (-1 if n % 4 >= 2 else 1)
            term = term * r / (n + 1)
        return sums[0], sums[1]


@given(st.floats(-708, 709))
@example(0.0)
@example(-0.0)
@example(709.0)
@example(-708.0)
@example(math.log(2) / 2)
def test_exp_equals_its_twin_and_is_within_one_ulp(x: float) -> None:
    got = float(of_exp(np.array([x])))
    assert got == plain.exp(x)
    with localcontext(DIGITS):
        assert ulps(got, Decimal(x).exp()) < 1


@pytest.mark.parametrize(("x", "y"), [(-708.1, 0.0), (-math.inf, 0.0), (709.1, math.inf), (math.inf, math.inf)])
def test_exp_ends_in_zero_and_infinity(x: float, y: float) -> None:
    assert of_exp(np.array([x])) == plain.exp(x) == y


def test_exp_of_nan_is_nan() -> None:
    assert math.isnan(of_exp(np.array([math.nan])))


@given(st.floats(2.0**-1022, 2.0**1023))
@example(1.0)
@example(math.sqrt(0.5))
@example(math.sqrt(0.5) * 2.0**32)  # of all such powers the one at which both sides of the seam differ
@example(math.nextafter(math.sqrt(0.5), 0))
@example(math.nextafter(1, 2))
@example(math.nextafter(1, 0))
def test_log_equals_its_twin_and_is_within_one_ulp(x: float) -> None:
    got = float(of_log(np.array([x])))
    assert got == plain.log(x)
    if x != 1:
        with localcontext(DIGITS):
            assert ulps(got, Decimal(x).ln()) < 1


@given(st.floats(0, ANGLES_BELOW, exclude_max=True, width=32))
@example(0.0)
@example(float(np.float32(math.pi / 2)))
@example(float(np.float32(math.pi)))
@example(1048575.9375)
def test_cosine_and_sine_equal_their_twins_within_2_to_the_minus_52(x: float) -> None:
    got = of_cos_sin(np.array([x]))
    assert tuple(got) == plain.cos_sin(x)
    for value, exact in zip(got, exact_cos_sin(x), strict=True):
        assert abs(Decimal(float(value)) - exact) < Decimal(2.0**-52)


def test_tables_of_angles_are_the_scalars_rounded_once() -> None:
    angles = np.random.default_rng(0).uniform(0, 40000, (7, 3)).astype(np.float32)
    cosines, sines = cosines_and_sines(angles)
    twins = np.array([plain.cos_sin(float(x)) for x in angles.ravel()], np.float32)
    np.testing.assert_array_equal(cosines.ravel(), twins[:, 0])
    np.testing.assert_array_equal(sines.ravel(), twins[:, 1])


@given(st.floats(1e-300, 1e300), st.floats(-3, 3))
def test_scalars_are_rounded_correctly(x: float, t: float) -> None:
    with localcontext(DIGITS):
        assert scalars.exp(t) == float(Decimal(t).exp())
        assert scalars.log(x) == float(Decimal(x).ln())
        base = abs(t) + 0.5
        assert scalars.power(base, t) == float((Decimal(base).ln() * Decimal(t)).exp())


def test_arrays_have_the_exponentials_and_logarithms_of_their_values() -> None:
    values = np.array([-700.0, -1.5, 0.0, 1e-9, 2.0, 700.0])
    assert exponentials(values).tolist() == [plain.exp(x) for x in values.tolist()]
    positive = np.array([1e-300, 0.5, 1.0, math.e, 1e300])
    assert logarithms(positive).tolist() == [plain.log(x) for x in positive.tolist()]
    assert exponentials(np.empty(0)).size == logarithms(np.empty(0)).size == 0
