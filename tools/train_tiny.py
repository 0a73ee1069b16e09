"""Train the tiny byte-level models that bitsim ships: BitNet b1.58 and its FP16 twin.

    pip install -e '.[train]'
    bible gen1:1-rev22:21 > kjv.txt              # Debian package bible-kjv (public domain text)
    python tools/train_tiny.py --kind b158 --text kjv.txt --out bitsim/models/tiny-b158
    python tools/train_tiny.py --kind fp16 --text kjv.txt --out bitsim/models/tiny-fp16

The block is BitNet b1.58 2B4T's: RMSNorm, SubLN before o_proj and down_proj, RoPE, grouped-query attention,
squared-ReLU GLU. Kind `b158` trains with ternary absmean weights (per tensor) and int8 absmax activations (per
token) through the straight-through estimator; kind `fp16` trains the same shape without quantisers. The last
64 KiB of the text are never trained on. A run is seeded; the same torch build and thread count repeats it.

Source: arXiv 2402.17764 section 2 and the authors' training tips (FAQ figures 3 and 4).
"""

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

HELD_OUT_BYTES = 65536
EPS = 1e-5


@dataclass(frozen=True)
class Shape:
    """The model's shape; names as in a Hugging Face config."""

    hidden_size: int = 256
    intermediate_size: int = 704
    num_hidden_layers: int = 6
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    max_position_embeddings: int = 256
    rope_theta: float = 10000.0
    vocab_size: int = 256
    rms_norm_eps: float = EPS


@dataclass(frozen=True)
class Recipe:
    """How one kind is trained."""

    steps: int
    peak_lr: float
    batch: int = 16
    warmup_steps: int = 100
    final_lr_fraction: float = 0.05
    weight_decay: float = 0.05
    init_std: float = 0.05
    clip_norm: float = 1.0
    seed: int = 1


RECIPES = {"b158": Recipe(steps=2300, peak_lr=2e-3), "fp16": Recipe(steps=2300, peak_lr=1.5e-3)}


def fake_ternary(w: Tensor) -> Tensor:
    """Ternary absmean weights with a straight-through gradient. `w`: float (N, K)."""
    scale = w.abs().mean().clamp(min=EPS)
    return w + ((w / scale).round().clamp(-1, 1) * scale - w).detach()


def fake_int8(x: Tensor) -> Tensor:
    """Per-token absmax int8 activations with a straight-through gradient. `x`: float (..., K)."""
    scale = 127.0 / x.abs().amax(-1, keepdim=True).clamp(min=EPS)
    return x + ((x * scale).round().clamp(-128, 127) / scale - x).detach()


class RMSNorm(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS))


class Linear(nn.Linear):
    """A bias-free linear layer that is quantised when `ternary`."""

    def __init__(self, k: int, n: int, ternary: bool) -> None:
        super().__init__(k, n, bias=False)
        self.ternary = ternary

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(fake_int8(x), fake_ternary(self.weight)) if self.ternary else F.linear(x, self.weight)


class Attention(nn.Module):
    def __init__(self, s: Shape, ternary: bool) -> None:
        super().__init__()
        self.heads, self.kv_heads = s.num_attention_heads, s.num_key_value_heads
        self.head_dim = s.hidden_size // s.num_attention_heads
        kv = self.kv_heads * self.head_dim
        self.q_proj = Linear(s.hidden_size, s.hidden_size, ternary)
        self.k_proj = Linear(s.hidden_size, kv, ternary)
        self.v_proj = Linear(s.hidden_size, kv, ternary)
        self.o_proj = Linear(s.hidden_size, s.hidden_size, ternary)
        self.attn_sub_norm = RMSNorm(s.hidden_size)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        b, t, _ = x.shape
        q = self.q_proj(x).view(b, t, self.heads, self.head_dim).transpose(1, 2)
        k = self.k_proj(x).view(b, t, self.kv_heads, self.head_dim).transpose(1, 2)
        v = self.v_proj(x).view(b, t, self.kv_heads, self.head_dim).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(self.attn_sub_norm(y.transpose(1, 2).reshape(b, t, -1)))


class MLP(nn.Module):
    def __init__(self, s: Shape, ternary: bool) -> None:
        super().__init__()
        self.gate_proj = Linear(s.hidden_size, s.intermediate_size, ternary)
        self.up_proj = Linear(s.hidden_size, s.intermediate_size, ternary)
        self.down_proj = Linear(s.intermediate_size, s.hidden_size, ternary)
        self.ffn_sub_norm = RMSNorm(s.intermediate_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(self.ffn_sub_norm(F.relu(self.gate_proj(x)).square() * self.up_proj(x)))


class Block(nn.Module):
    def __init__(self, s: Shape, ternary: bool) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(s.hidden_size)
        self.self_attn = Attention(s, ternary)
        self.post_attention_layernorm = RMSNorm(s.hidden_size)
        self.mlp = MLP(s, ternary)

    def forward(self, h: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        h = h + self.self_attn(self.input_layernorm(h), cos, sin)
        return h + self.mlp(self.post_attention_layernorm(h))


class Decoder(nn.Module):
    """A byte-level decoder with tied embeddings; `forward`: int64 (B, T) -> logits (B, T, 256)."""

    def __init__(self, s: Shape, ternary: bool, init_std: float) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(s.vocab_size, s.hidden_size)
        self.layers = nn.ModuleList(Block(s, ternary) for _ in range(s.num_hidden_layers))
        self.norm = RMSNorm(s.hidden_size)
        head_dim = s.hidden_size // s.num_attention_heads
        inv_freq = 1.0 / s.rope_theta ** (torch.arange(0, head_dim, 2).float() / head_dim)
        angle = torch.outer(torch.arange(s.max_position_embeddings).float(), inv_freq).repeat(1, 2)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=init_std)

    def forward(self, tokens: Tensor) -> Tensor:
        h = self.embed_tokens(tokens)
        t = tokens.shape[1]
        for layer in self.layers:
            h = layer(h, self.cos[:t], self.sin[:t])
        return F.linear(self.norm(h), self.embed_tokens.weight)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE, half-rotation (NeoX) form. `x`: (B, heads, T, head_dim)."""
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


@torch.no_grad()
def bits_per_byte(model: nn.Module, text: Tensor, window: int) -> float:
    """Mean bits per predicted byte over non-overlapping windows of `text` (uint8)."""
    total, count = 0.0, 0
    windows = text[: (len(text) - 1) // window * window + 1].long()
    inputs, targets = windows[:-1].view(-1, window), windows[1:].view(-1, window)
    for i in range(0, len(inputs), 32):
        logits = model(inputs[i : i + 32])
        total += F.cross_entropy(logits.flatten(0, 1), targets[i : i + 32].flatten(), reduction="sum").item()
        count += targets[i : i + 32].numel()
    return total / count / math.log(2)


def learning_rate(step: int, r: Recipe) -> float:
    if step < r.warmup_steps:
        return r.peak_lr * (step + 1) / r.warmup_steps
    progress = (step - r.warmup_steps) / max(1, r.steps - r.warmup_steps)
    floor = r.final_lr_fraction
    return r.peak_lr * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))


def train(model: nn.Module, text: Tensor, r: Recipe, window: int, held_out: Tensor) -> None:
    """AdamW with a cosine schedule; weight decay stops at half time (the authors' second stage)."""
    compiled = torch.compile(model)
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": r.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=r.peak_lr,
        betas=(0.9, 0.95),
    )
    offsets = torch.arange(window + 1)
    start = time.monotonic()
    for step in range(r.steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, r)
        if step == r.steps // 2:
            optimiser.param_groups[0]["weight_decay"] = 0.0
        at = torch.randint(0, len(text) - window - 1, (r.batch, 1))
        batch = text[at + offsets].long()
        loss = F.cross_entropy(compiled(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), r.clip_norm)
        optimiser.step()
        if step % 100 == 99 or step == 0:
            minutes = (time.monotonic() - start) / 60
            validation = bits_per_byte(model, held_out[: HELD_OUT_BYTES // 2], window) if step % 400 == 399 else None
            shown = "" if validation is None else f"  held out {validation:.4f}"
            print(
                f"step {step + 1:5d}  {minutes:5.1f} min  bits/byte {loss.item() / math.log(2):.4f}{shown}", flush=True
            )


def pack_ternary(codes: Tensor) -> Tensor:
    """Hugging Face packing: uint8 (N/4, K), row i*N/4 + r in bits 2i..2i+1 of byte r, code + 1."""
    n, k = codes.shape
    if n % 4:
        raise ValueError(f"N must be a multiple of 4 for Hugging Face packing (got {n})")
    quarters = (codes.to(torch.uint8) + 1).view(4, n // 4, k)
    return quarters[0] | quarters[1] << 2 | quarters[2] << 4 | quarters[3] << 6


def export(model: Decoder, s: Shape, kind: str, out: Path) -> None:
    """Write config.json, tokenizer_config.json and model.safetensors in Hugging Face's layout."""
    ternary = kind == "b158"
    dtype = torch.bfloat16 if ternary else torch.float16
    tensors: dict[str, Tensor] = {}
    for name, p in model.state_dict().items():
        key = f"model.{name}"
        if ternary and name.endswith("_proj.weight"):
            scale = p.abs().mean().clamp(min=EPS)
            tensors[key] = pack_ternary((p / scale).round().clamp(-1, 1).to(torch.int8))
            tensors[f"{key}_scale"] = scale.to(dtype).reshape(1)
        else:
            tensors[key] = p.to(dtype)
    config: dict[str, object] = {
        "architectures": ["BitNetForCausalLM"],
        "model_type": "bitnet",
        "hidden_act": "relu2",
        "tie_word_embeddings": True,
        "dtype": str(dtype).removeprefix("torch."),
        **asdict(s),
    }
    if ternary:
        config["quantization_config"] = {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": "offline",
        }
    out.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (out / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "ByteTokenizer"}, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=sorted(RECIPES), required=True)
    parser.add_argument("--text", type=Path, required=True, help="plain text; its last 64 KiB are held out")
    parser.add_argument("--out", type=Path, required=True, help="directory of the checkpoint")
    parser.add_argument("--steps", type=int, help="override the recipe's number of steps")
    args = parser.parse_args()

    recipe = RECIPES[args.kind]
    if args.steps is not None:
        recipe = Recipe(**{**asdict(recipe), "steps": args.steps})
    torch.manual_seed(recipe.seed)
    text = torch.frombuffer(bytearray(args.text.read_bytes()), dtype=torch.uint8)
    held_out = text[-HELD_OUT_BYTES:]
    shape = Shape()
    model = Decoder(shape, args.kind == "b158", recipe.init_std)
    print(f"{args.kind}: {sum(p.numel() for p in model.parameters()):,} parameters, {recipe}", flush=True)
    train(model, text[:-HELD_OUT_BYTES], recipe, shape.max_position_embeddings, held_out)
    print(f"held out, 64 KiB: {bits_per_byte(model, held_out, shape.max_position_embeddings):.4f} bits per byte")
    export(model, shape, args.kind, args.out)


if __name__ == "__main__":
    main()
