"""Ternary weights with scales of their own on BitLinear datapaths: activations in INT8 or as they are."""

from dataclasses import replace

import numpy as np
import pytest

import bitsim
from bitsim.errors import ConfigError
from bitsim.hw import load_chip
from bitsim.model.checkpoint import load_model
from bitsim.model.decoded import ScaledTernary
from bitsim.model.executor import ReferenceExecutor
from bitsim.model.forward import forward
from bitsim.model.kv_cache import KVCache
from bitsim.quant.recipes import Recipe
from bitsim.quant.scale_groups import add_groups
from bitsim.study.numerics import executed_as

ADDERS, FP16, INT8 = "ternary-fp16-ws-64x64", "fp16-ws-64x64", "ternary-ws-64x64"
GROUPED = "gguf_qwen3_q2_0_g64"  # blocks of 64, neighbours of which have the same scale: 128 of K


def sample(golden, name):
    folder = golden / "families" / name
    return load_model(folder / "model.gguf"), np.load(folder / "reference.npz")


def logits_of(model, recipe, tokens):
    return forward(model.config, model.weights, tokens, KVCache(model.config, 32), ReferenceExecutor(), recipe)


def at_ties(recipe: Recipe, ties: dict[int, tuple[int, int]]) -> Recipe:
    """`recipe` with the other code where a scaled activation lies on a tie; `ties`: by number of the quantiser."""
    calls = iter(range(10**6))

    def quantise(x):
        codes, s = recipe.qkv.quantise_activations(x)
        at = ties.get(next(calls))
        if at is not None:
            value = (x * s)[at]
            assert abs(abs(value - np.floor(value)) - 0.5) < 1e-5
            codes[at] = np.floor(value) + np.ceil(value) - codes[at]
        return codes, s

    contract = replace(recipe.qkv, quantise_activations=quantise)
    return replace(recipe, qkv=contract, o=contract, gate_up=contract, down=contract)


def test_int8_activations_with_a_scale_per_row_give_the_references_logits(golden) -> None:
    model, reference = sample(golden, "gguf_llama_tq1_0_rope")
    executed, recipe = executed_as(model, None, numerics="w158a8")
    got = logits_of(executed, recipe, reference["tokens"])
    np.testing.assert_allclose(got, reference["logits_w158a8"], rtol=1e-4, atol=1e-5)


def test_where_two_activations_lie_on_ties_the_other_codes_give_the_references_logits(golden) -> None:
    """o_proj's input of token 5 has -15.500003 in layer 0, that of token 6 a value 8e-6 from a tie in layer 1."""
    model, reference = sample(golden, "gguf_llama_tq2_0")
    executed, recipe = executed_as(model, None, numerics="w158a8")
    want = reference["logits_w158a8"]
    plain = logits_of(executed, recipe, reference["tokens"])
    np.testing.assert_allclose(plain[:5], want[:5], rtol=1e-4, atol=1e-5)
    assert np.abs(plain[5:] - want[5:]).max() > 1e-3
    other = logits_of(executed, at_ties(recipe, {1: (5, 124), 5: (6, 144)}), reference["tokens"])
    np.testing.assert_allclose(other, want, rtol=1e-4, atol=1e-5)


def test_groups_are_scaled_and_added_in_their_order() -> None:
    """2^24 + 1 - 2^24 as float32: 0, and 1 in another order."""
    parts = np.array([1 << 24, 1, -(1 << 24)], np.int64).reshape(3, 1, 1)
    assert add_groups(parts, np.ones((1, 3), np.float32))[0, 0] == 0
    assert add_groups(parts[[0, 2, 1]], np.ones((1, 3), np.float32))[0, 0] == 1
    assert add_groups(parts, np.array([[1, 8, 1]], np.float32))[0, 0] == 8


@pytest.mark.parametrize(("numerics", "chip"), [("w158a8", INT8), (None, ADDERS)])
def test_law_3_groups_of_k_are_counted_as_they_are_executed(golden, numerics, chip) -> None:
    model, reference = sample(golden, GROUPED)
    tokens = [int(token) for token in reference["tokens"][:5]]
    ran = bitsim.run(model, chip, tokens=tokens, new_tokens=2, numerics=numerics)
    guessed = bitsim.estimate(model, chip, prefill=5, decode=2, numerics=numerics)
    for real, shape in zip(ran.rows, guessed.rows, strict=True):
        assert (real.name, real.phase) == (shape.name, shape.phase)
        assert real.events.data_independent() == shape.events.data_independent()
        assert real.cycles == shape.cycles
    executed, _ = executed_as(model, load_chip(chip), numerics=numerics)
    groups = dict(executed.config.scale_groups)
    shapes = {name: (n, k) for name, n, k in executed.config.linear_shapes()}
    assert groups == {name: k // 128 for name, (_, k) in shapes.items() if k > 128}
    (o,) = [row for row in ran.rows if row.name == "layers.0.self_attn.o_proj" and row.phase == "prefill"]
    (added,) = [row for row in ran.rows if row.name == "layers.0.self_attn.o_proj.groups" and row.phase == "prefill"]
    (n, k), count = shapes["self_attn.o_proj"], groups["self_attn.o_proj"]
    assert o.events["scale.mul.fp16"] == 5 * (n * count + (k if numerics else 0))
    assert added.events["vec.add.fp16"] == 5 * n * (count - 1)


def test_grouped_sums_in_int8_are_those_of_the_dequantised_weights(golden) -> None:
    model, _ = sample(golden, GROUPED)
    executed, recipe = executed_as(model, None, numerics="w158a8")
    weight = executed.weights.layers[0].o
    assert isinstance(weight, ScaledTernary)
    x = np.random.default_rng(0).normal(0, 1, (3, weight.k)).astype(np.float32)
    codes, s = recipe.qkv.quantise_activations(x)
    groups = weight.scales.shape[1]
    parts = [codes[:, g * 128 : g * 128 + 128].astype(np.int64) @ w.T for g, w in enumerate(weight.groups(groups))]
    got = recipe.qkv.rescale(np.stack(parts), s, weight.scales_of(groups))
    np.testing.assert_allclose(got, codes.astype(np.float64) @ weight.rows(0, weight.n).T / s, rtol=1e-5, atol=1e-5)


def test_activations_as_they_are_on_adders_come_close_to_float32(golden) -> None:
    """FP32 sums of FP16 activations: as close as rounding activations to 11 bits allows; FP16 sums less so."""
    model, reference = sample(golden, "gguf_llama_tq2_0")
    tokens, want = [int(token) for token in reference["tokens"]], reference["logits_w158a16"]
    chip = load_chip(ADDERS)
    wider = chip.model_copy(update={"bitlinear": chip.bitlinear.model_copy(update={"acc_bits": 32})})
    far = {
        name: np.abs(bitsim.run(model, one, tokens=tokens, logits="all", toggles="off").logits - want).max()
        for name, one in {"fp16": chip, "fp32": wider}.items()
    }
    assert 0 < far["fp32"] < far["fp16"] < 0.02


def test_a_bitlinear_model_runs_with_activations_as_they_are() -> None:
    """Linears of tiny-b158 on adders, or dequantised in front of multipliers: no codes, the same bits from DRAM."""
    prompt = "It was a dark and"
    added = bitsim.run("tiny-b158", ADDERS, prompt=prompt, new_tokens=2, numerics="w158a16")
    multiplied = bitsim.run("tiny-b158", FP16, prompt=prompt, new_tokens=2, numerics="w158a16")
    guessed = bitsim.estimate("tiny-b158", ADDERS, prefill=len(prompt), decode=2, numerics="w158a16")
    for real, shape in zip(added.rows, guessed.rows, strict=True):
        assert real.events.data_independent() == shape.events.data_independent()
    assert not any(row.kind == "quantise" for row in added.rows)
    linears = [row for row in added.rows if row.kind == "linear"]
    others = [row for row in multiplied.rows if row.kind == "linear"]
    for one, other in zip(linears, others, strict=True):
        assert one.bitlinear
        assert not other.bitlinear
        assert one.events["dram.weights.read_bits"] == other.events["dram.weights.read_bits"]
        assert other.events["dequant.fp16.select"] * 2 == other.events["dram.weights.read_bits"]
        assert not any(name.startswith(("dequant", "mul.")) and name != "mul.fp16" for name in one.events)
    assert any("activations rounded to FP16" in note for note in added.notes)
    assert any("an experiment on weights that were made for hf_autobitlinear" in note for note in added.notes)


def test_what_is_no_ternary_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="is for linear_class w158a16, the model has None"):
        bitsim.estimate("tiny-fp16", ADDERS, prefill=4, decode=1, numerics="w158a16")
    with pytest.raises(ConfigError, match="is for linear_class w158a8, the model has None"):
        bitsim.estimate("tiny-fp16", INT8, prefill=4, decode=1, numerics="w158a8")
