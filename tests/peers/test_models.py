"""Random tiny BitNets made and run by Hugging Face transformers: same codes, sums, logits and greedy tokens.

Only models that have no value near a tie between two codes are compared, the others are drawn anew and counted: whole
models are equal but for ties, and what ties do to a trained model is measured in `test_trained`.

All run eagerly: in float32 compiled methods give the same bits, which `test_layers` shows.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bitsim.model.checkpoint import load_model
from bitsim.model.executor import exact_matmul
from bitsim.model.forward import forward
from bitsim.model.generate import generate
from bitsim.model.kv_cache import KVCache
from bitsim.quant.contracts import contract
from bitsim.quant.recipes import recipe_named
from tests.model.tiny_models import Recorder
from tests.peers.models import NEW_TOKENS, PROMPT, SHAPES, Case, Peer, bitnet, draw_model, torch, write_checkpoint

pytestmark = pytest.mark.peer

STORAGES = ("bitlinear packed", "autobitlinear packed", "autobitlinear online")
CASES = [
    Case(storage=storage, shape=list(SHAPES)[(i + i // 3) % 3], group=group, tied=tied, dtype=dtype)
    for i, (storage, tied, dtype, group) in enumerate(
        itertools.product(STORAGES, (True, False), ("float32", "bfloat16"), (1, 2, 4))
    )
]


@pytest.fixture(autouse=True)
def _eager() -> Iterator[None]:
    with torch.compiler.set_stance("force_eager"):
        yield


@pytest.mark.parametrize("case", CASES, ids=str)
def test_codes_sums_logits_and_greedy_tokens(tmp_path: Path, case: Case, redrawn: Callable[[int], None]) -> None:
    peer, redraws = draw_model(tmp_path, case)
    redrawn(redraws)
    greedy, logits = peer.greedy(), peer.logits(PROMPT).numpy()

    ours, recorder = load_model(tmp_path), Recorder()
    recipe = recipe_named(ours.config.default_numerics)
    got = forward(ours.config, ours.weights, np.array(PROMPT), KVCache(ours.config, 32), recorder, recipe)
    assert len(recorder.linears) == len(peer.linears) == 7 * ours.config.num_layers
    for name, (codes, sums) in recorder.linears.items():
        x_q, _ = bitnet.BitLinear.activation_quant(None, peer.inputs[f"model.{name}"])
        np.testing.assert_array_equal(codes, x_q.numpy())
        np.testing.assert_array_equal(sums, (x_q.double() @ peer.codes(f"model.{name}").T).numpy())
    np.testing.assert_allclose(got, logits, rtol=0, atol=1e-4 * np.abs(logits).max())
    assert generate(ours, Recorder(), PROMPT, NEW_TOKENS, kv=32)[0].tolist() == greedy


@pytest.mark.parametrize("shape", SHAPES)
def test_every_bitlinear_of_a_bfloat16_model_given_its_input(tmp_path: Path, shape: str) -> None:
    """Codes and outputs are equal; what lies between the linears is not bitsim's in bfloat16."""
    case = Case(storage="bitlinear packed", shape=shape, group=2, tied=True, dtype="bfloat16")
    peer = Peer(write_checkpoint(tmp_path, case, seed=1), torch.bfloat16)
    peer.logits(PROMPT)
    ours, recipe = load_model(tmp_path), contract("hf_bitlinear_bf16_eager")
    for i, layer in enumerate(ours.weights.layers):
        for name, _, _ in ours.config.linear_shapes():
            full_name, weight = f"model.layers.{i}.{name}", getattr(layer, name.split(".")[1].removesuffix("_proj"))
            x = peer.inputs[full_name]
            assert x.dtype == torch.bfloat16
            q, s = recipe.quantise_activations(x.float().numpy())
            np.testing.assert_array_equal(q, bitnet.BitLinear.activation_quant(None, x)[0].numpy())
            y = recipe.rescale(exact_matmul(q, weight.codes()), s, weight.scale)
            np.testing.assert_array_equal(y, peer.outputs[full_name].float().numpy())


@pytest.mark.parametrize("storage", STORAGES[1:])
def test_codes_of_a_bfloat16_autobitlinear_model_given_its_inputs(tmp_path: Path, storage: str) -> None:
    case = Case(storage=storage, shape="two layers", group=4, tied=True, dtype="bfloat16")
    peer = Peer(write_checkpoint(tmp_path, case, seed=1), torch.bfloat16)
    peer.logits(PROMPT)
    ours, recipe = load_model(tmp_path), contract("hf_autobitlinear")
    for i, layer in enumerate(ours.weights.layers):
        for name, _, _ in ours.config.linear_shapes():
            full_name, weight = f"model.layers.{i}.{name}", getattr(layer, name.split(".")[1].removesuffix("_proj"))
            x = peer.inputs[full_name]
            q, s = recipe.quantise_activations(x.float().numpy())
            fake = torch.from_numpy(q / s).bfloat16()
            assert torch.equal(fake, bitnet.ActQuant.apply(x))
            np.testing.assert_array_equal(weight.codes(), peer.codes(full_name).numpy())
