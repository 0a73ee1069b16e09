"""The operators of one step of a model, in the order in which the forward pass executes them.

`estimate` lists them; `forward` consumes the same list and checks every array against it, so both see the same work.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from bitsim.errors import ConfigError
from bitsim.model.attention_operators import KEYS, MIXED, QUERIES, attend
from bitsim.model.config import ModelConfig
from bitsim.model.footprint import FP16_BITS, embedding_row_bits, head_bits
from bitsim.model.operators import Operator, Phase, Tensor, WeightFormat
from bitsim.model.step import Logits, Step, Vector
from bitsim.quant.kv import KVStorage
from bitsim.quant.recipes import Recipe, recipe_named

HIDDEN = "hidden"  # the sum that residuals are added to


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
    query_block: int | None = None,
    logits: Logits = "all",
) -> list[Operator]:
    """All operators of one step.

    * `tokens`: new positions per sequence; `context`: positions attended after the step, the new ones included.
    * `query_block`: tokens whose attention is worked off together; each block attends the positions up to its own last
      one, so that smaller blocks come closer to the causal triangle. None: all tokens, the full tokens x context
      rectangle. The causal mask is applied to what is left.
    * `recipe`: what quantises the linears' inputs; by default what the model's `linear_class` says. `kv`: bits per
      value of the KV cache, or its format.
    * `merge_heads`: count QK^T as one (s, d, s) and PV as one (s, s, d) matmul per sequence, as arXiv 2310.11453
      does in its energy table; the MACs are the same.
    * `logits`: positions for which last norm and head are computed: the last one of each sequence, all, or none (of a
      prompt that goes on). Embedding and head are FP16, unless the config stores them in fewer bits.

    KV traffic: a step writes the keys and values of its `tokens`; each block's QK^T and PV read those of all positions
    that it attends. Vector operators read their inputs once and write their outputs once, norm weights apart.
    """
    block = tokens if query_block is None else query_block
    if not 0 < tokens <= context or batch < 1 or block < 1:
        raise ConfigError(
            f"{config.name}: expected 0 < tokens <= context, batch >= 1, query_block >= 1, "
            f"got tokens {tokens}, context {context}, batch {batch}, query_block {block}"
        )
    step = Step(
        config=config,
        phase=phase,
        tokens=tokens,
        context=context,
        batch=batch,
        recipe=recipe or recipe_named(config.default_numerics),
        kv=kv,
        merge_heads=merge_heads,
        query_block=min(block, tokens),
        logits=logits,
    )
    operators = list(_first_step(replace(step, context=tokens)))
    if context > tokens:
        starts = [i for i, op in enumerate(operators) if op.kind == "kv" and op.kv_write_bits]
        for layer, start in enumerate(starts):
            attended = list(attend(step, layer))
            operators[start : start + len(attended)] = attended
    return operators


@lru_cache(maxsize=16)
def _first_step(step: Step) -> tuple[Operator, ...]:
    """All operators of a step that attends its own tokens only; most of them are those of every later step."""
    config = step.config
    operators = [
        Operator(
            name="embed_tokens",
            kind="embedding",
            phase=step.phase,
            m=step.rows,
            rows=step.rows,
            dram_read_bits=step.rows * embedding_row_bits(config),
            writes=(step.tensor(HIDDEN, config.hidden_size),),
        )
    ]
    shapes = {name: (n, k) for name, n, k in config.linear_shapes()}
    for layer in range(config.num_layers):
        operators.extend(_attention(step, layer, shapes))
        operators.extend(_mlp(step, layer, shapes))
    operators.extend(_head(step))
    return tuple(operators)


def _attention(step: Step, layer: int, shapes: dict[str, tuple[int, int]]) -> Iterator[Operator]:
    config, at = step.config, f"layers.{layer}.self_attn."
    d, q, k = config.hidden_size, step.config.q_size, step.config.kv_size
    normed = step.tensor("self_attn.normed", d)
    yield step.norm(f"layers.{layer}.input_layernorm", layer, d, step.tensor(HIDDEN, d), normed)
    x = yield from step.quantise(f"{at}quantise", layer, d, step.recipe.qkv, normed)
    for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
        yield from step.linear(name, layer, *shapes[name], x)
    yield from _head_norms(step, layer)
    rope: Vector = {"mul": 2 * (q + k), "add": q + k}
    plain = tuple(step.tensor(f"self_attn.{name}_proj", size) for name, size in (("q", q), ("k", k)))
    rotated = step.tensor(QUERIES, q), step.tensor(KEYS, k)
    yield step.vector("rope", f"{at}rope", layer, rope, plain, rotated)
    yield from attend(step, layer)
    mixed = step.tensor(MIXED, q)
    if config.sub_norms:
        normed = step.tensor("self_attn.sub_normed", q)
        yield step.norm(f"{at}attn_sub_norm", layer, q, mixed, normed)
        mixed = normed
    y = yield from step.quantise(f"{at}o_quantise", layer, q, step.recipe.o, mixed)
    yield from step.linear("self_attn.o_proj", layer, *shapes["self_attn.o_proj"], y)
    yield _residual(step, f"{at}residual", layer, "self_attn.o_proj")


def _head_norms(step: Step, layer: int) -> Iterator[Operator]:
    """RMSNorm of every head of queries and keys, in place."""
    config = step.config
    if not config.qk_norm:
        return
    size = config.head_dim
    for name, heads in (("q", config.num_heads), ("k", config.num_kv_heads)):
        work: Vector = {"mul": 3 * size, "add": size, "rsqrt": 1}
        x, at = step.tensor(f"self_attn.{name}_proj", heads * size), f"layers.{layer}.self_attn.{name}_norm"
        yield step.vector("norm", at, layer, work, (x,), (x,), step.rows * heads)


def _residual(step: Step, name: str, layer: int, added: str) -> Operator:
    d = step.config.hidden_size
    hidden = step.tensor(HIDDEN, d)
    return step.vector("residual", name, layer, {"add": d}, (hidden, step.tensor(added, d)), (hidden,))


def _mlp(step: Step, layer: int, shapes: dict[str, tuple[int, int]]) -> Iterator[Operator]:
    config, at = step.config, f"layers.{layer}.mlp."
    d, f = config.hidden_size, config.intermediate_size
    normed = step.tensor("mlp.normed", d)
    yield step.norm(f"layers.{layer}.post_attention_layernorm", layer, d, step.tensor(HIDDEN, d), normed)
    x = yield from step.quantise(f"{at}quantise", layer, d, step.recipe.gate_up, normed)
    names = ["mlp.gate_proj", "mlp.up_proj"] if config.ffn == "glu" else ["mlp.up_proj"]
    for name in names:
        yield from step.linear(name, layer, *shapes[name], x)
    inside = step.tensor("mlp.act", f)
    inputs = tuple(step.tensor(name, f) for name in names)
    yield step.vector("glu", f"{at}act_fn", layer, _activation(config), inputs, (inside,))
    if config.sub_norms:
        normed = step.tensor("mlp.sub_normed", f)
        yield step.norm(f"{at}ffn_sub_norm", layer, f, inside, normed)
        inside = normed
    y = yield from step.quantise(f"{at}down_quantise", layer, f, step.recipe.down, inside)
    yield from step.linear("mlp.down_proj", layer, *shapes["mlp.down_proj"], y)
    yield _residual(step, f"{at}residual", layer, "mlp.down_proj")


def _head(step: Step) -> Iterator[Operator]:
    """The last norm and the logits, of as many positions as are asked for."""
    config, rows = step.config, step.logit_rows
    if not rows:
        return
    d, vocab = config.hidden_size, config.vocab_size
    hidden = replace(step.tensor(HIDDEN, d), values=rows * d)
    normed = Tensor(name="normed", values=rows * d, alive=rows * d)
    logits = Tensor(name="logits", values=rows * vocab, alive=rows * vocab)
    yield step.norm("norm", None, d, hidden, normed, rows)
    if step.recipe.wide is not None or step.recipe.head is not None:
        codes = replace(normed, name="normed_codes", form="wide_codes" if step.recipe.head is None else "codes")
        yield step.wide_codes("lm_head.quantise", None, d, normed, codes, rows, form=codes.form)
        normed = codes
    yield Operator(
        name="lm_head",
        kind="head",
        phase=step.phase,
        m=rows,
        k=d,
        n=vocab,
        weight_format=_head_format(step),
        weight_bits=head_bits(config),
        reads=(normed,),
        writes=(logits,),
    )


def _head_format(step: Step) -> WeightFormat:
    """How the datapath of the head takes its weights: as codes, or dequantised."""
    if step.recipe.head is not None:
        return "ternary"
    return "fp16" if step.config.head_bits == FP16_BITS or step.recipe.wide else "scaled_integers"


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
