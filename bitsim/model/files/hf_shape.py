"""The shape that a Hugging Face `config.json` states, without weights: enough to estimate, not to execute.

A config that `from_hf` accepts is that model. Of any other whose blocks are known to be LLaMA's, the keys that decide
sizes are read, and all that is set aside is said in notes: counts rest on the sizes, and an estimate has no numbers
that a RoPE scaling or a soft cap could change.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from bitsim.errors import CheckpointError
from bitsim.model.config import Dtype, ModelConfig
from bitsim.model.files.hf_checkpoint import read_config
from bitsim.model.files.hf_config import describe, from_hf

# Types of separate q, k, v and o projections and a gated FFN, and whether embedding and head are tied unless said.
# Source: transformers, src/transformers/models/*/configuration_*.py; `tie_word_embeddings` of PretrainedConfig is True.
TIED_BY_DEFAULT: Mapping[str, bool] = {
    "cohere": True,
    "cohere2": True,
    "exaone4": False,
    "gemma": True,
    "gemma2": True,
    "gemma3_text": True,
    "glm4": False,
    "granite": False,
    "llama": False,
    "minicpm": True,
    "mistral": False,
    "olmo": False,
    "olmo2": False,
    "phi3": False,
    "qwen2": False,
    "qwen3": False,
    "smollm3": True,
    "stablelm": False,
}
HEAD_DIM: Mapping[str, int] = {"gemma": 256, "gemma2": 256, "gemma3_text": 256, "qwen3": 128}  # unless said
# What a type has without a key that says so.
_IMPLIED: Mapping[str, str] = {
    "cohere": "attention and FFN side by side, LayerNorm",
    "cohere2": "attention and FFN side by side, LayerNorm",
    "exaone4": "QK-norm; norms behind attention and FFN instead of in front",
    "gemma": "scaled embeddings",
    "gemma2": "scaled embeddings; norms behind attention and behind the FFN",
    "gemma3_text": "scaled embeddings; norms behind attention and behind the FFN",
    "glm4": "norms behind attention and behind the FFN",
    "minicpm": "scales of embeddings, residuals and the head's input",
    "olmo2": "QK-norm; norms behind attention and FFN instead of in front",
    "smollm3": "layers without RoPE",
    "stablelm": "LayerNorm, RoPE on a part of each head",
}
_QK_NORM = ("gemma3_text", "qwen3")
_NEEDED = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("vocab_size", "max_position_embeddings"),
)
_DTYPE: Dtype = "bfloat16"
_GELU = ("gelu", "gelu_fast")
_SIZES = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"),
    *("head_dim", "vocab_size", "max_position_embeddings", "rms_norm_eps", "hidden_act", "tie_word_embeddings"),
    *("torch_dtype", "dtype", "quantization_config"),
)
# Of the file, of training and of generation; they say nothing of the model's work.
_NO_WORK = (
    *("_name_or_path", "architectures", "auto_map", "attention_dropout", "cache_implementation", "classifier_dropout"),
    *("hidden_dropout", "embd_pdrop", "resid_pdrop", "id2label", "label2id", "initializer_range", "is_llama_config"),
    *("model_type", "pretraining_tp", "problem_type", "return_dict", "transformers_version", "unsloth_fixed"),
    *("unsloth_version", "use_cache", "_attn_implementation_autoset", "transformers.js_config", "use_mrope"),
    *("hidden_activation", "rope_theta", "rope_parameters", "layer_norm_eps", "max_window_layers", "sliding_window"),
    *("use_sliding_window", "_sliding_window_pattern", "sliding_window_pattern", "layer_types"),
)


class ShapeOfFile(NamedTuple):
    """`notes`: on what was assumed and set aside. `ignored`: keys that say nothing of the model's work."""

    config: ModelConfig
    notes: tuple[str, ...]
    ignored: tuple[str, ...]


def read_shape(path: Path) -> ShapeOfFile:
    """The model that `path`, a config.json, describes, called like its folder.

    Another file than config.json gives its own name. Raises `CheckpointError` naming file and key.
    """
    values, _ = read_config(path)
    name = path.resolve().parent.name if path.name == "config.json" else path.stem
    source = f"model shape from {path}; the model has no weights"
    try:
        found = describe(values, path, name, stored=_DTYPE)
        absent = ", ".join(f"{key} = {value}" for key, value in found.absent.items())
        said = (f"model shape, absent keys as transformers takes them: {absent}",) if absent else ()
        return ShapeOfFile(found.config, (source, *said, *_dtype_note(values)), found.ignored)
    except CheckpointError as refused:
        if values.get("model_type") == "bitnet":  # its keys say how its linears are stored
            raise
        found_sizes = _sizes_only(values, path, name)
        why = f"model shape, sizes only, as bitsim would not execute the model: {refused}"
        return found_sizes._replace(notes=(source, why, *found_sizes.notes))


def _sizes_only(values: Mapping[str, Any], path: Path, name: str) -> ShapeOfFile:
    notes = []
    inner = values.get("text_config")
    if isinstance(inner, dict):
        notes.append("model shape: text_config only; the other parts of the model are not counted")
        values = inner
    kind = values.get("model_type")
    if not isinstance(kind, str) or kind not in TIED_BY_DEFAULT:
        known = ", ".join(sorted(TIED_BY_DEFAULT))
        raise CheckpointError(f"{path}: model_type: expected one of {known}, got {kind!r}; or write a YAML shape")
    missing = next((key for key in _NEEDED if values.get(key) is None), None)
    if missing is not None:
        raise CheckpointError(f"{path}: {missing}: expected a positive integer, got no such key")
    sizes = {key: values[key] for key in _SIZES if key in values} | {"model_type": "llama"}
    act = values.get("hidden_act") or values.get("hidden_activation")
    if act in _GELU:
        notes.append(f"model shape, assumed: hidden_act: {act} is counted as its tanh form")
        act = "gelu_pytorch_tanh"
    sizes["hidden_act"] = act
    sizes["rope_theta"] = _rope_theta(values)
    if _dtype_note(values):
        sizes["dtype"] = _DTYPE
        notes.extend(_dtype_note(values))
    for key, default in (("tie_word_embeddings", TIED_BY_DEFAULT[kind]), ("head_dim", HEAD_DIM.get(kind))):
        if sizes.get(key) is None and default is not None:
            sizes[key] = default
            notes.append(f"model shape, assumed: {key}: absent, {default} is transformers' default of {kind}")
    if "rms_norm_eps" not in sizes and "layer_norm_eps" in values:
        sizes["rms_norm_eps"] = values["layer_norm_eps"]
    if kind in _IMPLIED:
        notes.append(f"model shape, not modelled: {kind}: {_IMPLIED[kind]}")
    aside = [key for key in values if key not in (*_SIZES, *_NO_WORK) and not key.endswith("_token_id")]
    notes += [f"model shape, not modelled: {key} = {str(values[key])[:80]}" for key in aside if values[key]]
    config = replace(from_hf(sizes, path, name), sliding_window=_window(values, path), qk_norm=kind in _QK_NORM)
    silent = (
        key for key in values if key in _NO_WORK or key.endswith("_token_id") or (key in aside and not values[key])
    )
    return ShapeOfFile(config, tuple(notes), tuple(sorted(silent)))


def _dtype_note(values: Mapping[str, Any]) -> tuple[str, ...]:
    """That floats have no type; nothing if the config names one."""
    if values.get("torch_dtype") is not None or values.get("dtype") is not None:
        return ()
    return (f"model shape, assumed: dtype: absent, {_DTYPE}; floats count 16 bits in any",)


def _window(values: Mapping[str, Any], path: Path) -> int | None:
    """The sliding window, unless it is switched off."""
    window = values.get("sliding_window")
    if window is None or values.get("use_sliding_window") is False:
        return None
    if not isinstance(window, int) or isinstance(window, bool) or not 0 < window < 1 << 31:
        raise CheckpointError(f"{path}: sliding_window: expected null or a positive integer, got {str(window)[:60]}")
    return window


def _rope_theta(values: Mapping[str, Any]) -> Any:
    """RoPE's base, which no count depends on; 10000, RoPE's own, where the config has none at a known place."""
    inner = values.get("rope_parameters")
    inner = inner.get("full_attention", inner) if isinstance(inner, dict) else {}
    found = values.get("rope_theta") or (inner.get("rope_theta") if isinstance(inner, dict) else None)
    return 10000.0 if found is None else found
