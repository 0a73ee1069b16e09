"""Write a model as a Hugging Face directory: config.json and one model.safetensors."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitsim.errors import CheckpointError
from bitsim.model.config import Dtype, ModelConfig
from bitsim.model.files.hf_config import ACTS, FFN_KEY, NORM_KEY, PACKING_KEY, from_hf
from bitsim.model.rope_scaling import FrequencyFactors, RopeScaling
from bitsim.model.weights import FloatWeight, ModelWeights, Stored, from_float32, to_float32
from bitsim.quant.layouts import Packing
from bitsim.quant.packing import Float32, TernaryWeight

_ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "bitnet": "BitNetForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
_TAGS: dict[Dtype, str] = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}


class _Tensor(NamedTuple):
    """A tensor to write; `data` is called when its turn comes, so that one matrix at a time is in memory."""

    name: str
    tag: str
    shape: tuple[int, ...]
    size_bytes: int
    data: Callable[[], npt.NDArray[Any]]


def hf_config(config: ModelConfig, packing: Packing) -> dict[str, Any]:
    """The config.json of a quantised model with packed linears, which `from_hf` reads back as the same model.

    The layout is named in a key of our own unless it is transformers' "2bit". Raises `CheckpointError` for a model of
    which config.json can't say what it is.
    """
    kind = _model_type(config)
    quantisation: dict[str, Any] = {
        "quant_method": "bitnet",
        "linear_class": config.linear_class,
        "quantization_mode": "offline",
        "modules_to_not_convert": ["lm_head"],
    }
    if config.linear_norm_eps is not None:
        quantisation |= {"use_rms_norm": True, "rms_norm_eps": config.linear_norm_eps}
    if packing.name != "2bit":
        quantisation[PACKING_KEY] = packing.name
    seldom: dict[str, tuple[Any, Any]] = {
        NORM_KEY: (config.norm, "rms"),
        FFN_KEY: (config.ffn, "glu"),
        "attention_bias": (config.attention_bias == "qkvo", False),
        "mlp_bias": (config.mlp_bias, False),
        "sliding_window": (config.sliding_window, None),
        "use_sliding_window": (config.sliding_window is not None, False),
    }
    values = {
        "architectures": [_ARCHITECTURES[kind]],
        "model_type": kind,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.max_position_embeddings,
        "rope_parameters": {"rope_theta": config.rope_theta, **_scaling(config.rope_scaling)},
        "rms_norm_eps": config.rms_norm_eps,
        "hidden_act": next(name for name, act in ACTS.items() if act == config.hidden_act),
        "tie_word_embeddings": config.tie_embeddings,
        "dtype": config.dtype,
        "quantization_config": quantisation,
        **{key: value for key, (value, usual) in seldom.items() if value != usual},
    }
    _check_said(values, replace(config, weight_bits_per_weight=packing.bits_per_weight))
    return values


def _model_type(config: ModelConfig) -> str:
    """The type of transformers whose graph is the model's, as far as one has it."""
    if config.sub_norms:
        return "bitnet"
    if config.qk_norm:
        return "qwen3"
    return "qwen2" if config.attention_bias == "qkv" or config.sliding_window is not None else "llama"


def _scaling(scaling: RopeScaling | None) -> dict[str, Any]:
    """The keys beside theta in `rope_parameters`."""
    if scaling is None:
        return {"rope_type": "default"}
    if isinstance(scaling, FrequencyFactors):
        raise CheckpointError(
            "rope_scaling: factors of single frequencies, as GGUF's rope_freqs holds them, have no key in config.json"
        )
    names = {"kind": "rope_type", "original_positions": "original_max_position_embeddings"}
    return {names.get(key, key): value for key, value in asdict(scaling).items()}


def _check_said(values: dict[str, Any], config: ModelConfig) -> None:
    """Raise unless config.json, read back, says what the model is."""
    try:
        said = from_hf(values, Path("config.json"), config.name)
    except CheckpointError as error:
        raise CheckpointError(f"a config.json can't say what the model is: {error}") from None
    for field in fields(config):
        if (wanted := getattr(config, field.name)) != (got := getattr(said, field.name)):
            raise CheckpointError(
                f"a config.json can't say what the model is: {field.name}: expected {wanted}, {values['model_type']} "
                f"has {got}"
            )


def write_hf(directory: Path, config: ModelConfig, weights: ModelWeights, packing: Packing) -> None:
    """Write config.json and model.safetensors into `directory`, whose linears are all ternary.

    Norms and scales are stored in the model's dtype where that is exact, else in float32.
    """
    (directory / "config.json").write_text(json.dumps(hf_config(config, packing), indent=1, allow_nan=False) + "\n")
    tensors = list(_tensors(config, weights, packing))
    header, at = {}, 0
    for tensor in tensors:
        end = at + tensor.size_bytes
        header[tensor.name] = {"dtype": tensor.tag, "shape": tensor.shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with (directory / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors:
            np.ascontiguousarray(tensor.data()).tofile(file)


def _tensors(config: ModelConfig, weights: ModelWeights, packing: Packing) -> Iterator[_Tensor]:
    yield _matrix("model.embed_tokens.weight", weights.embedding)
    for i, layer in enumerate(weights.layers):
        at = f"model.layers.{i}."
        for (name, _, _), weight in zip(config.linear_shapes(), layer.linears(), strict=True):
            assert isinstance(weight, TernaryWeight)
            yield _packed(f"{at}{name}.weight", weight, packing)
            yield _vector(f"{at}{name}.weight_scale", np.array([weight.scale], dtype=np.float32), config.dtype)
            if name in layer.biases:
                yield _vector(f"{at}{name}.bias", _stored_bias(config, layer.biases[name]), config.dtype)
            if name in layer.linear_norms:
                yield _vector(f"{at}{name}.rms_norm.weight", layer.linear_norms[name], config.dtype)
        norms = {
            "input_layernorm": layer.input_norm,
            "post_attention_layernorm": layer.post_attention_norm,
            "self_attn.attn_sub_norm": layer.attn_sub_norm,
            "mlp.ffn_sub_norm": layer.ffn_sub_norm,
            "self_attn.q_norm": layer.q_norm,
            "self_attn.k_norm": layer.k_norm,
        }
        for name, norm in norms.items():
            if norm is not None:
                yield _vector(f"{at}{name}.weight", norm, config.dtype)
    if weights.norm is not None:
        yield _vector("model.norm.weight", weights.norm, config.dtype)
    if not config.tie_embeddings:
        yield _matrix("lm_head.weight", weights.head)


def _stored_bias(config: ModelConfig, bias: Float32) -> Float32:
    """As the class adds it; autobitlinear multiplies a stored bias by the weight scale, which can't be taken back."""
    if config.linear_class == "autobitlinear":
        raise CheckpointError("biases of autobitlinear are scaled when they are read; they can't be written exactly")
    return bias


def _matrix(name: str, weight: FloatWeight) -> _Tensor:
    size = weight.n * weight.k * (4 if weight.dtype == "float32" else 2)
    return _Tensor(name, _TAGS[weight.dtype], (weight.n, weight.k), size, lambda: weight.stored)


def _packed(name: str, weight: TernaryWeight, packing: Packing) -> _Tensor:
    size = packing.size_bytes(weight.n, weight.k)
    if packing.name == "2bit":
        return _Tensor(name, "U8", (size // weight.k, weight.k), size, lambda: weight.packed)
    return _Tensor(name, "U8", (weight.n, size // weight.n), size, lambda: packing.pack(weight.codes()))


def _vector(name: str, values: Float32, dtype: Dtype) -> _Tensor:
    stored: Stored = from_float32(values, dtype)
    if not np.array_equal(to_float32(stored, dtype), values):
        stored, dtype = values, "float32"
    return _Tensor(name, _TAGS[dtype], stored.shape, stored.nbytes, lambda: stored)
