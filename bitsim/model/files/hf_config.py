"""Read a Hugging Face `config.json`. A key that could change the numbers is understood or refused, never ignored."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from bitsim.errors import CheckpointError, ConfigError
from bitsim.model.config import Dtype, HiddenAct, LinearClass, ModelConfig, Norm
from bitsim.quant.layouts import packing

T = TypeVar("T")
Storage = Literal["2bit", "trits5_offset", "trits5_sign", "1bit", "master"]
# Our own key beside Hugging Face's, for layouts that transformers does not have.
PACKING_KEY = "bitsim_packing"
# And for blocks that it does not have: LayerNorm without weights, an FFN without a gate (BitNet b1).
NORM_KEY, FFN_KEY = "bitsim_norm", "bitsim_ffn"

# Keys that describe training, generation, batching or the file itself. They don't enter the forward pass.
_HARMLESS = frozenset(
    {
        "_name_or_path",
        "_attn_implementation",
        "architectures",
        "attention_dropout",
        "auto_map",
        "bos_token_id",
        "chunk_size_feed_forward",
        "eos_token_id",
        "id2label",
        "initializer_range",
        "label2id",
        "model_type",
        "output_attentions",
        "output_hidden_states",
        "pad_token_id",
        "problem_type",
        "return_dict",
        "transformers_version",
        "use_cache",
    }
)
# Keys with one supported value, which is also what a missing key means.
_FIXED: Mapping[str, tuple[Any, ...]] = {
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "is_encoder_decoder": (False,),
    "use_rms_norm": (False,),
    "pretraining_tp": (1,),
    "rope_scaling": (None,),
    "partial_rotary_factor": (1, 1.0),
    "sliding_window": (None,),
    "use_sliding_window": (False,),
}
_USED = frozenset(
    {
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "vocab_size",
        "max_position_embeddings",
        "rope_theta",
        "rope_parameters",
        "rms_norm_eps",
        "hidden_act",
        "tie_word_embeddings",
        NORM_KEY,
        FFN_KEY,
        "dtype",
        "torch_dtype",
        "quantization_config",
    }
)
_ROPE_FIXED: Mapping[str, tuple[Any, ...]] = {"rope_type": ("default",), "partial_rotary_factor": (1.0,)}
_MODEL_TYPES = {"bitnet": True, "llama": False}  # model type -> has sub norms
ACTS: Mapping[str, HiddenAct] = {"relu2": "relu2", "silu": "silu", "quick_gelu": "gelu"}
_NORMS: Mapping[str, Norm] = {"rms": "rms", "layer": "layer"}
_FFNS: Mapping[str, Literal["glu", "mlp"]] = {"glu": "glu", "mlp": "mlp"}
_DTYPES: Mapping[str, Dtype] = {"bfloat16": "bfloat16", "float16": "float16", "float32": "float32"}
_LINEAR_CLASSES: Mapping[str, LinearClass] = {name: name for name in get_args(LinearClass)}
_QUANTIZATION_USED = frozenset(
    {"quant_method", "linear_class", "quantization_mode", "modules_to_not_convert", PACKING_KEY}
)
_MODES: Mapping[str, Literal["offline", "online"]] = {"offline": "offline", "online": "online"}
_PACKINGS: Mapping[str, Storage] = {name: name for name in get_args(Storage) if name != "master"}
# `rms_norm_eps` belongs to the norm inside BitLinear that `use_rms_norm` switches on.
_QUANTIZATION_FIXED: Mapping[str, tuple[Any, ...]] = {"use_rms_norm": (False,)}
_QUANTIZATION_HARMLESS = frozenset({"rms_norm_eps"})


class _Keys:
    """Typed access to the keys of one JSON object; every error names the file, the key and what came."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values, self.where = values, where

    def fail(self, key: str, expected: str) -> CheckpointError:
        got = repr(self.values[key]) if key in self.values else "no such key"
        return CheckpointError(f"{self.where}{key}: expected {expected}, got {got[:200]}")

    def integer(self, key: str) -> int:
        value = self.values.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**31:
            raise self.fail(key, "a positive integer")
        return value

    def number(self, key: str) -> float:
        value = self.values.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < 1e30:
            raise self.fail(key, "a positive number")
        return float(value)

    def flag(self, key: str) -> bool:
        value = self.values.get(key)
        if not isinstance(value, bool):
            raise self.fail(key, "true or false")
        return value

    def choice(self, key: str, known: Mapping[str, T]) -> T:
        value = self.values.get(key)
        if not isinstance(value, str) or value not in known:
            raise self.fail(key, f"one of {', '.join(known)}")
        return known[value]

    def nested(self, key: str) -> "_Keys":
        value = self.values[key]
        if not isinstance(value, dict):
            raise self.fail(key, "an object")
        return _Keys(value, f"{self.where}{key}.")

    def check_all(self, used: frozenset[str], fixed: Mapping[str, tuple[Any, ...]], harmless: frozenset[str]) -> None:
        """Refuse unknown keys, and fixed keys with another value."""
        for key, value in self.values.items():
            if key in fixed:
                if value not in fixed[key]:
                    raise self.fail(key, f"{fixed[key][0]!r} (nothing else is supported)")
            elif key not in used and key not in harmless:
                raise CheckpointError(f"{self.where}{key}: unknown key, which could change the model's numbers")


def from_hf(values: Mapping[str, Any], path: Path, name: str | None = None) -> ModelConfig:
    """The model that a parsed `config.json` describes; `path` is its file, for messages.

    Model types bitnet and llama, without biases, RoPE scaling or sliding windows; `rope_theta` may stand at the top or
    in `rope_parameters`. Raises `CheckpointError` naming file and key.
    """
    keys = _Keys(values, f"{path}: ")
    keys.check_all(_USED, _FIXED, _HARMLESS)
    sub_norms = keys.choice("model_type", _MODEL_TYPES)
    hidden_size, num_heads = keys.integer("hidden_size"), keys.integer("num_attention_heads")
    if values.get("head_dim") is None and hidden_size % num_heads:
        raise keys.fail("hidden_size", f"a multiple of num_attention_heads = {num_heads}")
    linear_class = _linear_class(keys)
    try:
        return ModelConfig(
            name=name or path.parent.name,
            hidden_size=hidden_size,
            intermediate_size=keys.integer("intermediate_size"),
            num_layers=keys.integer("num_hidden_layers"),
            num_heads=num_heads,
            num_kv_heads=keys.integer("num_key_value_heads"),
            head_dim=hidden_size // num_heads if values.get("head_dim") is None else keys.integer("head_dim"),
            vocab_size=keys.integer("vocab_size"),
            max_position_embeddings=keys.integer("max_position_embeddings"),
            rope_theta=_rope_theta(keys),
            rms_norm_eps=keys.number("rms_norm_eps"),
            hidden_act=keys.choice("hidden_act", ACTS),
            ffn=keys.choice(FFN_KEY, _FFNS) if FFN_KEY in values else "glu",
            norm=keys.choice(NORM_KEY, _NORMS) if NORM_KEY in values else "rms",
            sub_norms=sub_norms,
            tie_embeddings=keys.flag("tie_word_embeddings"),
            linear_class=linear_class,
            weight_bits_per_weight=_stored_bits(linear_class, linear_storage(values)),
            dtype=_dtype(keys),
        )
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from None


def linear_storage(values: Mapping[str, Any]) -> Storage:
    """How the quantised linears of a config.json that `from_hf` accepted are stored.

    "2bit": transformers' packing (mode offline). "master": float weights, ternarised at every load (mode online).
    "trits5_*", "1bit": our own files, five trits or eight signs per byte along K. Meaningless for a model without
    quantised linears.
    """
    quantisation = values.get("quantization_config") or {}
    if quantisation.get("quantization_mode") == "online":
        return "master"
    return _PACKINGS[quantisation.get(PACKING_KEY, "2bit")]


def _stored_bits(linear_class: LinearClass | None, storage: Storage) -> Fraction:
    """Master weights count as 2 bits, which is how they are kept once they are quantised."""
    if linear_class is None:
        return Fraction(16)
    return Fraction(2) if storage == "master" else packing(storage).bits_per_weight


def _rope_theta(keys: _Keys) -> float:
    if keys.values.get("rope_parameters") is None:
        return keys.number("rope_theta")
    inner = keys.nested("rope_parameters")
    inner.check_all(
        frozenset({"rope_theta"}), {"rope_type": ("default",), "partial_rotary_factor": (1.0,)}, frozenset()
    )
    theta = inner.number("rope_theta")
    if "rope_theta" in keys.values and keys.number("rope_theta") != theta:
        raise keys.fail("rope_theta", f"the same as rope_parameters.rope_theta = {theta}")
    return theta


def _dtype(keys: _Keys) -> Dtype:
    present = [key for key in ("dtype", "torch_dtype") if key in keys.values]
    found = {keys.choice(key, _DTYPES) for key in present or ["dtype"]}
    if len(found) > 1:
        raise keys.fail("torch_dtype", f"the same as dtype = {keys.values['dtype']}")
    return found.pop()


def _linear_class(keys: _Keys) -> LinearClass | None:
    """The class of the packed linears; it decides whether a stored scale multiplies or divides, so it must be there."""
    if keys.values.get("quantization_config") is None:
        return None
    inner = keys.nested("quantization_config")
    inner.check_all(_QUANTIZATION_USED, _QUANTIZATION_FIXED, _QUANTIZATION_HARMLESS)
    inner.choice("quant_method", {"bitnet": "bitnet"})
    if inner.values.get("linear_class") is None:
        raise inner.fail(
            "linear_class",
            "bitlinear (a stored weight scale is 1 / mean|W| and divides) or autobitlinear (mean|W|, multiplies); "
            "nothing else in the files tells which",
        )
    linear_class = inner.choice("linear_class", _LINEAR_CLASSES)
    mode = inner.choice("quantization_mode", _MODES)
    if PACKING_KEY in inner.values:
        inner.choice(PACKING_KEY, _PACKINGS)
        if mode == "online":
            raise inner.fail(PACKING_KEY, "no such key with quantization_mode online (weights that are not packed)")
    kept = inner.values.get("modules_to_not_convert")
    if kept is not None and kept not in (["lm_head"], []):
        raise inner.fail("modules_to_not_convert", "null or ['lm_head'] (the head is never quantised)")
    return linear_class
