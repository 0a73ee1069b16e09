"""Attention and head in integers: rows equal to their plain twin, the cache's codes, and products by the twin."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bitsim.errors import OperandError
from bitsim.model.build_operators import forward_operators
from bitsim.model.decoded import ScaledIntegers
from bitsim.model.executor import ReferenceExecutor
from bitsim.model.kv_cache import KVCache
from bitsim.model.wide_products import IntegerProducts
from bitsim.quant import reference
from bitsim.quant.kv import KV_FORMATS
from bitsim.quant.wide import WIDE_CONTRACTS, codes_of
from bitsim.testing.numbers import tokens
from tests.model.tiny_models import CONFIG, in_integers

contracts = st.sampled_from(list(WIDE_CONTRACTS.values()))
seeds = st.integers(0, 2**32 - 1)
HEADS, KV_HEADS, WIDTH, VOCAB = CONFIG.num_heads, CONFIG.num_kv_heads, CONFIG.head_dim, CONFIG.vocab_size


@given(contracts, tokens())
@example(WIDE_CONTRACTS[4], np.float32([[7, -7, 3.5, 0.5], [1e-9, 0, -5e-10, 0], [0, 0, 0, 0]]))
def test_rows_equal_the_twin(contract, x: np.ndarray) -> None:
    codes, s = contract.quantise(x)
    assert (codes.dtype, s.dtype, s.shape) == (np.int8, np.float32, (len(x), 1))
    wanted = [reference.wide_row(row.tolist(), contract.bits) for row in x]
    np.testing.assert_array_equal(codes, [q for q, _ in wanted])
    np.testing.assert_array_equal(s[:, 0], [step for _, step in wanted])
    assert np.abs(codes.astype(int)).max() <= contract.most == 2 ** (contract.bits - 1) - 1


@given(contracts, st.integers(-60, 0), seeds)
def test_small_rows_keep_their_digits(contract, exponent: int, seed: int) -> None:
    """A power of two that multiplies all of a row changes no code, far below the 1e-5 of activations."""
    x = np.random.default_rng(seed).random((3, 16), dtype=np.float32)
    codes, s = contract.quantise(x)
    smaller, steps = contract.quantise(x * np.float32(2.0**exponent))
    np.testing.assert_array_equal(smaller, codes)
    np.testing.assert_array_equal(steps, s * np.float32(2.0**exponent))


@given(st.sampled_from(["kv8", "kv4", "kv3_bos4"]), st.lists(st.integers(1, 40), min_size=1, max_size=4), seeds)
def test_the_cache_gives_back_the_codes_that_it_was_given(name: str, sizes: list[int], seed: int) -> None:
    rng, cache, kv = np.random.default_rng(seed), KVCache(CONFIG, KV_FORMATS[name]), KV_FORMATS[name]
    given_, kept = [], None
    for size in sizes:
        heads = rng.normal(0, 10.0 ** rng.integers(-6, 3), (2, KV_HEADS, size, WIDTH)).astype(np.float32)
        cache.reserve(cache.length + size)
        given_.append([kv.quantise(x, cache.length) for x in heads])
        kept = cache.append(0, *heads)
        cache.advance(size)
    for which, (values, steps) in enumerate(zip(kept, cache.steps(0, cache.length), strict=True)):
        parts = [pair[which] for pair in given_]
        wanted = [part.codes.astype(int) - part.zero.astype(int) for part in parts]
        np.testing.assert_array_equal(codes_of(values, steps), np.concatenate(wanted, axis=1))
        np.testing.assert_array_equal(steps, np.concatenate([part.step for part in parts], axis=1))


def products(bits: int, tokens_: int, context: int, cache: KVCache) -> IntegerProducts:
    recipe = in_integers(CONFIG, bits)
    settings = {"phase": "prefill", "tokens": tokens_, "context": context, "recipe": recipe, "kv": recipe.kv}
    operators = iter(forward_operators(CONFIG, **settings))

    def listed(name: str):
        return next(op for op in operators if op.name.endswith(name))

    return IntegerProducts(recipe.wide, ReferenceExecutor(), listed, cache)


@given(st.sampled_from([8, 4]), st.integers(1, 3), st.integers(0, 5), seeds)
def test_attention_and_head_equal_the_twin(bits: int, new: int, past: int, seed: int) -> None:
    rng, cache, context = np.random.default_rng(seed), KVCache(CONFIG, KV_FORMATS[f"kv{bits}"]), past + new
    keys, values = rng.normal(0, 1, (2, KV_HEADS, context, WIDTH)).astype(np.float32)
    cache.reserve(context)
    stored = cache.append(0, keys, values)
    cache.advance(context)
    steps = cache.steps(0, context)
    q, p = (rng.normal(0, 3, (HEADS, new, size)).astype(np.float32) for size in (WIDTH, context))
    made = products(bits, new, context, cache)
    attention = made.attention(0, q, *stored)
    scores, mixed = attention.scores(slice(0, new), context), attention.mixed(np.abs(p))
    for head in range(HEADS):
        shared = head // (HEADS // KV_HEADS)
        codes = [codes_of(x, s)[shared].tolist() for x, s in zip(stored, steps, strict=True)]
        of_key, of_value = (s[shared, :, 0].tolist() for s in steps)
        for t in range(new):
            wanted = reference.wide_scores(q[head, t].tolist(), codes[0], of_key, bits)
            np.testing.assert_array_equal(scores[head, t], np.float32(wanted))
            wanted = reference.wide_mixed(np.abs(p)[head, t].tolist(), codes[1], of_value, bits)
            np.testing.assert_array_equal(mixed[head, t], np.float32(wanted))
    rows = rng.integers(-7, 8, (VOCAB, CONFIG.hidden_size)).astype(np.int8)
    weight = ScaledIntegers(rows, rng.random((VOCAB, 1), dtype=np.float32), bits=8 * rows.size)
    x = rng.normal(0, 1, (new, CONFIG.hidden_size)).astype(np.float32)
    logits = made.head(x, weight)
    for t in range(new):
        wanted = reference.wide_scores(x[t].tolist(), rows.tolist(), weight.scales[:, 0].tolist(), bits)
        np.testing.assert_array_equal(logits[t], np.float32(wanted))


def test_which_caches_can_be_multiplied() -> None:
    fits = {bits: {name for name, kv in KV_FORMATS.items() if c.takes(kv)} for bits, c in WIDE_CONTRACTS.items()}
    assert fits == {8: {"kv8", "kv4", "kv3_bos4", "kv3_bos8"}, 4: {"kv4", "kv3_bos4"}}


def test_numbers_that_are_not_finite_are_named() -> None:
    cache = KVCache(CONFIG, KV_FORMATS["kv8"])
    cache.append(0, *np.ones((2, KV_HEADS, 1, WIDTH), np.float32))
    q = np.full((HEADS, 1, WIDTH), np.nan, np.float32)
    with pytest.raises(OperandError, match=r"layers\.0\.self_attn\.q_quantise: activations\[0, 0\]: expected a finite"):
        products(8, 1, 1, cache).attention(0, q, *np.ones((2, KV_HEADS, 1, WIDTH), np.float32))
