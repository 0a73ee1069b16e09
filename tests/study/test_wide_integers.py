"""Chips whose wide datapath multiplies integers: the reference's values, the run's counts, and what they refuse."""

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import bitsim
from bitsim.datapath.base import Statistics
from bitsim.errors import ConfigError
from bitsim.events import Events, is_data_dependent, total
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.hw.datapaths import PEArraySpec, TensorCoreSpec
from bitsim.model.build_operators import forward_operators
from bitsim.model.checkpoint import load_model
from bitsim.model.decoded import ScaledIntegers
from bitsim.model.executor import ReferenceExecutor
from bitsim.model.experts import Experts
from bitsim.model.generate import generate
from bitsim.model.operators import Operator
from bitsim.parallel.parallel import parallel
from bitsim.results import Result
from bitsim.schedule import Placement
from bitsim.study.executor import ChipExecutor
from bitsim.study.numerics import executed_as
from bitsim.study.statistics import default_statistics
from bitsim.testing.replaying import by_tiles, joints

CHIP, PROMPT = "ternary-ws-64x64-int8", "And God said, Let there be light"
AMPERE = {"kind": "tensor_core", "arch": "ampere", "units": 8, "unit_macs": 256, "weights": "full"}
ARRAY = {"kind": "pe_array", "pe": "int8", "rows": 16, "cols": 24, "acc_bits": 24}
WIDE: dict[str, PEArraySpec | TensorCoreSpec] = {
    "array": load_chip(CHIP).wide,  # type: ignore[dict-item]
    "output stationary": PEArraySpec(dataflow="output_stationary", **ARRAY),  # type: ignore[arg-type]
    "keeps weights": PEArraySpec(dataflow="weight_stationary", between_tiles="keep", **ARRAY),  # type: ignore[arg-type]
    "int8 tensor cores": TensorCoreSpec(format="int8", instruction="m16n8k32", **AMPERE),  # type: ignore[arg-type]
    "int4 tensor cores": TensorCoreSpec(format="int4", instruction="m16n8k64", **AMPERE),  # type: ignore[arg-type]
}
MODELS = ("tiny-b158", "tiny-b1", "tiny-a48", "tiny-v2")
PAIRS = [(model, CHIP) for model in MODELS] + [("tiny-b158", name) for name in WIDE if name != "array"]
every_pair = pytest.mark.parametrize(("model", "chip"), PAIRS)


def with_wide(name: str) -> Chip:
    return load_chip("ternary-ws-64x64").model_copy(update={"wide": WIDE[name]})


@cache
def ran(model: str, chip: str, **settings: Any) -> Result:
    return bitsim.run(model, chip if chip == CHIP else with_wide(chip), prompt=PROMPT, new_tokens=3, **settings)


@pytest.mark.parametrize(
    ("model", "chip"), [(model, CHIP) for model in MODELS] + [("tiny-b158", name) for name in WIDE]
)
def test_a_chip_gives_the_logits_of_the_reference_bit_for_bit(model: str, chip: str) -> None:
    loaded, recipe = executed_as(load_model(model), load_chip(CHIP) if chip == CHIP else with_wide(chip))
    tokens, logits = generate(loaded, ReferenceExecutor(), np.frombuffer(PROMPT.encode(), np.uint8), 3, recipe)
    result = ran(model, chip)
    assert list(tokens) == list(result.tokens)
    np.testing.assert_array_equal(result.logits, logits)
    floats = bitsim.run(model, "ternary-ws-64x64", prompt=PROMPT, new_tokens=0, toggles="off")
    assert 0 < np.abs(floats.logits[0] - logits[0]).max() < np.abs(floats.logits[0]).max()


def test_blocks_and_chunks_of_a_prompt_change_no_value() -> None:
    wanted = ran("tiny-b158", CHIP)
    for settings in ({"causal": "full"}, {"chunk": 5}, {"chunk": 7, "causal": "full"}, {"wide": "datapath"}):
        other = ran("tiny-b158", CHIP, **settings)
        np.testing.assert_array_equal(other.logits, wanted.logits)


@pytest.mark.parametrize(
    ("model", "chip"), [(model, CHIP) for model in MODELS] + [("tiny-b158", name) for name in WIDE]
)
def test_law_3_estimate_equals_run_on_data_independent_events(model: str, chip: str) -> None:
    executed = ran(model, chip)
    guessed = bitsim.estimate(model, executed.chip, prefill=len(PROMPT), decode=3)
    assert len(executed.rows) == len(guessed.rows)
    for real, shape in zip(executed.rows, guessed.rows, strict=True):
        assert (real.phase, real.name, real.calls, real.macs) == (shape.phase, shape.name, shape.calls, shape.macs)
        assert real.cycles == shape.cycles
        assert real.events.data_independent() == shape.events.data_independent()


@pytest.mark.parametrize("model", MODELS)
def test_toggles_of_attention_are_expected_near_those_of_a_run(model: str) -> None:
    """Rates were measured on another text, of 256 bytes."""
    executed = ran(model, CHIP, toggles="exact")
    guessed = bitsim.estimate(model, CHIP, prefill=len(PROMPT), decode=3)
    for event in ("reg.act.toggle", "reg.weight.toggle", "reg.psum.toggle"):
        real, expected = (
            sum(row.events[event] for row in result.rows if row.kind in ("qk", "pv", "head"))
            for result in (executed, guessed)
        )
        assert expected == pytest.approx(real, rel=0.5)


def test_work_of_quantisers_and_scales_by_hand() -> None:
    """One token at position 9 of tiny-b158: scales of a head's row of queries and of probabilities, and of the head."""
    config = load_model("tiny-b158").config
    heads, width, d, vocab = config.num_heads, config.head_dim, config.hidden_size, config.vocab_size
    rows = {
        row.name: row
        for row in bitsim.estimate("tiny-b158", CHIP, prefill=8, decode=1).rows
        if row.layer in (0, None) and row.phase == "decode"
    }
    for name, values, products in (
        ("layers.0.self_attn.q_quantise", heads * width, 0),
        ("layers.0.self_attn.p_quantise", heads * 9, heads * 9),
        ("lm_head.quantise", d, 0),
    ):
        events = rows[name].events
        assert (events["vec.max.fp16"], events["vec.cvt.fp16"]) == (values, values)
        division = load_chip(CHIP).vector.costs["div"].mul * (1 if name.startswith("lm") else heads)
        assert events["vec.mul.fp16"] == products + division
        assert events["sram.acts.read_bits"] == 16 * values
        assert events["sram.acts.write_bits"] == 8 * values
    scales = {name: rows[name].events["scale.mul.fp16"] for name in rows}
    assert scales["layers.0.self_attn.qk"] == heads * (width + 9)
    assert scales["layers.0.self_attn.pv"] == heads * (9 + width)
    assert scales["lm_head"] == d + vocab
    assert rows["lm_head"].events["dram.weights.read_bits"] == 8 * d * vocab


@pytest.mark.parametrize(("chip", "bits"), [(CHIP, 8), ("int4 tensor cores", 4)])
def test_a_result_says_what_was_executed(chip: str, bits: int) -> None:
    result, contract = ran("tiny-b158", chip), f"attention_int{bits}"
    guessed = bitsim.estimate("tiny-b158", result.chip, prefill=4, decode=0)
    scored = bitsim.evaluate("tiny-b158", result.chip, limit=64)
    for outcome in (result, guessed, scored):
        assert outcome.inputs["wide_numerics"] == contract
        assert (
            f"attention and head are integers of at most {bits} bits on the wide datapath ({contract}): KV cache "
            f"kv{bits}, head in {bits} bits"
        ) in outcome.notes
    assert scored.score.kv == f"kv{bits}"
    assert not [note for note in result.notes if "float32" in note]


def test_chips_of_floats_say_nothing_of_integers() -> None:
    result = bitsim.estimate("tiny-b158", "ternary-ws-64x64", prefill=4, decode=0)
    assert "wide_numerics" not in result.inputs
    assert not [note for note in result.notes if "attention_int" in note]


def test_fewer_bits_than_the_datapath_takes_are_executed() -> None:
    narrow = bitsim.run("tiny-b158", CHIP, prompt=PROMPT, new_tokens=0, kv_bits=4, head_bits=4, toggles="off")
    assert any("attention_int8): KV cache kv4, head in 4 bits" in note for note in narrow.notes)
    assert (narrow.logits != ran("tiny-b158", CHIP).logits[:1]).any()


def test_random_weights_have_a_head_of_integers() -> None:
    result = bitsim.run("bitnet-125m", CHIP, tokens=[1], random_weights=1, toggles="off")
    assert any("head in 8 bits" in note for note in result.notes)


def test_sequences_served_devices_and_accumulators_take_the_same_numerics() -> None:
    served = bitsim.serve("bitnet-b158-700m", CHIP, prompt=16, new_tokens=16, batch=1)
    assert served.inputs["kv"] == "kv8"
    shared = parallel("bitnet-b158-700m", CHIP, devices=[1, 2], context=64)
    assert shared.inputs["wide_numerics"] == "attention_int8"
    assert bitsim.accumulator_bounds(CHIP, 64, model="tiny-b158", limit=32).bounds[0].seen_in.startswith("layers.")


def test_floats_are_refused_where_integers_are_multiplied() -> None:
    for model, settings, match in (
        (
            "tiny-fp16",
            {},
            "tiny-fp16 on .*: the linears are floats, and its wide datapath multiplies integers of 8 bits",
        ),
        ("tiny-fp16", {"numerics": "w4a16_g32"}, "the linears are floats"),
        ("bitnet-b158-700m", {"experts": Experts(total=4, active=2)}, "routers of experts are floats"),
        ("tiny-b158", {"kv_bits": 16}, r"codes of at most 8 bits around zero, .* got 16 \(leave kv_bits out"),
        ("tiny-b158", {"head_bits": 16}, r"a head of at most 8 bits, .* got 16 \(leave head_bits out"),
    ):
        with pytest.raises(ConfigError, match=match):
            bitsim.estimate(model, CHIP, prefill=4, decode=0, **settings)
    with pytest.raises(ConfigError, match=r"codes of at most 4 bits around zero, .* got kv8"):
        bitsim.estimate("tiny-b158", with_wide("int4 tensor cores"), kv_bits=8)
    with pytest.raises(ConfigError, match="a KV cache of codes of at most 8 bits around zero, got 16"):
        bitsim.evaluate("tiny-b158", CHIP, limit=64, kv_bits=16)


def test_a_matmul_of_floats_has_no_place_on_an_integer_datapath() -> None:
    listed = bitsim.MatmulShape(name="float", m=1, k=64, n=64, weight_bits=16)
    with pytest.raises(ConfigError, match="wide multiplies integers, these operands are floats"):
        bitsim.estimate_matmuls([listed], CHIP)


LONG = "And God said, Let there be light: and there was light. And God saw the light, that it was good."


def dependent(events: Events) -> dict[str, int]:
    return {name: n for name, n in events.items() if n and is_data_dependent(name)}


def first_layer_and_head(seen: list[Any]) -> list[Any]:
    return [one for one in seen if one[0].layer in (0, None)]


@pytest.mark.parametrize("chip", [name for name in WIDE if name != "keeps weights"])  # stepped by the clock: minutes
def test_law_11_attention_and_head_of_a_run_are_what_their_calls_did_one_by_one(
    chip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operands that a run multiplies, replayed head by head and tile by tile from reset."""
    seen: list[tuple[Operator, Any, Any]] = []
    booked: dict[str, Any] = {}
    multiply, book = ChipExecutor.wide_codes, ChipExecutor._book

    def listen(self: ChipExecutor, op: Operator, a: Any, b: Any) -> Any:
        seen.append((op, a, [b.values] if isinstance(b, ScaledIntegers) else b))
        return multiply(self, op, a, b)

    def note(self: ChipExecutor, op: Operator, done: Any) -> None:
        booked[op.name] = done
        book(self, op, done)

    monkeypatch.setattr(ChipExecutor, "wide_codes", listen)
    monkeypatch.setattr(ChipExecutor, "_book", note)
    used = with_wide(chip)
    bitsim.run("tiny-b158", used, prompt=LONG, new_tokens=0, toggles="exact", causal="full")
    placement, calls_of_all = Placement(used), 0
    for op, a, matrices in first_layer_and_head(seen):
        placed, done = placement.place(op), booked[op.name]
        assert len(done) == len(a) == op.repeat
        calls = list(placed.tiles.walk())
        calls_of_all += len(calls)
        for i, one in enumerate(done):
            w = np.ascontiguousarray(matrices[i * len(matrices) // len(a)])
            replayed = by_tiles(placement.wide)(SimpleNamespace(tiles=placed.tiles, y=one.y), a[i], w)
            np.testing.assert_array_equal(one.y, replayed.y)
            assert one.cycles == replayed.cycles
            assert dependent(one.events) == dependent(replayed.events)
        assert placed.array_events.data_independent() == replayed.events.data_independent() * op.repeat
    assert calls_of_all > 3 * (1 if "tensor cores" in chip else 2)


def scales(op: Operator) -> Events:
    count = op.m * (op.k + op.n) * op.repeat
    return Events({"mul.fp16": count, "scale.mul.fp16": count})


@pytest.mark.parametrize("chip", ["array", "int8 tensor cores"])
def test_law_11_attention_and_head_of_an_estimate_are_what_their_calls_count(chip: str) -> None:
    used, statistics = with_wide(chip), default_statistics().of_wide_integers
    model, recipe = executed_as(load_model("tiny-b158"), used)
    rows = {row.name: row for row in bitsim.estimate("tiny-b158", used, prefill=90, decode=0, causal="full").rows}
    placement, datapath = Placement(used), Placement(used).wide
    operators = forward_operators(
        model.config, phase="prefill", tokens=90, context=90, recipe=recipe, kv=recipe.kv, logits="last"
    )
    matmuls = [op for op in operators if op.is_wide_integer and op.layer in (0, None)]
    assert [op.kind for op in matmuls] == ["qk", "pv", "head"]
    for op in matmuls:
        calls = list(placement.place(op).tiles.walk())
        chosen = [datapath.staying if call.stays else datapath for call in calls]
        counted = total([one.count(*call.size) for one, call in zip(chosen, calls, strict=True)])
        guessed = total([one.expect(*call.size, statistics) for one, call in zip(chosen, calls, strict=True)])
        array = (counted + joints(datapath, calls)) * op.repeat + scales(op)
        events = rows[op.name].events
        assert dependent(events) == dependent(guessed * op.repeat)
        moved = ("sram", "dram")
        independent = {name: n for name, n in events.data_independent().items() if name.split(".")[0] not in moved}
        assert independent == dict(array.items())


def test_own_statistics_without_rates_of_integer_attention_are_told_what_lacks() -> None:
    """Rates of a kind are also those of a BitLinear datapath; attention in integers needs its own."""
    shipped = default_statistics()
    mine = {kind: rates for kind, rates in shipped.rates.items() if not kind.startswith("wide_")}
    own = Statistics(weight_zeros=0.4, rates=mine, source="mine")
    with pytest.raises(ConfigError, match=r"statistics \(mine\): attention and head in integers.*'wide_int8' with reg"):
        bitsim.estimate("tiny-b158", CHIP, prefill=4, decode=0, statistics=own)
    narrow = Statistics(weight_zeros=0.4, rates=mine | {"wide_int8": {"reg.act.toggle": 0.5}}, source="mine")
    with pytest.raises(ConfigError, match=r"statistics \(mine\): wide_int8: expected a rate for 'reg"):
        bitsim.estimate("tiny-b158", CHIP, prefill=4, decode=0, statistics=narrow)
