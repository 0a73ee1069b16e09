"""The forward pass: what it executes is what is listed, the KV cache changes nothing, misuse is refused by name."""

from dataclasses import replace

import numpy as np
import pytest

from bitsim.errors import ConfigError, OperandError
from bitsim.model.build_operators import forward_operators
from bitsim.model.checkpoint import random_model
from bitsim.model.executor import ReferenceExecutor
from bitsim.model.forward import activate, forward
from bitsim.model.kv_cache import KVCache
from bitsim.model.rotary import rotary_table, rotate
from bitsim.model.variants import stored_as
from bitsim.quant.recipes import recipe_named
from tests.model.tiny_models import A48_CONFIG, CONFIG, CONFIGS, FLOAT_CONFIG, Recorder, in_integers

TOKENS = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5])


def run(model, tokens, cache, executor=None):
    recipe = recipe_named(model.config.default_numerics)
    return forward(model.config, model.weights, tokens, cache, executor or ReferenceExecutor(), recipe)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("bits", [16, 32])
def test_decode_equals_prefill(config, bits):
    """One token at a time, in chunks, or all at once: the same logits up to float32 rounding."""
    model = random_model(config, 1)
    whole = run(model, TOKENS, KVCache(config, bits))
    for sizes in ([1] * len(TOKENS), [4, 1, 6]):
        cache, parts, start = KVCache(config, bits), [], 0
        for size in sizes:
            parts.append(run(model, TOKENS[start : start + size], cache))
            start += size
        assert cache.length == len(TOKENS)
        np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0, atol=2e-6 * np.abs(whole).max())


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_executes_what_is_listed(config):
    model, recorder = random_model(config, 2), Recorder()
    cache = KVCache(config, 16)
    run(model, TOKENS, cache, recorder)
    assert recorder.operators == forward_operators(config, phase="prefill", tokens=11, context=11)
    recorder.operators.clear()
    run(model, TOKENS[:1], cache, recorder)
    assert recorder.operators == forward_operators(config, phase="decode", tokens=1, context=12)
    for name, (q, _) in recorder.linears.items():
        low, high = recipe_named(config.default_numerics).of(name).code_range
        assert low <= q.min() <= q.max() <= high


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("block", [None, 4])
def test_executes_what_is_listed_in_integers(bits, block):
    recipe, recorder = in_integers(CONFIG, bits), Recorder()
    model, cache = stored_as(random_model(CONFIG, 2), head_bits=bits), KVCache(CONFIG, recipe.kv)
    for tokens, phase in ((TOKENS, "prefill"), (TOKENS[:1], "decode")):
        recorder.operators.clear()
        forward(model.config, model.weights, tokens, cache, recorder, recipe, query_block=block)
        assert recorder.operators == forward_operators(
            model.config, phase=phase, tokens=len(tokens), context=cache.length, recipe=recipe, kv=recipe.kv,
            query_block=block,
        )  # fmt: skip


def test_integers_that_nobody_gave_are_refused():
    recipe = in_integers(CONFIG, 8)
    model = random_model(CONFIG, 1)
    with pytest.raises(ConfigError, match=r"attention_int8: expected a head of integers \(head_bits 8\)"):
        forward(CONFIG, model.weights, TOKENS, KVCache(CONFIG, 8), ReferenceExecutor(), recipe)
    for bits in (32, 16):
        with pytest.raises(ConfigError, match=f"a KV cache of codes of at most 8 bits around zero, got {bits}"):
            forward(CONFIG, model.weights, TOKENS, KVCache(CONFIG, bits), ReferenceExecutor(), recipe)
    floats, recipe = random_model(FLOAT_CONFIG, 1), in_integers(FLOAT_CONFIG, 8)
    with pytest.raises(ConfigError, match="the linears are floats, which an integer wide datapath does not take"):
        forward(FLOAT_CONFIG, floats.weights, TOKENS, KVCache(FLOAT_CONFIG, 8), ReferenceExecutor(), recipe)


def test_every_linear_is_quantised_by_its_own_contract():
    called = []

    def named(contract, name):
        def quantise(x):
            called.append(name)
            return contract.quantise_activations(x)

        return replace(contract, quantise_activations=quantise)

    recipe, parts = recipe_named("a48"), ("qkv", "o", "gate_up", "down")
    recipe = replace(recipe, **{part: named(getattr(recipe, part), part) for part in parts})
    model = random_model(A48_CONFIG, 4)
    forward(A48_CONFIG, model.weights, TOKENS, KVCache(A48_CONFIG), ReferenceExecutor(), recipe)
    assert called == list(parts) * A48_CONFIG.num_layers


class Scrambler(Recorder):
    """Returns nonsense for outputs that are said not to be needed."""

    def __init__(self):
        super().__init__()
        self.live = {}

    def bitlinear(self, op, x_q, weight, live=None):
        sums = super().bitlinear(op, x_q, weight)
        self.live[op.name] = live
        return sums if live is None else np.where(live, sums, 12345)


def test_outputs_where_the_gate_is_zero_are_not_needed():
    model, scrambler = random_model(A48_CONFIG, 9), Scrambler()
    logits = run(model, TOKENS, KVCache(A48_CONFIG), scrambler)
    np.testing.assert_array_equal(logits, run(model, TOKENS, KVCache(A48_CONFIG)))
    masks = {name: live for name, live in scrambler.live.items() if live is not None}
    assert set(masks) == {f"layers.{i}.mlp.up_proj" for i in range(A48_CONFIG.num_layers)}
    for name, live in masks.items():
        gate = scrambler.linears[name.replace("up_proj", "gate_proj")][1]
        np.testing.assert_array_equal(live, gate > 0)


def test_another_papers_activations_on_the_same_weights_are_allowed():
    model = random_model(CONFIG, 5)
    logits = forward(CONFIG, model.weights, TOKENS, KVCache(CONFIG), ReferenceExecutor(), recipe_named("a48"))
    assert np.isfinite(logits).all()
    with pytest.raises(
        ConfigError, match=r"mlp\.down_proj: numerics 'v2_a4' .* expected a power of two of values, got 44"
    ):
        forward(CONFIG, model.weights, TOKENS, KVCache(CONFIG), ReferenceExecutor(), recipe_named("v2_a4"))


def test_future_tokens_do_not_matter():
    model = random_model(CONFIG, 3)
    a = run(model, TOKENS, KVCache(CONFIG))
    b = run(model, np.concatenate((TOKENS[:6], [40, 41, 42])), KVCache(CONFIG))
    np.testing.assert_allclose(a[:6], b[:6], rtol=0, atol=1e-6 * np.abs(a).max())
    assert not np.allclose(a[6], b[6])


def test_cache_grows_and_ends():
    config = replace(CONFIG, max_position_embeddings=70)
    model, cache = random_model(config, 4), KVCache(replace(CONFIG, max_position_embeddings=70), 32)
    long = np.arange(70) % config.vocab_size
    whole = run(model, long, KVCache(config, 32))
    run(model, long[:60], cache)
    np.testing.assert_allclose(run(model, long[60:], cache), whole[60:], rtol=0, atol=2e-6 * np.abs(whole).max())
    with pytest.raises(OperandError, match="expected at most 70 positions, got 71"):
        run(model, long[:1], cache)


def test_cache_widths():
    with pytest.raises(ConfigError, match=r"one of 32, 16, 8, 4, 3 bits per value \(got 5\)"):
        KVCache(CONFIG, 5)
    cache = KVCache(CONFIG, 16)
    big = np.full((2, 1, 8), 1e5, np.float32)
    with pytest.raises(OperandError, match=r"layers\.1: keys leave the range of float16"):
        cache.append(1, big, big)


@pytest.mark.parametrize("bits", [8, 4, 3])
def test_quantised_cache_keeps_what_its_codes_read_back_as(bits):
    rng = np.random.default_rng(bits)
    keys, values = (rng.normal(size=(2, 5, 8)).astype(np.float32) for _ in range(2))
    cache = KVCache(CONFIG, bits)
    parts = []
    for start, end in ((0, 3), (3, 5)):
        cache.reserve(end)
        for layer in range(CONFIG.num_layers):
            parts = cache.append(layer, keys[:, start:end], values[:, start:end])
        cache.advance(end - start)
    for kept, given in zip(parts, (keys, values), strict=True):
        for head, position in np.ndindex(2, 5):
            level = 2 ** ((4 if bits == 3 and position == 0 else bits) - 1) - 1
            row, most = given[head, position], np.abs(given[head, position]).max()
            expected = np.rint(row.astype(np.float64) * level / most) * most / level
            np.testing.assert_allclose(kept[head, position], expected, rtol=1e-6, atol=1e-6)


def test_wrong_contract_and_shapes():
    model = random_model(CONFIG, 5)
    with pytest.raises(ConfigError, match="use 'hf_autobitlinear'"):
        forward(CONFIG, model.weights, TOKENS, KVCache(CONFIG), ReferenceExecutor(), recipe_named("hf_bitlinear_fp32"))

    class Cut(ReferenceExecutor):
        def bitlinear(self, op, x_q, weight, live=None):
            return super().bitlinear(op, x_q, weight)[:, 1:]

    with pytest.raises(OperandError, match=r"layers\.0\.self_attn\.q_proj: the executor was to return \(11, 32\)"):
        run(model, TOKENS, KVCache(CONFIG), Cut())
    other = random_model(replace(CONFIG, intermediate_size=48), 5).weights
    with pytest.raises(OperandError, match=r"layers\.0\.mlp\.gate_proj: expected .*\(44, 32\)"):
        run(replace(model, weights=other), TOKENS, KVCache(CONFIG))


def test_infinite_activations_are_named():
    model = random_model(CONFIG, 6)
    layer = replace(model.weights.layers[1], post_attention_norm=np.full(32, 3e38, np.float32))
    broken = replace(model, weights=replace(model.weights, layers=(model.weights.layers[0], layer)))
    with pytest.raises(OperandError, match=r"layers\.1\.mlp\.quantise: activations\[0, \d+\]: expected a finite"):
        run(broken, TOKENS, KVCache(CONFIG))


def test_grouped_queries_share_keys():
    """Repeating the KV heads of a GQA model by hand gives the same logits as an MHA model."""
    model = random_model(FLOAT_CONFIG, 7)
    wide = replace(FLOAT_CONFIG, num_kv_heads=4)

    def repeat(weight):
        heads = weight.stored.reshape(2, 8, 32)
        return replace(weight, stored=np.repeat(heads, 2, axis=0).reshape(32, 32))

    layers = tuple(replace(w, k=repeat(w.k), v=repeat(w.v)) for w in model.weights.layers)
    same = replace(model, config=wide, weights=replace(model.weights, layers=layers))
    np.testing.assert_array_equal(run(same, TOKENS, KVCache(wide)), run(model, TOKENS, KVCache(FLOAT_CONFIG)))


def test_activations():
    x = np.float32([-200, -1, 0, 0.5, 3])
    np.testing.assert_array_equal(activate(x, "relu2"), np.float32([0, 0, 0, 0.25, 9]))
    sigmoid = 1 / (1 + np.exp(-x.astype(np.float64)))
    np.testing.assert_allclose(activate(x, "silu"), x * sigmoid, rtol=1e-6, atol=1e-30)
    np.testing.assert_allclose(activate(x, "gelu")[3:], x[3:] / (1 + np.exp(-1.702 * x[3:])), rtol=1e-6)


def test_rotation_keeps_lengths_and_relative_positions():
    cos, sin = rotary_table(8, 10000.0, 32)
    rng = np.random.default_rng(0)
    q, k = rng.standard_normal((2, 1, 1, 8)).astype(np.float32)
    at = [rotate(np.repeat(v, 32, axis=1), cos, sin)[0] for v in (q, k)]
    np.testing.assert_allclose(np.linalg.norm(at[0], axis=1), np.linalg.norm(q), rtol=1e-5)
    scores = at[0] @ at[1].T
    np.testing.assert_allclose(np.diag(scores, 3), scores[3 - 3, 3], rtol=1e-3, atol=1e-4)
