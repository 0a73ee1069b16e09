"""Sums and functions along rows: equal to their plain twins, and close to the formulas in float64."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitsim.floats import plain, rows
from bitsim.floats.exact import exponent_sums

SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


@given(SEEDS, st.integers(1, 4), st.integers(1, 40))
def test_square_sums_equal_their_twin(seed: int, m: int, k: int) -> None:
    x = drawn(seed, m, k)
    for values in (x, x.astype(np.float64)):
        got = rows.square_sums(values)
        np.testing.assert_array_equal(got, plain.square_sums(values))
        np.testing.assert_allclose(got[:, 0], (values.astype(np.float64) ** 2).sum(axis=1), rtol=1e-6)


@given(SEEDS, st.integers(1, 3), st.integers(1, 5), st.integers(0, 20), st.sampled_from([0.1, 5.0, 100.0]))
def test_softmax_equals_its_twin(seed: int, heads: int, tokens: int, past: int, scale: float) -> None:
    scores = drawn(seed, heads, tokens, past + tokens, scale=scale)
    p = rows.softmax(scores, np.float32(0.3), past)
    np.testing.assert_array_equal(p, plain.softmax(scores, np.float32(0.3), past))
    hidden = np.arange(past + tokens) > past + np.arange(tokens)[:, None]
    exact = np.where(hidden, -np.inf, 0.3 * scores.astype(np.float64))
    exact = np.exp(exact - exact.max(axis=-1, keepdims=True))
    exact /= exact.sum(axis=-1, keepdims=True)
    # A score's rounding error of 2^-24 |s| becomes a relative error of its exponential.
    np.testing.assert_allclose(p, exact, rtol=4e-7 * (1 + np.abs(scores).max()), atol=1e-37)
    assert not p[:, hidden].any()


def test_a_row_of_softmax_ignores_hidden_columns_and_other_rows() -> None:
    scores = drawn(4, 2, 6, 9)
    whole = rows.softmax(scores, np.float32(1), 3)
    for t in range(6):
        alone = rows.softmax(np.ascontiguousarray(scores[:, t : t + 1, : 4 + t]), np.float32(1), 3 + t)
        np.testing.assert_array_equal(alone[:, 0], whole[:, t, : 4 + t])


def test_values_that_are_not_finite_stay_visible() -> None:
    assert np.isnan(rows.softmax(np.float32([[[np.nan, 1.0]]]), np.float32(1), 1)).all()
    assert np.isnan(rows.softmax(np.float32([[[np.inf, 1.0]]]), np.float32(1), 1)).any()
    assert np.isnan(rows.square_sums(np.float32([[np.nan, 1]]))).all()


@given(SEEDS, st.integers(1, 30), st.sampled_from([1.0, 1.702]), st.sampled_from([1.0, 60.0, 1e30]))
def test_gates_equal_their_twin(seed: int, size: int, slope: float, scale: float) -> None:
    x = drawn(seed, 2, size, scale=scale)
    got = rows.gated(x, np.float32(slope))
    np.testing.assert_array_equal(got, plain.gated(x, np.float32(slope)))
    with np.errstate(over="ignore"):
        exact = x / (1 + np.exp(-slope * x.astype(np.float64)))
    np.testing.assert_allclose(got, exact, rtol=1e-5, atol=1e-36)


@given(SEEDS, st.integers(1, 50), st.sampled_from([1e-6, 0.3, 1.0, 10.0]))
def test_cumulative_weights_equal_their_twin(seed: int, size: int, temperature: float) -> None:
    logits = drawn(seed, size, scale=4)
    got = rows.cumulative_weights(logits, temperature)
    np.testing.assert_array_equal(got, plain.cumulative_weights(logits, temperature))
    shifted = logits.astype(np.float64) - logits.max()
    np.testing.assert_allclose(got, np.cumsum(np.exp(shifted / temperature)), rtol=1e-13)


@given(SEEDS, st.integers(1, 4), st.integers(1, 40))
def test_log_losses_equal_their_twin(seed: int, tokens: int, size: int) -> None:
    logits, targets = drawn(seed, tokens, size, scale=3), np.arange(tokens) % size
    got = rows.log_losses(logits, targets)
    np.testing.assert_array_equal(got, plain.log_losses(logits, targets))
    exact = logits.astype(np.float64)
    exact = np.log(np.exp(exact).sum(axis=1)) - exact[np.arange(tokens), targets]
    np.testing.assert_allclose(got, exact, rtol=1e-12, atol=1e-13)


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_exponent_sums_are_exact(values: list[float]) -> None:
    sums = exponent_sums(np.float32(values))
    assert sum(int(part) << e for e, part in enumerate(sums)) == sum(map(Fraction, values)) * 2**149


def test_row_sums_follow_the_stated_order() -> None:
    """2^53 swallows a 1 that is added to it alone; ones of other lanes meet first, and so they count."""
    large = np.float64(2.0**53)
    x = np.zeros(24)
    x[0], x[8], x[16] = large, 1, 1  # lane 0: both are lost, one by one
    assert plain.row_sum(x) == large
    x[8], x[16], x[9], x[17] = 0, 0, 1, 1  # lane 1: 1 + 1, then added to lane 0
    assert plain.row_sum(x) == large + 2
    x[17], x[13] = 0, 1  # lanes 1 and 5 meet before lane 0
    assert plain.row_sum(x) == large + 2
    x[13], x[12] = 0, 1  # lane 4 meets lane 0, lane 1 comes later
    assert plain.row_sum(x) == large
