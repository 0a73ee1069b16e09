"""The tensors that a Hugging Face checkpoint of a model must hold: names, shapes and types."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitsim.errors import CheckpointError
from bitsim.model.config import Dtype, ModelConfig
from bitsim.model.files.hf_quantisation import Storage
from bitsim.model.files.opened import TensorSource
from bitsim.model.weights import Stored
from bitsim.quant.layouts import packing

FLOATS: Mapping[str, Dtype] = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


class Expected(NamedTuple):
    """`shape`: as stored; `values`: of the matrix that it holds; `instead`: other forms of the same."""

    shape: tuple[int, ...]
    dtypes: tuple[str, ...]
    values: tuple[int, ...]
    instead: tuple["Expected", ...] = ()


def _floats(*shape: int) -> Expected:
    return Expected(shape, tuple(FLOATS), shape)


def _packed(config: ModelConfig, n: int, k: int, storage: Storage) -> Expected:
    rows = -(-n // 4) if storage == "2bit" else n
    # transformers' autobitlinear takes codes that are not packed, too (BitNetDeserialize).
    unpacked = (_floats(n, k),) if storage == "2bit" and config.linear_class == "autobitlinear" else ()
    return Expected((rows, packing(storage).size_bytes(n, k) // rows), ("U8",), (n, k), unpacked)


def _scale() -> Expected:
    """One number; transformers writes (1,), () and (1, 1) are read as the same."""
    return Expected((1,), tuple(FLOATS), (1,), (_floats(), _floats(1, 1)))


class SubNorms(NamedTuple):
    """What the norms before o_proj and down_proj are called in a layer."""

    attention: str
    ffn: str


_SUB_NORMS = SubNorms("self_attn.attn_sub_norm", "mlp.ffn_sub_norm")
_SUB_NORMS_OF_1BITLLM = SubNorms("self_attn.inner_attn_ln", "mlp.ffn_layernorm")


def sub_norm_names(tensors: Mapping[str, object]) -> SubNorms:
    """Those of 1bitLLM's files if they are there, else transformers'."""
    theirs = f"model.layers.0.{_SUB_NORMS_OF_1BITLLM.attention}.weight" in tensors
    return _SUB_NORMS_OF_1BITLLM if theirs else _SUB_NORMS


def expected_tensors(
    config: ModelConfig, storage: Storage = "2bit", subs: SubNorms = _SUB_NORMS
) -> dict[str, Expected]:
    """Shape and permitted dtypes of every tensor that a checkpoint of `config` must hold.

    `storage`: how quantised linears are stored; see `Quantisation`. `subs`: the names of sub norms.
    """
    d, f = config.hidden_size, config.intermediate_size
    expected = {"model.embed_tokens.weight": _floats(config.vocab_size, d)}
    for i in range(config.num_layers):
        layer = f"model.layers.{i}."
        for name, n, k in config.linear_shapes():
            if config.quantised and not storage.startswith("master"):
                expected[f"{layer}{name}.weight"] = _packed(config, n, k, storage)
                expected[f"{layer}{name}.weight_scale"] = _scale()
            else:
                expected[f"{layer}{name}.weight"] = _floats(n, k)
            if config.biased(name):
                expected[f"{layer}{name}.bias"] = _floats(n)
            if config.linear_norm_eps is not None:
                expected[f"{layer}{name}.rms_norm.weight"] = _floats(k)
        norms = {"input_layernorm": d, "post_attention_layernorm": d}
        if config.sub_norms:
            norms |= {subs.attention: config.q_size, subs.ffn: f}
        if config.qk_norm:
            norms |= {"self_attn.q_norm": config.head_dim, "self_attn.k_norm": config.head_dim}
        if config.norm == "rms":
            expected |= {f"{layer}{name}.weight": _floats(size) for name, size in norms.items()}
    if config.norm == "rms":
        expected["model.norm.weight"] = _floats(d)
    if not config.tie_embeddings:
        expected["lm_head.weight"] = _floats(config.vocab_size, d)
    return expected


def check_tensors(config: ModelConfig, file: TensorSource, storage: Storage) -> tuple[str, ...]:
    """The tensors that are not read, which change no number. Raises `CheckpointError` at the first other surplus one,
    missing one, wrong shape or wrong dtype."""
    if config.num_layers > len(file.tensors):
        raise CheckpointError(
            f"{file.path}: num_hidden_layers: expected tensors for {config.num_layers} layers, got {len(file.tensors)}"
        )
    expected = expected_tensors(config, storage, sub_norm_names(file.tensors))
    missing = expected.keys() - file.tensors.keys()
    if missing:
        name = min(missing)
        raise CheckpointError(
            f"{file.path}: {name}: expected a tensor {expected[name].shape}, got none{_hint(name, file)}"
        )
    for name, want in expected.items():
        _check_tensor(file, config, name, want)
    surplus = file.tensors.keys() - expected.keys()
    unread = {name for name in surplus if name.endswith(".rotary_emb.inv_freq")}
    if config.tie_embeddings and "lm_head.weight" in surplus:
        _check_tied(file)
        unread.add("lm_head.weight")
    if surplus - unread:
        name = min(surplus - unread)
        raise CheckpointError(
            f"{file.path}: {name}: a tensor that the model in config.json does not have{_hint(name, file)}"
        )
    return tuple(sorted(unread))


def _hint(name: str, file: TensorSource) -> str:
    """What the file probably is, where the name tells."""
    if name.removeprefix("model.") in file.tensors and name.startswith("model."):
        return f" (but {name.removeprefix('model.')}: names of a model without a head, which is not executed)"
    if name.endswith(".scales"):
        return " (a scale for each output row, as in deepgrove/Bonsai: not executed)"
    return ""


def _check_tensor(file: TensorSource, config: ModelConfig, name: str, want: Expected) -> None:
    info, where = file.tensors[name], f"{file.path}: {name}"
    forms = (want, *want.instead)
    if any(info.dtype in form.dtypes and info.shape == form.shape for form in forms):
        return
    dtypes = dict.fromkeys(dtype for form in forms for dtype in form.dtypes)
    if info.dtype not in dtypes:
        hint = ""
        if info.dtype == "U8" and config.linear_class is None:
            hint = " (packed ternary weights, but config.json has no quantization_config)"
        elif info.dtype in FLOATS and want.dtypes == ("U8",):
            hint = f" (codes that are not packed are read for autobitlinear only, this is {config.linear_class})"
        raise CheckpointError(f"{where}: dtype: expected {' or '.join(dtypes)}, got {info.dtype}{hint}")
    if name.endswith(".weight_scale"):
        raise CheckpointError(
            f"{where}: shape: expected {want.shape}, one scale for the whole matrix, got {info.shape} (no published "
            f"rule says how scales of rows are applied)"
        )
    shapes = dict.fromkeys(form.shape for form in forms if info.dtype in form.dtypes)
    raise CheckpointError(f"{where}: shape: expected {' or '.join(map(str, shapes))}, got {info.shape}")


def _check_tied(file: TensorSource) -> None:
    """A stored head beside a tied embedding must be the same: transformers would drop it."""
    head, embedding = (file.tensors[name] for name in ("lm_head.weight", "model.embed_tokens.weight"))
    same = (head.dtype, head.shape) == (embedding.dtype, embedding.shape)
    pairs = zip(file.pieces("lm_head.weight"), file.pieces("model.embed_tokens.weight"), strict=False)
    if not same or not all(np.array_equal(stored_bits(one), stored_bits(other)) for one, other in pairs):
        raise CheckpointError(
            f"{file.path}: lm_head.weight: expected model.embed_tokens.weight, since tie_word_embeddings is true; it "
            "differs"
        )


def stored_bits(array: npt.NDArray[Any]) -> Stored:
    """A tensor as its bit patterns, as `FloatWeight` keeps them."""
    return array.view(np.uint16) if array.dtype == np.float16 else array
