"""Operators: their MACs, traffic and vector work are the closed forms of the model's shape."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsim.errors import ConfigError
from bitsim.model.build_operators import forward_operators
from bitsim.model.zoo import zoo_config, zoo_names
from bitsim.quant.kv import KV_FORMATS
from bitsim.quant.recipes import recipe_named
from tests.model.tensors import values_moved
from tests.model.tiny_models import (
    A48_CONFIG,
    B1_CONFIG,
    BIASED_CONFIG,
    CONFIG,
    CONFIGS,
    FLOAT_CONFIG,
    NORMED_CONFIG,
    V2_CONFIG,
)

configs = st.sampled_from(list(CONFIGS.values()))
steps = st.tuples(st.integers(1, 20), st.integers(0, 30), st.integers(1, 4))


def macs(operators):
    total = Counter()
    for op in operators:
        total[op.kind] += op.macs
    return total


@settings(deadline=None)
@given(configs, steps)
def test_macs_are_closed_forms(config, step):
    tokens, past, batch = step
    context = past + tokens
    operators = forward_operators(config, phase="prefill", tokens=tokens, context=context, batch=batch)
    counted = macs(operators)
    attention = config.num_layers * config.q_size * tokens * context * batch
    assert counted["linear"] == config.linear_weights * tokens * batch
    assert counted["qk"] == counted["pv"] == attention
    assert counted["head"] == tokens * batch * config.vocab_size * config.hidden_size
    merged = forward_operators(config, phase="prefill", tokens=tokens, context=context, batch=batch, merge_heads=True)
    assert macs(merged) == counted
    assert [op.name for op in merged] == [op.name for op in operators]


@settings(deadline=None)
@given(configs, steps, st.sampled_from([4, 8, 16]))
def test_kv_traffic(config, step, kv_bits):
    tokens, past, batch = step
    operators = forward_operators(config, phase="decode", tokens=tokens, context=past + tokens, batch=batch, kv=kv_bits)
    position = config.num_layers * 2 * config.kv_size * kv_bits * batch
    assert sum(op.kv_write_bits for op in operators) == tokens * position
    assert sum(op.kv_read_bits for op in operators) == (past + tokens) * position
    assert sum(op.dram_read_bits for op in operators) == tokens * batch * config.hidden_size * 16


def test_names_are_unique_and_ordered():
    for config in CONFIGS.values():
        operators = forward_operators(config, phase="prefill", tokens=3, context=3)
        names = [op.name for op in operators]
        assert len(set(names)) == len(names)
        assert (names[0], names[-2:]) == ("embed_tokens", ["norm", "lm_head"])
        assert [op.layer for op in operators[1:-2]] == sorted(op.layer for op in operators[1:-2])
        kinds = Counter(op.kind for op in operators)
        linears = len(list(config.linear_shapes()))
        own_norms = 0 if config.linear_norm_eps is None else linears  # each with a quantiser of its own
        assert kinds["quantise"] == ((own_norms or 4) * config.num_layers if config.quantised else 0)
        per_layer = 2 + 2 * config.sub_norms + 2 * config.qk_norm + own_norms
        assert kinds["norm"] == config.num_layers * per_layer + 1
        biases = {"none": 0, "qkv": 3, "qkvo": 4}[config.attention_bias] + 3 * config.mlp_bias
        assert kinds["bias"] == config.num_layers * biases
        assert all(op.is_bitlinear == (op.kind == "linear" and config.quantised) for op in operators)


def test_one_block_by_hand():
    """Hidden 32, ffn 44, 4 heads of 8 over 2 KV heads; 3 tokens on 5 earlier positions."""
    operators = {op.name: op for op in forward_operators(CONFIG, phase="prefill", tokens=3, context=8)}
    q, qk, pv = (operators[f"layers.1.self_attn.{name}"] for name in ("q_proj", "qk", "pv"))
    assert (q.m, q.k, q.n, q.repeat, q.weight_format, q.weight_bits) == (3, 32, 32, 1, "ternary", 2 * 32 * 32)
    assert (qk.m, qk.k, qk.n, qk.repeat, qk.weight_bits) == (6, 8, 8, 2, 0)
    assert (pv.m, pv.k, pv.n, pv.repeat) == (6, 8, 8, 2)
    assert operators["layers.0.input_layernorm"].vector == {"mul": 3 * 96, "add": 3 * 32, "rsqrt": 3}
    assert operators["layers.0.self_attn.quantise"].vector == {"max": 96, "cvt": 96, "div": 3}
    assert operators["layers.0.self_attn.rope"].vector == {"mul": 2 * 3 * 48, "add": 3 * 48}
    rows = 3 * 4
    assert operators["layers.0.self_attn.softmax"].vector == {
        "mul": rows * 16,
        "max": rows * 8,
        "add": rows * 16,
        "exp": rows * 8,
        "div": rows,
    }
    assert operators["layers.0.mlp.act_fn"].vector == {"max": 3 * 44, "mul": 2 * 3 * 44}
    assert operators["layers.0.mlp.residual"].vector == {"add": 96}
    moved = {name: values_moved(op) for name, op in operators.items() if op.layer == 0}
    assert moved["layers.0.mlp.residual"] == (192, 96)
    assert moved["layers.0.mlp.act_fn"] == (2 * 3 * 44, 3 * 44)
    assert moved["layers.0.self_attn.softmax"] == (rows * 8, rows * 8)
    assert moved["layers.0.self_attn.rope"] == (3 * 48, 3 * 48)
    assert moved["layers.0.self_attn.kv_write"] == (3 * 2 * 16, 0)
    assert moved["layers.0.self_attn.qk"] == (3 * 32, rows * 8)
    assert moved["layers.0.self_attn.pv"] == (rows * 8, 3 * 32)
    assert moved["layers.0.self_attn.k_proj"] == (3 * 32, 3 * 16)
    (scores,) = operators["layers.0.self_attn.softmax"].reads
    assert scores.alive == rows * 8 // 2  # those of a KV head at a time
    assert qk.kv_read_bits == pv.kv_read_bits == 8 * 16 * 16
    assert values_moved(operators["embed_tokens"]) == (0, 96)
    assert operators["lm_head"].weight_bits == 16 * 50 * 32
    silu = {op.name: op for op in forward_operators(FLOAT_CONFIG, phase="decode", tokens=1, context=8)}
    assert silu["layers.0.mlp.act_fn"].vector == {"exp": 44, "add": 44, "div": 44, "mul": 88}
    assert silu["layers.0.mlp.up_proj"].weight_bits == 16 * 44 * 32
    gelu = forward_operators(CONFIGS["binary mlp"], phase="decode", tokens=1, context=8)
    act = next(op for op in gelu if op.kind == "glu")
    assert act.vector == {"exp": 44, "add": 44, "div": 44, "mul": 88}
    assert not any("gate_proj" in op.name for op in gelu)
    assert next(op for op in gelu if op.name.endswith("up_proj")).weight_bits == 44 * 32


def test_quantisers_and_norms_of_the_family_by_hand():
    """3 tokens: hidden 32, FFN 44 (v2: 64). A Hadamard transform of 2^m values takes m 2^m additions."""

    def work(config, name):
        operators = forward_operators(config, phase="prefill", tokens=3, context=3)
        return next(op.vector for op in operators if op.name == f"layers.0.{name}")

    assert work(B1_CONFIG, "input_layernorm") == {"mul": 3 * 64, "add": 3 * 96, "rsqrt": 3}
    assert work(B1_CONFIG, "mlp.down_quantise") == {"max": 3 * 44, "cvt": 3 * 44, "div": 3}
    assert work(A48_CONFIG, "self_attn.quantise") == {"add": 96, "cvt": 96, "div": 3}
    assert work(A48_CONFIG, "self_attn.o_quantise") == {"max": 9 * 96, "cvt": 96, "div": 3}
    assert work(A48_CONFIG, "mlp.quantise") == {"add": 96, "cvt": 96, "div": 3}
    assert work(A48_CONFIG, "mlp.down_quantise") == {"max": 3 * 44, "cvt": 3 * 44, "div": 3}
    assert work(V2_CONFIG, "self_attn.o_quantise") == {"add": 96 + 5 * 96, "mul": 96, "cvt": 96, "div": 3}
    assert work(V2_CONFIG, "mlp.down_quantise") == {"add": 192 + 6 * 192, "mul": 192, "cvt": 192, "div": 3}


def test_additions_of_a_hadamard_transform_are_those_of_its_definition():
    """Counted by numbers that count, in the recursion `[H a + H b; H a - H b]`."""

    class Counting:
        additions = 0

        def __add__(self, other):
            Counting.additions += 1
            return self

        __sub__ = __add__

    def transform(part):
        if len(part) == 1:
            return part
        a, b = transform(part[: len(part) // 2]), transform(part[len(part) // 2 :])
        return [p + q for p, q in zip(a, b, strict=True)] + [p - q for p, q in zip(a, b, strict=True)]

    for size in (1, 2, 8, 64):
        Counting.additions = 0
        transform([Counting()] * size)
        hadamard = recipe_named("v2_a8").down.quantise_work(size)
        assert hadamard.get("add", 0) == Counting.additions


def test_quantised_kv_traffic_by_hand():
    """2 KV heads of 8; 3-bit codes, 8 bits at position 0, 16-bit steps: what the first two and the next token move."""
    kv = KV_FORMATS["kv3_bos8"]

    def moved(tokens, context):
        operators = forward_operators(CONFIG, phase="decode", tokens=tokens, context=context, kv=kv)
        layer = [op for op in operators if op.layer == 1 and op.kind in ("kv", "qk", "pv")]
        return sum(op.kv_write_bits for op in layer), sum(op.kv_read_bits for op in layer)

    first, other = 2 * 2 * (8 * 8 + 16), 2 * 2 * (8 * 3 + 16)
    assert moved(2, 2) == (first + other, first + other)
    assert moved(1, 3) == (other, first + 2 * other)


def test_merged_heads_are_the_papers_shapes():
    """arXiv 2310.11453: QK^T is (s, d, s) and PV is (s, s, d)."""
    config = zoo_config("fp16-6.7b")
    operators = forward_operators(config, phase="prefill", tokens=512, context=512, merge_heads=True)
    qk, pv = (next(op for op in operators if op.kind == kind) for kind in ("qk", "pv"))
    assert (qk.m, qk.k, qk.n, qk.repeat) == (512, 4096, 512, 1)
    assert (pv.m, pv.k, pv.n, pv.repeat) == (512, 512, 4096, 1)
    counted = macs(operators)
    assert counted["linear"] + counted["qk"] + counted["pv"] == 512 * (12 * 32 * 4096**2 + 2 * 512 * 4096 * 32)


def test_weight_bits_follow_the_packing():
    odd = replace(CONFIG, intermediate_size=45)
    operators = {op.name: op for op in forward_operators(odd, phase="decode", tokens=1, context=1)}
    assert operators["layers.0.mlp.up_proj"].weight_bits == 8 * 12 * 32  # 45 rows are stored as 48
    for bits, row_bytes in ((Fraction(8, 5), 7), (Fraction(27, 16), 7), (Fraction(1), 4)):  # 32 weights, whole bytes
        packed = replace(odd, weight_bits_per_weight=bits)
        operators = {op.name: op for op in forward_operators(packed, phase="decode", tokens=1, context=1)}
        assert operators["layers.0.mlp.up_proj"].weight_bits == 8 * 45 * row_bytes
    config = zoo_config("bitnet-b158-2b4t")
    operators = forward_operators(config, phase="decode", tokens=1, context=1)
    assert sum(op.weight_bits for op in operators if op.kind == "linear") == 2 * 2_084_044_800


def test_every_zoo_shape_lists():
    for name in zoo_names():
        assert forward_operators(zoo_config(name), phase="prefill", tokens=512, context=512, batch=2)


@pytest.mark.parametrize(("tokens", "context", "batch"), [(0, 1, 1), (2, 1, 1), (1, 1, 0)])
def test_impossible_steps(tokens, context, batch):
    with pytest.raises(ConfigError, match="expected 0 < tokens <= context"):
        forward_operators(CONFIG, phase="decode", tokens=tokens, context=context, batch=batch)


def test_norms_of_heads_and_of_linears_and_biases_by_hand():
    """3 tokens; 4 query and 2 KV heads of 6; q_proj 24 x 32, down_proj 32 x 44."""
    normed = {op.name: op for op in forward_operators(NORMED_CONFIG, phase="prefill", tokens=3, context=3)}
    at = "layers.1.self_attn."
    assert normed[f"{at}q_norm"].vector == {"mul": 3 * 6 * 12, "add": 6 * 12, "rsqrt": 12}
    assert normed[f"{at}k_norm"].vector == {"mul": 3 * 6 * 6, "add": 6 * 6, "rsqrt": 6}
    assert (values_moved(normed[f"{at}q_norm"])[0], values_moved(normed[f"{at}k_norm"])[1]) == (72, 36)
    assert normed[f"{at}q_proj.bias"].vector == {"add": 3 * 24}
    biased = {op.name: op for op in forward_operators(BIASED_CONFIG, phase="prefill", tokens=3, context=3)}
    assert biased["layers.0.mlp.down_proj.norm"].vector == {"mul": 3 * 3 * 44, "add": 3 * 44, "rsqrt": 3}
    assert biased["layers.0.mlp.down_proj.quantise"].vector == {"max": 3 * 44, "cvt": 3 * 44, "div": 3}
    assert biased["layers.0.mlp.down_proj.bias"].vector == {"add": 3 * 32}
    assert "layers.0.self_attn.o_proj.bias" not in biased
    assert "layers.0.mlp.quantise" not in biased
    act = biased["layers.0.mlp.act_fn"].vector
    assert act == {"exp": 3 * 44, "add": 6 * 44, "div": 3 * 44, "mul": 18 * 44}
