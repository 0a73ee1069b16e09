"""The forward pass against Hugging Face transformers: codes, sums and outputs of every linear, logits, tokens."""

import json

import numpy as np
import pytest

from bitsim.model.checkpoint import load_checkpoint, load_model
from bitsim.model.executor import ReferenceExecutor, exact_matmul
from bitsim.model.forward import forward
from bitsim.model.generate import generate
from bitsim.model.kv_cache import KVCache
from bitsim.quant.contracts import contract
from bitsim.quant.packing import bf16_to_f32, f32_to_bf16
from bitsim.quant.recipes import recipe_named
from tests.model.tiny_models import Recorder

INPUT_OF = {"k_proj": "q_proj", "v_proj": "q_proj", "up_proj": "gate_proj"}
BLOCK = {"q_proj": "self_attn", "k_proj": "self_attn", "v_proj": "self_attn", "o_proj": "self_attn"}
LINEARS = [
    (i, p) for i in (0, 1) for p in ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
]


def name_of(layer, linear):
    return f"layers.{layer}.{BLOCK.get(linear, 'mlp')}.{linear}"


@pytest.fixture(scope="module")
def hf(golden):
    return golden / "hf" / "A"


@pytest.fixture(scope="module")
def fp32(hf):
    return np.load(hf / "trace_packed_bitlinear_fp32_eager.npz")


@pytest.fixture(scope="module")
def bf16(hf):
    return np.load(hf / "trace_packed_autobitlinear_bf16_eager.npz")


def linear_weight(model, layer, linear):
    return getattr(model.weights.layers[layer], linear.removesuffix("_proj"))


@pytest.mark.parametrize(("layer", "linear"), LINEARS)
def test_bitlinear_given_its_input(hf, fp32, layer, linear):
    model, recipe = load_model(hf / "packed_bitlinear"), contract("hf_bitlinear_fp32")
    source = INPUT_OF.get(linear, linear)
    q, s = recipe.quantise_activations(fp32[f"L{layer}.{source}.x"][0])
    np.testing.assert_array_equal(q, fp32[f"L{layer}.{source}.q"][0])
    np.testing.assert_array_equal(s, fp32[f"L{layer}.{source}.s"][0])
    weight = linear_weight(model, layer, linear)
    acc = exact_matmul(q, weight.codes())
    np.testing.assert_array_equal(acc, fp32[f"L{layer}.{linear}.acc"][0])
    y = recipe.rescale(acc, s, weight.scale)
    np.testing.assert_array_equal(y.view(np.uint32), fp32[f"L{layer}.{linear}.y"][0].view(np.uint32))


def values(array):
    return bf16_to_f32(array) if array.dtype == np.uint16 else array


def lookup(trace, key):
    return values(trace[key if key in trace.files else f"{key}.bf16"])[0]


@pytest.mark.parametrize(("layer", "linear"), LINEARS)
def test_autobitlinear_given_its_input(hf, bf16, layer, linear):
    model, recipe = load_model(hf / "packed_autobitlinear"), contract("hf_autobitlinear")
    source = INPUT_OF.get(linear, linear)
    q, s = recipe.quantise_activations(lookup(bf16, f"L{layer}.{source}.x"))
    np.testing.assert_array_equal(q, lookup(bf16, f"L{layer}.{source}.q"))
    np.testing.assert_array_equal(s, lookup(bf16, f"L{layer}.{source}.s"))
    weight, mm = linear_weight(model, layer, linear), lookup(bf16, f"L{layer}.{linear}.mm")
    acc = exact_matmul(q, weight.codes())
    np.testing.assert_array_equal(acc, lookup(bf16, f"L{layer}.{linear}.acc"))
    np.testing.assert_allclose(acc / s, mm, rtol=0, atol=3.8e-3 * np.abs(mm).max())
    # With mm in the place of acc and a scale of one, the last step is the contract's: one multiplication.
    y = bf16_to_f32(f32_to_bf16(recipe.rescale(mm, np.ones_like(s), weight.scale)))
    np.testing.assert_array_equal(y, lookup(bf16, f"L{layer}.{linear}.y"))


def test_full_forward(hf, fp32):
    model, recorder = load_model(hf / "packed_bitlinear"), Recorder()
    cache = KVCache(model.config, 32)
    recipe = recipe_named("hf_bitlinear_fp32")
    logits = forward(model.config, model.weights, fp32["input_ids"][0], cache, recorder, recipe)
    assert len(recorder.linears) == len(LINEARS)
    for layer, linear in LINEARS:
        q, acc = recorder.linears[name_of(layer, linear)]
        np.testing.assert_array_equal(q, fp32[f"L{layer}.{INPUT_OF.get(linear, linear)}.q"][0])
        np.testing.assert_array_equal(acc, fp32[f"L{layer}.{linear}.acc"][0])
    expected = fp32["logits"][0]
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(logits.argmax(-1), expected.argmax(-1))


def test_greedy_tokens(hf, fp32):
    model = load_model(hf / "packed_bitlinear")
    tokens, _ = generate(model, ReferenceExecutor(), fp32["input_ids"][0], 8, kv=32)
    np.testing.assert_array_equal(tokens, fp32["greedy_8"][0])


@pytest.mark.parametrize("kind", ["packed_bitlinear", "packed_autobitlinear"])
def test_master_weights_quantise_to_the_packed_bytes(hf, kind, tmp_path):
    packed, values = load_checkpoint(hf / kind), json.loads((hf / "master" / "config.json").read_text())
    values["quantization_config"]["linear_class"] = packed.config.linear_class
    (tmp_path / "config.json").write_text(json.dumps(values))
    (tmp_path / "model.safetensors").symlink_to(hf / "master" / "model.safetensors")
    master = load_checkpoint(tmp_path)
    assert (master.packing, packed.packing) == ("master", "2bit")
    for ours, theirs in zip(master.weights.layers, packed.weights.layers, strict=True):
        for name in ("q", "k", "v", "o", "gate", "up", "down"):
            got, want = getattr(ours, name), getattr(theirs, name)
            np.testing.assert_array_equal(got.packed, want.packed)
            assert got.scale == want.scale
