"""A model made by Hugging Face transformers runs on our chips: same codes, same sums, same tokens."""

from pathlib import Path

import numpy as np
import pytest

import bitsim
from bitsim.hw import load_chip
from bitsim.model.checkpoint import load_model
from bitsim.model.forward import forward
from bitsim.model.kv_cache import KVCache
from bitsim.quant.recipes import recipe_named
from bitsim.results.setup import Execution
from bitsim.schedule.place import Placement
from bitsim.study.executor import ChipExecutor

TRACED = {"q_proj": "q_proj", "k_proj": "q_proj", "v_proj": "q_proj", "o_proj": "o_proj"}
TRACED |= {"gate_proj": "gate_proj", "up_proj": "gate_proj", "down_proj": "down_proj"}


@pytest.fixture(scope="module")
def trace(golden: Path) -> dict[str, np.ndarray]:
    with np.load(golden / "hf" / "A" / "trace_packed_bitlinear_fp32_eager.npz") as data:
        return dict(data)


@pytest.mark.parametrize("chip", ["ternary-ws-64x64", "ternary-os-64x64", "int8-ws-64x64"])
def test_codes_and_sums_equal_the_reference_bit_for_bit(golden: Path, trace: dict[str, np.ndarray], chip: str) -> None:
    seen = {}

    class Recorder(ChipExecutor):
        def bitlinear(self, op, x_q, weight, live=None):
            sums = super().bitlinear(op, x_q, weight)
            seen[op.layer, op.name.rsplit(".", 1)[1]] = (x_q.copy(), sums)
            return sums

    model = load_model(golden / "hf" / "A" / "packed_bitlinear")
    executor = Recorder(Placement(load_chip(chip)), Execution(recipe=recipe_named("hf_autobitlinear"), toggles="off"))
    logits = forward(
        model.config,
        model.weights,
        trace["input_ids"][0],
        KVCache(model.config, 32),
        executor,
        recipe_named("hf_bitlinear_fp32"),
    )
    assert len(seen) == 14
    for (layer, name), (codes, sums) in seen.items():
        np.testing.assert_array_equal(codes, trace[f"L{layer}.{TRACED[name]}.q"][0])
        np.testing.assert_array_equal(sums, trace[f"L{layer}.{name}.acc"][0])
    np.testing.assert_allclose(logits, trace["logits"][0], rtol=0, atol=1e-5 * np.abs(trace["logits"]).max())


def test_run_takes_the_numerics_from_the_config_and_gives_the_reference_tokens(
    golden: Path, trace: dict[str, np.ndarray]
) -> None:
    prompt = trace["input_ids"][0]
    result = bitsim.run(
        golden / "hf" / "A" / "packed_bitlinear",
        "ternary-ws-64x64",
        tokens=prompt.tolist(),
        new_tokens=8,
        logits="all",
    )
    assert result.inputs["numerics"] == "hf_bitlinear_fp32"
    assert list(result.tokens) == trace["greedy_8"][0].tolist()
    np.testing.assert_allclose(
        result.logits[: len(prompt)], trace["logits"][0], rtol=0, atol=1e-5 * np.abs(trace["logits"]).max()
    )


def test_autobitlinear_checkpoints_run_close_to_the_bf16_reference(golden: Path) -> None:
    with np.load(golden / "hf" / "A" / "trace_packed_autobitlinear_bf16_eager.npz") as data:
        prompt = data["input_ids"][0]
        reference = data["logits.bf16"][0] if "logits.bf16" in data else data["logits"][0]
    if reference.dtype == np.uint16:
        reference = (reference.astype(np.uint32) << 16).view(np.float32)
    result = bitsim.run(
        golden / "hf" / "A" / "packed_autobitlinear",
        "ternary-ws-64x64",
        tokens=prompt.tolist(),
        toggles="off",
        logits="all",
    )
    assert result.inputs["numerics"] == "hf_autobitlinear"
    assert np.abs(result.logits - reference).max() < 0.05 * np.abs(reference).max()
