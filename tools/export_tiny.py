"""Write a trained tiny model as a Hugging Face directory, and read the packed weights of one back as masters."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from fake_quant import EPS
from safetensors.torch import load_file, save_file
from tiny_decoder import SCHEMES, Decoder, Shape
from torch import Tensor

LINEAR_CLASSES = {"b158": "autobitlinear", "b1": "b1", "a48": "a48", "v2": "v2"}


def pack_ternary(codes: Tensor) -> Tensor:
    """Hugging Face packing: uint8 (N/4, K), row i*N/4 + r in bits 2i..2i+1 of byte r, code + 1."""
    n, k = codes.shape
    if n % 4:
        raise ValueError(f"N must be a multiple of 4 for Hugging Face packing (got {n})")
    quarters = (codes.to(torch.uint8) + 1).view(4, n // 4, k)
    return quarters[0] | quarters[1] << 2 | quarters[2] << 4 | quarters[3] << 6


def unpack_ternary(packed: Tensor) -> Tensor:
    """Codes -1, 0, +1 as int8 (N, K) of `pack_ternary`'s bytes."""
    return torch.cat([(packed >> 2 * i & 3).to(torch.int8) - 1 for i in range(4)])


def pack_signs(codes: Tensor) -> Tensor:
    """bitsim's `1bit` packing of -1 and +1: uint8 (N, K/8), eight weights along K per byte, the first lowest."""
    n, k = codes.shape
    if k % 8:
        raise ValueError(f"K must be a multiple of 8 for one-bit packing (got {k})")
    return ((codes > 0).view(n, k // 8, 8) << torch.arange(8)).sum(-1).to(torch.uint8)


def unpack_signs(packed: Tensor) -> Tensor:
    """Codes -1 and +1 as int8 (N, K) of `pack_signs`'s bytes."""
    return ((packed[..., None] >> torch.arange(8) & 1) * 2 - 1).to(torch.int8).flatten(1)


def quantised_weight(w: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    """Codes int8 (N, K) and the scale, mean |W|, as the scheme of `kind` uses them."""
    mean = w.abs().mean()
    if kind == "b1":
        return torch.where(w > w.mean(), 1, -1).to(torch.int8), mean
    divisor = mean.clamp(min=EPS) if kind == "b158" else mean + EPS
    return (w / divisor).round().clamp(-1, 1).to(torch.int8), mean


@torch.no_grad()
def load_ternary(model: Decoder, path: Path) -> None:
    """Start `model` from a packed checkpoint: masters `t * scale / mean|t|`, which quantise to t and scale."""
    stored = load_file(path)
    config = json.loads((path.parent / "config.json").read_text())
    binary = config["quantization_config"].get("bitsim_packing") == "1bit"
    for name, p in model.named_parameters():
        tensor = stored[f"model.{name}"]
        if tensor.dtype == torch.uint8:
            t = (unpack_signs if binary else unpack_ternary)(tensor).float()
            tensor = t * stored[f"model.{name}_scale"].float() / t.abs().mean()
        p.copy_(tensor.float())


def export(model: Decoder, s: Shape, kind: str, out: Path) -> None:
    """Write config.json, tokenizer_config.json and model.safetensors in Hugging Face's layout."""
    scheme = SCHEMES[kind]
    quantised = scheme.weights is not None
    dtype = torch.bfloat16 if quantised else torch.float16
    tensors: dict[str, Tensor] = {}
    for name, p in model.state_dict().items():
        key = f"model.{name}"
        if quantised and name.endswith("_proj.weight"):
            codes, scale = quantised_weight(p, kind)
            tensors[key] = pack_signs(codes) if kind == "b1" else pack_ternary(codes)
            tensors[f"{key}_scale"] = scale.to(dtype).reshape(1)
        else:
            tensors[key] = p.to(dtype)
    config: dict[str, object] = {
        "architectures": ["BitNetForCausalLM"],
        "model_type": "bitnet",
        "hidden_act": {"gelu": "quick_gelu"}.get(scheme.act, scheme.act),
        "tie_word_embeddings": True,
        "dtype": str(dtype).removeprefix("torch."),
        **asdict(s),
    }
    if quantised:
        config["quantization_config"] = {
            "quant_method": "bitnet",
            "linear_class": LINEAR_CLASSES[kind],
            "quantization_mode": "offline",
        } | ({"bitsim_packing": "1bit"} if kind == "b1" else {})
    if not scheme.affine_rms:
        config["bitsim_norm"] = "layer"
    if not scheme.glu:
        config["bitsim_ffn"] = "mlp"
    out.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (out / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "ByteTokenizer"}, indent=2) + "\n")
