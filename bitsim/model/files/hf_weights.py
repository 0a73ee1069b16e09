"""Build a model's weights from the tensors of a Hugging Face checkpoint, checking each of them."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from bitsim.errors import CheckpointError, OperandError
from bitsim.model.config import Dtype, ModelConfig
from bitsim.model.files.hf_quantisation import Storage
from bitsim.model.files.hf_tensors import FLOATS, check_tensors, stored_bits, sub_norm_names
from bitsim.model.files.opened import TensorSource
from bitsim.model.on_demand import FloatOnDemand, TernaryOnDemand
from bitsim.model.weights import (
    FloatWeight,
    LayerWeights,
    LinearWeight,
    ModelWeights,
    first_not_finite,
    from_float32,
    to_float32,
)
from bitsim.quant.layouts import packing
from bitsim.quant.packing import Float32, TernaryWeight, UInt8, check_packed, pack_hf
from bitsim.quant.recipes import recipe_named
from bitsim.quant.repack import pack_hf_rows
from bitsim.quant.trits import TRIT_VALUES

_ZEROS = np.uint8(0x55)  # four codes of 0


class _Reader:
    def __init__(self, config: ModelConfig, file: TensorSource, storage: Storage, passing: bool) -> None:
        self.config, self.file, self.storage, self.passing = config, file, storage, passing
        self.subs = sub_norm_names(file.tensors)
        self.zeros: list[str] = []
        self.matrices = 0

    def _seen(self, name: str, zero: bool) -> None:
        """Count a matrix, and note one that holds only zeros."""
        self.matrices += 1
        if zero:
            self.zeros.append(name)

    def _checked(self, name: str) -> Dtype:
        """The type of a float tensor; raises at its first NaN or infinity."""
        dtype, zero = FLOATS[self.file.tensors[name].dtype], True
        for piece in self.file.pieces(name):
            zero = zero and not piece.any()
            if first_not_finite(stored_bits(piece)[None], dtype) is None:
                continue
            bad = first_not_finite(stored_bits(self.file.array(name)), dtype)
            raise CheckpointError(f"{self.file.path}: {name}{bad}: expected a finite number, got NaN or infinity")
        if len(self.file.tensors[name].shape) == 2:
            self._seen(name, zero)
        return dtype

    def values(self, name: str) -> Float32:
        dtype = self._checked(name)
        return to_float32(stored_bits(self.file.read(name)), dtype)

    def scale(self, name: str) -> np.float32:
        """The one number of a scale of any shape, > 0."""
        dtype = FLOATS[self.file.tensors[name].dtype]
        bits = stored_bits(self.file.read(name)).reshape(1)
        if first_not_finite(bits, dtype) is not None:
            raise CheckpointError(f"{self.file.path}: {name}[0]: expected a finite number, got NaN or infinity")
        scale = to_float32(bits, dtype)[0]
        if not scale > 0:
            raise CheckpointError(f"{self.file.path}: {name}: expected a number > 0, got {scale}")
        return np.float32(scale)

    def norm(self, name: str) -> Float32 | None:
        return self.values(f"{name}.weight") if self.config.norm == "rms" else None

    def matrix(self, name: str) -> FloatWeight:
        dtype = self._checked(f"{name}.weight")
        return FloatWeight(stored=stored_bits(self.file.array(f"{name}.weight")), dtype=dtype)

    def passed_on(self, name: str, n: int, k: int) -> FloatWeight:
        """A matrix that is read when it is used, for what makes another one of it."""
        dtype = self._checked(f"{name}.weight")
        return FloatOnDemand(lambda: stored_bits(self.file.read(f"{name}.weight")), n=n, k=k, dtype=dtype)

    def linear(self, name: str, n: int, k: int) -> LinearWeight:
        if not self.config.quantised:
            return self.passed_on(name, n, k) if self.passing else self.matrix(name)
        if self.storage.startswith("master"):
            return self.quantised(name, n, k)
        scale = self.scale(f"{name}.weight_scale")
        try:
            packed = self.packed(f"{name}.weight", n, k)
        except OperandError as error:
            raise CheckpointError(f"{self.file.path}: {name}.weight: {error}") from None
        return TernaryOnDemand(packed=packed, n=n, k=k, scale=scale)

    def packed(self, name: str, n: int, k: int) -> Callable[[], UInt8]:
        """Reads checked 2-bit codes: the stored bytes themselves, or others repacked."""
        if self.file.tensors[name].dtype != "U8":
            return self.float_codes(name, n, k)
        if self.storage == "2bit":
            zero = n % 4 == 0  # else rows beyond N are packed as -1
            try:
                for piece in self.file.pieces(name):
                    check_packed(piece[None])
                    zero = zero and bool((piece == _ZEROS).all())
            except OperandError:
                check_packed(self.file.array(name))  # tells row and column
                raise
            self._seen(name, zero)
            return partial(self.file.read, name)
        layout = packing(self.storage)
        if not layout.binary and any(piece.max() >= TRIT_VALUES for piece in self.file.pieces(name)):
            layout.unpack(self.file.array(name), n, k)  # raises, with row and column
        self._seen(name, False)

        def repacked() -> UInt8:
            stored = self.file.read(name)
            return pack_hf_rows(lambda low, high: layout.unpack(stored[low:high], high - low, k), n, k)

        return repacked

    def float_codes(self, name: str, n: int, k: int) -> Callable[[], UInt8]:
        """Packs codes that are stored as floats -1, 0 and 1, which are checked here."""
        dtype = self._checked(name)
        for piece in self.file.pieces(name):
            values = to_float32(stored_bits(piece), dtype)
            other = values[(values != 0) & (np.abs(values) != 1)]
            if other.size:
                raise OperandError(f"codes that are not packed: expected -1, 0 or 1, got {other[0]}")

        def packed() -> UInt8:
            stored = stored_bits(self.file.array(name))
            return pack_hf_rows(lambda low, high: to_float32(stored[low:high], dtype).astype(np.int8), n, k)

        return packed

    def quantised(self, name: str, n: int, k: int) -> TernaryWeight:
        """Master weights quantised as the model's contract says, with the scale that a packed file would store.

        The scale is rounded to the dtype of the master weights, unless `storage` is "master_fp32". For transformers'
        classes the codes equal its `WeightQuant` (and so the bytes that it packs), see `ternarise`.
        """
        dtype = self._checked(f"{name}.weight")
        values = to_float32(stored_bits(self.file.read(f"{name}.weight")), dtype)
        contract = recipe_named(self.config.default_numerics).qkv
        codes, mean = contract.quantise_weights(values)
        exact = np.array([contract.stored_scale(mean)], dtype=np.float32)
        scale = exact[0]
        if self.storage == "master":
            scale = to_float32(from_float32(exact, dtype), dtype)[0]
        if not 0 < scale < np.inf:
            raise CheckpointError(
                f"{self.file.path}: {name}.weight: expected a weight scale that {dtype} can hold, got {exact[0]} from "
                f"mean |W| = {mean}"
            )
        return TernaryWeight(packed=pack_hf(codes), n=n, k=k, scale=np.float32(scale))

    def layer(self, i: int) -> LayerWeights:
        at = f"model.layers.{i}."
        config = self.config
        linears = {name: self.linear(at + name, n, k) for name, n, k in config.linear_shapes()}
        subs, qk = config.sub_norms, config.qk_norm
        names = [name for name, _, _ in config.linear_shapes()]
        return LayerWeights(
            input_norm=self.norm(f"{at}input_layernorm"),
            q=linears["self_attn.q_proj"],
            k=linears["self_attn.k_proj"],
            v=linears["self_attn.v_proj"],
            attn_sub_norm=self.norm(at + self.subs.attention) if subs else None,
            o=linears["self_attn.o_proj"],
            post_attention_norm=self.norm(f"{at}post_attention_layernorm"),
            gate=linears.get("mlp.gate_proj"),
            up=linears["mlp.up_proj"],
            ffn_sub_norm=self.norm(at + self.subs.ffn) if subs else None,
            down=linears["mlp.down_proj"],
            q_norm=self.norm(f"{at}self_attn.q_norm") if qk else None,
            k_norm=self.norm(f"{at}self_attn.k_norm") if qk else None,
            biases={name: self.bias(at + name) for name in names if config.biased(name)},
            linear_norms={}
            if config.linear_norm_eps is None
            else {name: self.values(f"{at}{name}.rms_norm.weight") for name in names},
        )

    def bias(self, name: str) -> Float32:
        """What is added to the linear's output: of autobitlinear offline, whose class scales it too, the product."""
        bias = self.values(f"{name}.bias")
        if self.config.linear_class == "autobitlinear" and not self.storage.startswith("master"):
            bias = bias * self.scale(f"{name}.weight_scale")
        return bias


class Read(NamedTuple):
    """`unread`: tensors that change no number; `zeros`: matrices that hold only zeros, of all `matrices`."""

    weights: ModelWeights
    unread: tuple[str, ...]
    zeros: tuple[str, ...]
    matrices: int


def read_weights(config: ModelConfig, file: TensorSource, storage: Storage, *, passing: bool = False) -> Read:
    """All weights of `config` in `file`, every value checked once; float matrices are mapped, packed ones on demand.

    `passing`: float linears are on demand, too, for making others of them.
    Raises `CheckpointError` naming the tensor: missing or surplus, shape, dtype, NaN or infinity, a scale that is not
    positive, a packed code 3.
    """
    unread = check_tensors(config, file, storage)
    reader = _Reader(config, file, storage, passing)
    embedding = reader.matrix("model.embed_tokens")
    weights = ModelWeights(
        embedding=embedding,
        layers=tuple(reader.layer(i) for i in range(config.num_layers)),
        norm=reader.norm("model.norm"),
        head=embedding if config.tie_embeddings else reader.matrix("lm_head"),
    )
    return Read(weights, unread, tuple(reader.zeros), reader.matrices)
