"""Random tiny BitNets made and run by Hugging Face transformers: same codes, sums, logits and greedy tokens.

Needs torch and transformers (extra `peers`): `make test-peers`.
"""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitsim.model.checkpoint import load_model
from bitsim.model.forward import forward
from bitsim.model.generate import generate
from bitsim.model.kv_cache import KVCache
from bitsim.quant.recipes import recipe
from tests.model.tiny_models import Recorder

pytestmark = pytest.mark.peer
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
bitnet = pytest.importorskip("transformers.integrations.bitnet")
save_file = pytest.importorskip("safetensors.torch").save_file

TOKENS = [5, 17, 3, 99, 42, 8, 61, 0, 23]
CASES = list(itertools.product(("bitlinear", "autobitlinear"), (True, False), (4, 2, 1)))


def packed_checkpoint(directory: Path, linear_class: str, tied: bool, kv_heads: int) -> Path:
    """A random model of transformers, its linears packed by transformers' own `pack_weights`, in float32."""
    torch.manual_seed(hash((tied, kv_heads)) % 1000)
    config = transformers.BitNetConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=kv_heads,
        vocab_size=100, max_position_embeddings=64, tie_word_embeddings=tied, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    model = transformers.BitNetForCausalLM(config)
    tensors = {}
    for name, value in model.state_dict().items():
        if name.endswith("_proj.weight"):
            mean = value.abs().mean().clamp(min=1e-5)
            codes = (value / mean).round().clamp(-1, 1).to(torch.int8)
            tensors[name] = bitnet.pack_weights(codes.clone())
            stored = 1 / mean if linear_class == "bitlinear" else mean
            tensors[f"{name}_scale"] = stored.reshape(1).to(torch.bfloat16)
        elif value.dim() == 1:
            tensors[name] = torch.rand_like(value) + 0.5
        elif not (tied and name == "lm_head.weight"):
            tensors[name] = torch.randn_like(value)
    save_file({name: value.contiguous() for name, value in tensors.items()}, directory / "model.safetensors")
    described = config.to_dict() | {
        "architectures": ["BitNetForCausalLM"],
        "dtype": "float32",
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": linear_class,
            "quantization_mode": "offline",
            "modules_to_not_convert": ["lm_head"],
        },
    }
    (directory / "config.json").write_text(json.dumps(described, default=str))
    return directory


def reference(directory: Path) -> tuple[Any, dict[str, Any]]:
    """The model as transformers loads it, in float32, and the inputs of its linears once it has run."""
    model = transformers.BitNetForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager")
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        if tensor.dtype == torch.bfloat16:
            tensor.data = tensor.data.float()
    seen: dict[str, Any] = {}
    for name, module in model.named_modules():
        if name.endswith("_proj"):
            module.register_forward_hook(lambda m, args, out, name=name: seen.__setitem__(name, args[0].detach()))
    return model.eval(), seen


@pytest.mark.parametrize(("linear_class", "tied", "kv_heads"), CASES)
def test_codes_sums_logits_and_greedy_tokens(tmp_path: Path, linear_class: str, tied: bool, kv_heads: int) -> None:
    directory = packed_checkpoint(tmp_path, linear_class, tied, kv_heads)
    peer, seen = reference(directory)
    prompt = torch.tensor([TOKENS])
    everything = {"attention_mask": torch.ones_like(prompt), "max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    with torch.no_grad():
        logits = peer(prompt).logits[0].numpy()
        inputs = dict(seen)
        greedy = peer.generate(prompt, **everything)[0].tolist()

    ours = load_model(directory)
    recorder, rules = Recorder(), recipe(ours.config.default_numerics)
    got = forward(ours.config, ours.weights, np.array(TOKENS), KVCache(ours.config, 32), recorder, rules)
    assert len(recorder.linears) == len(inputs) == 14
    weights = dict(peer.named_modules())
    for name, (codes, sums) in recorder.linears.items():
        x_q, _ = bitnet.BitLinear.activation_quant(None, inputs[f"model.{name}"][0])
        np.testing.assert_array_equal(codes, x_q.numpy())
        w = weights[f"model.{name}"].weight  # AutoBitLinear unpacks it when it is loaded
        w = w.double() if w.is_floating_point() else bitnet.unpack_weights(w, dtype=torch.float64)
        np.testing.assert_array_equal(sums, (x_q.double() @ w.T).detach().numpy())
    np.testing.assert_allclose(got, logits, rtol=0, atol=1e-4 * np.abs(logits).max())
    assert generate(ours, Recorder(), TOKENS, 6, kv=32)[0].tolist() == greedy
