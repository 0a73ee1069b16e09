"""The forward pass in float32, with everything that costs something handed to an executor.

The block is BitNet b1.58 2B4T's: `h += o_proj(sub_norm(attention(q, k, v(norm(h)))))`, `h += down_proj(sub_norm(relu2(
gate(norm(h))) * up(norm(h))))`; models without SubLN, without a GLU or without quantised linears leave those parts out,
and b1 normalises by LayerNorm. A recipe says how each linear's input is quantised and how keys and values are stored.
Matmuls, sums and functions are those of `bitsim.floats`: a row's result does not depend on the machine, nor on how many
rows or masked positions stand beside it.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from bitsim.errors import ConfigError, OperandError
from bitsim.floats.rows import gated, gelu_tanh, softmax, square_sums
from bitsim.model.build_operators import forward_operators
from bitsim.model.config import HiddenAct, ModelConfig
from bitsim.model.decoded import ScaledIntegers, ScaledTernary
from bitsim.model.executor import Executor
from bitsim.model.kv_cache import KVCache
from bitsim.model.operators import Operator, Phase
from bitsim.model.rotary import rotary_table, rotate
from bitsim.model.step import Logits
from bitsim.model.weights import FloatWeight, IntegerWeight, LayerWeights, LinearWeight, ModelWeights
from bitsim.model.wide_products import (
    Attention,
    FloatProducts,
    IntegerProducts,
    WideProducts,
    check_operands,
    check_result,
)
from bitsim.quant.base import Contract
from bitsim.quant.exact_means import layer_norm
from bitsim.quant.kv import KVFormat
from bitsim.quant.packing import Float32, Int8, TernaryWeight
from bitsim.quant.recipes import Recipe, recipe_named
from bitsim.quant.scale_groups import add_groups

Tokens = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]
_ONE = np.float32(1)


def forward(
    config: ModelConfig,
    weights: ModelWeights,
    tokens: Tokens,
    cache: KVCache,
    executor: Executor,
    recipe: Recipe,
    phase: Phase | None = None,
    *,
    query_block: int | None = None,
    logits: Logits = "all",
) -> Float32:
    """Run `tokens`, int64 (T,), after the positions in `cache` -> logits float32 (positions, vocabulary).

    `phase`: "decode" by default when the cache holds something and T = 1, else "prefill". `query_block`: tokens whose
    attention is worked off together, which changes no value; `logits`: of "all" T positions, the "last" one or "none";
    see `forward_operators`. Raises `ConfigError` for numerics that the model's weights are not made for.
    """
    check_numerics(config, recipe)
    check_wide(weights.head, cache, recipe)
    step = _Step(config, tokens, cache, executor, recipe, phase, query_block, logits)
    # Values that leave float32 become infinite or NaN silently: the next quantiser refuses them by name, and so does
    # `generate` when they reach the logits.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        step.vector("embed_tokens")
        h = weights.embedding.take(tokens)
        for layer, layer_weights in enumerate(weights.layers):
            h = step.attention(layer, layer_weights, h)
            h = step.mlp(layer_weights, h)
        cache.advance(len(tokens))
        if logits == "none":
            return np.empty((0, config.vocab_size), np.float32)
        wanted = h if logits == "all" else h[-1:]
        return step.head(step.norm("norm", wanted, weights.norm), weights.head)


def check_numerics(config: ModelConfig, recipe: Recipe) -> None:
    """Raise `ConfigError` unless `recipe` fits the model's sizes and reads weight scales as they are stored.

    Another paper's activations on the same weights are an experiment, and allowed.
    """
    own, given = recipe_named(config.default_numerics).qkv, recipe.qkv
    other_weights = given.weight_only and given.linear_class != config.linear_class
    if other_weights or own.quantised != given.quantised or own.stored_scale is not given.stored_scale:
        raise ConfigError(
            f"{config.name}: numerics {recipe.name!r} is for linear_class {given.linear_class}, "
            f"the model has {config.linear_class} (use {config.default_numerics!r})"
        )
    if recipe.wide is not None and not (config.quantised or recipe.ternary_floats):
        raise ConfigError(
            f"{config.name}: {recipe.wide.name}: the linears are floats, which an integer wide datapath does not take "
            "(choose a chip whose wide datapath is FP16, or a model with quantised linears)"
        )
    for name, _, k in config.linear_shapes():
        if recipe.of(name).power_of_two and k & (k - 1):
            raise ConfigError(
                f"{config.name}: {name}: numerics {recipe.name!r} transform its input: expected a power of two of "
                f"values, got {k}"
            )


def check_wide(head: FloatWeight, cache: KVCache, recipe: Recipe) -> None:
    """Raise `ConfigError` unless head and cache hold the codes that `recipe.wide` multiplies."""
    wide = recipe.wide
    if wide is None:
        return
    if not isinstance(cache.stored_as, KVFormat) or not wide.takes(cache.stored_as):
        raise ConfigError(
            f"numerics {recipe.name}, {wide.name}: expected a KV cache of codes of at most {wide.bits} bits around "
            f"zero, got {cache.name}"
        )
    if not isinstance(head, ScaledIntegers):
        raise ConfigError(f"numerics {recipe.name}, {wide.name}: expected a head of integers (head_bits {wide.bits})")


class _Activations:
    """The input of one or more linears, quantised once if the linears are."""

    __slots__ = ("contract", "q", "s", "x")

    def __init__(
        self, x: Float32, contract: Contract | None = None, q: Int8 | None = None, s: Float32 | None = None
    ) -> None:
        self.x, self.contract, self.q, self.s = x, contract, q, s


class _Step:
    """One step: walks through its operators in order and checks the arrays against them."""

    def __init__(
        self,
        config: ModelConfig,
        tokens: Tokens,
        cache: KVCache,
        executor: Executor,
        recipe: Recipe,
        phase: Phase | None,
        query_block: int | None,
        logits: Logits,
    ) -> None:
        self.config, self.cache, self.executor, self.recipe = config, cache, executor, recipe
        self.tokens, self.context = len(tokens), cache.length + len(tokens)
        cache.reserve(self.context)
        if phase is None:
            phase = "decode" if cache.length and self.tokens == 1 else "prefill"
        self._block = query_block or self.tokens
        self._operators = iter(
            forward_operators(
                config,
                phase=phase,
                tokens=self.tokens,
                context=self.context,
                recipe=recipe,
                kv=cache.stored_as,
                query_block=query_block,
                logits=logits,
            )
        )
        if config.sliding_window is not None and self.context > config.sliding_window:
            raise ConfigError(
                f"{config.name}: sliding_window: layers attend {config.sliding_window} positions, and only contexts of "
                f"at most as many are executed (got {self.context})"
            )
        cos, sin = rotary_table(config.head_dim, config.rope_theta, cache.capacity, config.rope_scaling)
        self._cos, self._sin = cos[cache.length : self.context], sin[cache.length : self.context]
        self._past = cache.length
        self._scale = np.float32(1 / math.sqrt(config.head_dim))
        self._eps = np.float32(config.rms_norm_eps)
        self._floats = FloatProducts(executor, self._next)
        self._products: WideProducts = self._floats
        if recipe.wide is not None:
            self._products = IntegerProducts(recipe.wide, executor, self._next, cache)

    def _next(self, name: str) -> Operator:
        op = next(self._operators)
        if not op.name.endswith(name):
            raise OperandError(f"{op.name}: expected as the next operator, the forward pass came to {name}")
        return op

    def vector(self, name: str) -> None:
        self.executor.vector(self._next(name))

    def norm(self, name: str, x: Float32, weight: Float32 | None) -> Float32:
        """RMSNorm `w * f32(x * rsqrt(mean(x^2) + eps))`, or without weights LayerNorm."""
        self.vector(name)
        return layer_norm(x, self.config.rms_norm_eps) if weight is None else rms_norm(x, weight, self._eps)

    def head_norm(self, name: str, x: Float32, weight: Float32 | None) -> Float32:
        """RMSNorm of each head's vector; `x`: (heads, T, head_dim)."""
        if weight is None:
            return x
        self.vector(name)
        return rms_norm(x.reshape(-1, x.shape[-1]), weight, self._eps).reshape(x.shape)

    def _quantise(self, name: str, x: Float32, contract: Contract) -> _Activations:
        """The input of linears; those with norms of their own quantise it themselves, each after its norm."""
        if not self.config.quantised or self.config.linear_norm_eps is not None:
            return _Activations(x, contract)
        return self._codes(name, x, contract)

    def _codes(self, name: str, x: Float32, contract: Contract) -> _Activations:
        op = self._next(name)
        self.executor.vector(op)
        try:
            return _Activations(x, contract, *contract.quantise_activations(x))
        except OperandError as error:
            raise OperandError(f"{op.name}: {error}") from None

    def _linear(
        self, w: LayerWeights, name: str, x: _Activations, weight: LinearWeight, live: Bool | None = None
    ) -> Float32:
        """One linear by its name in `ModelConfig.linear_shapes`, with its own norm and bias where it has them."""
        eps = self.config.linear_norm_eps
        if eps is not None:
            assert x.contract is not None
            self.vector(f"{name}.norm")
            normed = rms_norm(x.x, w.linear_norms[name], np.float32(eps))
            x = self._codes(f"{name}.quantise", normed, x.contract)
        y = self._product(name, x, weight, live)
        if not self.config.biased(name):
            return y
        self.vector(f"{name}.bias")
        return y + w.biases[name]

    def _product(self, name: str, x: _Activations, weight: LinearWeight, live: Bool | None) -> Float32:
        if isinstance(weight, TernaryWeight | IntegerWeight):
            op = self._next(name)
            check_operands(op, (1, *x.x.shape), (weight.n, weight.k))
            if x.contract is None or x.q is None or x.s is None:
                raise OperandError(f"{op.name}: integer weights in a model whose activations are not quantised")
            sums = self.executor.bitlinear(op, x.q, weight, live)
            check_result(op, sums, (op.m, op.n))
            return x.contract.rescale(sums, x.s, weight.scale)
        if isinstance(weight, ScaledTernary) and (x.q is not None or self.recipe.ternary_floats):
            return self._grouped(name, x, weight)
        y: Float32 = self._floats.product(name, x.x[None], weight)[0]
        return y

    def _grouped(self, name: str, x: _Activations, weight: ScaledTernary) -> Float32:
        """Ternary codes whose rows have a scale for each group of K: the groups' sums are scaled, then added up."""
        op = self._next(name)
        given: Any = x.x if x.q is None else x.q
        groups = op.repeat
        check_operands(op, (groups, len(given), given.shape[1] // groups), (weight.n, weight.k // groups))
        acts = np.ascontiguousarray(given.reshape(len(given), groups, -1).swapaxes(0, 1))
        parts = self.executor.grouped(op, acts, weight)
        check_result(op, parts, (groups, op.m, op.n))
        scales = weight.scales_of(groups)
        if groups > 1:
            self.vector(f"{name}.groups")
        if x.s is None:
            return add_groups(parts, scales)
        assert x.contract is not None
        return x.contract.rescale(parts, x.s, scales)

    def attention(self, layer: int, w: LayerWeights, h: Float32) -> Float32:
        config = self.config
        x = self._quantise("attn.quantise", self.norm("input_layernorm", h, w.input_norm), self.recipe.qkv)
        q = self._heads(self._linear(w, "self_attn.q_proj", x, w.q), config.num_heads)
        k = self._heads(self._linear(w, "self_attn.k_proj", x, w.k), config.num_kv_heads)
        v = self._heads(self._linear(w, "self_attn.v_proj", x, w.v), config.num_kv_heads)
        q, k = self.head_norm("q_norm", q, w.q_norm), self.head_norm("k_norm", k, w.k_norm)
        self.vector("rope")
        q, k = rotate(q, self._cos, self._sin), rotate(k, self._cos, self._sin)
        self.vector("kv_write")
        keys, values = self.cache.append(layer, k, v)
        attention = self._products.attention(layer, q, keys, values)
        blocks = [self._attend(attention, first) for first in range(0, self.tokens, self._block)]
        y = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
        y = y.swapaxes(0, 1).reshape(self.tokens, config.q_size)
        if config.sub_norms:
            y = self.norm("attn_sub_norm", y, w.attn_sub_norm)
        y = self._linear(w, "self_attn.o_proj", self._quantise("o_quantise", y, self.recipe.o), w.o)
        self.vector("residual")
        return h + y

    def _attend(self, attention: Attention, first: int) -> Float32:
        """A block of new tokens, the `first` on, attends all positions up to its last -> (heads, T, head_dim)."""
        last = min(first + self._block, self.tokens)
        scores = attention.scores(slice(first, last), self._past + last)
        self.vector("softmax")
        return attention.mixed(softmax(scores, self._scale, self._past + first))

    def _heads(self, x: Float32, heads: int) -> Float32:
        """(T, heads * head_dim) -> (heads, T, head_dim)."""
        return x.reshape(self.tokens, heads, self.config.head_dim).swapaxes(0, 1)

    def mlp(self, w: LayerWeights, h: Float32) -> Float32:
        normed = self.norm("post_attention_layernorm", h, w.post_attention_norm)
        x, act = self._quantise("mlp.quantise", normed, self.recipe.gate_up), self.config.hidden_act
        if w.gate is None:
            y = activate(self._linear(w, "mlp.up_proj", x, w.up), act)
        else:
            gate = activate(self._linear(w, "mlp.gate_proj", x, w.gate), act)
            y = gate * self._linear(w, "mlp.up_proj", x, w.up, gate != 0 if self.recipe.gate_first else None)
        self.vector("act_fn")
        if self.config.sub_norms:
            y = self.norm("ffn_sub_norm", y, w.ffn_sub_norm)
        y = self._linear(w, "mlp.down_proj", self._quantise("down_quantise", y, self.recipe.down), w.down)
        self.vector("residual")
        return h + y

    def head(self, x: Float32, weight: FloatWeight) -> Float32:
        contract = self.recipe.head
        if contract is None:
            return self._products.head(x, weight)
        if not isinstance(weight, ScaledIntegers):
            raise ConfigError(f"{self.config.name}: expected a head of integers for {contract.name}, got floats")
        op = self._next("lm_head.quantise")
        self.executor.vector(op)
        try:
            codes, s = contract.quantise(x)
        except OperandError as error:
            raise OperandError(f"{op.name}: {error}") from None
        op, scales = self._next("lm_head"), weight.scales[:, 0]
        check_operands(op, (1, *codes.shape), (weight.n, weight.k))
        sums = self.executor.bitlinear(op, codes, IntegerWeight(values=weight.values, scale=scales, bits=weight.bits))
        check_result(op, sums, (op.m, op.n))
        logits: Float32 = sums.astype(np.float32) * (s * scales)
        return logits


def rms_norm(x: Float32, weight: Float32, eps: np.float32) -> Float32:
    """`w * f32(x * rsqrt(mean(x^2) + eps))` of each row of `x` (M, K)."""
    mean = (square_sums(x) / x.shape[-1]).astype(np.float32)
    y: Float32 = weight * (x * (_ONE / np.sqrt(mean + eps)))
    return y


def activate(x: Float32, act: HiddenAct) -> Float32:
    """relu(x)^2, x * sigmoid(x), x * sigmoid(1.702 x) for "gelu", or the tanh form of GELU."""
    if act == "relu2":
        positive = np.maximum(x, np.float32(0))
        return positive * positive
    if act == "gelu_tanh":
        return gelu_tanh(x)
    return gated(x, np.float32(1 if act == "silu" else 1.702))
