"""Build a model's weights from the tensors of a Hugging Face checkpoint, checking each of them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitsim.errors import CheckpointError, OperandError
from bitsim.model.config import Dtype, ModelConfig
from bitsim.model.files.hf_config import Storage
from bitsim.model.files.opened import TensorSource
from bitsim.model.on_demand import TernaryOnDemand
from bitsim.model.weights import (
    FloatWeight,
    LayerWeights,
    LinearWeight,
    ModelWeights,
    Stored,
    first_not_finite,
    from_float32,
    to_float32,
)
from bitsim.quant.layouts import packing
from bitsim.quant.packing import Float32, TernaryWeight, UInt8, check_packed, pack_hf
from bitsim.quant.recipes import recipe_named
from bitsim.quant.repack import pack_hf_rows
from bitsim.quant.trits import TRIT_VALUES

_FLOATS: Mapping[str, Dtype] = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


class _Expected(NamedTuple):
    """`shape`: as stored; `values`: of the matrix that it holds."""

    shape: tuple[int, ...]
    dtypes: tuple[str, ...]
    values: tuple[int, ...]


def _floats(*shape: int) -> _Expected:
    return _Expected(shape, tuple(_FLOATS), shape)


def _packed(n: int, k: int, storage: Storage) -> _Expected:
    rows = -(-n // 4) if storage == "2bit" else n
    return _Expected((rows, packing(storage).size_bytes(n, k) // rows), ("U8",), (n, k))


def expected_tensors(config: ModelConfig, storage: Storage = "2bit") -> dict[str, _Expected]:
    """Shape and permitted dtypes of every tensor that a checkpoint of `config` must hold, and no others.

    `storage`: how quantised linears are stored; see `linear_storage`.
    """
    d, f = config.hidden_size, config.intermediate_size
    expected = {"model.embed_tokens.weight": _floats(config.vocab_size, d)}
    for i in range(config.num_layers):
        layer = f"model.layers.{i}."
        for name, n, k in config.linear_shapes():
            if config.quantised and storage != "master":
                expected[f"{layer}{name}.weight"] = _packed(n, k, storage)
                expected[f"{layer}{name}.weight_scale"] = _floats(1)
            else:
                expected[f"{layer}{name}.weight"] = _floats(n, k)
        norms = {"input_layernorm": d, "post_attention_layernorm": d}
        if config.sub_norms:
            norms |= {"self_attn.attn_sub_norm": config.q_size, "mlp.ffn_sub_norm": f}
        if config.norm == "rms":
            expected |= {f"{layer}{name}.weight": _floats(size) for name, size in norms.items()}
    if config.norm == "rms":
        expected["model.norm.weight"] = _floats(d)
    if not config.tie_embeddings:
        expected["lm_head.weight"] = _floats(config.vocab_size, d)
    return expected


def check_tensors(config: ModelConfig, file: TensorSource, storage: Storage) -> None:
    """Raise `CheckpointError` at the first missing or surplus tensor, wrong shape or wrong dtype."""
    if config.num_layers > len(file.tensors):
        raise CheckpointError(
            f"{file.path}: num_hidden_layers: expected tensors for {config.num_layers} layers, got {len(file.tensors)}"
        )
    expected = expected_tensors(config, storage)
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
    def __init__(self, config: ModelConfig, file: TensorSource, storage: Storage) -> None:
        self.config, self.file, self.storage = config, file, storage

    def _checked(self, name: str) -> Dtype:
        """The type of a float tensor; raises at its first NaN or infinity."""
        dtype = _FLOATS[self.file.tensors[name].dtype]
        if any(first_not_finite(_bits(piece)[None], dtype) for piece in self.file.pieces(name)):
            bad = first_not_finite(_bits(self.file.array(name)), dtype)
            raise CheckpointError(f"{self.file.path}: {name}{bad}: expected a finite number, got NaN or infinity")
        return dtype

    def values(self, name: str) -> Float32:
        dtype = self._checked(name)
        return to_float32(_bits(self.file.read(name)), dtype)

    def norm(self, name: str) -> Float32 | None:
        return self.values(f"{name}.weight") if self.config.norm == "rms" else None

    def matrix(self, name: str) -> FloatWeight:
        dtype = self._checked(f"{name}.weight")
        return FloatWeight(stored=_bits(self.file.array(f"{name}.weight")), dtype=dtype)

    def linear(self, name: str, n: int, k: int) -> LinearWeight:
        if not self.config.quantised:
            return self.matrix(name)
        if self.storage == "master":
            return self.quantised(name, n, k)
        scale = self.values(f"{name}.weight_scale")[0]
        if not scale > 0:
            raise CheckpointError(f"{self.file.path}: {name}.weight_scale: expected a number > 0, got {scale}")
        try:
            packed = self.packed(f"{name}.weight", n, k)
        except OperandError as error:
            raise CheckpointError(f"{self.file.path}: {name}.weight: {error}") from None
        return TernaryOnDemand(packed=packed, n=n, k=k, scale=np.float32(scale))

    def packed(self, name: str, n: int, k: int) -> Callable[[], UInt8]:
        """Reads checked 2-bit codes: the stored bytes themselves, or others repacked."""
        if self.storage == "2bit":
            try:
                for piece in self.file.pieces(name):
                    check_packed(piece[None])
            except OperandError:
                check_packed(self.file.array(name))  # tells row and column
                raise
            return partial(self.file.read, name)
        layout = packing(self.storage)
        if not layout.binary and any(piece.max() >= TRIT_VALUES for piece in self.file.pieces(name)):
            layout.unpack(self.file.array(name), n, k)  # raises, with row and column

        def repacked() -> UInt8:
            stored = self.file.read(name)
            return pack_hf_rows(lambda low, high: layout.unpack(stored[low:high], high - low, k), n, k)

        return repacked

    def quantised(self, name: str, n: int, k: int) -> TernaryWeight:
        """Master weights quantised as the model's contract says, with the scale that a packed file would store.

        The scale is rounded to the dtype of the master weights. For transformers' classes the codes equal its
        `WeightQuant` (and so the bytes that it packs), see `ternarise`.
        """
        dtype, values = self._checked(f"{name}.weight"), self.values(f"{name}.weight")
        contract = recipe_named(self.config.default_numerics).qkv
        codes, mean = contract.quantise_weights(values)
        exact = np.array([contract.stored_scale(mean)], dtype=np.float32)
        scale = to_float32(from_float32(exact, dtype), dtype)[0]
        if not 0 < scale < np.inf:
            raise CheckpointError(
                f"{self.file.path}: {name}.weight: expected a weight scale that {dtype} can hold, got {exact[0]} from "
                f"mean |W| = {mean}"
            )
        return TernaryWeight(packed=pack_hf(codes), n=n, k=k, scale=np.float32(scale))

    def layer(self, i: int) -> LayerWeights:
        at = f"model.layers.{i}."
        linears = {name: self.linear(at + name, n, k) for name, n, k in self.config.linear_shapes()}
        subs = self.config.sub_norms
        return LayerWeights(
            input_norm=self.norm(f"{at}input_layernorm"),
            q=linears["self_attn.q_proj"],
            k=linears["self_attn.k_proj"],
            v=linears["self_attn.v_proj"],
            attn_sub_norm=self.norm(f"{at}self_attn.attn_sub_norm") if subs else None,
            o=linears["self_attn.o_proj"],
            post_attention_norm=self.norm(f"{at}post_attention_layernorm"),
            gate=linears.get("mlp.gate_proj"),
            up=linears["mlp.up_proj"],
            ffn_sub_norm=self.norm(f"{at}mlp.ffn_sub_norm") if subs else None,
            down=linears["mlp.down_proj"],
        )


def _bits(array: npt.NDArray[Any]) -> Stored:
    return array.view(np.uint16) if array.dtype == np.float16 else array


def read_weights(config: ModelConfig, file: TensorSource, storage: Storage) -> ModelWeights:
    """All weights of `config` in `file`, every value checked once; float matrices are mapped, packed ones on demand.

    Raises `CheckpointError` naming the tensor: missing or surplus, shape, dtype, NaN or infinity, a scale that is not
    positive, a packed code 3.
    """
    check_tensors(config, file, storage)
    reader = _Reader(config, file, storage)
    embedding = reader.matrix("model.embed_tokens")
    return ModelWeights(
        embedding=embedding,
        layers=tuple(reader.layer(i) for i in range(config.num_layers)),
        norm=reader.norm("model.norm"),
        head=embedding if config.tie_embeddings else reader.matrix("lm_head"),
    )
