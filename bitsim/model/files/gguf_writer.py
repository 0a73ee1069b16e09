"""Write a model as a GGUF file that says all that bitsim needs, in keys of its own beside the usual ones.

Architecture `bitnet-b1.58` with squared ReLU, `bitnet` with SILU: what bitnet.cpp and llama.cpp compute for these.
A tokeniser is not written, so these files are for simulators, not for chatting; but for llama.cpp itself, which knows
`bitnet` only and refuses files without a vocabulary, a file may be written under that name with the vocabulary's keys.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitsim.errors import CheckpointError
from bitsim.model.config import SELDOM, Dtype, ModelConfig
from bitsim.model.files.gguf_config import (
    ACTS,
    CLASSES,
    ROPE_FACTORS,
    shortest,
)
from bitsim.model.files.gguf_key_table import ACT_KEY, CLASS_KEY, I2S_LAYOUT_KEY, SCALES_KEY, TOKENIZER_KEY
from bitsim.model.files.gguf_keys import float_key, floats_key, integer_key, text_bytes, text_key
from bitsim.model.files.gguf_types import I2S_TAIL_BYTES, I2S_TYPE
from bitsim.model.files.gguf_weights import LINEARS, linear_tensors, stored_multiplier
from bitsim.model.rope_scaling import FrequencyFactors, LinearScaling, Llama3Scaling, YarnScaling
from bitsim.model.weights import FloatWeight, ModelWeights
from bitsim.quant.i2s import I2S_RUN
from bitsim.quant.layouts import Packing
from bitsim.quant.packing import Float32, TernaryWeight
from bitsim.quant.tq import BLOCK, pack_tq1_0, pack_tq2_0

_ALIGNMENT = 32
_TYPE_IDS = {"tq1_0": 34, "tq2_0": 35, "i2_s_x86": I2S_TYPE, "i2_s_arm": I2S_TYPE}
_FILE_TYPES = {"tq1_0": 36, "tq2_0": 37}
_FLOAT_IDS: dict[Dtype, int] = {"float32": 0, "float16": 1, "bfloat16": 30}


class _Tensor(NamedTuple):
    """A tensor to write; `data` is called when its turn comes, so that one matrix at a time is in memory."""

    name: str
    type_id: int
    shape: tuple[int, ...]
    size_bytes: int
    data: Callable[[], npt.NDArray[Any]]


def write_gguf(
    path: Path,
    config: ModelConfig,
    weights: ModelWeights,
    packing: Packing,
    tokenizer: str | None,
    *,
    upstream: Sequence[bytes] | None = None,
) -> None:
    """Write `path`; the exact scales of the linears go into `bitsim.linear_scales`, beside rounded ones in the tensors.

    `upstream`: the vocabulary's keys of a file for llama.cpp; None: the file is for simulators. Raises
    `CheckpointError` naming the tensor or key that GGUF can't hold: K that is no multiple of the block, a scale beyond
    float16, a number of the config that is no float32.
    """
    _check(config)
    if upstream is not None:
        _check_upstream(config, packing)
    tensors = list(_tensors(config, weights, packing))
    keys = [*_keys(config, weights, packing, tokenizer, upstream=upstream is not None), *(upstream or ())]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys)
    at = 0
    for tensor in tensors:
        head += text_bytes(tensor.name) + struct.pack("<I", len(tensor.shape))
        head += struct.pack(f"<{len(tensor.shape)}QIQ", *tensor.shape[::-1], tensor.type_id, at)
        at += tensor.size_bytes + -tensor.size_bytes % _ALIGNMENT
    with path.open("wb") as file:
        file.write(head + bytes(-len(head) % _ALIGNMENT))
        for tensor in tensors:
            np.ascontiguousarray(tensor.data()).tofile(file)
            file.write(bytes(-tensor.size_bytes % _ALIGNMENT))


def _keys(
    config: ModelConfig, weights: ModelWeights, packing: Packing, tokenizer: str | None, *, upstream: bool
) -> list[bytes]:
    architecture = "bitnet-b1.58" if config.hidden_act == "relu2" and not upstream else "bitnet"
    texts = {"general.architecture": architecture, "general.name": config.name, ACT_KEY: config.hidden_act}
    texts[CLASS_KEY] = str(config.linear_class)
    if packing.name.startswith("i2_s_"):
        texts[I2S_LAYOUT_KEY] = packing.name.removeprefix("i2_s_")
    if tokenizer is not None:
        texts[TOKENIZER_KEY] = tokenizer
    if upstream:
        texts[f"{architecture}.hidden_activation"] = config.hidden_act
    integers = {
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "block_count": config.num_layers,
        "context_length": config.max_position_embeddings,
        "vocab_size": config.vocab_size,
        "attention.head_count": config.num_heads,
        "attention.head_count_kv": config.num_kv_heads,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "rope.dimension_count": config.head_dim,
    }
    floats = {
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "rope.freq_base": config.rope_theta,
    }
    if config.sliding_window is not None:
        integers["attention.sliding_window"] = config.sliding_window
    if isinstance(config.rope_scaling, LinearScaling | YarnScaling):
        texts[f"{architecture}.rope.scaling.type"] = config.rope_scaling.kind
        floats["rope.scaling.factor"] = config.rope_scaling.factor
    if isinstance(config.rope_scaling, YarnScaling):
        integers["rope.scaling.original_context_length"] = config.rope_scaling.original_positions
    for key, value in floats.items():
        if shortest(value) != value:
            raise CheckpointError(f"{architecture}.{key}: expected a number that float32 can hold, got {value}")
    linears = [weight for layer in weights.layers for weight in layer.linears()]
    scales = [weight.scale for weight in linears if isinstance(weight, TernaryWeight)]
    return [
        *(text_key(key, value) for key, value in texts.items()),
        *(integer_key(f"{architecture}.{key}", value) for key, value in integers.items()),
        *(float_key(f"{architecture}.{key}", value) for key, value in floats.items()),
        *((integer_key(key, value) for key, value in _of_the_file(packing).items()) if upstream else ()),
        floats_key(SCALES_KEY, scales),
    ]


def _of_the_file(packing: Packing) -> dict[str, int]:
    """What llama.cpp likes to know of a file: its usual type, by number, and the version of its block formats."""
    return {"general.file_type": _FILE_TYPES[packing.name], "general.quantization_version": 2}


def _check(config: ModelConfig) -> None:
    """No GGUF architecture describes the layers of b1, a4.8 and v2: other programs would compute another model."""
    if config.linear_class not in CLASSES or config.norm != "rms" or config.ffn != "glu":
        raise CheckpointError(
            f"a GGUF file can hold models of linear_class {' or '.join(CLASSES)} with RMSNorm and a GLU; this one has "
            f"{config.linear_class!r}, norm {config.norm!r}, ffn {config.ffn!r}: use --format hf"
        )
    scaling = config.rope_scaling
    plain = (
        YarnScaling(factor=scaling.factor, original_positions=scaling.original_positions)
        if isinstance(scaling, YarnScaling)
        else scaling
    )
    if isinstance(scaling, Llama3Scaling) or scaling != plain:
        raise CheckpointError(f"rope_scaling: no key of a GGUF file holds {scaling}")
    if config.hidden_act not in ACTS:
        raise CheckpointError(f"hidden_act: no key of a GGUF file holds {config.hidden_act}")
    if config.linear_norm_eps not in (None, config.rms_norm_eps):
        raise CheckpointError(
            f"norms in front of each linear (use_rms_norm): a GGUF file has one eps, {config.rms_norm_eps} of all "
            f"norms, these have {config.linear_norm_eps}"
        )


def _check_upstream(config: ModelConfig, packing: Packing) -> None:
    """What llama.cpp's graph of architecture bitnet does not have."""
    seldom = [name for name, lacking in SELDOM.items() if getattr(config, name) != lacking]
    if not config.sub_norms or not config.tie_embeddings or seldom:
        raise CheckpointError(
            f"--arch bitnet: llama.cpp's graph has sub norms and a tied head and nothing else beside; this model has "
            f"sub norms: {config.sub_norms}, tied head: {config.tie_embeddings}, further: {', '.join(seldom) or 'none'}"
        )
    if packing.name not in _FILE_TYPES:
        raise CheckpointError(f"--arch bitnet: llama.cpp reads {', '.join(_FILE_TYPES)}, not {packing.name}")


def _tensors(config: ModelConfig, weights: ModelWeights, packing: Packing) -> Iterator[_Tensor]:
    yield _matrix("token_embd.weight", weights.embedding)
    if isinstance(config.rope_scaling, FrequencyFactors):
        yield _vector(ROPE_FACTORS, np.array(config.rope_scaling.factors, dtype=np.float32))
    linears = [weight for layer in weights.layers for weight in layer.linears()]
    for (name, _, _), weight in zip(linear_tensors(config), linears, strict=True):
        assert isinstance(weight, TernaryWeight)
        yield _linear(name, config, weight, packing)
    for i, layer in enumerate(weights.layers):
        norms = {
            "attn_norm": layer.input_norm,
            "attn_sub_norm": layer.attn_sub_norm,
            "ffn_norm": layer.post_attention_norm,
            "ffn_sub_norm": layer.ffn_sub_norm,
            "attn_q_norm": layer.q_norm,
            "attn_k_norm": layer.k_norm,
        }
        for name, norm in norms.items():
            if norm is not None:
                yield _vector(f"blk.{i}.{name}.weight", norm)
        for name, norm in layer.linear_norms.items():
            yield _vector(f"blk.{i}.{LINEARS[name]}_norm_in.weight", norm)
        for name, bias in layer.biases.items():
            yield _vector(f"blk.{i}.{LINEARS[name]}.bias", bias)
    if weights.norm is not None:
        yield _vector("output_norm.weight", weights.norm)
    if not config.tie_embeddings:
        yield _matrix("output.weight", weights.head)


def _matrix(name: str, weight: FloatWeight) -> _Tensor:
    size = weight.n * weight.k * (4 if weight.dtype == "float32" else 2)
    return _Tensor(name, _FLOAT_IDS[weight.dtype], (weight.n, weight.k), size, lambda: weight.stored)


def _vector(name: str, values: Float32) -> _Tensor:
    return _Tensor(name, _FLOAT_IDS["float32"], values.shape, values.nbytes, lambda: values)


def _linear(name: str, config: ModelConfig, weight: TernaryWeight, packing: Packing) -> _Tensor:
    n, k = weight.n, weight.k
    half = packing.name.startswith("tq")
    multiplier = stored_multiplier(config, weight.scale, half=half)
    if not 0 < multiplier < np.inf:
        raise CheckpointError(f"{name}: a block scale is a float16, which can't hold that of scale {weight.scale}")
    size, shape, type_id = packing.size_bytes(n, k), (n, k), _TYPE_IDS[packing.name]
    if half:
        if k % BLOCK:
            raise CheckpointError(f"{name}: {packing.name}: expected K to be a multiple of {BLOCK}, got {k}")
        pack = pack_tq1_0 if packing.name == "tq1_0" else pack_tq2_0
        return _Tensor(name, type_id, shape, size, lambda: pack(weight.codes(), float(multiplier)))
    run = I2S_RUN[packing.name.removeprefix("i2_s_")]
    if n * k % run:
        raise CheckpointError(f"{name}: {packing.name}: expected a multiple of {run} weights, got {n} x {k}")
    tail = np.frombuffer(struct.pack("<f", multiplier) + bytes(I2S_TAIL_BYTES - 4), dtype=np.uint8)
    return _Tensor(
        name, type_id, shape, size + I2S_TAIL_BYTES, lambda: np.concatenate([packing.pack(weight.codes()), tail])
    )
