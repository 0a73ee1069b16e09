"""Contracts against transformers' and the authors' own functions: equal bit for bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bitsim.errors import ConfigError, OperandError, UnknownNameError
from bitsim.model.config import NUMERICS
from bitsim.quant.contracts import CONTRACTS, absmax_int8, contract, ternarise
from bitsim.quant.recipes import recipe_named


def same_bits(got, want):
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    np.testing.assert_array_equal(got.view(f"u{got.itemsize}"), want.view(f"u{want.itemsize}"))


def test_activation_codes_equal_transformers(layer):
    vectors = layer("act_vectors")
    cases = sorted({key.split(".")[0] for key in vectors.files if key.endswith(".fp32.x")} - {"inf", "nan"})
    assert len(cases) == 14
    for case in cases:
        q, s = absmax_int8(vectors[f"{case}.fp32.x"])
        for mode in ("eager", "compiled"):
            same_bits(q, vectors[f"{case}.fp32.{mode}.q"])
            same_bits(s, vectors[f"{case}.fp32.{mode}.s"])
            same_bits(q.astype(np.float32) / s + 0, vectors[f"{case}.fp32.{mode}.fake"] + 0)


@pytest.mark.parametrize("case", ["inf", "nan"])
def test_non_finite_activations_are_refused(layer, case):
    with pytest.raises(OperandError, match=r"activations\[0, \d\]: expected a finite number, got -?(inf|nan)"):
        absmax_int8(layer("act_vectors")[f"{case}.fp32.x"])


def test_rescale_equals_transformers(layer):
    vectors = layer("act_vectors")
    y, s, ws = (vectors[f"post.fp32.{name}"] for name in ("y", "s", "ws"))
    for mode in ("eager", "compiled"):
        same_bits(contract("hf_bitlinear_fp32").rescale(y, s, ws[0]), vectors[f"post.fp32.{mode}.out"])


def test_weight_codes_equal_transformers(layer):
    vectors = layer("weight_vectors")
    cases = [key[: -len(".w")] for key in vectors.files if key.endswith(".fp32.w")]
    assert len(cases) == 15
    for case in cases:
        codes, mean = ternarise(vectors[f"{case}.w"])
        same_bits(codes, vectors[f"{case}.tern"])
        np.testing.assert_array_max_ulp(np.float32(1) / mean, vectors[f"{case}.scale"], maxulp=2)


def test_faq_codes_and_sums(layer):
    vectors = layer("faq_vectors")
    for case in ("rand", "zeros", "sym_pm1", "big"):
        q, s = absmax_int8(vectors[f"{case}.x"])
        same_bits(q, vectors[f"{case}.xq"])
        same_bits(s, vectors[f"{case}.xs"])
        codes, _ = ternarise(vectors[f"{case}.w"])
        same_bits(codes, vectors[f"{case}.b158.tern"])
        np.testing.assert_array_equal(q.astype(int) @ codes.T.astype(int), vectors[f"{case}.b158.acc"])


def test_scale_is_rounded_twice():
    """The reciprocal is rounded before the multiplication; one correctly rounded division differs for this value."""
    x = np.float32([[3.0]])
    found = [
        v for v in np.arange(1, 50, dtype=np.float32) if np.float32(1) / v * np.float32(127) != np.float32(127) / v
    ]
    assert found
    for v in found:
        _, s = absmax_int8(x * 0 + v)
        assert s[0, 0] == np.float32(np.float32(1) / v) * np.float32(127)


def test_non_finite_index_is_the_first():
    x = np.zeros((3, 4), np.float32)
    x[1, 2], x[2, 0] = np.nan, np.inf
    with pytest.raises(OperandError, match=r"activations\[1, 2\]: expected a finite number, got nan"):
        absmax_int8(x)
    w = np.ones((2, 2))
    w[1, 0] = np.inf
    with pytest.raises(OperandError, match=r"weights\[1, 0\]: expected a finite number, got inf"):
        ternarise(w)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32])
def test_rescale_takes_integers_and_floats(dtype):
    acc, s = np.array([[3, -7, 0]], dtype), np.float32([[12.7]])
    ws = np.float32(0.3)
    for name, want in (
        ("hf_bitlinear_fp32", np.float32([3, -7, 0]) / np.float32(ws * s[0, 0])),
        ("hf_autobitlinear", (np.float32([3, -7, 0]) / s[0, 0]) * ws),
    ):
        same_bits(contract(name).rescale(acc, s, ws), want[None])


@settings(deadline=None)
@given(
    arrays(
        np.float32, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.floats(-(2.0**100), 2.0**100, width=32)
    )
)
def test_largest_value_maps_to_127(x):
    q, s = absmax_int8(x)
    assert q.min() >= -127
    for row, codes in zip(np.abs(x), np.abs(q.astype(int)), strict=True):
        if row.max() >= 1e-5:
            assert codes[row.argmax()] == 127
    assert (s > 0).all()


def test_registry():
    for name, entry in CONTRACTS.items():
        assert contract(name) is entry
        assert entry.name == name
        assert (entry.source and entry.evidence) or name == "float"
    for linear_class, name in NUMERICS.items():
        assert recipe_named(name).linear_class == linear_class
    with pytest.raises(UnknownNameError, match="hf_bitlinear_fp32"):
        contract("hf_bitlinear")
    with pytest.raises(ConfigError, match="float"):
        contract("float").quantise_activations(np.ones((1, 1), np.float32))
