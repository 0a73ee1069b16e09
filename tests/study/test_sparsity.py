"""Sparsity of the linears' products, counted from codes and gates."""

import numpy as np
import pytest

from bitsim.hw import load_chip
from bitsim.model.checkpoint import random_model
from bitsim.model.forward import forward
from bitsim.model.kv_cache import KVCache
from bitsim.quant.recipes import recipe_named
from bitsim.results.rows import OperatorRow, sparsity
from bitsim.results.setup import Execution
from bitsim.schedule.place import Placement
from bitsim.study.executor import ChipExecutor, live_macs
from tests.model.tiny_models import A48_CONFIG, Recorder


def row(name: str, macs: int, live: int | None) -> OperatorRow:
    return OperatorRow(phase="prefill", name=name, kind="linear", layer=0, macs=macs, live_macs=live)


def test_live_products_are_those_of_nonzero_codes_and_needed_outputs() -> None:
    rng = np.random.default_rng(1)
    x, live = rng.integers(-1, 2, (5, 7)).astype(np.int8), rng.random((5, 3)) < 0.5
    products = (x[:, None, :] != 0) & live[:, :, None]
    assert live_macs(x, 3, live) == products.sum()
    assert live_macs(x, 3, None) == 3 * (x != 0).sum()


def test_columns_are_weighted_by_their_products() -> None:
    rows = [row("layers.0.self_attn.q_proj", 100, 90), row("layers.0.self_attn.k_proj", 50, 30)]
    rows += [row("layers.0.mlp.down_proj", 850, 85), row("layers.0.self_attn.qk", 10**6, None)]
    found = sparsity(rows)
    assert list(found) == ["qkv", "down", "overall"]
    assert found["qkv"] == pytest.approx(0.2)
    assert found["down"] == pytest.approx(0.9)
    assert found["overall"] == pytest.approx(1 - 205 / 1000)
    assert sparsity([row("lm_head", 5, None)]) == {}


def test_a48_masks_half_of_the_input_of_o_and_skips_up_where_the_gate_is_zero() -> None:
    """Against sums over the recorded codes of the same model, operator by operator."""
    model, recorder = random_model(A48_CONFIG, 3), Recorder()
    tokens, recipe = np.arange(9), recipe_named("a48")
    executor = ChipExecutor(Placement(load_chip("ternary-ws-64x64")), Execution(recipe=recipe, toggles="off"))
    for one in (recorder, executor):
        forward(A48_CONFIG, model.weights, tokens, KVCache(A48_CONFIG), one, recipe)
    for found in executor.ledger.rows():
        if found.live_macs is None:
            assert found.name not in recorder.linears
            continue
        codes, sums = recorder.linears[found.name]
        needed = np.full(len(tokens), sums.shape[1])
        if found.name.endswith("up_proj"):
            needed = (recorder.linears[found.name.replace("up_proj", "gate_proj")][1] > 0).sum(axis=1)
        assert found.live_macs == ((codes != 0).sum(axis=1) * needed).sum()
    assert sparsity(executor.ledger.rows())["out"] >= 0.5
