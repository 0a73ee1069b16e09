"""What a model is: its shape and the choices that change its numbers."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Literal, Protocol, get_args

from bitsim.errors import ConfigError
from bitsim.model.rope_scaling import FrequencyFactors, RopeScaling

HiddenAct = Literal["relu2", "silu", "gelu", "gelu_tanh"]
WeightOnly = Literal["w158a16", "w8a16", "w4a16_g32", "w4a16_g64", "w4a16_g128"]
Rounded = Literal["w8a8", "w4a8", "w8a16", "w4a16_g32", "w4a16_g64", "w4a16_g128"]
LinearClass = Literal["bitlinear", "autobitlinear", "b1", "a48", "v2", "w158a8", WeightOnly, Rounded]
Norm = Literal["rms", "layer"]
Biased = Literal["none", "qkv", "qkvo"]
Dtype = Literal["bfloat16", "float16", "float32"]

NUMERICS: Mapping[LinearClass | None, str] = {
    "bitlinear": "hf_bitlinear_fp32",
    "autobitlinear": "hf_autobitlinear",
    "b1": "b1",
    "a48": "a48",
    "v2": "v2_a4",
    "w158a8": "w158a8",
    **{name: name for name in (*get_args(WeightOnly), *get_args(Rounded))},
    None: "float",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """A decoder-only transformer.

    * `ffn`: "glu" has gate, up and down projections; "mlp" has up and down only.
    * `hidden_act`: "gelu" means the sigmoid form `x * sigmoid(1.702 x)`, "gelu_tanh" the tanh form.
    * `norm`: "rms" is RMSNorm with weights, "layer" is LayerNorm without (BitNet b1).
    * `sub_norms`: a norm before o_proj and down_proj too (SubLN).
    * `linear_class`: the Hugging Face class, or the paper, whose linears these are; None for a model without quantised
      linears, "w158a16" for ternary (or binary) weights that are multiplied with activations as they are, "w158a8" for
      the same with activations in INT8; "w8a8" and the like for a float model that was rounded to nearest. It decides
      how scales are stored and which numerics the model is executed under.
    * `weight_bits_per_weight`: stored bits per weight of the linears, from the packing: 2 for Hugging Face's, 8/5 for
      five trits per byte, 1 for binary, 16 for FP16.
    * `dtype`: of the stored embedding, norms and unquantised linears.
    * `rope_scaling`: a change of RoPE's frequencies; None: none.
    * `qk_norm`: RMSNorm with weights (head_dim,) of every head of queries and keys, before RoPE.
    * `attention_bias`: which of q, k, v and o_proj add a bias; `mlp_bias`: whether gate, up and down_proj do.
    * `linear_norm_eps`: of an RMSNorm of its own in front of each linear's quantiser (`use_rms_norm` of transformers);
      None: there is none.
    * `head_bits`, `embedding_bits`: of a stored weight of head and embedding, those of its block's scales included
      (6.5625 of Q6_K); 16 for whatever float they are in.
    * `scale_groups`: linears whose rows have several scales, each of a group of K, and how many; filled in where a
      BitLinear datapath forms the sums of groups.
    * `sliding_window`: positions that the layer with the shortest window attends; None: all. Longer contexts are not
      executed.
    """

    name: str
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    max_position_embeddings: int
    rope_theta: float
    rms_norm_eps: float
    hidden_act: HiddenAct
    ffn: Literal["glu", "mlp"]
    norm: Norm = "rms"
    sub_norms: bool
    tie_embeddings: bool
    linear_class: LinearClass | None
    weight_bits_per_weight: Fraction
    dtype: Dtype
    rope_scaling: RopeScaling | None = None
    qk_norm: bool = False
    attention_bias: Biased = "none"
    mlp_bias: bool = False
    linear_norm_eps: float | None = None
    sliding_window: int | None = None
    head_bits: int | Fraction = 16
    embedding_bits: int | Fraction = 16
    scale_groups: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        for field in _POSITIVE:
            value = getattr(self, field)
            if value is not None and not value > 0:
                raise ConfigError(f"{self.name}: {field}: must be > 0 (got {value})")
        scaling = self.rope_scaling
        if isinstance(scaling, FrequencyFactors) and 2 * len(scaling.factors) != self.head_dim:
            raise ConfigError(
                f"{self.name}: rope_scaling: expected {self.head_dim // 2} factors, head_dim / 2, "
                f"got {len(scaling.factors)}"
            )
        if self.linear_norm_eps is not None and not self.quantised:
            raise ConfigError(f"{self.name}: linear_norm_eps: only quantised linears have a norm of their own")
        wrong = contradiction(self)
        if wrong is not None:
            field, text = wrong
            raise ConfigError(f"{self.name}: {_CHECKPOINTS_CALL_IT.get(field, field)}: {text}")

    @property
    def quantised(self) -> bool:
        """Whether the linears are BitLinear: int8 activations, ternary (or binary) weights."""
        return self.linear_class is not None and not self.weight_only

    @property
    def weight_only(self) -> bool:
        """Whether the linears' weights are quantised and their activations are not."""
        return self.linear_class in get_args(WeightOnly)

    @property
    def wide_weights(self) -> bool:
        """Whether the weights of quantised linears are integers beyond -1, 0 and 1."""
        return self.quantised and self.linear_class in get_args(Rounded)

    @property
    def binary(self) -> bool:
        """Whether the weights of quantised linears are -1 and +1 only."""
        return self.linear_class == "b1" or self.weight_bits_per_weight == 1

    @property
    def digest(self) -> str:
        """SHA-256 of what the model's shape is: of all fields but `name`, equal for equal ones.

        Fields that came later count only where they say something, so that older shapes keep theirs.
        """
        content = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "name"}
        content = {key: value for key, value in content.items() if key not in SELDOM or value != SELDOM[key]}
        plain = [f"{key}={_exact(value)}" for key, value in sorted(content.items())]
        return hashlib.sha256("\n".join(plain).encode()).hexdigest()

    @property
    def default_numerics(self) -> str:
        """The name of the numerics (a contract or a recipe) that fits the checkpoint's `linear_class`."""
        return NUMERICS[self.linear_class]

    @property
    def q_size(self) -> int:
        return self.num_heads * self.head_dim

    @property
    def kv_size(self) -> int:
        return self.num_kv_heads * self.head_dim

    def linear_shapes(self) -> Iterator[tuple[str, int, int]]:
        """The linears of one layer as (name, N, K), in the order of execution."""
        d, f = self.hidden_size, self.intermediate_size
        yield "self_attn.q_proj", self.q_size, d
        yield "self_attn.k_proj", self.kv_size, d
        yield "self_attn.v_proj", self.kv_size, d
        yield "self_attn.o_proj", d, self.q_size
        if self.ffn == "glu":
            yield "mlp.gate_proj", f, d
        yield "mlp.up_proj", f, d
        yield "mlp.down_proj", d, f

    def groups_of(self, linear: str) -> int:
        """Groups of K of this linear that have a scale of their own in each row."""
        return dict(self.scale_groups).get(linear, 1)

    def biased(self, linear: str) -> bool:
        """Whether the linear of this name, such as "self_attn.q_proj", adds a bias."""
        if linear.startswith("mlp."):
            return self.mlp_bias
        return self.attention_bias == "qkvo" or (self.attention_bias == "qkv" and not linear.endswith("o_proj"))

    @property
    def linear_weights(self) -> int:
        """Number of weights in the linears of all layers (no embedding, no head)."""
        return self.num_layers * sum(n * k for _, n, k in self.linear_shapes())

    @property
    def embedding_weights(self) -> int:
        """Number of weights in the embedding and the head; a tied head is counted once."""
        return self.vocab_size * self.hidden_size * (1 if self.tie_embeddings else 2)


def _exact(value: object) -> str:
    """A field's value as text, the same for numbers that are equal, whatever their type."""
    return str(Fraction(value)) if isinstance(value, int | float | Fraction) else repr(value)


class Sizes(Protocol):
    """What `contradiction` asks for."""

    @property
    def num_heads(self) -> int: ...
    @property
    def num_kv_heads(self) -> int: ...
    @property
    def head_dim(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def sub_norms(self) -> bool: ...


def contradiction(sizes: Sizes) -> tuple[str, str] | None:
    """The field that does not go with the others, and what was expected of it."""
    if sizes.num_heads % sizes.num_kv_heads:
        return "num_kv_heads", f"must divide num_attention_heads = {sizes.num_heads} (got {sizes.num_kv_heads})"
    if sizes.head_dim % 2:
        return "head_dim", f"must be even for RoPE (got {sizes.head_dim})"
    if sizes.sub_norms and sizes.num_heads * sizes.head_dim != sizes.hidden_size:
        return "head_dim", (
            f"with sub norms, num_attention_heads * head_dim must be hidden_size = {sizes.hidden_size} "
            f"(got {sizes.num_heads} * {sizes.head_dim})"
        )
    return None


_CHECKPOINTS_CALL_IT = {"num_kv_heads": "num_key_value_heads"}
_POSITIVE = (
    "hidden_size",
    "intermediate_size",
    "num_layers",
    "num_heads",
    "num_kv_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
    "rope_theta",
    "rms_norm_eps",
    "weight_bits_per_weight",
    "linear_norm_eps",
    "sliding_window",
)
# What most models don't have, and what that is.
SELDOM: Mapping[str, object] = {
    "rope_scaling": None,
    "qk_norm": False,
    "attention_bias": "none",
    "mlp_bias": False,
    "linear_norm_eps": None,
    "sliding_window": None,
    "head_bits": 16,
    "embedding_bits": 16,
    "scale_groups": (),
}
