"""The matmuls that stay wide, QK^T, PV and head: of float32 numbers, or of codes where a recipe says how."""

from collections.abc import Callable
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


class WideProducts(Protocol):
    """What one layer's attention and the head multiply. Heads are (heads, T, width), those that share keys in a row."""

    def attend(self, layer: int, q: Float32, keys: Float32, values: Float32) -> None:
        """Queries of all new tokens, keys and values of all positions, of the layer whose products come next."""

    def scores(self, new: slice, context: int) -> Float32:
        """QK^T of the new tokens `new` with the first `context` positions, (heads, T, context)."""

    def mixed(self, p: Float32) -> Float32:
        """PV: probabilities (heads, T, context) times values -> (heads, T, head_dim)."""

    def head(self, x: Float32, weight: FloatWeight) -> Float32:
        """(T, K) -> (T, vocabulary)."""


class FloatProducts:
    """In the contract's float32."""

    def __init__(self, executor: Executor, listed: Listed) -> None:
        self._executor, self._listed = executor, listed

    def attend(self, layer: int, q: Float32, keys: Float32, values: Float32) -> None:
        self._q, self._keys, self._values = q, keys, values

    def scores(self, new: slice, context: int) -> Float32:
        q = self._q[:, new]
        return self.product("qk", _sharing(q, self._keys), self._keys[:, :context]).reshape(*q.shape[:2], context)

    def mixed(self, p: Float32) -> Float32:
        values = self._values[:, : p.shape[2]]
        return self.product("pv", _sharing(p, values), values.swapaxes(1, 2)).reshape(*p.shape[:2], -1)

    def head(self, x: Float32, weight: FloatWeight) -> Float32:
        y: Float32 = self.product("lm_head", x[None], weight)[0]
        return y

    def product(self, name: str, a: Float32, b: Float32 | FloatWeight) -> Float32:
        op = self._listed(name)
        check_operands(op, a.shape, (b.n, b.k) if isinstance(b, FloatWeight) else b.shape[1:])
        y = self._executor.wide(op, a, b)
        check_result(op, y, (op.repeat, op.m, op.n))
        return y


class IntegerProducts:
    """Of codes: `f32(f32(sum) * f32(s * scale))` of scores and logits, `f32(f32(sum) * s)` of mixed values.

    `s` is the scale of a row of queries, probabilities or hidden states, `scale` that of a key or of a row of the head.
    """

    def __init__(self, contract: WideContract, executor: Executor, listed: Listed, cache: KVCache) -> None:
        self._contract, self._executor, self._listed, self._cache = contract, executor, listed, cache

    def attend(self, layer: int, q: Float32, keys: Float32, values: Float32) -> None:
        self._q, self._q_scales = self._quantise("q_quantise", q)
        self._key_steps, self._value_steps = self._cache.steps(layer, keys.shape[1])
        self._keys, self._values = codes_of(keys, self._key_steps), codes_of(values, self._value_steps)

    def scores(self, new: slice, context: int) -> Float32:
        q, keys = self._q[:, new], self._keys[:, :context]
        sums = self._product("qk", _sharing(q, keys), keys).reshape(*q.shape[:2], context)
        return sums * (self._q_scales[:, new] * self._by_position(self._key_steps, context, len(q)))

    def mixed(self, p: Float32) -> Float32:
        context = p.shape[2]
        scaled = p * self._by_position(self._value_steps, context, len(p))
        codes, s = self._quantise("p_quantise", scaled)
        values = self._values[:, :context]
        return self._product("pv", _sharing(codes, values), values.swapaxes(1, 2)).reshape(*p.shape[:2], -1) * s

    def head(self, x: Float32, weight: FloatWeight) -> Float32:
        assert isinstance(weight, ScaledIntegers)
        codes, s = self._quantise("lm_head.quantise", x)
        logits: Float32 = self._product("lm_head", codes[None], weight)[0] * (s * weight.scales[:, 0])
        return logits

    def _by_position(self, steps: Float32, context: int, heads: int) -> Float32:
        """Of each query head, the steps of the keys or values that it attends: (heads, 1, context)."""
        return np.repeat(steps[:, :context].swapaxes(1, 2), heads // len(steps), axis=0)

    def _quantise(self, name: str, x: Float32) -> tuple[Int8, Float32]:
        """Rows of the last axis: codes of the same shape, and their scales."""
        op = self._listed(name)
        self._executor.vector(op)
        try:
            codes, s = self._contract.quantise(np.ascontiguousarray(x).reshape(-1, x.shape[-1]))
        except OperandError as error:
            raise OperandError(f"{op.name}: {error}") from None
        return codes.reshape(x.shape), s.reshape(*x.shape[:-1], 1)

    def _product(self, name: str, a: Int8, b: Int8 | ScaledIntegers) -> Float32:
        """The integer sums, rounded to float32."""
        op = self._listed(name)
        check_operands(op, a.shape, (b.n, b.k) if isinstance(b, ScaledIntegers) else b.shape[1:])
        y = self._executor.wide_codes(op, a, b)
        check_result(op, y, (op.repeat, op.m, op.n))
        return y.astype(np.float32)


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
