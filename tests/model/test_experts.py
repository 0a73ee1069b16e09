"""Mixtures of experts: all are stored, a step reads those that its tokens touch, and one expert is the plain model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.errors import ConfigError
from bitsim.hw import load_chip
from bitsim.model.build_operators import forward_operators
from bitsim.model.experts import Experts
from bitsim.model.footprint import footprint, linears_bits
from bitsim.model.zoo import zoo_config
from bitsim.quant.kv import KV_FORMATS, kv_stored_bits
from bitsim.quant.recipes import recipe_named
from bitsim.schedule import Placement
from bitsim.study import estimate
from bitsim.study.capacity import longest_contexts
from tests.model.tensors import values_moved
from tests.model.tiny_models import BIASED_CONFIG

NAMES = ("bitnet-1.3b", "bitnet-b158-700m", "fp16-125m", "llama-700m")
CHIP = "ternary-ws-64x64"


@st.composite
def mixtures(draw):
    """Generates experts."""
    total = draw(st.integers(1, 16))
    return Experts(total=total, active=draw(st.integers(1, total)))


@given(mixtures(), st.integers(1, 40))
def test_every_token_goes_through_its_experts(experts, tokens):
    loads = experts.loads(tokens)
    assert sum(loads) == tokens * experts.active
    assert len(loads) == min(experts.total, tokens * experts.active)
    assert max(loads) - min(loads) <= 1
    assert max(loads) <= tokens  # no expert gets a token twice


@pytest.mark.parametrize("name", NAMES)
@given(experts=mixtures(), tokens=st.integers(1, 20))
def test_macs_are_those_of_active_experts_and_weights_those_of_touched_ones(name, experts, tokens):
    config = zoo_config(name)
    plain = forward_operators(config, phase="prefill", tokens=tokens, context=tokens)
    mixed = list(experts.operators(config, plain))
    ffn = [op for op in plain if op.kind == "linear" and ".mlp." in op.name]
    expert_ffn = [op for op in mixed if op.kind == "linear" and ".mlp." in op.name and "router" not in op.name]
    touched = len(experts.loads(tokens))
    assert sum(op.macs for op in expert_ffn) == experts.active * sum(op.macs for op in ffn)
    assert sum(op.weight_bits for op in expert_ffn) == touched * sum(op.weight_bits for op in ffn)
    routers = [op for op in mixed if op.name.endswith("router")]
    assert len(routers) == (config.num_layers if experts.total > 1 else 0)
    assert all((op.m, op.k, op.n) == (tokens, config.hidden_size, experts.total) for op in routers)
    outside = [op for op in mixed if ".mlp." not in op.name]
    assert outside == [op for op in plain if ".mlp." not in op.name]
    inside = {op.name: op for op in mixed if op.name.endswith("act_fn")}
    for op in plain:
        if op.name in inside:
            assert inside[op.name].vector == {what: n * experts.active for what, n in op.vector.items()}
            assert values_moved(inside[op.name]) == tuple(n * experts.active for n in values_moved(op))
    names = [op.name for op in mixed]
    assert len(set(names)) == len(names)


def test_mixing_by_hand():
    """3 tokens, 2 of 4 experts: 2 products and 1 + 1 additions per value, 3 vectors and 2 shares read."""
    config, experts = zoo_config("bitnet-b158-700m"), Experts(total=4, active=2)
    plain = forward_operators(config, phase="prefill", tokens=3, context=3)
    (op, *_) = [op for op in experts.operators(config, plain) if op.name.endswith("mlp.residual")]
    values = 3 * 1536
    assert op.vector == {"mul": 2 * values, "add": 2 * values}
    assert values_moved(op) == (3 * values + 3 * 2, values)


@pytest.mark.parametrize("name", NAMES)
def test_one_expert_is_the_plain_model(name):
    config = zoo_config(name)
    plain = forward_operators(config, phase="decode", tokens=1, context=9)
    assert list(Experts(total=1, active=1).operators(config, plain)) == plain


def test_weights_by_hand():
    """8 experts of which 2 are active: attention once, FFN 8 times and twice."""
    config, experts = zoo_config("bitnet-b158-700m"), Experts(total=8, active=2)
    attention, ffn = 24 * 4 * 1536**2, 24 * 3 * 1536 * 4096
    assert experts.total_weights(config) == attention + 8 * ffn
    assert experts.active_weights(config) == attention + 2 * ffn
    assert linears_bits(config, experts=8) - linears_bits(config) == 7 * ffn * 2 + 24 * 16 * 8 * 1536


def test_an_estimate_stores_all_experts_and_reads_the_active_ones():
    settings = {"prefill": 0, "decode": 1}
    plain = estimate("bitnet-b158-700m", CHIP, **settings)
    mixed = estimate("bitnet-b158-700m", CHIP, experts=Experts(total=8, active=2), **settings)
    ffn_bits, router_bits = 24 * 3 * 1536 * 4096 * 2, 24 * 16 * 8 * 1536
    read = "dram.weights.read_bits"
    assert mixed.events[read] - plain.events[read] == ffn_bits + router_bits
    assert plain.time_s < mixed.time_s
    assert plain.energy("system") < mixed.energy("system")
    assert any("2 of 8 per token; 3,850,371,072 weights" in note for note in mixed.notes)
    with pytest.raises(ConfigError, match="needs"):
        estimate("bitnet-b158-7b", CHIP, experts=Experts(total=16, active=1), **settings)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_longest_context_fits_and_one_more_position_does_not(batch):
    config, recipe, placement = (
        zoo_config("bitnet-b158-3b"),
        recipe_named("hf_bitlinear_fp32"),
        Placement(load_chip(CHIP)),
    )
    stored = footprint(config, recipe, positions=1, batch=batch)
    found = longest_contexts(placement, config, stored, batch)
    room = 8 * (8 * 10**9 - stored.linears - stored.embedding)
    storages = {"16 bit": 16, "8 bit": KV_FORMATS["kv8"], "4 bit": KV_FORMATS["kv4"], "3 bit": KV_FORMATS["kv3_bos4"]}
    assert set(found) == set(storages)
    for name, storage in storages.items():
        sizes = [2 * 32 * 26 * batch * kv_stored_bits(storage, 100, 0, found[name] + more) for more in (0, 1)]
        assert sizes[0] <= room < sizes[1]
    assert found["16 bit"] == room // (2 * 32 * 26 * batch * 100 * 16)
    assert found["16 bit"] < found["8 bit"] < found["4 bit"] < found["3 bit"]
    assert 1.7 < found["8 bit"] / found["16 bit"] < 2  # codes are half, steps take the rest


def test_no_context_where_weights_have_no_room():
    config, placement = zoo_config("llama-70b"), Placement(load_chip(CHIP))
    stored = footprint(config, recipe_named("float"), positions=1, batch=1)
    assert set(longest_contexts(placement, config, stored, 1).values()) == {0}


@pytest.mark.parametrize(("total", "active"), [(0, 0), (4, 5), (4, 0)])
def test_errors(total, active):
    with pytest.raises(ConfigError, match=f"1 <= active <= total, got {active} of {total}"):
        Experts(total=total, active=active)


def test_a_router_by_hand():
    """3 tokens, 8 experts of which 2 are taken: 24 logits; a softmax over all, then 2 comparisons for each of them."""
    config, experts = zoo_config("bitnet-b158-700m"), Experts(total=8, active=2)
    plain = forward_operators(config, phase="prefill", tokens=3, context=3)
    mixed = experts.operators(config, plain)
    router, route = (op for op in mixed if op.name in ("layers.0.mlp.router", "layers.0.mlp.route"))
    assert (router.m, router.k, router.n, router.weight_bits) == (3, 1536, 8, 16 * 8 * 1536)
    assert route.vector == {"max": 3 * 24, "add": 2 * 24, "exp": 24, "div": 3, "mul": 24}
    assert values_moved(route) == (24, 3 * 2)


def test_a_router_stands_before_the_norm_of_the_first_linear_where_linears_have_their_own():
    plain = forward_operators(BIASED_CONFIG, phase="prefill", tokens=3, context=3)
    names = [op.name for op in Experts(total=4, active=2).operators(BIASED_CONFIG, plain)]
    for layer in range(BIASED_CONFIG.num_layers):
        at = names.index(f"layers.{layer}.mlp.router")
        assert names[at + 2] == f"layers.{layer}.mlp.gate_proj.norm"


def test_the_first_tokens_go_to_the_most_loaded_experts():
    assert Experts(total=4, active=2).loads(3) == [2, 2, 1, 1]  # 6 pairs over 4 experts
    assert Experts(total=8, active=2).loads(1) == [1, 1]
