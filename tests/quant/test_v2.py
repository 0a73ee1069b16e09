"""BitNet v2: the Hadamard transform is orthogonal, symmetric, fast and fussy about sizes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bitsim.errors import OperandError
from bitsim.quant.contracts import contract
from bitsim.quant.v2 import hadamard
from bitsim.testing.numbers import ordinary, powers_of_two

f32 = np.float32


def dense(n):
    """H_m by the definition's recursion, float64."""
    h = np.ones((1, 1))
    while len(h) < n:
        h = np.block([[h, h], [h, -h]]) / np.sqrt(2)
    return h


@pytest.mark.parametrize("n", [1, 2, 4, 8, 64, 1024])
def test_equals_the_dense_matrix(n):
    x = np.random.default_rng(n).normal(size=(3, n)).astype(np.float32)
    np.testing.assert_allclose(hadamard(x), x @ dense(n), atol=4e-6)


@given(powers_of_two(8).flatmap(lambda n: arrays(np.float32, (2, n), elements=st.integers(-1000, 1000))))
def test_integers_are_exact_before_the_one_multiplication(x):
    n = x.shape[1]
    sums = np.rint(x.astype(np.float64) @ dense(n) * np.sqrt(n)).astype(np.float32)
    np.testing.assert_array_equal(hadamard(x), sums * f32(np.sqrt(1 / n)))


@given(powers_of_two().flatmap(lambda n: arrays(np.float32, (2, 3, n), elements=ordinary)))
def test_is_its_own_inverse_and_keeps_the_norm(x):
    y = hadamard(x)
    assert y.shape == x.shape
    np.testing.assert_allclose(hadamard(y), x, atol=2e-5)
    norms = [np.linalg.norm(v.astype(np.float64), axis=-1) for v in (x, y)]
    np.testing.assert_allclose(*norms, rtol=1e-5, atol=1e-40)


@pytest.mark.parametrize(("n", "near"), [(3, "2 and 4"), (2560, "2048 and 4096"), (6912, "4096 and 8192")])
def test_other_sizes_are_refused_by_name(n, near):
    with pytest.raises(OperandError, match=rf"got {n} \(nearest: {near}\)"):
        hadamard(np.ones((1, n), np.float32))


@pytest.mark.parametrize("x", [np.ones(()), np.float32(1), np.ones((2, 2)), np.ones((2, 0), np.float32)])
def test_other_arrays_are_refused(x):
    with pytest.raises(OperandError, match="expected float32"):
        hadamard(np.asarray(x))


def test_the_input_is_left_alone_and_may_be_strided():
    x = np.arange(32, dtype=np.float32).reshape(4, 8)
    kept = x.copy()
    np.testing.assert_array_equal(hadamard(x.T[:, :]), hadamard(np.ascontiguousarray(x.T)))
    np.testing.assert_array_equal(hadamard(np.ones((1, 1), np.float32)), [[1]])
    np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize("bits", [4, 8])
def test_an_outlier_costs_less_behind_the_transform(bits):
    """What the transform is for: one large channel no longer takes the whole code range."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(8, 256)).astype(np.float32)
    x[:, 17] = 60
    plain, rotated = contract(f"v2_int{bits}"), contract(f"v2_hadamard_int{bits}")
    q, step = plain.quantise_activations(x)
    r, rotated_step = rotated.quantise_activations(x)
    error = np.square(q * step - x).mean()
    rotated_error = np.square(hadamard(r * rotated_step) - x).mean()
    assert rotated_error < error / 4
    assert rotated.activation_bits == bits
