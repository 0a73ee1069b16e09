"""Build a model's weights from the tensors of a GGUF file, checking each of them.

Linears: see `gguf_linears`. Embeddings and heads of float types stay memory-mapped; those of block types, ternary ones
among them, are decoded from the mapped file row by row when they are used. Norms and biases are float vectors.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from bitsim.errors import CheckpointError
from bitsim.model.config import Dtype, ModelConfig
from bitsim.model.decoded import DecodedWeight
from bitsim.model.files.gguf_config import ROPE_FACTORS, architecture_of
from bitsim.model.files.gguf_file import GgufFile
from bitsim.model.files.gguf_key_table import CLASS_KEY, SCALES_KEY
from bitsim.model.files.gguf_linears import Int64, StoredLinear, unpermuted
from bitsim.model.files.opened import note_on_zeros
from bitsim.model.weights import (
    FloatWeight,
    LayerWeights,
    LinearWeight,
    ModelWeights,
    Stored,
    first_not_finite,
    to_float32,
)
from bitsim.quant.block_rows import half_at
from bitsim.quant.ggml_types import TYPES
from bitsim.quant.packing import Float32, UInt8

_FLOATS: Mapping[str, Dtype] = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
LINEARS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


class Opened(NamedTuple):
    """`config`: with the `linear_class` that the weights have."""

    config: ModelConfig
    weights: ModelWeights
    notes: tuple[str, ...]


def linear_tensors(config: ModelConfig) -> list[tuple[str, int, int]]:
    """GGUF name, N and K of every linear, in the order of execution (and of `bitsim.linear_scales`)."""
    shapes = [(LINEARS[name], n, k) for name, n, k in config.linear_shapes()]
    return [(f"blk.{i}.{name}.weight", n, k) for i in range(config.num_layers) for name, n, k in shapes]


def norm_tensors(config: ModelConfig) -> list[tuple[str, int]]:
    """GGUF name and size of every norm."""
    names = [("attn_norm", config.hidden_size), ("ffn_norm", config.hidden_size)]
    if config.sub_norms:
        names += [("attn_sub_norm", config.q_size), ("ffn_sub_norm", config.intermediate_size)]
    if config.qk_norm:
        names += [("attn_q_norm", config.head_dim), ("attn_k_norm", config.head_dim)]
    if config.linear_norm_eps is not None:
        names += [(f"{LINEARS[name]}_norm_in", k) for name, _, k in config.linear_shapes()]
    blocks = [(f"blk.{i}.{name}.weight", size) for i in range(config.num_layers) for name, size in names]
    return [*blocks, ("output_norm.weight", config.hidden_size)]


def bias_tensors(config: ModelConfig) -> list[tuple[str, int]]:
    """GGUF name and size of every bias."""
    biased = [(LINEARS[name], n) for name, n, _ in config.linear_shapes() if config.biased(name)]
    return [(f"blk.{i}.{name}.bias", n) for i in range(config.num_layers) for name, n in biased]


def check_tensors(config: ModelConfig, file: GgufFile) -> None:
    """Raise `CheckpointError` at the first missing or surplus tensor, or wrong shape.

    Not every file has `rope_freqs.weight` and scales beside linears.
    """
    expected: dict[str, tuple[int, ...]] = {name: (n, k) for name, n, k in linear_tensors(config)}
    optional: dict[str, tuple[int, ...]] = {_scale_name(name): (1,) for name in expected}
    optional[ROPE_FACTORS] = (config.head_dim // 2,)
    expected |= {name: (size,) for name, size in (*norm_tensors(config), *bias_tensors(config))}
    heads = ("token_embd.weight",) if config.tie_embeddings else ("token_embd.weight", "output.weight")
    expected |= dict.fromkeys(heads, (config.vocab_size, config.hidden_size))
    missing, surplus = expected.keys() - file.tensors.keys(), file.tensors.keys() - expected.keys() - optional.keys()
    if missing:
        name = min(missing)
        raise CheckpointError(f"{file.path}: {name}: expected a tensor {expected[name]}, got none")
    if surplus:
        raise CheckpointError(f"{file.path}: {min(surplus)[:200]}: a tensor that this model does not have")
    for name, shape in (expected | optional).items():
        if name in file.tensors and file.tensors[name].shape != shape:
            raise CheckpointError(f"{file.path}: {name}: shape: expected {shape}, got {file.tensors[name].shape}")


def _scale_name(linear: str) -> str:
    return f"{linear.removesuffix('.weight')}.scale"


class _Reader:
    def __init__(self, config: ModelConfig, file: GgufFile, *, weight_only: bool) -> None:
        self.file = file
        permuted = architecture_of(file).permuted
        self._orders: dict[str, Int64] = {}
        if permuted:
            self._orders["attn_q"] = unpermuted(config.num_heads, config.head_dim)
            self._orders["attn_k"] = unpermuted(config.num_kv_heads, config.head_dim)
        names = [name for name, _, _ in linear_tensors(config)]
        self._exact = dict(zip(names, _exact_scales(file, len(names)), strict=True))
        self._linears = {name: StoredLinear(file, name, self._order(name)) for name in names}
        forced = [linear for linear in self._linears.values() if linear.weight_only]
        if forced and (CLASS_KEY in file.metadata or SCALES_KEY in file.metadata):
            raise forced[0].fail(
                f"expected one scale, as {CLASS_KEY} or {SCALES_KEY} says, got type {forced[0].kind} or several"
            )
        if weight_only and CLASS_KEY in file.metadata:
            said = file.metadata[CLASS_KEY]
            raise CheckpointError(f"{file.path}: --ternarise exact: {CLASS_KEY}: the file says BitLinear ({said})")
        zeros = [
            name for name, linear in self._linears.items() if linear.scales.one is None and not linear.scales.several
        ]
        self.notes = note_on_zeros(zeros, len(names))
        if forced and not weight_only:
            self.notes += (_why_weight_only(forced),)
        self.config = replace(config, linear_class="w158a16") if forced or weight_only else config

    def _order(self, tensor: str) -> Int64 | None:
        return self._orders.get(tensor.split(".")[2]) if tensor.startswith("blk.") else None

    def fail(self, name: str, problem: object) -> CheckpointError:
        return CheckpointError(f"{self.file.path}: {name}: {problem}")

    def _checked(self, name: str) -> Dtype:
        """The type of a float tensor; raises at its first NaN or infinity."""
        tensor = self.file.tensors[name]
        if tensor.kind not in _FLOATS:
            raise self.fail(name, f"type: expected {', '.join(_FLOATS)}, got {tensor.kind}")
        dtype = _FLOATS[tensor.kind]
        pieces = self.file.pieces(name, 4)
        if any(first_not_finite(_bits(piece, dtype)[None], dtype) for piece in pieces):
            bad = first_not_finite(self._mapped(name, dtype), dtype)
            raise self.fail(f"{name}{bad}", "expected a finite number, got NaN or infinity")
        return dtype

    def _mapped(self, name: str, dtype: Dtype) -> Stored:
        return _bits(self.file.data(name), dtype).reshape(self.file.tensors[name].shape)

    def vector(self, name: str) -> Float32:
        dtype = self._checked(name)
        return to_float32(_bits(self.file.read(name), dtype), dtype)

    def matrix(self, name: str) -> FloatWeight:
        """An embedding or a head."""
        kind = self.file.tensors[name].kind
        if kind in _FLOATS:
            dtype = self._checked(name)
            return FloatWeight(stored=self._mapped(name, dtype), dtype=dtype)
        if kind not in TYPES:
            raise self.fail(name, f"type: expected one of {', '.join(TYPES)}, got {kind}")
        return self._decoded(name) if TYPES[kind].codes is None else StoredLinear(self.file, name).scaled()

    def _decoded(self, name: str) -> DecodedWeight:
        """A matrix of a block type of floats, whose rows are decoded when they are used."""
        tensor = self.file.tensors[name]
        known, (n, k) = TYPES[tensor.kind], tensor.shape
        decode = known.floats
        assert decode is not None
        for piece in self.file.pieces(name, known.block_bytes):
            blocks = piece.reshape(1, -1, known.block_bytes)
            if not all(np.isfinite(half_at(blocks, at)).all() for at in known.halves):
                raise self.fail(name, f"{known.name} scale: expected a finite number, got NaN or infinity")
        rows = self.file.data(name).reshape(n, -1)
        return DecodedWeight(lambda chosen: decode(rows[chosen], k), n=n, k=k, bits=8 * tensor.size_bytes)

    def linear(self, name: str) -> LinearWeight:
        linear, factor = self._linears[name], self._factor(name)
        if self.config.weight_only:
            return linear.scaled(factor)
        one = linear.scales.one
        return linear.ternary(self._scale(name, one if one is None or factor is None else np.float32(one * factor)))

    def _factor(self, name: str) -> np.float32 | None:
        """The number in the tensor `<linear>.scale`, which multiplies."""
        beside = _scale_name(name)
        if beside not in self.file.tensors:
            return None
        factor = self.vector(beside)[0]
        if not factor > 0:
            raise self.fail(beside, f"expected a number > 0, got {factor}")
        return np.float32(factor)

    def _scale(self, name: str, multiplier: np.float32 | None) -> np.float32:
        """The stored scale: the file's multiplier, or the exact one of bitsim's own key, which must agree with it.

        A matrix of zeros without a scale gets 1, which multiplies zeros.
        """
        exact = self._exact[name]
        if exact is None:
            return np.float32(1) if multiplier is None else multiplier
        half = self.file.tensors[name].kind in ("TQ1_0", "TQ2_0")
        expected = stored_multiplier(self.config, exact, half=half)
        if multiplier is not None and multiplier != expected:
            raise self.fail(name, f"scale: expected {expected}, as {SCALES_KEY} says, got {multiplier}")
        return exact

    def layer(self, i: int) -> LayerWeights:
        at, config = f"blk.{i}.", self.config
        linears = {name: self.linear(f"{at}{gguf}.weight") for name, gguf in LINEARS.items()}
        return LayerWeights(
            input_norm=self.vector(f"{at}attn_norm.weight"),
            q=linears["self_attn.q_proj"],
            k=linears["self_attn.k_proj"],
            v=linears["self_attn.v_proj"],
            attn_sub_norm=self.vector(f"{at}attn_sub_norm.weight") if config.sub_norms else None,
            o=linears["self_attn.o_proj"],
            post_attention_norm=self.vector(f"{at}ffn_norm.weight"),
            gate=linears["mlp.gate_proj"],
            up=linears["mlp.up_proj"],
            ffn_sub_norm=self.vector(f"{at}ffn_sub_norm.weight") if config.sub_norms else None,
            down=linears["mlp.down_proj"],
            q_norm=self.vector(f"{at}attn_q_norm.weight") if config.qk_norm else None,
            k_norm=self.vector(f"{at}attn_k_norm.weight") if config.qk_norm else None,
            linear_norms={}
            if config.linear_norm_eps is None
            else {name: self.vector(f"{at}{gguf}_norm_in.weight") for name, gguf in LINEARS.items()},
            biases={name: self.bias(f"{at}{gguf}.bias") for name, gguf in LINEARS.items() if config.biased(name)},
        )

    def bias(self, name: str) -> Float32:
        values, order = self.vector(name), self._order(name)
        return values if order is None else values[order]


def _bits(data: UInt8, dtype: Dtype) -> Stored:
    return data.view("<f4" if dtype == "float32" else "<u2")


def _why_weight_only(forced: list[StoredLinear]) -> str:
    first = forced[0]
    why = f"{'several scales, ' if first.scales.several else ''}type {first.kind}"
    return f"linears are weight-only, activations are not quantised: {first.name} has {why}"


def stored_multiplier(config: ModelConfig, scale: np.float32, *, half: bool) -> np.float32:
    """What a GGUF tensor stores for a linear's `scale`: f32(1 / scale) where it divides; as float16 if `half`."""
    multiplier = np.float32(1) / scale if config.linear_class == "bitlinear" else scale
    with np.errstate(over="ignore"):
        return np.float32(np.float16(multiplier)) if half else np.float32(multiplier)


def _exact_scales(file: GgufFile, count: int) -> list[np.float32 | None]:
    scales = file.metadata.get(SCALES_KEY)
    if scales is None:
        return [None] * count
    if not isinstance(scales, np.ndarray) or scales.dtype != np.float32 or scales.shape != (count,):
        raise CheckpointError(f"{file.path}: {SCALES_KEY}: expected {count} float32 numbers, got {str(scales)[:200]}")
    if not ((scales > 0) & (scales < np.inf)).all():
        raise CheckpointError(f"{file.path}: {SCALES_KEY}: expected finite numbers > 0, got {str(scales.min())[:200]}")
    return [np.float32(scale) for scale in scales]


def read_weights(config: ModelConfig, file: GgufFile, *, weight_only: bool = False) -> Opened:
    """All weights of `config` in `file`, every value checked once. `weight_only`: no linear is a BitLinear.

    Raises `CheckpointError` naming the tensor: missing or surplus, shape, type, NaN or infinity, codes that are not
    ternary, scales that are negative or not finite.
    """
    check_tensors(config, file)
    reader = _Reader(config, file, weight_only=weight_only)
    embedding = reader.matrix("token_embd.weight")
    weights = ModelWeights(
        embedding=embedding,
        layers=tuple(reader.layer(i) for i in range(config.num_layers)),
        norm=reader.vector("output_norm.weight"),
        head=embedding if config.tie_embeddings else reader.matrix("output.weight"),
    )
    return Opened(reader.config, weights, reader.notes)
