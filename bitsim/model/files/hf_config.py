"""Read a Hugging Face `config.json`. A key that could change the numbers is understood or refused, never ignored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from bitsim.errors import CheckpointError, ConfigError
from bitsim.model.config import Biased, Dtype, HiddenAct, ModelConfig, Norm
from bitsim.model.files.hf_keys import Keys
from bitsim.model.files.hf_quantisation import PACKING_KEY, Quantisation, Storage, read_quantisation
from bitsim.model.files.hf_rope import read_rope
from bitsim.quant.layouts import packing

__all__ = [
    "ACTS",
    "FFN_KEY",
    "FIXED",
    "HARMLESS",
    "NORM_KEY",
    "PACKING_KEY",
    "Description",
    "Storage",
    "describe",
    "from_hf",
]

# Our own keys for blocks that transformers does not have: LayerNorm without weights, an FFN without a gate (BitNet b1).
NORM_KEY, FFN_KEY = "bitsim_norm", "bitsim_ffn"

# Keys of training, generation, batching or the file itself: transformers' forward pass does not read them.
HARMLESS = frozenset(
    {
        "_attn_implementation", "_name_or_path", "architectures", "attention_dropout", "auto_map", "bad_words_ids",
        "begin_suppress_tokens", "bos_token_id", "chunk_size_feed_forward", "decoder_start_token_id",
        "diversity_penalty", "do_sample", "early_stopping", "encoder_no_repeat_ngram_size", "eos_token_id",
        "exponential_decay_length_penalty", "finetuning_task", "forced_bos_token_id", "forced_eos_token_id", "id2label",
        "initializer_range", "is_bitnet_config", "is_decoder", "label2id", "length_penalty", "max_length",
        "max_window_layers", "min_length", "no_repeat_ngram_size", "num_beam_groups", "num_beams",
        "num_return_sequences", "output_attentions", "output_hidden_states", "output_scores", "pad_token_id", "prefix",
        "pretraining_tp", "problem_type", "remove_invalid_values", "repetition_penalty", "return_dict",
        "return_dict_in_generate", "sep_token_id", "suppress_tokens", "task_specific_params", "temperature",
        "tf_legacy_loss", "tokenizer_class", "top_k", "top_p", "torchscript", "transformers_version", "typical_p",
        "unsloth_version", "use_bfloat16", "use_cache",
    }
)  # fmt: skip
# Keys with one value that leaves the numbers alone, and why any other is refused.
FIXED: Mapping[str, tuple[tuple[Any, ...], str]] = {
    "add_cross_attention": ((False,), "cross attention is not executed"),
    "cross_attention_hidden_size": ((None,), "cross attention is not executed"),
    "is_encoder_decoder": ((False,), "only decoders are executed"),
    "pruned_heads": (({}, None), "pruned heads are not executed"),
    "rope_interleaved": ((False,), "RoPE turns halves, as transformers does; adjacent pairs are not executed"),
    "tie_encoder_decoder": ((False,), "only decoders are executed"),
    "use_rms_norm": ((False,), "norms of linears belong into quantization_config"),
}
ACTS: Mapping[str, HiddenAct] = {
    "relu2": "relu2",
    "silu": "silu",
    "swish": "silu",
    "quick_gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
}
_NORMS: Mapping[str, Norm] = {"rms": "rms", "layer": "layer"}
_FFNS: Mapping[str, Literal["glu", "mlp"]] = {"glu": "glu", "mlp": "mlp"}
_DTYPES: Mapping[str, Dtype] = {"bfloat16": "bfloat16", "float16": "float16", "float32": "float32"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """What transformers 5.24.0 takes an absent key for in a model type, and what the type has besides llama's graph.

    `kv_heads`, `head_dim`: None: as many as heads, hidden_size / heads. `biases`: keys that switch biases on;
    `always_biased`: linears that have one in any case. Source: `models/<type>/configuration_<type>.py`.
    """

    kv_heads: int | None = None
    head_dim: int | None = None
    theta: float = 10000.0
    eps: float = 1e-6
    act: str = "silu"
    max_positions: int
    vocab: int
    sizes: tuple[int, int, int, int]  # hidden, intermediate, layers, heads
    sub_norms: bool = False
    qk_norm: bool = False
    biases: tuple[str, ...] = ("attention_bias",)
    always_biased: Biased = "none"
    windows: bool = False


_QWEN = _Family(
    kv_heads=32, max_positions=32768, vocab=151936, sizes=(4096, 22016, 32, 32), windows=True, biases=(),
    always_biased="qkv",
)  # fmt: skip
_FAMILIES: Mapping[str, _Family] = {
    "llama": _Family(
        max_positions=2048, vocab=32000, sizes=(4096, 11008, 32, 32), biases=("attention_bias", "mlp_bias")
    ),
    "bitnet": _Family(
        kv_heads=5, theta=500000.0, eps=1e-5, act="relu2", max_positions=2048, vocab=128256,
        sizes=(2560, 6912, 30, 20), sub_norms=True,
    ),
    "qwen3": _Family(
        kv_heads=32, head_dim=128, max_positions=32768, vocab=151936, sizes=(4096, 22016, 32, 32), qk_norm=True,
        windows=True,
    ),
    "qwen2": _QWEN,
}  # fmt: skip
# Ternary models whose graph is another one (facts: model cards and code of each).
_OTHER_GRAPHS: Mapping[str, str] = {
    "gemma3_text": "bitnet-embedding-270m: Gemma 3 has other norms, scaled embeddings and local layers",
    "hgrn_bit": "MMfreeLM: it has no attention but a gated recurrence (HGRN)",
    "hunyuan_v1_dense": "Tencent HY-1.8B-2bit: its levels are -1.5, -0.5, 0.5 and 1.5, which are not ternary",
    "hunyuan": "Tencent HY-1.8B-2bit: its levels are -1.5, -0.5, 0.5 and 1.5, which are not ternary",
    "maple": "deepgrove maple-preview: a mixture of experts with a threshold and a scale for each row",
    "minicpm": "BitCPM: scaled embeddings and residuals, and LongRoPE",
    "minicpm4": "BitCPM4: scaled embeddings and residuals, and LongRoPE",
    "olmo": "OLMo-Bitnet-1B: other projections (att_proj, ff_proj) and custom code",
    "hf_olmo": "OLMo-Bitnet-1B: other projections (att_proj, ff_proj) and custom code",
    "qwen3_5": "Ternary-Bonsai 27B and TTF: a hybrid with gated delta nets",
    "qwen35": "Ternary-Bonsai 27B and TTF: a hybrid with gated delta nets",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a config.json says: the model, how its linears are stored, and the keys that change no number.

    `absent`: keys that were not there, and what that means.
    """

    config: ModelConfig
    storage: Storage
    ignored: tuple[str, ...]
    absent: Mapping[str, object] = field(default_factory=dict)


def from_hf(values: Mapping[str, Any], path: Path, name: str | None = None) -> ModelConfig:
    """The model of `describe`, for who needs no more."""
    return describe(values, path, name).config


def describe(
    values: Mapping[str, Any], path: Path, name: str | None = None, stored: Dtype | None = None
) -> Description:
    """What a parsed `config.json` says; `path` is its file, for messages. Absent keys mean what transformers takes them
    for in the model type, `num_key_value_heads` of a bitnet model 5 among them.

    `stored`: the type of the float tensors, for a config that names none. Raises `CheckpointError` naming file and key.
    """
    keys = Keys(values, f"{path}: ")
    kind = keys.take("model_type")
    if isinstance(kind, str) and kind in _OTHER_GRAPHS:
        raise CheckpointError(f"{path}: model_type: {kind}: a graph that is not executed ({_OTHER_GRAPHS[kind]})")
    family = keys.choice("model_type", _FAMILIES)
    num_layers = keys.integer("num_hidden_layers", family.sizes[2])
    quantised = read_quantisation(keys, num_layers)
    for key, (allowed, why) in FIXED.items():
        keys.fixed(key, *allowed, why=why)
    try:
        config = _config(keys, family, num_layers, quantised, name or path.parent.name, stored)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from None
    fixed = [key for key in values if key in FIXED]
    ignored = (*(key for key in keys.left() if key in HARMLESS), *fixed, *quantised.ignored)
    for key in HARMLESS:
        keys.take(key)
    keys.none_left()
    absent = {key: value for key, value in _meant(config, values).items() if key not in values}
    return Description(config=config, storage=quantised.storage, ignored=tuple(sorted(ignored)), absent=absent)


def _config(
    keys: Keys, family: _Family, num_layers: int, quantised: Quantisation, name: str, stored: Dtype | None
) -> ModelConfig:
    hidden_size = keys.integer("hidden_size", family.sizes[0])
    num_heads = keys.integer("num_attention_heads", family.sizes[3])
    max_positions = keys.integer("max_position_embeddings", family.max_positions)
    theta, scaling = read_rope(keys, family.theta, max_positions)
    return ModelConfig(
        name=name,
        hidden_size=hidden_size,
        intermediate_size=keys.integer("intermediate_size", family.sizes[1]),
        num_layers=num_layers,
        num_heads=num_heads,
        num_kv_heads=_kv_heads(keys, family, num_heads),
        head_dim=_head_dim(keys, family, hidden_size, num_heads),
        vocab_size=keys.integer("vocab_size", family.vocab),
        max_position_embeddings=max_positions,
        rope_theta=theta,
        rms_norm_eps=keys.number("rms_norm_eps", family.eps),
        hidden_act=_act(keys, family),
        ffn=keys.choice(FFN_KEY, _FFNS, "glu"),
        norm=keys.choice(NORM_KEY, _NORMS, "rms"),
        # 1bitLLM's models, told by their own two keys, are llama models with SubLN.
        sub_norms=family.sub_norms or "weight_bits" in keys or "input_bits" in keys,
        tie_embeddings=keys.flag("tie_word_embeddings", False),
        linear_class=quantised.linear_class,
        weight_bits_per_weight=_stored_bits(quantised),
        dtype=_dtype(keys, stored),
        rope_scaling=scaling,
        qk_norm=family.qk_norm,
        attention_bias=_attention_bias(keys, family),
        mlp_bias=_flag_of(keys, family, "mlp_bias"),
        linear_norm_eps=quantised.norm_eps,
        sliding_window=_window(keys, family),
    )


def _kv_heads(keys: Keys, family: _Family, num_heads: int) -> int:
    if "num_key_value_heads" in keys and keys.is_null("num_key_value_heads"):
        return num_heads
    return keys.integer("num_key_value_heads", family.kv_heads or num_heads)


def _head_dim(keys: Keys, family: _Family, hidden_size: int, num_heads: int) -> int:
    if family.head_dim is not None and "head_dim" not in keys:
        return family.head_dim
    if not keys.is_null("head_dim"):
        return keys.integer("head_dim")
    if hidden_size % num_heads:
        raise keys.fail("hidden_size", f"a multiple of num_attention_heads = {num_heads}")
    return hidden_size // num_heads


def _act(keys: Keys, family: _Family) -> HiddenAct:
    if keys.values.get("hidden_act") == "gelu":
        raise keys.fail("hidden_act", f"one of {', '.join(ACTS)} (GELU by the error function is not executed)")
    return keys.choice("hidden_act", ACTS, family.act)


def _flag_of(keys: Keys, family: _Family, key: str) -> bool:
    """A switch that some families have; in others it must be off, since transformers' code does not read it."""
    if key not in family.biases:
        keys.fixed(key, False, why="transformers' code of this model type has no such biases")
        return False
    return keys.flag(key, False)


def _attention_bias(keys: Keys, family: _Family) -> Biased:
    return "qkvo" if _flag_of(keys, family, "attention_bias") else family.always_biased


def _window(keys: Keys, family: _Family) -> int | None:
    """The sliding window, where it is switched on; the switch and the layer types are read with it."""
    if not family.windows:
        keys.fixed("sliding_window", None, why="transformers' code of this model type has no window")
        keys.fixed("use_sliding_window", False, why="transformers' code of this model type has no window")
        return None
    types = keys.take("layer_types")
    if types is not None and not (
        isinstance(types, list) and all(one in ("full_attention", "sliding_attention") for one in types)
    ):
        raise keys.fail("layer_types", "null or a list of full_attention and sliding_attention")
    on = keys.flag("use_sliding_window", False)
    null = keys.is_null("sliding_window")
    window = None if null and "sliding_window" in keys else keys.integer("sliding_window", 4096)
    return window if on else None


def _stored_bits(quantised: Quantisation) -> Fraction:
    """Master weights count as 2 bits, which is how they are kept once they are quantised."""
    if quantised.linear_class is None:
        return Fraction(16)
    master = quantised.storage.startswith("master")
    return Fraction(2) if master else packing(quantised.storage).bits_per_weight


def _dtype(keys: Keys, stored: Dtype | None) -> Dtype:
    present = [key for key in ("dtype", "torch_dtype") if key in keys]
    if not present and stored is not None:
        return stored
    found = {keys.choice(key, _DTYPES) for key in present or ["dtype"]}
    if len(found) > 1:
        raise keys.fail("torch_dtype", f"the same as dtype = {keys.values['dtype']}")
    return found.pop()


def _meant(config: ModelConfig, values: Mapping[str, Any]) -> dict[str, object]:
    """What keys of a config.json stand for that may be absent."""
    found: dict[str, object] = {
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "rms_norm_eps": config.rms_norm_eps,
        "hidden_act": config.hidden_act,
        "tie_word_embeddings": config.tie_embeddings,
        "max_position_embeddings": config.max_position_embeddings,
    }
    if "rope_parameters" not in values:
        found["rope_theta"] = config.rope_theta
    if "dtype" not in values and "torch_dtype" not in values:
        found["dtype"] = config.dtype
    quantisation = values.get("quantization_config")
    if quantisation is not None and "linear_class" not in quantisation:
        found["quantization_config.linear_class"] = config.linear_class
    return found
