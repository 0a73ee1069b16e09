"""The matmuls that stay wide, QK^T, PV and head: of float32 numbers, or of codes where a recipe says how."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bitsim.errors import OperandError
from bitsim.model.decoded import ScaledIntegers
from bitsim.model.executor import Executor
from bitsim.model.kv_cache import KVCache
from bitsim.model.operators import Operator
from bitsim.model.weights import FloatWeight
from bitsim.quant.packing import Float32, Int8
from bitsim.quant.wide import WideContract, codes_of

Listed = Callable[[str], Operator]  # the next operator of the step, whose name ends so


class Attention(Protocol):
    """One layer's products in one step. Heads are (heads, T, width), those that share keys in a row."""

    def scores(self, new: slice, context: int) -> Float32:
        """QK^T of the new tokens `new` with the first `context` positions, (heads, T, context)."""

    def mixed(self, p: Float32) -> Float32:
        """PV: probabilities (heads, T, context) times values -> (heads, T, head_dim)."""


class WideProducts(Protocol):
    """What attention and head of one step multiply."""

    def attention(self, layer: int, q: Float32, keys: Float32, values: Float32) -> Attention:
        """Of the queries of all new tokens with keys and values of all positions, as `KVCache.append` gave them."""

    def head(self, x: Float32, weight: FloatWeight) -> Float32:
        """(T, K) -> (T, vocabulary)."""


class FloatProducts:
    """In the contract's float32."""

    def __init__(self, executor: Executor, listed: Listed) -> None:
        self._executor, self._listed = executor, listed

    def attention(self, layer: int, q: Float32, keys: Float32, values: Float32) -> Attention:
        return FloatAttention(products=self, q=q, keys=keys, values=values)

    def head(self, x: Float32, weight: FloatWeight) -> Float32:
        logits: Float32 = self.product("lm_head", x[None], weight)[0]
        return logits

    def product(self, name: str, a: Float32, b: Float32 | FloatWeight) -> Float32:
        """The next matmul: `a` (R, M, K) times `b` (S, N, K), or a stored weight, see `Executor.wide`."""
        op = self._listed(name)
        check_operands(op, a.shape, (b.n, b.k) if isinstance(b, FloatWeight) else b.shape[1:])
        y = self._executor.wide(op, a, b)
        check_result(op, y, (op.repeat, op.m, op.n))
        return y


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FloatAttention:
    """`q` (heads, T, head_dim), `keys` and `values` (KV heads, positions, head_dim)."""

    products: FloatProducts
    q: Float32
    keys: Float32
    values: Float32

    def scores(self, new: slice, context: int) -> Float32:
        q, keys = self.q[:, new], self.keys[:, :context]
        return self.products.product("qk", _sharing(q, keys), keys).reshape(*q.shape[:2], context)

    def mixed(self, p: Float32) -> Float32:
        values = self.values[:, : p.shape[2]]
        return self.products.product("pv", _sharing(p, values), values.swapaxes(1, 2)).reshape(*p.shape[:2], -1)


class IntegerProducts:
    """Of codes: `f32(f32(sum) * f32(s * scale))` of scores and logits, `f32(f32(sum) * s)` of mixed values.

    `s` is the scale of a row of queries, probabilities or hidden states, `scale` that of a key or of a row of the head.
    """

    def __init__(self, contract: WideContract, executor: Executor, listed: Listed, cache: KVCache) -> None:
        self._contract, self._executor, self._listed, self._cache = contract, executor, listed, cache

    def attention(self, layer: int, q: Float32, keys: Float32, values: Float32) -> Attention:
        codes, scales = self.quantise("q_quantise", q)
        key_steps, value_steps = self._cache.steps(layer, keys.shape[1])
        return IntegerAttention(
            products=self,
            q=codes,
            q_scales=scales,
            keys=codes_of(keys, key_steps),
            key_steps=key_steps,
            values=codes_of(values, value_steps),
            value_steps=value_steps,
        )

    def head(self, x: Float32, weight: FloatWeight) -> Float32:
        assert isinstance(weight, ScaledIntegers)
        codes, s = self.quantise("lm_head.quantise", x)
        logits: Float32 = self.product("lm_head", codes[None], weight)[0] * (s * weight.scales[:, 0])
        return logits

    def quantise(self, name: str, x: Float32) -> tuple[Int8, Float32]:
        """Rows of the last axis: codes of the same shape, and their scales."""
        op = self._listed(name)
        self._executor.vector(op)
        try:
            codes, s = self._contract.quantise(np.ascontiguousarray(x).reshape(-1, x.shape[-1]))
        except OperandError as error:
            raise OperandError(f"{op.name}: {error}") from None
        return codes.reshape(x.shape), s.reshape(*x.shape[:-1], 1)

    def product(self, name: str, a: Int8, b: Int8 | ScaledIntegers) -> Float32:
        """The integer sums of the next matmul, rounded to float32."""
        op = self._listed(name)
        check_operands(op, a.shape, (b.n, b.k) if isinstance(b, ScaledIntegers) else b.shape[1:])
        y = self._executor.wide_codes(op, a, b)
        check_result(op, y, (op.repeat, op.m, op.n))
        return y.astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegerAttention:
    """As `FloatAttention` in codes, with the scale of each query and the step of each key and value (..., 1)."""

    products: IntegerProducts
    q: Int8
    q_scales: Float32
    keys: Int8
    key_steps: Float32
    values: Int8
    value_steps: Float32

    def scores(self, new: slice, context: int) -> Float32:
        q, keys = self.q[:, new], self.keys[:, :context]
        sums = self.products.product("qk", _sharing(q, keys), keys).reshape(*q.shape[:2], context)
        return sums * (self.q_scales[:, new] * _by_position(self.key_steps, context, len(q)))

    def mixed(self, p: Float32) -> Float32:
        context = p.shape[2]
        codes, s = self.products.quantise("p_quantise", p * _by_position(self.value_steps, context, len(p)))
        values = self.values[:, :context]
        sums = self.products.product("pv", _sharing(codes, values), values.swapaxes(1, 2))
        return sums.reshape(*p.shape[:2], -1) * s


def _by_position(steps: Float32, context: int, heads: int) -> Float32:
    """Of each query head, the steps of the keys or values that it attends: (heads, 1, context)."""
    return np.repeat(steps[:, :context].swapaxes(1, 2), heads // len(steps), axis=0)


def _sharing(x: npt.NDArray[Any], kept: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(heads, T, width) -> (KV heads, T of all heads that share one, width)."""
    return x.reshape(len(kept), -1, x.shape[-1])


def check_operands(op: Operator, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """Raise unless the operands' shapes, (R, M, K) and (N, K), are those that the operator lists."""
    if a != (op.repeat, op.m, op.k) or b != (op.n, op.k):
        raise OperandError(
            f"{op.name}: expected (R, M, K) = {(op.repeat, op.m, op.k)} and (N, K) = {(op.n, op.k)}, got {a} and {b}"
        )


def check_result(op: Operator, y: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raise unless the executor returned this shape."""
    if y.shape != shape:
        raise OperandError(f"{op.name}: the executor was to return {shape}, got {y.shape}")
