"""The operators of one step of a model, in the order in which the forward pass executes them.

`estimate` lists them; `forward` consumes the same list and checks every array against it, so both see the same work.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from bitsim.errors import ConfigError
from bitsim.model.config import ModelConfig
from bitsim.model.footprint import embedding_row_bits, head_bits, kv_layer_bits, linear_bits
from bitsim.model.operators import VECTOR_OPS, Kind, Operator, Phase, VectorOp, WeightFormat
from bitsim.quant.base import Contract
from bitsim.quant.kv import KVStorage
from bitsim.quant.recipes import Recipe, recipe_named

Vector = dict[VectorOp, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One step: `tokens` new positions in each of `batch` sequences, `context` positions attended, these included."""

    config: ModelConfig
    phase: Phase
    tokens: int
    context: int
    batch: int
    recipe: Recipe
    kv: KVStorage
    merge_heads: bool

    @property
    def rows(self) -> int:
        return self.tokens * self.batch

    def vector(
        self, kind: Kind, name: str, layer: int | None, per_row: Vector, size: int, inputs: int = 1, heads: int = 1
    ) -> Operator:
        """Does `per_row` on each row (one per token and head): reads `inputs` vectors of `size`, writes one."""
        rows = self.rows * heads
        return Operator(
            name=name,
            kind=kind,
            phase=self.phase,
            layer=layer,
            vector={op: n * rows for op, n in per_row.items()},
            values_read=rows * size * inputs,
            values_written=rows * size,
        )

    def norm(self, name: str, layer: int | None, size: int) -> Operator:
        work: Vector = {"mul": 3 * size, "add": size, "rsqrt": 1}
        if self.config.norm == "layer":  # the mean and its subtraction, and no weights
            work = {"mul": 2 * size, "add": 3 * size, "rsqrt": 1}
        return self.vector("norm", name, layer, work, size)

    def quantise(self, name: str, layer: int, size: int, contract: Contract) -> Iterator[Operator]:
        """What the contract's quantiser does; scale multiplications are counted with the linear."""
        if self.config.quantised and self.config.linear_norm_eps is None:
            yield self._codes(name, layer, size, contract)

    def _codes(self, name: str, layer: int, size: int, contract: Contract) -> Operator:
        work = {op: n for op in VECTOR_OPS if (n := contract.quantise_work(size).get(op, 0))}
        return self.vector("quantise", name, layer, work, size)

    def linear(self, name: str, layer: int, n: int, k: int) -> Iterator[Operator]:
        """A linear, after its own norm and quantiser and before its bias where it has them."""
        at = f"layers.{layer}.{name}"
        if self.config.linear_norm_eps is not None:
            yield self.vector("norm", f"{at}.norm", layer, {"mul": 3 * k, "add": k, "rsqrt": 1}, k)
            yield self._codes(f"{at}.quantise", layer, k, self.recipe.of(name))
        yield self._matmul(at, layer, n, k)
        if self.config.biased(name):
            yield self.vector("bias", f"{at}.bias", layer, {"add": n}, n)

    def _matmul(self, name: str, layer: int, n: int, k: int) -> Operator:
        weight_format: WeightFormat = "ternary" if self.config.quantised else "fp16"
        return Operator(
            name=name,
            kind="linear",
            phase=self.phase,
            layer=layer,
            m=self.rows,
            k=k,
            n=n,
            weight_format=weight_format,
            weight_bits=linear_bits(self.config, n, k),
        )


def forward_operators(
    config: ModelConfig,
    *,
    phase: Phase,
    tokens: int,
    context: int,
    batch: int = 1,
    recipe: Recipe | None = None,
    kv: KVStorage = 16,
    merge_heads: bool = False,
) -> list[Operator]:
    """All operators of one step.

    * `tokens`: new positions per sequence; `context`: positions attended after the step, the new ones included.
    * Attention matmuls cover the full tokens x context rectangle; the causal mask is applied to their result.
    * `recipe`: what quantises the linears' inputs; by default what the model's `linear_class` says. `kv`: bits per
      value of the KV cache, or its format.
    * `merge_heads`: count QK^T as one (s, d, s) and PV as one (s, s, d) matmul per sequence, as arXiv 2310.11453
      does in its energy table; the MACs are the same.
    * The head gives logits for every executed position. Embedding and head are FP16.

    KV traffic: a step writes the keys and values of its `tokens`; QK^T and PV read those of all `context` positions.
    Vector operators read their inputs from the activation buffer once and write their outputs once, norm weights apart;
    keys and values that are read go to the matmul unit's own buffer.
    """
    if not 0 < tokens <= context or batch < 1:
        raise ConfigError(
            f"{config.name}: expected 0 < tokens <= context, batch >= 1, "
            f"got tokens {tokens}, context {context}, batch {batch}"
        )
    step = _Step(
        config=config,
        phase=phase,
        tokens=tokens,
        context=context,
        batch=batch,
        recipe=recipe or recipe_named(config.default_numerics),
        kv=kv,
        merge_heads=merge_heads,
    )
    operators = list(_first_step(replace(step, context=tokens)))
    if context > tokens:
        starts = [i for i, op in enumerate(operators) if op.kind == "kv" and op.kv_write_bits]
        for layer, start in enumerate(starts):
            attended = list(_attend(step, layer))
            operators[start : start + len(attended)] = attended
    return operators


@lru_cache(maxsize=16)
def _first_step(step: _Step) -> tuple[Operator, ...]:
    """All operators of a step that attends its own tokens only; most of them are those of every later step."""
    config, phase = step.config, step.phase
    shapes = {name: (n, k) for name, n, k in config.linear_shapes()}
    d, vocab = config.hidden_size, config.vocab_size
    operators = [
        Operator(
            name="embed_tokens",
            kind="embedding",
            phase=phase,
            dram_read_bits=step.rows * embedding_row_bits(config),
            values_written=step.rows * d,
        )
    ]
    for layer in range(config.num_layers):
        operators.extend(_attention(step, layer, shapes))
        operators.extend(_mlp(step, layer, shapes))
    operators.append(step.norm("norm", None, d))
    operators.append(
        Operator(
            name="lm_head",
            kind="head",
            phase=phase,
            m=step.rows,
            k=d,
            n=vocab,
            weight_format="fp16",
            weight_bits=head_bits(config),
        )
    )
    return tuple(operators)


def _attention(step: _Step, layer: int, shapes: dict[str, tuple[int, int]]) -> Iterator[Operator]:
    config, at = step.config, f"layers.{layer}.self_attn."
    d = config.hidden_size
    yield step.norm(f"layers.{layer}.input_layernorm", layer, d)
    yield from step.quantise(f"{at}quantise", layer, d, step.recipe.qkv)
    for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
        yield from step.linear(name, layer, *shapes[name])
    if config.qk_norm:
        size = config.head_dim
        for name, heads in (("q_norm", config.num_heads), ("k_norm", config.num_kv_heads)):
            yield step.vector(
                "norm", f"{at}{name}", layer, {"mul": 3 * size, "add": size, "rsqrt": 1}, size, heads=heads
            )
    rotated = config.q_size + config.kv_size
    yield step.vector("rope", f"{at}rope", layer, {"mul": 2 * rotated, "add": rotated}, rotated)
    yield from _attend(step, layer)
    if config.sub_norms:
        yield step.norm(f"{at}attn_sub_norm", layer, config.q_size)
    yield from step.quantise(f"{at}o_quantise", layer, config.q_size, step.recipe.o)
    yield from step.linear("self_attn.o_proj", layer, *shapes["self_attn.o_proj"])
    yield step.vector("residual", f"{at}residual", layer, {"add": d}, d, inputs=2)


def _attend(step: _Step, layer: int) -> Iterator[Operator]:
    """All that depends on the positions before the step: the KV cache and the attention over it."""
    yield _kv_write(step, layer)
    yield _attention_matmul(step, layer, "qk")
    length = step.context
    per_row: Vector = {"mul": 2 * length, "max": length, "add": 2 * length, "exp": length, "div": 1}
    name = f"layers.{layer}.self_attn.softmax"
    scores = step.vector("softmax", name, layer, per_row, length, heads=step.config.num_heads)
    yield replace(scores, pieces=step.config.num_kv_heads * step.batch)
    yield _attention_matmul(step, layer, "pv")


def _kv_write(step: _Step, layer: int) -> Operator:
    """Store the new keys and values."""
    config = step.config
    return Operator(
        name=f"layers.{layer}.self_attn.kv_write",
        kind="kv",
        phase=step.phase,
        layer=layer,
        kv_write_bits=2 * step.batch * kv_layer_bits(config, step.kv, step.context - step.tokens, step.tokens),
        values_read=2 * config.kv_size * step.rows,
    )


def _attention_matmul(step: _Step, layer: int, kind: Literal["qk", "pv"]) -> Operator:
    """QK^T (n = context) or PV (k = context): one matmul per KV head, on the tokens of all heads that share it."""
    config = step.config
    heads, sharing, width = config.num_kv_heads, config.num_heads // config.num_kv_heads, config.head_dim
    if step.merge_heads:
        heads, sharing, width = 1, 1, config.num_heads * width
    return Operator(
        name=f"layers.{layer}.self_attn.{kind}",
        kind=kind,
        phase=step.phase,
        layer=layer,
        m=step.tokens * sharing,
        k=width if kind == "qk" else step.context,
        n=step.context if kind == "qk" else width,
        repeat=heads * step.batch,
        weight_format="activation",
        kv_read_bits=step.batch * kv_layer_bits(config, step.kv, 0, step.context),
    )


def _mlp(step: _Step, layer: int, shapes: dict[str, tuple[int, int]]) -> Iterator[Operator]:
    config, at = step.config, f"layers.{layer}.mlp."
    d, f = config.hidden_size, config.intermediate_size
    yield step.norm(f"layers.{layer}.post_attention_layernorm", layer, d)
    yield from step.quantise(f"{at}quantise", layer, d, step.recipe.gate_up)
    if config.ffn == "glu":
        yield from step.linear("mlp.gate_proj", layer, *shapes["mlp.gate_proj"])
    yield from step.linear("mlp.up_proj", layer, *shapes["mlp.up_proj"])
    yield step.vector("glu", f"{at}act_fn", layer, _activation(config), f, inputs=2 if config.ffn == "glu" else 1)
    if config.sub_norms:
        yield step.norm(f"{at}ffn_sub_norm", layer, f)
    yield from step.quantise(f"{at}down_quantise", layer, f, step.recipe.down)
    yield from step.linear("mlp.down_proj", layer, *shapes["mlp.down_proj"])
    yield step.vector("residual", f"{at}residual", layer, {"add": d}, d, inputs=2)


def _activation(config: ModelConfig) -> Vector:
    """Operations per token of the activation function and, with a GLU, of its product with `up`."""
    f = config.intermediate_size
    product = f if config.ffn == "glu" else 0
    if config.hidden_act == "relu2":
        return {"max": f, "mul": f + product}
    if config.hidden_act == "gelu_tanh":  # x^3, its factor, its sum with x and the slope before the exponential
        return {"exp": f, "add": 2 * f, "div": f, "mul": 5 * f + product}
    scaled = f if config.hidden_act == "gelu" else 0  # 1.702 x
    return {"exp": f, "add": f, "div": f, "mul": f + scaled + product}
