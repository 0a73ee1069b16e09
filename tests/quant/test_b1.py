"""BitNet b1 and b1.58: what the papers say of their quantisers, and the FAQ's vectors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from bitsim.errors import ConfigError, OperandError
from bitsim.quant.b1 import NonNegativeQuantiser
from bitsim.quant.contracts import contract
from bitsim.quant.weights import binarise, binarise_faq, ternarise, ternarise_added
from bitsim.testing.numbers import halves, tokens

CASES = ("rand", "zeros", "sym_pm1", "big")
f32 = np.float32


@pytest.fixture(scope="module")
def faq(layer):
    return layer("faq_vectors")


@pytest.mark.parametrize("case", CASES)
def test_faq_b158(faq, case):
    entry = contract("faq")
    q, s = entry.quantise_activations(faq[f"{case}.x"])
    np.testing.assert_array_equal(q, faq[f"{case}.xq"])
    np.testing.assert_array_equal(s, faq[f"{case}.xs"])
    codes, mean = entry.quantise_weights(faq[f"{case}.w"])
    np.testing.assert_array_equal(codes, faq[f"{case}.b158.tern"])
    np.testing.assert_array_max_ulp(entry.stored_scale(mean), faq[f"{case}.b158.w_scale"], maxulp=2)
    acc = q.astype(np.int64) @ codes.T.astype(np.int64)
    y = entry.rescale(acc, s, faq[f"{case}.b158.w_scale"])
    np.testing.assert_array_equal(y.view(np.uint32), faq[f"{case}.b158.y_infer"].view(np.uint32))


@pytest.mark.parametrize("case", CASES)
def test_faq_b1(faq, case):
    entry = contract("faq_b1")
    codes, mean = entry.quantise_weights(faq[f"{case}.w"])
    np.testing.assert_array_equal(codes, faq[f"{case}.b1.sign"])
    np.testing.assert_array_max_ulp(mean, faq[f"{case}.b1.scale"], maxulp=2)
    np.testing.assert_array_equal(codes * faq[f"{case}.b1.scale"], faq[f"{case}.b1.fake"])
    q, _ = entry.quantise_activations(faq[f"{case}.x"])
    np.testing.assert_array_equal(q.astype(np.int64) @ codes.T.astype(np.int64), faq[f"{case}.b1.acc"])


def test_two_divisions_are_not_one():
    rng = np.random.default_rng(0)
    acc, s = rng.integers(-9999, 9999, (1, 1000)), f32([[49.7]])
    one, two = (contract(name).rescale(acc, s, f32(62.03)) for name in ("hf_bitlinear_fp32", "faq"))
    assert (one != two).any()
    np.testing.assert_array_max_ulp(one, two, maxulp=2)


@given(tokens())
def test_the_two_signs_differ_at_the_mean_only(w):
    (paper, _), (code, _) = binarise(w), binarise_faq(w)
    assert set(np.unique(paper)) <= {-1, 1}
    np.testing.assert_array_equal(paper[code != 0], code[code != 0])
    assert (paper[code == 0] == -1).all()


@pytest.mark.parametrize("value", [0.1, -0.1, 0.0, -0.0, 3e38, 1e-45])
def test_a_constant_tensor_is_minus_one_or_zero(value):
    w = np.full((7, 13), value, np.float32)
    assert (binarise(w)[0] == -1).all()
    assert not binarise_faq(w)[0].any()
    assert binarise(w)[1] == abs(f32(value))


@given(arrays(np.float32, (6, 8), elements=halves))
def test_weights_do_not_depend_on_the_order_of_elements(w):
    order = np.random.default_rng(0).permutation(w.size)
    shuffled = w.ravel()[order].reshape(w.shape)
    for quantise in (binarise, binarise_faq, ternarise_added):
        codes, mean = quantise(w)
        again, mean_again = quantise(shuffled)
        np.testing.assert_array_equal(codes.ravel()[order], again.ravel())
        assert mean == mean_again


def test_eps_added_and_clamped_differ_where_weights_are_tiny():
    w = f32([[1e-5, -1e-5, 3e-5, 0]])
    (added, mean), (clamped, clamped_mean) = ternarise_added(w), ternarise(w)
    np.testing.assert_array_equal(added, [[0, 0, 1, 0]])  # mean 1.25e-5: 1 / 2.25 and 3 / 2.25
    np.testing.assert_array_equal(clamped, [[1, -1, 1, 0]])  # 1 / 1.25
    assert mean == clamped_mean
    assert ternarise_added(0 * w)[1] == 0
    assert ternarise(0 * w)[1] == f32(1e-5)


@given(tokens())
def test_floor_uses_both_ends_of_int8_and_rint_is_nearer(x):
    level = np.abs(x).max(axis=1, keepdims=True)
    floor, step = contract("b1").quantise_activations(x)
    nearest, _ = contract("b1_rint").quantise_activations(x)
    big = np.broadcast_to(level > 1e-5, x.shape)
    assert (floor[(x == level) & big] == 127).all()
    assert (floor[(x == -level) & big] == -128).all()
    assert (nearest.astype(int) - floor <= 1).all()
    assert (nearest >= floor).all()
    # Floor never reads back above x; both are within one step of it.
    distance = x.astype(float) / step - floor
    assert distance.min() >= -2e-5
    assert distance.max() <= 1 + 2e-5


@pytest.mark.parametrize(("qb", "top", "bottom"), [(127, 127, -127), (128, 127, -128)])
@pytest.mark.parametrize("eps", ["added", "clamped"])
def test_ends_of_b158(qb, top, bottom, eps):
    q, step = contract(f"b158_q{qb}_{eps}").quantise_activations(f32([[4, -4, 0, 2]]))
    np.testing.assert_array_equal(q[0, :3], [top, bottom, 0])
    assert step[0, 0] == f32(4) / f32(qb)


def test_added_eps_shrinks_codes_of_tiny_tokens_only():
    x = f32([[1e-5, -1e-5], [1, -1]])
    added, step = contract("b158_q127_added").quantise_activations(x)
    clamped, _ = contract("b158_q127_clamped").quantise_activations(x)
    np.testing.assert_array_equal(added, [[64, -64], [127, -127]])
    np.testing.assert_array_equal(clamped, [[127, -127], [127, -127]])
    assert step[0, 0] == f32(1e-5) / f32(127)


@given(tokens())
def test_nonnegative_codes_read_back_with_eta(x):
    quantiser = NonNegativeQuantiser(gamma="range", rounding="rint")
    try:
        q, step, eta = quantiser.with_offset(x)
    except OperandError:
        return
    assert q.min() >= 0
    assert (q[x == eta] == 0).all()
    error = x.astype(np.float64) - (q * step.astype(np.float64) + eta)
    # Half a step, and a whole one at the top, where 128 is held at 127.
    assert (np.abs(error) <= step * (1 + 1e-4) + 2e-7 * np.abs(x)).all()


def test_absmax_saturates_the_nonnegative_form_and_range_does_not():
    x = f32([[-1, -0.5, 0, 0.5, 1]])
    np.testing.assert_array_equal(contract("b1_nonnegative").quantise_activations(x)[0], [[0, 64, 127, 127, 127]])
    np.testing.assert_array_equal(contract("b1_nonnegative_range").quantise_activations(x)[0], [[0, 32, 64, 96, 127]])


@pytest.mark.parametrize("name", ["b1", "b1_nonnegative", "a48_topk_int8", "a48_e2m1", "v2_hadamard_int4"])
def test_bad_activations_are_refused(name):
    quantise = contract(name).quantise_activations
    x = np.zeros((2, 4), np.float32)
    x[1, 2] = np.nan
    with pytest.raises(OperandError, match=r"activations\[1, 2\]: expected a finite number, got nan"):
        quantise(x)
    for bad in (np.zeros((2, 4)), np.zeros(4, np.float32), np.zeros((2, 0), np.float32)):
        with pytest.raises(OperandError, match=r"expected float32 \(M, K\), K >= 1"):
            quantise(bad)


@pytest.mark.parametrize("quantise", [binarise, binarise_faq, ternarise, ternarise_added])
def test_bad_weights_are_refused(quantise):
    with pytest.raises(OperandError, match=r"weights\[0, 1\]: expected a finite number, got -inf"):
        quantise(f32([[1, -np.inf]]))
    with pytest.raises(OperandError, match=r"weights\[0, 0\]: expected a finite number, got inf"):
        quantise(np.array([[1e300]]))
    with pytest.raises(OperandError, match="expected floats"):
        quantise(np.ones((2, 2), np.int8))


def test_float_quantises_nothing():
    with pytest.raises(ConfigError, match="float"):
        contract("float").quantise_weights(np.ones((1, 1)))
