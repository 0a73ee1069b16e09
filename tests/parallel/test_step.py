"""Models on several devices: against hand formulas, a pipeline that is stepped, and the whole model on one device."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim import from_json
from bitsim.errors import ConfigError, UnknownNameError
from bitsim.hw import load_link
from bitsim.model.build_operators import forward_operators
from bitsim.model.checkpoint import load_model
from bitsim.model.shard import degrees, shard, shared_heads, stage_layers
from bitsim.model.zoo import zoo_config
from bitsim.parallel.allreduce import Traffic, allreduce
from bitsim.parallel.communication import PARAMETERS, communication, step_communication
from bitsim.parallel.parallel import parallel
from bitsim.parallel.step import bubble_share, on_device, pipeline_time
from bitsim.study import estimate
from tests.model.tensors import values_moved

LINK = load_link("nvlink")
CHIP = "ternary-ws-64x64"
SMALL = "bitnet-125m"  # 12 heads, 12 layers


@pytest.mark.parametrize("name", ["bitnet-1.3b", "bitnet-b158-3b", "bitnet-b158-2b4t", "bitnet-a48-700m"])
@pytest.mark.parametrize("tensor", [1, 2, 4, 5])
def test_shards_do_the_work_of_the_whole_model(name, tensor):
    """MACs, stored weights and KV traffic of the shards add up; nothing else is divided."""
    config = load_model(name).config
    if config.num_kv_heads % tensor or config.intermediate_size % tensor:
        pytest.skip("held by several devices, or not split")
    for tokens, context in ((1, 33), (16, 16)):
        settings = {"phase": "decode", "tokens": tokens, "context": context, "batch": 2}
        whole, part = (forward_operators(c, **settings) for c in (config, shard(config, tensor=tensor)))
        for a, b in zip(whole, part, strict=True):
            assert (a.name, a.kind) == (b.name, b.kind)
            if a.kind in ("linear", "qk", "pv"):
                assert (a.macs, a.kv_read_bits) == (b.macs * tensor, b.kv_read_bits * tensor)
                assert a.weight_bits == b.weight_bits * tensor or a.n % (4 * tensor)
                by_columns = a.name.endswith(("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"))
                if a.kind == "linear":
                    assert (b.n * tensor, b.k) == (a.n, a.k) if by_columns else (b.n, b.k * tensor) == (a.n, a.k)
            elif a.kind in ("rope", "softmax", "glu", "kv"):
                assert values_moved(a) == tuple(n * tensor for n in values_moved(b))
                assert a.kv_write_bits == b.kv_write_bits * tensor
            elif a.kind in ("residual", "embedding"):
                assert values_moved(a) == values_moved(b)


@given(
    stages=st.lists(st.integers(1, 50), min_size=1, max_size=8),
    micro_batches=st.integers(1, 9),
)
def test_pipeline_time_equals_a_stepped_pipeline(stages, micro_batches):
    free, work = [0] * len(stages), 0
    for _ in range(micro_batches):
        arrived = 0
        for i, duration in enumerate(stages):
            free[i] = max(free[i], arrived) + duration
            arrived, work = free[i], work + duration
    assert pipeline_time(stages, micro_batches) == free[-1]
    assert bubble_share(stages, micro_batches) == pytest.approx(1 - work / (len(stages) * free[-1]), abs=1e-12)


@pytest.mark.parametrize(("stages", "micro_batches"), list(product((1, 2, 4, 8), (1, 4, 16))))
def test_bubbles_of_equal_stages_are_those_of_gpipe(stages, micro_batches):
    expected = (stages - 1) / (micro_batches + stages - 1)
    assert bubble_share([3.0] * stages, micro_batches) == pytest.approx(expected)


def test_synchronisation_of_the_paper_by_hand():
    """6 linears x 24 layers, 4 parameters: as many all-reduces of one number (alpha, beta) or of one per token."""
    config, rows, devices = zoo_config("bitnet-1.3b"), 8, 4
    said = communication(config, LINK, tensor=devices, rows=rows, sync="paper", algorithm="tree")
    each = 24 * 6
    assert sum(e.calls for e in said.exchanges if e.what in PARAMETERS) == 4 * each
    assert said.sync_calls == 6 * each  # mean and variance of the norm too
    messages = 2 * (devices - 1)
    assert said.of("alpha") == said.of("beta") == allreduce(LINK, devices, 1, 4, "tree") * each
    assert said.of("gamma").messages == said.of("eta").messages == messages * each
    assert said.of("gamma").bytes == messages * rows * 4 * each
    step_s = 3.6e-6 + 4 * (0.4e-6 + rows * 4 / 75e9)
    assert said.of("gamma").time_s == pytest.approx(each * step_s)
    assert said.of("outputs").bytes == messages * rows * 2048 * 2 * 2 * 24
    assert said.of("candidate").bytes == messages * rows * 8


def test_groups_exchange_outputs_only_and_inference_needs_gamma_of_the_rows_that_are_split():
    config = zoo_config("bitnet-1.3b")
    kinds = {
        name: {e.what: e.calls for e in communication(config, LINK, tensor=4, rows=1, sync=name).exchanges}
        for name in ("grouped", "inference")
    }
    assert kinds["grouped"] == {"outputs": 48, "candidate": 1}
    assert kinds["inference"] == kinds["grouped"] | {"gamma": 48, "mean": 48, "variance": 48}
    ternary = communication(zoo_config("bitnet-b158-3b"), LINK, tensor=4, rows=1, sync="inference")
    assert {e.what for e in ternary.exchanges} == {"outputs", "candidate", "gamma", "variance"}  # RMSNorm has no mean
    full = communication(zoo_config("llama-3b"), LINK, tensor=4, rows=1, sync="paper")
    assert full.sync_calls == 0


def test_many_steps_at_once_are_the_steps_one_by_one():
    config, devices, tokens = zoo_config("bitnet-1.3b"), np.array([[1], [8], [64]]), np.array([1, 7])
    seconds, moved = step_communication(config, devices, tokens, link=LINK, sync="inference")
    assert seconds.shape == moved.shape == (3, 2)
    for i, (tensor, stages) in enumerate(((1, 1), (8, 1), (32, 2))):
        for j, rows in enumerate((1, 7)):
            said = communication(config, LINK, tensor=tensor, pipeline=stages, rows=rows, sync="inference")
            assert (seconds[i, j], moved[i, j]) == (said.traffic.time_s, said.traffic.bytes)
    assert not seconds[0].any()


def test_stages_send_their_activations_once():
    config = zoo_config("bitnet-1.3b")
    said = communication(config, LINK, tensor=2, pipeline=4, rows=5)
    assert said.of("stage") == Traffic(messages=2 * 3, bytes=2 * 3 * 5 * 2048 * 2, time_s=said.of("stage").time_s)
    assert said.of("stage").time_s == pytest.approx(3 * (0.4e-6 + 5 * 4096 / 75e9))
    assert communication(config, LINK, tensor=1, rows=5).traffic == Traffic()


def test_one_device_takes_as_long_as_the_estimate_says():
    whole = estimate(SMALL, CHIP, prefill=64, decode=1)
    for phase, context in (("prefill", 64), ("decode", 65)):
        (step, *_) = parallel(SMALL, CHIP, LINK, devices=[1], context=context, phase=phase).steps
        assert step.time_s == pytest.approx(whole.phase_time_s(phase), rel=1e-12)
        assert step.compute_j == pytest.approx(whole.energy("system", phase), rel=1e-9)


def test_a_step_adds_up_by_hand():
    """2 x 3 devices: layers, exchanges and sends of each stage, then GPipe's sum and maximum."""
    result = parallel(SMALL, CHIP, LINK, devices=[6], pipeline=3, batch=4, context=32, micro_batches=4)
    step = result.steps[0]
    one, *_ = parallel(SMALL, CHIP, LINK, devices=[2], pipeline=1, batch=1, context=32).steps
    config = zoo_config(SMALL)
    said = communication(config, LINK, tensor=2, pipeline=3, rows=1)
    assert step.compute_s == pytest.approx(one.compute_s)
    assert step.communication_s == pytest.approx(one.communication_s + 2 * said.stage_s)
    assert step.messages == 4 * said.traffic.messages
    assert step.communication_j == pytest.approx(4 * said.traffic.bytes * 8 * 5.5e-12)
    assert step.compute_j == pytest.approx(4 * one.compute_j)
    sum_s = step.compute_s + step.communication_s
    assert sum_s + 3 * sum_s / 3 < step.time_s < sum_s + 3 * sum_s  # the last stage, which has the head, is longest


def test_more_devices_compute_less_each_and_synchronising_only_adds():
    result = parallel("bitnet-1.3b", CHIP, LINK, devices=[1, 2, 4, 8], context=64)
    grouped, inference, paper = ([s for s in result.steps if s.sync == n] for n in ("grouped", "inference", "paper"))
    assert [s.tensor for s in grouped] == [1, 2, 4, 8]
    for fewer, more in pairwise(grouped):
        assert more.compute_s < fewer.compute_s
        assert more.stored_bytes < fewer.stored_bytes
    for a, b, c in list(zip(grouped, inference, paper, strict=True))[1:]:
        assert a.sync_calls == 0 < b.sync_calls < c.sync_calls
        assert a.time_s < b.time_s < c.time_s
        assert a.messages < b.messages < c.messages
        assert a.bytes < b.bytes < c.bytes


def test_degrees_take_the_widest_split_that_divides():
    assert degrees(zoo_config("bitnet-6.7b"), 64) == (32, 2)
    assert degrees(zoo_config(SMALL), 8) == (4, 2)
    assert degrees(zoo_config(SMALL), 1) == (1, 1)


@given(sharing=st.integers(1, 6), kv_heads=st.integers(1, 8), data=st.data())
def test_law_every_query_head_has_its_key_value_head_on_its_device(sharing, kv_heads, data):
    """As vLLM places them where it does: 1 / tensor of them if that divides, else one on tensor / kv_heads devices."""
    heads = sharing * kv_heads
    tensor = data.draw(st.sampled_from([t for t in range(1, heads + 1) if heads % t == 0]))
    config = replace(zoo_config(SMALL), num_heads=heads, num_kv_heads=kv_heads, head_dim=4, sub_norms=False)
    found = shared_heads(config, tensor)
    assert len(found) == tensor
    for device, counted in enumerate(found):
        mine = [head // sharing for head in range(heads) if head * tensor // heads == device]
        assert counted == tuple(mine.count(kv) for kv in dict.fromkeys(mine))
    if kv_heads % tensor == 0:
        assert set(found) == {(sharing,) * (kv_heads // tensor)}
    elif tensor % kv_heads == 0:
        assert set(found) == {(heads // tensor,)}


@pytest.mark.parametrize("tensor", [2, 4])
@pytest.mark.parametrize("batch", [1, 3])
def test_law_attention_is_shared_out_exactly_where_key_value_heads_are_not(tensor, batch):
    """5 key/value heads, 20 query heads: all MACs are done once; the fullest device reads the heads that it has."""
    config = zoo_config("bitnet-b158-2b4t")
    held = shard(config, tensor=tensor)
    assert held.num_kv_heads == {2: 3, 4: 2}[tensor]
    for tokens, context in ((1, 33), (16, 16)):
        settings = {"phase": "decode", "tokens": tokens, "context": context, "batch": batch}
        whole = {op.name: op for op in forward_operators(config, **settings)}
        for op in forward_operators(held, **settings):
            pieces = list(on_device(op, held, tensor))
            if op.kind in ("qk", "pv"):
                all_of_it = whole[op.name]
                assert sum(piece.macs for piece in pieces) * tensor == all_of_it.macs
                assert sum(piece.repeat for piece in pieces) == held.num_kv_heads * batch
                assert sum(p.kv_read_bits for p in pieces) * 5 == all_of_it.kv_read_bits * held.num_kv_heads
                assert [piece.m // tokens for piece in pieces] == sorted(set(held.sharing))
                for side in ("reads", "writes"):
                    (tensor_of_all,) = getattr(op, side)
                    assert sum(t.values for piece in pieces for t in getattr(piece, side)) == tensor_of_all.values
            elif op.kind == "softmax":
                (softmax,) = pieces
                assert softmax.reads[0].values == op.reads[0].values
                assert softmax.reads[0].alive == softmax.writes[0].alive == max(held.sharing) * tokens * context
            elif op.kind != "head":
                assert pieces == [op]


@pytest.mark.parametrize(
    ("layers", "stages", "expected"),
    [(22, 4, (5, 6, 6, 5)), (5, 3, (2, 2, 1)), (4, 3, (1, 2, 1)), (3, 2, (2, 1)), (61, 4, (15, 15, 16, 15))],
)  # fmt: skip
def test_layers_that_are_left_over_go_before_the_last_stage_as_in_vllm(layers, stages, expected):
    assert stage_layers(replace(zoo_config(SMALL), num_layers=layers), stages) == expected


def test_uneven_stages_add_up_by_hand():
    one, *_ = parallel(SMALL, CHIP, LINK, devices=[1], context=32).steps
    even, *_ = parallel(SMALL, CHIP, LINK, devices=[6], pipeline=6, context=32).steps
    uneven, *_ = parallel(SMALL, CHIP, LINK, devices=[5], pipeline=5, context=32).steps
    assert (even.layers, uneven.layers) == ((2,) * 6, (2, 2, 3, 3, 2))
    assert even.compute_s == pytest.approx(one.compute_s) == pytest.approx(uneven.compute_s)
    assert uneven.stored_bytes > even.stored_bytes  # three layers instead of two


def test_2b4t_runs_on_1_2_4_and_8_devices_and_what_can_not_is_a_row_with_the_reason():
    result = parallel("bitnet-b158-2b4t", CHIP, devices=[1, 2, 4, 8, 31], context=32)
    splits = {step.devices: (step.tensor, step.pipeline, step.kv_heads, step.layers) for step in result.steps}
    assert splits == {1: (1, 1, 5, (30,)), 2: (2, 1, 3, (30,)), 4: (4, 1, 2, (30,)), 8: (4, 2, 2, (15, 15))}
    rows = result.records()
    assert rows[-1]["devices"] == 31
    assert "no tensor x pipeline = 31" in rows[-1]["reason"]
    assert {key for key, value in rows[-1].items() if value is not None} == {"devices", "reason", "fits"}
    assert all(row["reason"] is None and list(row) == list(rows[-1]) for row in rows[:-1])
    assert any("5 key/value heads are held 8 times" in note for note in result.notes)
    assert from_json(result.to_json()).records() == rows


def test_errors():
    with pytest.raises(ConfigError, match="bitnet-125m: tensor 5: expected a divisor of 12 attention heads"):
        shard(zoo_config(SMALL), tensor=5)
    with pytest.raises(ConfigError, match="bitnet-b158-2b4t: tensor 10: expected a divisor of 6912 FFN columns"):
        shard(zoo_config("bitnet-b158-2b4t"), tensor=10)
    with pytest.raises(ConfigError, match="pipeline 13: expected at most 12, one per layer"):
        shard(zoo_config(SMALL), tensor=1, pipeline=13)
    with pytest.raises(ConfigError, match="no tensor x pipeline = 13 has a tensor degree that divides 12 attention"):
        parallel(SMALL, CHIP, LINK, devices=[13])
    with pytest.raises(ConfigError, match="pipeline 3: expected a divisor of 4 devices"):
        parallel(SMALL, CHIP, LINK, devices=[4], pipeline=3)
    with pytest.raises(ConfigError, match="micro-batches: expected a divisor of the batch of 4, got 3"):
        parallel(SMALL, CHIP, LINK, devices=[4], batch=4, micro_batches=3)
    with pytest.raises(UnknownNameError, match="unknown link 'ethernet'"):
        parallel(SMALL, CHIP, "ethernet")
    with pytest.raises(ConfigError, match="expected rows >= 1, got 0"):
        communication(zoo_config(SMALL), LINK, tensor=2, rows=0)
    with pytest.raises(UnknownNameError, match="unknown sync"):
        communication(zoo_config(SMALL), LINK, tensor=2, rows=1, sync="group")


def test_a_shard_keeps_everything_that_is_not_divided():
    config = replace(zoo_config("bitnet-b158-2b4t"), name="x")
    part = shard(replace(config, intermediate_size=6915), tensor=5, pipeline=3)
    assert (part.num_heads, part.num_kv_heads, part.intermediate_size, part.num_layers) == (4, 1, 1383, 10)
    assert (part.hidden_size, part.vocab_size, part.head_dim) == (2560, 128256, 128)
