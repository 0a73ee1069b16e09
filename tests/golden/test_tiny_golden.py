"""Our own golden model: an independent plain implementation (make.py) gives the same codes, logits and tokens."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitsim.model.checkpoint import load_model
from bitsim.model.executor import ReferenceExecutor
from bitsim.model.forward import forward
from bitsim.model.generate import generate
from bitsim.model.kv_cache import KVCache
from bitsim.quant.recipes import recipe_named

HERE = Path(__file__).parent


class Recorder(ReferenceExecutor):
    def __init__(self) -> None:
        self.codes: dict[str, Any] = {}

    def bitlinear(self, op, x_q, weight, live=None):
        self.codes[op.name] = x_q
        return super().bitlinear(op, x_q, weight)


@pytest.fixture(scope="module")
def expected():
    return np.load(HERE / "tiny_expected.npz")


@pytest.fixture(scope="module")
def model():
    return load_model(HERE / "tiny")


def test_codes_and_logits(model, expected):
    recorder, cache = Recorder(), KVCache(model.config, 32)
    recipe = recipe_named("hf_autobitlinear")
    logits = forward(model.config, model.weights, expected["prompt"], cache, recorder, recipe)
    assert set(recorder.codes) == {key[2:] for key in expected.files if key.startswith("q:")}
    for name, codes in recorder.codes.items():
        np.testing.assert_array_equal(codes, expected[f"q:{name}"], err_msg=name)
    np.testing.assert_allclose(logits, expected["logits"], rtol=0, atol=1e-5 * np.abs(expected["logits"]).max())


def test_greedy_tokens(model, expected):
    new = len(expected["greedy"]) - len(expected["prompt"])
    tokens, logits = generate(model, ReferenceExecutor(), expected["prompt"], new, kv=32, logits="all")
    np.testing.assert_array_equal(tokens, expected["greedy"])
    assert logits.shape == (len(tokens), model.config.vocab_size)
