"""bfloat16: the rounding against its definition, and transformers' BitLinear in it, eager and compiled, bit for bit."""

import numpy as np
import pytest

from bitsim.errors import OperandError
from bitsim.model.checkpoint import load_model
from bitsim.model.executor import exact_matmul
from bitsim.quant import reference
from bitsim.quant.contracts import contract
from bitsim.quant.packing import bf16_to_f32, round_to_bf16
from tests.quant.test_contracts import same_bits

MODES = ["eager", "compiled"]


def stored(vectors, key):
    """A golden bfloat16 array as float32 values."""
    return bf16_to_f32(vectors[f"{key}.bf16"])


def boundaries():
    """float32 patterns around every bfloat16 value and around every midpoint of two."""
    upper = np.arange(2**16, dtype=np.uint32)[:, None] << np.uint32(16)
    return (upper | np.uint32([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF])).ravel()


def test_rounding_is_to_nearest_ties_to_even():
    values = boundaries().view(np.float32)
    got = round_to_bf16(values)
    assert not (got.view(np.uint32) & 0xFFFF).any()
    finite = np.isfinite(values)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(values))
    infinite = np.isinf(values)
    np.testing.assert_array_equal(got[infinite], values[infinite])
    for value, result in zip(values[finite].tolist(), got[finite].tolist(), strict=True):
        try:
            wanted = reference.bf16(value)
        except OverflowError:
            wanted = np.copysign(np.inf, value)
        assert result == wanted, value
    same_bits(np.signbit(got[finite]), np.signbit(values[finite]))


@pytest.mark.parametrize("mode", MODES)
def test_codes_and_scales_equal_transformers(layer, mode):
    vectors, recipe = layer("act_vectors"), contract(f"hf_bitlinear_bf16_{mode}")
    cases = sorted({key.split(".")[0] for key in vectors.files if key.endswith(".bf16.x.bf16")} - {"inf", "nan"})
    assert len(cases) == 14
    for case in cases:
        q, s = recipe.quantise_activations(stored(vectors, f"{case}.bf16.x"))
        same_bits(q, vectors[f"{case}.bf16.{mode}.q"])
        same_bits(s, stored(vectors, f"{case}.bf16.{mode}.s"))


@pytest.mark.parametrize("mode", MODES)
def test_rescale_equals_transformers(layer, mode):
    vectors = layer("act_vectors")
    y, s, weight_scale = (stored(vectors, f"post.bf16.{name}") for name in ("y", "s", "ws"))
    got = contract(f"hf_bitlinear_bf16_{mode}").rescale(y, s, weight_scale[0])
    same_bits(got, stored(vectors, f"post.bf16.{mode}.out"))


def test_eager_and_compiled_are_different_functions(layer):
    vectors = layer("act_vectors")
    x = stored(vectors, "rand2.bf16.x")
    codes = [contract(f"hf_bitlinear_bf16_{mode}").quantise_activations(x)[0] for mode in MODES]
    assert (codes[0] != codes[1]).any()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("linear", ["q_proj", "o_proj", "gate_proj", "down_proj"])
def test_a_linear_on_the_activations_of_a_bfloat16_model(golden, mode, linear):
    """The trace's model computes another class, but its inputs are real: both contracts keep to the exact result."""
    folder = golden / "hf" / "A"
    trace = np.load(folder / "trace_packed_autobitlinear_bf16_eager.npz")
    model = load_model(folder / "packed_bitlinear")
    recipe = contract(f"hf_bitlinear_bf16_{mode}")
    for i, layer in enumerate(model.weights.layers):
        x = stored(trace, f"L{i}.{linear}.x")[0]
        weight = getattr(layer, linear.removesuffix("_proj"))
        q, s = recipe.quantise_activations(x)
        y = recipe.rescale(exact_matmul(q, weight.codes()), s, weight.scale)
        same_bits(y, round_to_bf16(y))
        wanted = stored(trace, f"L{i}.{linear}.y")[0]
        np.testing.assert_allclose(y, wanted, rtol=0, atol=0.02 * np.abs(wanted).max())


@pytest.mark.parametrize("mode", MODES)
def test_inputs_are_rounded_to_bfloat16_first(mode):
    recipe, x = contract(f"hf_bitlinear_bf16_{mode}"), np.random.default_rng(3).normal(size=(4, 300)).astype(np.float32)
    for got, want in zip(recipe.quantise_activations(x), recipe.quantise_activations(round_to_bf16(x)), strict=True):
        same_bits(got, want)
    sums, s = np.array([[1_000_003, -77]]), np.float32([[2.5]])
    same_bits(recipe.rescale(sums, s, np.float32(0.3)), recipe.rescale(sums, s, round_to_bf16(np.float32([0.3]))[0]))


@pytest.mark.parametrize("mode", MODES)
def test_values_beyond_bfloat16_are_refused(mode):
    largest = np.finfo(np.float32).max
    with pytest.raises(OperandError, match=r"activations\[0, 1\]: 3.4028\d*e\+38 is beyond bfloat16"):
        contract(f"hf_bitlinear_bf16_{mode}").quantise_activations(np.float32([[1, largest]]))
