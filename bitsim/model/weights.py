"""The weights of a model, in the form in which they are stored."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bitsim.errors import OperandError
from bitsim.model.config import Dtype
from bitsim.quant.packing import Float32, Int8, TernaryWeight, bf16_to_f32, f32_to_bf16

Stored = npt.NDArray[Any]
_BLOCK_ROWS = 1024
_STORED = {"bfloat16": np.dtype(np.uint16), "float16": np.dtype(np.uint16), "float32": np.dtype(np.float32)}


def to_float32(bits: Stored, dtype: Dtype) -> Float32:
    """The values of stored `bits`: uint16 patterns of bfloat16 or float16, or float32 itself (exact)."""
    if dtype == "bfloat16":
        return bf16_to_f32(bits)
    if dtype == "float16":
        return np.ascontiguousarray(bits).view(np.float16).astype(np.float32)
    return bits.astype(np.float32, copy=False)


def from_float32(values: Float32, dtype: Dtype) -> Stored:
    """`values` rounded to `dtype` (nearest, ties to even), as stored bits: the inverse of `to_float32`."""
    if dtype == "bfloat16":
        return f32_to_bf16(values)
    if dtype == "float16":
        with np.errstate(over="ignore"):  # to infinity, as every rounding to nearest
            return values.astype(np.float16).view(np.uint16)
    return values


def first_not_finite(bits: Stored, dtype: Dtype) -> list[int] | None:
    """Index of the first NaN or infinity in stored `bits`, or None; read in blocks of rows."""
    for start in range(0, len(bits), _BLOCK_ROWS):
        block = bits[start : start + _BLOCK_ROWS]
        if dtype == "float32":
            bad = ~np.isfinite(block)
        else:
            exponent = np.uint16(0x7F80 if dtype == "bfloat16" else 0x7C00)
            bad = (block & exponent) == exponent
        if bad.any():
            first, *rest = (int(i) for i in np.argwhere(bad)[0])
            return [start + first, *rest]
    return None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FloatWeight:
    """An (N, K) matrix that is not quantised, kept as stored; rows are converted when they are used.

    `stored`: (N, K), uint16 bit patterns for bfloat16 and float16, else float32; often memory-mapped.
    """

    stored: Stored
    dtype: Dtype

    def __post_init__(self) -> None:
        expected, got = _STORED[self.dtype], self.stored
        if got.ndim != 2 or got.dtype != expected:
            raise OperandError(f"{self.dtype} weight: expected {expected} (N, K), got {got.dtype} {got.shape}")

    @property
    def n(self) -> int:
        return int(self.stored.shape[0])

    @property
    def k(self) -> int:
        return int(self.stored.shape[1])

    @property
    def bits(self) -> int:
        """Stored bits of the matrix."""
        return 8 * self.stored.nbytes

    def rows(self, low: int, high: int) -> Float32:
        """Rows `low` to `high - 1` as float32."""
        return to_float32(self.stored[low:high], self.dtype)

    def take(self, rows: npt.NDArray[np.int64]) -> Float32:
        """The rows with these indices as float32 (an embedding look-up)."""
        return to_float32(self.stored[rows], self.dtype)

    def part(self, rows: slice, k: slice) -> "FloatWeight":
        """The values of these rows at these positions of K."""
        return FloatWeight(stored=self.stored[rows, k], dtype=self.dtype)

    def digested(self) -> Iterator[Stored | bytes]:
        """What its digest is made of: what it is, and its bits."""
        yield f"{self.dtype} {self.n} {self.k}".encode()
        yield self.stored


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerWeight:
    """An (N, K) matrix of integers beyond -1, 0 and 1 with a scale for each row.

    `values`: int8 (N, K). `scale`: float32 (N,). `bits`: of the integers as they are stored.
    """

    values: Int8
    scale: Float32
    bits: int

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype != np.int8 or self.scale.shape != self.values.shape[:1]:
            raise OperandError(
                f"integer weight: expected int8 (N, K) and scales (N,), got {self.values.dtype} {self.values.shape} "
                f"and {self.scale.shape}"
            )

    @property
    def n(self) -> int:
        return int(self.values.shape[0])

    @property
    def k(self) -> int:
        return int(self.values.shape[1])

    def codes(self) -> Int8:
        return self.values


CodedWeight = TernaryWeight | IntegerWeight
LinearWeight = CodedWeight | FloatWeight


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerWeights:
    """One transformer block. `gate` is None without a GLU, a norm is None where it is absent or has no weights.

    `q_norm`, `k_norm`: (head_dim,). `biases` and `linear_norms`, (N,) and (K,): by the linear's name in
    `ModelConfig.linear_shapes`, of those that have one.
    """

    input_norm: Float32 | None
    q: LinearWeight
    k: LinearWeight
    v: LinearWeight
    attn_sub_norm: Float32 | None
    o: LinearWeight
    post_attention_norm: Float32 | None
    gate: LinearWeight | None
    up: LinearWeight
    ffn_sub_norm: Float32 | None
    down: LinearWeight
    q_norm: Float32 | None = None
    k_norm: Float32 | None = None
    biases: Mapping[str, Float32] = field(default_factory=dict)
    linear_norms: Mapping[str, Float32] = field(default_factory=dict)

    def linears(self) -> tuple[LinearWeight, ...]:
        """The linears in the order of execution, that of `ModelConfig.linear_shapes`."""
        gate = () if self.gate is None else (self.gate,)
        return self.q, self.k, self.v, self.o, *gate, self.up, self.down


@dataclass(frozen=True, kw_only=True, eq=False)  # no slots: the digest is kept
class ModelWeights:
    """All weights. A tied `head` is the embedding itself."""

    embedding: FloatWeight
    layers: tuple[LayerWeights, ...]
    norm: Float32 | None
    head: FloatWeight

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all values, computed when it is first asked for (about 1.5 s per GB) and kept.

        Of codes, scales and bit patterns, in the order of execution: files of different formats and packings that hold
        the same weights have the same one.
        """
        whole = hashlib.sha256()
        for tensor in self._tensors():
            whole.update(_digest_of(tensor))
        return whole.hexdigest()

    def _tensors(self) -> Iterator[LinearWeight | Float32 | None]:
        yield self.embedding
        for layer in self.layers:
            yield from (layer.input_norm, layer.attn_sub_norm, layer.post_attention_norm, layer.ffn_sub_norm)
            yield from layer.linears()
            yield from (one for one in (layer.q_norm, layer.k_norm) if one is not None)
            for vectors in (layer.biases, layer.linear_norms):
                yield from (vectors[name] for name in sorted(vectors))
        yield self.norm
        yield None if self.head is self.embedding else self.head


def _digest_of(tensor: LinearWeight | Float32 | None) -> bytes:
    digest = hashlib.sha256()
    for part in _digested(tensor):
        digest.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)
    return digest.digest()


def _digested(tensor: LinearWeight | Float32 | None) -> Iterator[Stored | bytes]:
    if isinstance(tensor, TernaryWeight):
        yield f"ternary {tensor.n} {tensor.k} {tensor.scale.tobytes().hex()}".encode()
        yield tensor.packed
    elif isinstance(tensor, IntegerWeight):
        yield f"integers {tensor.n} {tensor.k}".encode()
        yield from (tensor.values, tensor.scale)
    elif isinstance(tensor, FloatWeight):
        yield from tensor.digested()
    elif tensor is None:
        yield b"none"
    else:
        yield f"norm {tensor.size}".encode()
        yield tensor
