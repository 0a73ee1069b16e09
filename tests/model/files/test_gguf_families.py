"""Samples of the GGUF forms that published ternary models have, unedited: the references' logits and greedy tokens.

References: transformers 5.24.0 in float32 on the weights dequantised by gguf-py (tests/golden/README.md).
"""

import numpy as np
import pytest

from bitsim.model.checkpoint import load_checkpoint
from bitsim.model.executor import ReferenceExecutor
from bitsim.model.forward import forward
from bitsim.model.kv_cache import KVCache
from bitsim.quant.recipes import recipe_named

# Sample -> what it leaves open, the reference that its own numerics give, packing, head's type.
SAMPLES = {
    "gguf_llama_tq2_0": ({}, "logits_w158a16", "tq2_0"),
    "gguf_llama_tq1_0_rope": ({}, "logits_w158a16", "tq1_0"),
    "gguf_llama_i2_s": ({"i2s": "x86"}, "logits_w158a8", "i2_s_x86"),
    "gguf_bitnet_scale": ({}, "logits_w158a8", "tq1_0"),
    "gguf_qwen3_q1_0": ({}, "logits_w158a16", "q1_0"),
    "gguf_qwen3_q2_0_g64": ({}, "logits_w158a16", "q2_0"),
    "gguf_qwen3_q2_0_legacy_g128": ({}, "logits_w158a16", "pq2_0"),
    "gguf_qwen3_ptq1_0": ({}, "logits_w158a16", "ptq1_0"),
}
ONE_MODEL = ("gguf_qwen3_q2_0_g64", "gguf_qwen3_q2_0_legacy_g128", "gguf_qwen3_ptq1_0")


def opened(golden, name, **answers):
    folder = golden / "families" / name
    return load_checkpoint(folder / "model.gguf", **answers), np.load(folder / "reference.npz")


def logits_of(checkpoint, tokens):
    recipe = recipe_named(checkpoint.config.default_numerics)
    cache = KVCache(checkpoint.config, 32)
    return forward(checkpoint.config, checkpoint.weights, tokens, cache, ReferenceExecutor(), recipe)


def assert_equal_logits(got, want):
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(got.argmax(axis=1), want.argmax(axis=1))  # greedy tokens


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_run_unedited_with_the_references_logits(golden, name):
    answers, numerics, packing = SAMPLES[name]
    checkpoint, reference = opened(golden, name, **answers)
    assert checkpoint.packing == packing
    assert checkpoint.config.weight_only == (numerics == "logits_w158a16")
    assert_equal_logits(logits_of(checkpoint, reference["tokens"]), reference[numerics])


@pytest.mark.parametrize("name", ["gguf_llama_i2_s", "gguf_bitnet_scale"])
def test_bitlinears_run_weight_only_where_that_is_said(golden, name):
    checkpoint, reference = opened(golden, name, **SAMPLES[name][0], ternarise="exact")
    got = logits_of(checkpoint, reference["tokens"])
    assert_equal_logits(got, reference["logits_w158a16"])
    assert np.abs(got - reference["logits_w158a8"]).max() > 1e-3


def test_three_encodings_of_one_model_give_equal_logits_and_digests(golden):
    checkpoints = [opened(golden, name)[0] for name in ONE_MODEL]
    tokens = np.array([1, 5, 17])
    first, *others = (logits_of(checkpoint, tokens) for checkpoint in checkpoints)
    for other in others:
        np.testing.assert_array_equal(other, first)
    assert len({checkpoint.weights.digest for checkpoint in checkpoints}) == 1
