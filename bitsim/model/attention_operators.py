"""The operators of attention over the KV cache: everything of a layer that depends on the positions before a step."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from bitsim.model.footprint import kv_layer_bits
from bitsim.model.operators import Operator, Tensor
from bitsim.model.step import Step, Vector, quantise_work

QUERIES, KEYS, MIXED = "self_attn.q_rotated", "self_attn.k_rotated", "self_attn.mixed"
SCORES, SHARES = "self_attn.scores", "self_attn.shares"
QUERY_CODES, SHARE_CODES = "self_attn.q_codes", "self_attn.share_codes"


def attend(step: Step, layer: int) -> Iterator[Operator]:
    """Keys and values are stored, then each block of new tokens attends all positions up to its own last one.

    For an integer wide datapath, queries and probabilities are quantised; keys and values are the cache's codes.
    Products of a token with later tokens of its own block are computed, and masked.
    """
    yield _kv_write(step, layer)
    if step.recipe.wide is not None:
        yield _query_codes(step, layer)
    for start, stop in step.blocks():
        yield from of_block(step, layer, start, stop)


def of_block(step: Step, layer: int, start: int, stop: int) -> tuple[Operator, ...]:
    """The attention of the tokens at positions `start` to `stop - 1`: QK^T, softmax, PV."""
    return (
        _matmul(step, layer, "qk", start, stop),
        _softmax(step, layer, start, stop),
        *(() if step.recipe.wide is None else (_share_codes(step, layer, start, stop),)),
        _matmul(step, layer, "pv", start, stop),
    )


def _query_codes(step: Step, layer: int) -> Operator:
    """Each head of each token has a scale of its own."""
    size, config = step.config.q_size, step.config
    read, codes = step.tensor(QUERIES, size), step.tensor(QUERY_CODES, size)
    name = f"layers.{layer}.self_attn.q_quantise"
    return step.wide_codes(name, layer, config.head_dim, read, codes, step.rows * config.num_heads)


def _share_codes(step: Step, layer: int, start: int, stop: int) -> Operator:
    """Probabilities of each head and token, times the scale of each position's values."""
    rows = stop - start
    read, codes = (_of_head(step, name, rows, stop) for name in (SHARES, SHARE_CODES))
    name, all_rows = f"layers.{layer}.self_attn.p_quantise", rows * step.batch * step.config.num_heads
    return step.wide_codes(name, layer, stop, read, codes, all_rows, scaled=True)


def _kv_write(step: Step, layer: int) -> Operator:
    """Store the new keys and values, after quantising each head of them if the cache holds codes."""
    config, name = step.config, f"layers.{layer}.self_attn.kv_write"
    work = {} if isinstance(step.kv, int) else quantise_work(config.head_dim)
    read = step.tensor(KEYS, config.kv_size), step.tensor("self_attn.v_proj", config.kv_size)
    bits = 2 * step.batch * kv_layer_bits(config, step.kv, step.context - step.tokens, step.tokens)
    heads = step.vector("kv", name, layer, work, read, (), 2 * step.rows * config.num_kv_heads)
    return replace(heads, rows=step.rows, kv_write_bits=bits)


def _of_head(step: Step, name: str, rows: int, context: int) -> Tensor:
    """A number for every head, row and attended position, those of one KV head at a time."""
    config = step.config
    sharing = config.num_heads // config.num_kv_heads
    return Tensor(name=name, values=step.batch * config.num_heads * rows * context, alive=sharing * rows * context)


def _softmax(step: Step, layer: int, start: int, stop: int) -> Operator:
    rows = stop - start
    per_row: Vector = {"mul": 2 * stop, "max": stop, "add": 2 * stop, "exp": stop, "div": 1}
    scores, shares = (_of_head(step, name, rows, stop) for name in (SCORES, SHARES))
    name = f"layers.{layer}.self_attn.softmax"
    all_rows = rows * step.batch * step.config.num_heads
    return step.vector("softmax", name, layer, per_row, (scores,), (shares,), all_rows)


def _matmul(step: Step, layer: int, kind: Literal["qk", "pv"], start: int, stop: int) -> Operator:
    """QK^T (n = stop) or PV (k = stop): one matmul per KV head, on the tokens of all heads that share it."""
    config, rows = step.config, stop - start
    heads, sharing, width = config.num_kv_heads, config.num_heads // config.num_kv_heads, config.head_dim
    if step.merge_heads:
        heads, sharing, width = 1, 1, config.num_heads * width
    part, whole = (count * step.batch * config.q_size for count in (rows, step.tokens))
    queries, shares = (QUERIES, SHARES) if step.recipe.wide is None else (QUERY_CODES, SHARE_CODES)
    mine = Tensor(name=queries if kind == "qk" else MIXED, values=part, alive=whole)
    head = _of_head(step, SCORES if kind == "qk" else shares, rows, stop)
    read, written = (mine, head) if kind == "qk" else (head, mine)
    return Operator(
        name=f"layers.{layer}.self_attn.{kind}",
        kind=kind,
        phase=step.phase,
        layer=layer,
        m=rows * sharing,
        k=width if kind == "qk" else stop,
        n=stop if kind == "qk" else width,
        repeat=heads * step.batch,
        weight_format="activation",
        kv_read_bits=step.batch * kv_layer_bits(config, step.kv, 0, stop),
        reads=(read if step.recipe.wide is None else replace(read, form="wide_codes"),),
        writes=(written,),
    )
