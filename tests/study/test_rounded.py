"""Float models under W8A8, W4A8, W8A16 and W4A16: what is executed, counted and refused."""

import numpy as np
import pytest

import bitsim
from bitsim.errors import ConfigError
from bitsim.model.checkpoint import load_model
from bitsim.model.decoded import ScaledIntegers
from bitsim.model.rounded import rounded
from bitsim.model.weights import IntegerWeight
from bitsim.quant.recipes import recipe_named
from bitsim.study.codes import EstimateError

CHIP, PROMPT = "int8-ws-64x64", "It was a dark and"
NUMERICS = ["w8a8", "w4a8", "w8a16", "w4a16_g32", "w4a16_g64"]
BITS = {"w8a8": 8, "w4a8": 4, "w8a16": 8, "w4a16_g32": 4.5, "w4a16_g64": 4.25}


@pytest.mark.parametrize("numerics", NUMERICS)
def test_law_3_estimate_equals_run(numerics: str) -> None:
    ran = bitsim.run("tiny-fp16", CHIP, prompt=PROMPT, new_tokens=2, numerics=numerics)
    guessed = bitsim.estimate("tiny-fp16", CHIP, prefill=len(PROMPT), decode=2, numerics=numerics)
    for real, shape in zip(ran.rows, guessed.rows, strict=True):
        assert (real.name, real.phase) == (shape.name, shape.phase)
        assert real.events.data_independent() == shape.events.data_independent()
    linears = [row for row in guessed.rows if row.kind == "linear" and row.phase == "decode"]
    stored = 2 * load_model("tiny-fp16").config.linear_weights * BITS[numerics]
    assert sum(row.events["dram.weights.read_bits"] for row in linears) == stored
    assert any(f"rounded to nearest, without calibration: {numerics}" in note for note in ran.notes)
    assert any("the scales of rows are not counted" in note for note in ran.notes) is ("_g" not in numerics)


@pytest.mark.parametrize("numerics", NUMERICS)
def test_the_forward_pass_is_that_of_the_rounded_values(numerics: str) -> None:
    """Of one linear: integer sums, or float sums of dequantised weights, times their scales."""
    model, recipe = rounded(load_model("tiny-fp16"), recipe_named(numerics)), recipe_named(numerics)
    weight, plain = model.weights.layers[0].q, load_model("tiny-fp16").weights.layers[0].q
    codes, scales = recipe.qkv.weights.codes(plain.rows(0, plain.n))
    if recipe.qkv.weight_only:
        assert isinstance(weight, ScaledIntegers)
        expected = codes.astype(np.float32) * np.repeat(scales, plain.k // scales.shape[1], axis=1)
        np.testing.assert_array_equal(weight.rows(0, weight.n), expected)
    else:
        assert isinstance(weight, IntegerWeight)
        np.testing.assert_array_equal(weight.codes(), codes)
        np.testing.assert_array_equal(weight.scale, scales[:, 0])
    assert weight.bits == BITS[numerics] * plain.n * plain.k


def test_eight_bits_lose_little_and_four_bits_more() -> None:
    score = {n: bitsim.evaluate("tiny-fp16", CHIP, limit=2048, numerics=n).bits_per_byte for n in ("float", *NUMERICS)}
    assert abs(score["w8a16"] - score["float"]) < 0.005
    assert abs(score["w8a8"] - score["float"]) < 0.01
    assert score["float"] < score["w4a16_g32"] < score["w4a8"] < score["float"] + 0.1


@pytest.mark.parametrize("numerics", ["w8a8", "w4a8"])
@pytest.mark.parametrize("chip", ["int8-tensor-ampere", "int8-tensor-turing", "fp16-tensor-ampere"])
def test_tensor_cores_take_integer_weights_as_operands(chip: str, numerics: str) -> None:
    """Their integer sums, and FP32 sums of these integers below 2^24, are those of the INT8 array."""
    words = {"prompt": PROMPT, "new_tokens": 2, "numerics": numerics, "toggles": "off"}
    ran, on_array = bitsim.run("tiny-fp16", chip, **words), bitsim.run("tiny-fp16", CHIP, **words)
    np.testing.assert_array_equal(ran.logits, on_array.logits)
    assert "weights in " in ran.inputs["bitlinear"]
    guessed = bitsim.estimate("tiny-fp16", chip, prefill=len(PROMPT), decode=2, numerics=numerics)
    for real, shape in zip(ran.rows, guessed.rows, strict=True):
        assert real.events.data_independent() == shape.events.data_independent()
    linears = [row for row in ran.rows if row.kind == "linear" and row.phase == "decode"]
    assert not any(name.startswith("dequant") for row in linears for name in row.events)
    width = 16 if chip.startswith("fp16") else 8
    weights = 2 * load_model("tiny-fp16").config.linear_weights
    assert sum(row.events["dram.weights.read_bits"] for row in linears) == weights * BITS[numerics]
    assert sum(row.events["sram.weights.write_bits"] for row in linears) == weights * width


def test_what_a_chip_or_a_shape_does_not_take() -> None:
    for ask in (bitsim.estimate, lambda *a, **k: bitsim.run(*a, prompt="a", **k)):
        with pytest.raises(EstimateError, match="ternary-ws-64x64 takes -1, 0 and 1"):
            ask("tiny-fp16", "ternary-ws-64x64", numerics="w8a8")
    with pytest.raises(ConfigError, match="need a K that groups of 128 divide, got 704"):
        bitsim.estimate("tiny-fp16", CHIP, numerics="w4a16_g128")
    with pytest.raises(ConfigError, match="is for linear_class w4a16_g64, the model has autobitlinear"):
        bitsim.estimate("tiny-b158", CHIP, numerics="w4a16_g64")
