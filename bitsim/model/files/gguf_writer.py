"""Write a model as a GGUF file that says all that bitsim needs, in keys of its own beside the usual ones.

Architecture `bitnet-b1.58` with squared ReLU, `bitnet` with SILU: what bitnet.cpp and llama.cpp compute for these.
A tokeniser is not written, so these files are for simulators, not for chatting.
"""

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitsim.errors import CheckpointError
from bitsim.model.config import Dtype, ModelConfig
from bitsim.model.files.gguf_config import ACT_KEY, CLASS_KEY, CLASSES, SCALES_KEY, TOKENIZER_KEY, shortest
from bitsim.model.files.gguf_file import I2S_LAYOUT_KEY
from bitsim.model.files.gguf_types import I2S_TAIL_BYTES, I2S_TYPE
from bitsim.model.files.gguf_weights import linear_tensors, stored_multiplier
from bitsim.model.weights import FloatWeight, ModelWeights
from bitsim.quant.i2s import I2S_RUN
from bitsim.quant.layouts import Packing
from bitsim.quant.packing import Float32, TernaryWeight
from bitsim.quant.tq import BLOCK, pack_tq1_0, pack_tq2_0

_ALIGNMENT = 32
_TYPE_IDS = {"tq1_0": 34, "tq2_0": 35, "i2_s_x86": I2S_TYPE, "i2_s_arm": I2S_TYPE}
_FLOAT_IDS: dict[Dtype, int] = {"float32": 0, "float16": 1, "bfloat16": 30}


class _Tensor(NamedTuple):
    """A tensor to write; `data` is called when its turn comes, so that one matrix at a time is in memory."""

    name: str
    type_id: int
    shape: tuple[int, ...]
    size_bytes: int
    data: Callable[[], npt.NDArray[Any]]


def write_gguf(path: Path, config: ModelConfig, weights: ModelWeights, packing: Packing, tokenizer: str | None) -> None:
    """Write `path`; the exact scales of the linears go into `bitsim.linear_scales`, beside rounded ones in the tensors.

    Raises `CheckpointError` naming the tensor or key that GGUF can't hold: K that is no multiple of the block, a scale
    beyond float16, a number of the config that is no float32.
    """
    _check(config)
    tensors = list(_tensors(config, weights, packing))
    keys = _keys(config, weights, packing, tokenizer)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys)
    at = 0
    for tensor in tensors:
        head += _text(tensor.name) + struct.pack("<I", len(tensor.shape))
        head += struct.pack(f"<{len(tensor.shape)}QIQ", *tensor.shape[::-1], tensor.type_id, at)
        at += tensor.size_bytes + -tensor.size_bytes % _ALIGNMENT
    with path.open("wb") as file:
        file.write(head + bytes(-len(head) % _ALIGNMENT))
        for tensor in tensors:
            np.ascontiguousarray(tensor.data()).tofile(file)
            file.write(bytes(-tensor.size_bytes % _ALIGNMENT))


def _text(value: str) -> bytes:
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def _keys(config: ModelConfig, weights: ModelWeights, packing: Packing, tokenizer: str | None) -> list[bytes]:
    architecture = "bitnet-b1.58" if config.hidden_act == "relu2" else "bitnet"
    texts = {"general.architecture": architecture, "general.name": config.name, ACT_KEY: config.hidden_act}
    texts[CLASS_KEY] = str(config.linear_class)
    if packing.name.startswith("i2_s_"):
        texts[I2S_LAYOUT_KEY] = packing.name.removeprefix("i2_s_")
    if tokenizer is not None:
        texts[TOKENIZER_KEY] = tokenizer
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
    for key, value in floats.items():
        if shortest(value) != value:
            raise CheckpointError(f"{architecture}.{key}: expected a number that float32 can hold, got {value}")
    linears = [weight for layer in weights.layers for weight in layer.linears()]
    scales = [weight.scale for weight in linears if isinstance(weight, TernaryWeight)]
    return [
        *(_text(key) + struct.pack("<I", 8) + _text(value) for key, value in texts.items()),
        *(_text(f"{architecture}.{key}") + struct.pack("<II", 4, value) for key, value in integers.items()),
        *(_text(f"{architecture}.{key}") + struct.pack("<If", 6, value) for key, value in floats.items()),
        _text(SCALES_KEY) + struct.pack("<IIQ", 9, 6, len(scales)) + np.array(scales, dtype="<f4").tobytes(),
    ]


def _check(config: ModelConfig) -> None:
    """No GGUF architecture describes the layers of b1, a4.8 and v2: other programs would compute another model."""
    if config.linear_class not in CLASSES or config.norm != "rms" or config.ffn != "glu":
        raise CheckpointError(
            f"a GGUF file can hold models of linear_class {' or '.join(CLASSES)} with RMSNorm and a GLU; this one has "
            f"{config.linear_class!r}, norm {config.norm!r}, ffn {config.ffn!r}: use --format hf"
        )


def _tensors(config: ModelConfig, weights: ModelWeights, packing: Packing) -> Iterator[_Tensor]:
    yield _matrix("token_embd.weight", weights.embedding)
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
        }
        for name, norm in norms.items():
            if norm is not None:
                yield _vector(f"blk.{i}.{name}.weight", norm)
    if weights.norm is not None:
        yield _vector("output_norm.weight", weights.norm)
    if not config.tie_embeddings:
        yield _matrix("output.weight", weights.head)


def _matrix(name: str, weight: FloatWeight) -> _Tensor:
    return _Tensor(name, _FLOAT_IDS[weight.dtype], (weight.n, weight.k), weight.bits // 8, lambda: weight.stored)


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
