"""The shipped b1, a4.8 and v2 models against torch, which trained them (tools/record_tiny.py)."""

from pathlib import Path

import numpy as np
import pytest

from bitsim.model.checkpoint import load_model
from bitsim.model.executor import exact_matmul
from bitsim.quant.recipes import recipe_named
from bitsim.study import evaluate

TORCH = np.load(Path(__file__).parent / "tiny_family.npz")
KINDS = ("b1", "a48", "v2")
LINEARS = [tuple(name.split(".", 1)) for name in TORCH.files if name.endswith(".x")]


@pytest.mark.parametrize(("kind", "key"), LINEARS)
def test_linears_equal_torch_given_their_input(kind: str, key: str) -> None:
    """Codes on integers, fake quantisation in float32: the same but for its summation order."""
    model, name = load_model(f"tiny-{kind}"), key.removesuffix(".x")
    contract = recipe_named(model.config.default_numerics).of(name)
    weight = getattr(model.weights.layers[0], name.rpartition(".")[2].removesuffix("_proj"))
    q, s = contract.quantise_activations(TORCH[f"{kind}.{name}.x"])
    y, wanted = contract.rescale(exact_matmul(q, weight.codes()), s, weight.scale), TORCH[f"{kind}.{name}.y"]
    np.testing.assert_allclose(y, wanted, rtol=0, atol=2e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("kind", KINDS)
def test_quality_is_that_of_torch(kind: str) -> None:
    """Whole models part at the first code that float32 noise moves over a tie; what they know stays the same."""
    score = evaluate(f"tiny-{kind}", "ternary-ws-64x64", limit=4097)
    assert score.bits_per_byte == pytest.approx(float(TORCH[f"{kind}.bits_per_byte"]), abs=0.01)
