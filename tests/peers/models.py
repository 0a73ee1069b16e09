"""Random tiny BitNets that transformers makes, stores and runs.

Importing this skips the tests where torch or transformers is missing (extra `peers`): `make test-peers`.
"""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
bitnet = pytest.importorskip("transformers.integrations.bitnet")
save_file = pytest.importorskip("safetensors.torch").save_file

torch.set_num_threads(1)  # the matrices are tiny: a team of threads would only wait for itself

PROMPT = [5, 17, 3, 42, 8, 0]
NEW_TOKENS = 6
SHAPES = {
    "two layers": {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4},
    "many heads": {"hidden_size": 32, "intermediate_size": 84, "num_hidden_layers": 1, "num_attention_heads": 8},
    "three layers": {"hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 4},
}
# Inputs of linears agree to about 3e-7 (norms and softmax are summed in another order), so x * s to about 4e-5, and
# mean|W| to two units in the last place. A model with a value nearer than that to a tie between two codes, or with two
# nearly equal best tokens, says nothing.
CODE_MARGIN = 5e-5
WEIGHT_MARGIN = 5e-7
TOKEN_MARGIN = 1e-2
DRAWS = 60

Storage = Literal["bitlinear packed", "autobitlinear packed", "autobitlinear online"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`group`: query heads per key-value head. `dtype`: of the tensors in the checkpoint."""

    storage: Storage
    shape: str
    group: int
    tied: bool
    dtype: Literal["float32", "bfloat16"]

    @property
    def linear_class(self) -> str:
        return self.storage.split()[0]

    @property
    def online(self) -> bool:
        return self.storage.endswith("online")

    def config(self) -> Any:
        heads = SHAPES[self.shape]["num_attention_heads"]
        return transformers.BitNetConfig(
            **SHAPES[self.shape], num_key_value_heads=heads // self.group, vocab_size=100, max_position_embeddings=64,
            tie_word_embeddings=self.tied, bos_token_id=None, eos_token_id=None,
        )  # fmt: skip


def write_checkpoint(directory: Path, case: Case, seed: int) -> Path:
    """A random model of transformers as a Hugging Face directory: master weights, or packed by `pack_weights`."""
    torch.manual_seed(seed)
    config, dtype = case.config(), getattr(torch, case.dtype)
    tensors = {}
    for name, value in transformers.BitNetForCausalLM(config).state_dict().items():
        if name.endswith("_proj.weight") and not case.online:
            mean = value.abs().mean().clamp(min=1e-5)
            codes = (value / mean).round().clamp(-1, 1).to(torch.int8)
            tensors[name] = bitnet.pack_weights(codes)
            stored = 1 / mean if case.linear_class == "bitlinear" else mean
            tensors[f"{name}_scale"] = stored.reshape(1).to(torch.bfloat16)
        elif name.endswith("_proj.weight"):
            tensors[name] = value.to(dtype)
        elif value.dim() == 1:
            tensors[name] = (torch.rand_like(value) + 0.5).to(dtype)
        elif not (case.tied and name == "lm_head.weight"):
            tensors[name] = torch.randn_like(value).to(dtype)
    save_file({name: value.contiguous() for name, value in tensors.items()}, directory / "model.safetensors")
    described = config.to_dict() | {
        "architectures": ["BitNetForCausalLM"],
        "dtype": case.dtype,
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": case.linear_class,
            "quantization_mode": "online" if case.online else "offline",
            "modules_to_not_convert": ["lm_head"],
        },
    }
    (directory / "config.json").write_text(json.dumps(described, default=str))
    return directory


class Peer:
    """A checkpoint as transformers runs it, and what went into and came out of its linears in the last forward pass."""

    def __init__(self, directory: Path, dtype: Any) -> None:
        self.model = transformers.BitNetForCausalLM.from_pretrained(
            directory, dtype=dtype, attn_implementation="eager"
        ).eval()
        for tensor in itertools.chain(self.model.parameters(), self.model.buffers()):
            if tensor.dtype == torch.bfloat16:
                tensor.data = tensor.data.to(dtype)  # what from_pretrained left in the checkpoint's dtype
        self.linears = {name: m for name, m in self.model.named_modules() if name.endswith("_proj")}
        self.inputs: dict[str, Any] = {}
        self.outputs: dict[str, Any] = {}
        for name, module in self.linears.items():
            module.register_forward_hook(lambda m, args, out, name=name: self._keep(name, args[0], out))

    def _keep(self, name: str, x: Any, y: Any) -> None:
        self.inputs[name], self.outputs[name] = x.detach()[0], y.detach()[0]

    def freeze_online_weights(self, dtype: Any) -> None:
        """Ternarise master weights once, by transformers' own function in `dtype`, as a run in `dtype` does."""
        for module in self.linears.values():
            weight = bitnet.WeightQuant.apply(module.weight.detach().to(dtype)).to(module.weight.dtype)
            module.weight.data, module.weight_scale, module.online_quant = weight, torch.ones(1), False

    def codes(self, name: str) -> Any:
        """The ternary codes of a linear, float64 (N, K)."""
        module = self.linears[name]
        if isinstance(module, bitnet.BitLinear):
            return bitnet.unpack_weights(module.weight, dtype=torch.float64)
        weight = bitnet.WeightQuant.apply(module.weight) if module.online_quant else module.weight
        return weight.detach().double().sign()

    def logits(self, tokens: list[int]) -> Any:
        with torch.no_grad():
            return self.model(torch.tensor([tokens])).logits[0]

    def greedy(self) -> list[int]:
        prompt = torch.tensor([PROMPT])
        # Without a mask, prompt tokens that equal the padding token are masked out.
        everything = {"attention_mask": torch.ones_like(prompt), "pad_token_id": 0}
        with torch.no_grad():
            return self.model.generate(prompt, **everything, max_new_tokens=NEW_TOKENS, do_sample=False)[0].tolist()

    def has_settled_weights(self) -> bool:
        """Whether mean|W| summed in another order can't change a ternary code of the master weights."""
        for module in self.linears.values():
            magnitude = module.weight.detach().double().abs()
            if (magnitude / magnitude.mean() - 0.5).abs().min() < WEIGHT_MARGIN:
                return False
        return True

    def is_settled(self) -> bool:
        """Whether float32 sums in another order can change neither a code of the prompt nor a greedy token."""
        best = self.logits(self.greedy()[:-1])[len(PROMPT) - 1 :].topk(2).values
        if (best[:, 0] - best[:, 1]).min() < TOKEN_MARGIN * best.abs().max():
            return False
        self.logits(PROMPT)
        for x in self.inputs.values():
            _, s = bitnet.BitLinear.activation_quant(None, x)
            scaled = (x * s).double()
            if (scaled - scaled.floor() - 0.5).abs().min() < CODE_MARGIN:
                return False
        return True


def draw_model(directory: Path, case: Case) -> tuple[Peer, int]:
    """The first random model of the case whose codes and tokens are no matter of rounding, run in float32.

    And how many were drawn before it. What becomes of ties is measured in test_trained.
    """
    for seed in range(DRAWS):
        peer = Peer(write_checkpoint(directory, case, seed), torch.float32)
        if case.online and not peer.has_settled_weights():
            continue
        if case.online and case.dtype != "float32":
            peer.freeze_online_weights(getattr(torch, case.dtype))
        if peer.is_settled():
            return peer, seed
    raise AssertionError(f"{case}: none of {DRAWS} random models is away from all ties")
