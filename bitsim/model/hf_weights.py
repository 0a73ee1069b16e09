"""Build a model's weights from the tensors of a Hugging Face checkpoint, checking each of them."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bitsim.errors import CheckpointError, OperandError
from bitsim.model.config import Dtype, ModelConfig
from bitsim.model.safetensors_file import SafetensorsFile
from bitsim.model.weights import FloatWeight, LayerWeights, LinearWeight, ModelWeights, Stored, to_float32
from bitsim.quant.packing import Float32, TernaryWeight, check_packed

_FLOATS: Mapping[str, Dtype] = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
_EXPONENT = {"BF16": 0x7F80, "F16": 0x7C00}
_BLOCK_ROWS = 1024


class _Expected(NamedTuple):
    shape: tuple[int, ...]
    dtypes: tuple[str, ...]


def expected_tensors(config: ModelConfig) -> dict[str, _Expected]:
    """Shape and permitted dtypes of every tensor that a checkpoint of `config` must hold, and no others."""
    floats = tuple(_FLOATS)
    d, f = config.hidden_size, config.intermediate_size
    expected = {"model.embed_tokens.weight": _Expected((config.vocab_size, d), floats)}
    for i in range(config.num_layers):
        layer = f"model.layers.{i}."
        for name, n, k in config.linear_shapes():
            if config.quantised:
                expected[f"{layer}{name}.weight"] = _Expected((-(-n // 4), k), ("U8",))
                expected[f"{layer}{name}.weight_scale"] = _Expected((1,), floats)
            else:
                expected[f"{layer}{name}.weight"] = _Expected((n, k), floats)
        norms = {"input_layernorm": d, "post_attention_layernorm": d}
        if config.sub_norms:
            norms |= {"self_attn.attn_sub_norm": config.q_size, "mlp.ffn_sub_norm": f}
        expected |= {f"{layer}{name}.weight": _Expected((size,), floats) for name, size in norms.items()}
    expected["model.norm.weight"] = _Expected((d,), floats)
    if not config.tie_embeddings:
        expected["lm_head.weight"] = _Expected((config.vocab_size, d), floats)
    return expected


def check_tensors(config: ModelConfig, file: SafetensorsFile) -> None:
    """Raise `CheckpointError` at the first missing or surplus tensor, wrong shape or wrong dtype."""
    expected = expected_tensors(config)
    missing = expected.keys() - file.tensors.keys()
    if missing:
        name = min(missing)
        raise CheckpointError(f"{file.path}: {name}: expected a tensor {expected[name].shape}, got none")
    surplus = file.tensors.keys() - expected.keys()
    if surplus:
        raise CheckpointError(f"{file.path}: {min(surplus)}: a tensor that the model in config.json does not have")
    for name, want in expected.items():
        info = file.tensors[name]
        if info.dtype not in want.dtypes:
            raise CheckpointError(f"{file.path}: {name}: dtype: expected {' or '.join(want.dtypes)}, got {info.dtype}")
        if info.shape != want.shape:
            raise CheckpointError(f"{file.path}: {name}: shape: expected {want.shape}, got {info.shape}")


class _Reader:
    def __init__(self, config: ModelConfig, file: SafetensorsFile) -> None:
        self.config, self.file = config, file

    def _stored(self, name: str) -> tuple[Stored, Dtype]:
        """Bits of a float tensor; raises at its first NaN or infinity."""
        array, tag = self.file.array(name), self.file.tensors[name].dtype
        bits = array.view(np.uint16) if tag == "F16" else array
        for start in range(0, len(bits), _BLOCK_ROWS):
            block = bits[start : start + _BLOCK_ROWS]
            bad = ~np.isfinite(block) if tag == "F32" else (block & _EXPONENT[tag]) == _EXPONENT[tag]
            if bad.any():
                index = [int(i) for i in np.argwhere(bad)[0]]
                index[0] += start
                raise CheckpointError(f"{self.file.path}: {name}{index}: expected a finite number, got NaN or infinity")
        return bits, _FLOATS[tag]

    def vector(self, name: str) -> Float32:
        return to_float32(*self._stored(f"{name}.weight"))

    def matrix(self, name: str) -> FloatWeight:
        stored, dtype = self._stored(f"{name}.weight")
        return FloatWeight(stored=stored, dtype=dtype)

    def linear(self, name: str, n: int, k: int) -> LinearWeight:
        if not self.config.quantised:
            return self.matrix(name)
        scale = to_float32(*self._stored(f"{name}.weight_scale"))[0]
        if not scale > 0:
            raise CheckpointError(f"{self.file.path}: {name}.weight_scale: expected a number > 0, got {scale}")
        packed = self.file.array(f"{name}.weight")
        try:
            check_packed(packed)
        except OperandError as error:
            raise CheckpointError(f"{self.file.path}: {name}.weight: {error}") from None
        return TernaryWeight(packed=packed, n=n, k=k, scale=np.float32(scale))

    def layer(self, i: int) -> LayerWeights:
        at = f"model.layers.{i}."
        linears = {name: self.linear(at + name, n, k) for name, n, k in self.config.linear_shapes()}
        subs = self.config.sub_norms
        return LayerWeights(
            input_norm=self.vector(f"{at}input_layernorm"),
            q=linears["self_attn.q_proj"],
            k=linears["self_attn.k_proj"],
            v=linears["self_attn.v_proj"],
            attn_sub_norm=self.vector(f"{at}self_attn.attn_sub_norm") if subs else None,
            o=linears["self_attn.o_proj"],
            post_attention_norm=self.vector(f"{at}post_attention_layernorm"),
            gate=linears.get("mlp.gate_proj"),
            up=linears["mlp.up_proj"],
            ffn_sub_norm=self.vector(f"{at}mlp.ffn_sub_norm") if subs else None,
            down=linears["mlp.down_proj"],
        )


def read_weights(config: ModelConfig, file: SafetensorsFile) -> ModelWeights:
    """All weights of `config` in `file`; matrices stay memory-mapped, every value is checked once.

    Raises `CheckpointError` naming the tensor: missing or surplus, shape, dtype, NaN or infinity, a scale that is not
    positive, a packed code 3.
    """
    check_tensors(config, file)
    reader = _Reader(config, file)
    embedding = reader.matrix("model.embed_tokens")
    return ModelWeights(
        embedding=embedding,
        layers=tuple(reader.layer(i) for i in range(config.num_layers)),
        norm=reader.vector("model.norm"),
        head=embedding if config.tie_embeddings else reader.matrix("lm_head"),
    )
