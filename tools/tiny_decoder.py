"""The byte-level decoders that `train_tiny.py` trains: one block, five ways to quantise its linears."""

from collections.abc import Callable
from dataclasses import dataclass

import fake_quant
import torch
import torch.nn.functional as F
from fake_quant import EPS
from torch import Tensor, nn

Quantiser = Callable[[Tensor], Tensor]


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
class Scheme:
    """How one kind of model computes its linears.

    `weights`, and the inputs of q, k, v, gate and up (`inputs`), of o_proj (`o`) and of down_proj (`down`): None leaves
    them as they are. `glu`: gate and up, else up only. `act`: of the FFN. `affine_rms`: RMSNorm with weights, else
    LayerNorm without.
    """

    weights: Quantiser | None
    inputs: Quantiser | None
    o: Quantiser | None
    down: Quantiser | None
    glu: bool = True
    act: str = "relu2"
    affine_rms: bool = True


_V2 = {"weights": fake_quant.ternary_added, "act": "silu"}
SCHEMES = {
    "fp16": Scheme(weights=None, inputs=None, o=None, down=None),
    "b1": Scheme(
        weights=fake_quant.binary,
        inputs=fake_quant.int8_floor,
        o=fake_quant.int8_floor,
        down=fake_quant.int8_floor,
        glu=False,
        act="gelu",
        affine_rms=False,
    ),
    "b158": Scheme(weights=fake_quant.ternary, inputs=fake_quant.int8, o=fake_quant.int8, down=fake_quant.int8),
    "a48": Scheme(
        weights=fake_quant.ternary_added,
        inputs=fake_quant.int4,
        o=fake_quant.top_half_int8,
        down=fake_quant.int8_added,
    ),
    "v2_a8": Scheme(inputs=fake_quant.int8_added, o=fake_quant.hadamard_int8, down=fake_quant.hadamard_int8, **_V2),
    "v2": Scheme(inputs=fake_quant.int4, o=fake_quant.hadamard_int4, down=fake_quant.hadamard_int4, **_V2),
}
ACTIVATIONS: dict[str, Quantiser] = {
    "relu2": lambda x: F.relu(x).square(),
    "silu": F.silu,
    "gelu": lambda x: x * torch.sigmoid(1.702 * x),
}


class RMSNorm(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS))


def _norm(size: int, scheme: Scheme) -> nn.Module:
    return RMSNorm(size) if scheme.affine_rms else nn.LayerNorm(size, eps=EPS, elementwise_affine=False)


def _linear(x: Tensor, linear: nn.Linear, scheme: Scheme) -> Tensor:
    return F.linear(x, linear.weight if scheme.weights is None else scheme.weights(linear.weight))


def _quantised(x: Tensor, quantiser: Quantiser | None) -> Tensor:
    return x if quantiser is None else quantiser(x)


class Attention(nn.Module):
    def __init__(self, s: Shape, scheme: Scheme) -> None:
        super().__init__()
        self.heads, self.kv_heads = s.num_attention_heads, s.num_key_value_heads
        self.head_dim = s.hidden_size // s.num_attention_heads
        kv = self.kv_heads * self.head_dim
        self.q_proj = nn.Linear(s.hidden_size, s.hidden_size, bias=False)
        self.k_proj = nn.Linear(s.hidden_size, kv, bias=False)
        self.v_proj = nn.Linear(s.hidden_size, kv, bias=False)
        self.o_proj = nn.Linear(s.hidden_size, s.hidden_size, bias=False)
        self.attn_sub_norm = _norm(s.hidden_size, scheme)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, scheme: Scheme) -> Tensor:
        b, t, _ = x.shape
        x = _quantised(x, scheme.inputs)
        q = _linear(x, self.q_proj, scheme).view(b, t, self.heads, self.head_dim).transpose(1, 2)
        k = _linear(x, self.k_proj, scheme).view(b, t, self.kv_heads, self.head_dim).transpose(1, 2)
        v = _linear(x, self.v_proj, scheme).view(b, t, self.kv_heads, self.head_dim).transpose(1, 2)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        groups = self.heads // self.kv_heads
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        y = self.attn_sub_norm(y.transpose(1, 2).reshape(b, t, -1))
        return _linear(_quantised(y, scheme.o), self.o_proj, scheme)


class MLP(nn.Module):
    def __init__(self, s: Shape, scheme: Scheme) -> None:
        super().__init__()
        if scheme.glu:
            self.gate_proj = nn.Linear(s.hidden_size, s.intermediate_size, bias=False)
        self.up_proj = nn.Linear(s.hidden_size, s.intermediate_size, bias=False)
        self.down_proj = nn.Linear(s.intermediate_size, s.hidden_size, bias=False)
        self.ffn_sub_norm = _norm(s.intermediate_size, scheme)

    def forward(self, x: Tensor, scheme: Scheme) -> Tensor:
        act = ACTIVATIONS[scheme.act]
        x = _quantised(x, scheme.inputs)
        y = _linear(x, self.up_proj, scheme)
        y = act(_linear(x, self.gate_proj, scheme)) * y if scheme.glu else act(y)
        return _linear(_quantised(self.ffn_sub_norm(y), scheme.down), self.down_proj, scheme)


class Block(nn.Module):
    def __init__(self, s: Shape, scheme: Scheme) -> None:
        super().__init__()
        self.input_layernorm = _norm(s.hidden_size, scheme)
        self.self_attn = Attention(s, scheme)
        self.post_attention_layernorm = _norm(s.hidden_size, scheme)
        self.mlp = MLP(s, scheme)

    def forward(self, h: Tensor, cos: Tensor, sin: Tensor, scheme: Scheme) -> Tensor:
        h = h + self.self_attn(self.input_layernorm(h), cos, sin, scheme)
        return h + self.mlp(self.post_attention_layernorm(h), scheme)


class Decoder(nn.Module):
    """A byte-level decoder with tied embeddings; `forward`: int64 (B, T) -> logits (B, T, 256).

    `scheme` may be replaced between steps by another with the same parameters.
    """

    def __init__(self, s: Shape, scheme: Scheme, init_std: float) -> None:
        super().__init__()
        self.scheme = scheme
        self.embed_tokens = nn.Embedding(s.vocab_size, s.hidden_size)
        self.layers = nn.ModuleList(Block(s, scheme) for _ in range(s.num_hidden_layers))
        self.norm = _norm(s.hidden_size, scheme)
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
            h = layer(h, self.cos[:t], self.sin[:t], self.scheme)
        return F.linear(self.norm(h), self.embed_tokens.weight)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE, half-rotation (NeoX) form. `x`: (B, heads, T, head_dim)."""
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin
