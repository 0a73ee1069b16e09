"""Laws that tie runs, estimates and prices together, on the shipped models."""

import json
from functools import cache

import numpy as np
import pytest

import bitsim
from bitsim.cost import CONVENTIONS
from bitsim.cost.price import LEVELS
from bitsim.datapath.registry import build_datapath
from bitsim.errors import BitsimError, ConfigError, OperandError, UnpricedEventError
from bitsim.hw import chip_names, load_chip
from bitsim.model.catalogue import SHIPPED
from bitsim.model.checkpoint import load_model
from bitsim.model.forward import forward
from bitsim.model.kv_cache import KVCache
from bitsim.quant.recipes import recipe_named
from bitsim.results import Result
from bitsim.results.setup import Execution
from bitsim.schedule.place import Placement
from bitsim.study.estimate import SLOWEST
from bitsim.study.executor import ChipExecutor
from tests.chips import (
    a_model_for,
    amount,
    chips_on_fpgas,
    chips_that_take,
    has_narrow_float_multipliers,
    priced_chips,
    takes,
    unpriced_components,
)

PROMPT = "And God said, Let there be light"
MODELS = ("tiny-b158", "tiny-fp16")
# They leave out what activations of 0 make needless, and the papers count it: an operator almost all of whose
# activations are 0 can take less than in the papers' convention (all of them together do not).
SKIPPING = ("rom_array", "sparse_array")
# The papers have no price for FP8 and FP4: their convention counts additions as FP16's, which cost more.
COUNTED_AS_FP16 = [name for name in chip_names() if has_narrow_float_multipliers(load_chip(name).bitlinear)]
KINDS = {name: load_chip(name).bitlinear.kind for name in chip_names()}
FPGAS = chips_on_fpgas()  # see tests/reports/test_validation.py
PRICED = priced_chips()

OTHER_OPERANDS = [name for name in chip_names() if not takes(name, "tiny-b158")]
PAIRS = [(model, chip) for model in MODELS for chip in chips_that_take(model)]
PAIRS += [(a_model_for(chip), chip) for chip in OTHER_OPERANDS if a_model_for(chip) not in MODELS]
PAIRS += [(model, "ternary-ws-64x64") for model in SHIPPED if model not in MODELS]
sampled = pytest.mark.sampled(one_in=7)  # a run takes a second or two of a core
every_pair = pytest.mark.parametrize(("model", "chip"), PAIRS)
priced_pair = pytest.mark.parametrize(("model", "chip"), [pair for pair in PAIRS if pair[1] in PRICED])


@cache
def ran(model: str, chip: str) -> Result:
    return bitsim.run(model, chip, prompt=PROMPT, new_tokens=3, beyond_capacity=True)


@pytest.mark.parametrize("chip", OTHER_OPERANDS)
def test_operands_that_a_chip_does_not_take_stop_runs_and_estimates(chip: str) -> None:
    with pytest.raises(OperandError, match=r"layers\.0\.self_attn\.q_proj: [xw]\[0, \d+\]: expected -[18]"):
        ran("tiny-b158", chip)
    with pytest.raises(BitsimError, match=r"takes (activations of at most [124] \(|binary weights)"):
        estimated("tiny-b158", chip)


def test_law_3_holds_for_quantised_kv_caches() -> None:
    chip, numerics = "ternary-ws-64x64", "a48_kv3"
    executed = bitsim.run("tiny-a48", chip, prompt=PROMPT, new_tokens=3, numerics=numerics)
    guessed = bitsim.estimate("tiny-a48", chip, prefill=len(PROMPT), decode=3, numerics=numerics)
    for real, shape in zip(executed.rows, guessed.rows, strict=True):
        assert real.events.data_independent() == shape.events.data_independent()
    read = executed.events["dram.kv.read_bits"]
    assert 4 * read < ran("tiny-a48", chip).events["dram.kv.read_bits"] < 5 * read


def test_an_evaluation_keeps_the_kv_cache_that_its_numerics_say() -> None:
    kinds = ("a48", "a48_kv3")
    scores = [bitsim.evaluate("tiny-a48", "ternary-ws-64x64", numerics=n, limit=200).score for n in kinds]
    assert [score.kv for score in scores] == ["32", "kv3_bos4"]
    assert scores[0].bits_per_byte != scores[1].bits_per_byte


@cache
def estimated(model: str, chip: str) -> Result:
    return bitsim.estimate(model, chip, prefill=len(PROMPT), decode=3, beyond_capacity=True)


@sampled
@every_pair
def test_law_3_estimate_equals_run_on_data_independent_events(model: str, chip: str) -> None:
    executed, guessed = ran(model, chip), estimated(model, chip)
    skips = load_chip(chip).bitlinear.cycles_vary
    assert (SLOWEST in guessed.notes) == skips
    assert len(executed.rows) == len(guessed.rows) > 100
    for real, shape in zip(executed.rows, guessed.rows, strict=True):
        assert (real.phase, real.name, real.calls, real.macs) == (shape.phase, shape.name, shape.calls, shape.macs)
        assert real.cycles <= shape.cycles if skips else real.cycles == shape.cycles
        assert real.events.data_independent() == shape.events.data_independent()


@sampled
@priced_pair
def test_law_6_parts_sum_to_the_total_and_conventions_are_ordered(model: str, chip: str) -> None:
    for result in (ran(model, chip), estimated(model, chip)):
        table = result.frame("energy")
        for level in LEVELS:
            totals = [getattr(result.energy_range(name), level) for name in CONVENTIONS]
            assert totals[1] <= totals[2]
            assert totals[0] <= totals[1] or chip in COUNTED_AS_FP16
            for name, total in zip(CONVENTIONS, totals, strict=True):
                parts = table.loc[table["convention"] == name, f"{level}_pj"]
                assert parts.sum() == pytest.approx(total, rel=1e-12)
        for name in CONVENTIONS:
            phases = sum(result.energy(name, phase) for phase in ("prefill", "decode"))
            assert phases == pytest.approx(result.energy(name), rel=1e-12)
        assert sum(row.cycles for row in result.rows) == result.cycles


@sampled
@pytest.mark.parametrize("chip", [name for name in PRICED if name not in OTHER_OPERANDS])
def test_law_6_holds_for_every_operator(chip: str) -> None:
    table = ran("tiny-b158", chip).frame("operators")
    if KINDS[chip] not in SKIPPING and chip not in COUNTED_AS_FP16:
        assert (table["energy_arithmetic_pj"] <= table["energy_datapath_pj"]).all()
    assert (table["energy_datapath_pj"] <= table["energy_system_pj"]).all()


@sampled
@pytest.mark.parametrize("chip", sorted(KINDS.keys() - {*PRICED, *FPGAS}))
def test_what_has_no_price_is_said_by_the_result(chip: str) -> None:
    result = ran(a_model_for(chip), chip)
    assert result.energy("arithmetic") > 0
    unpriced = "|".join(rf"event '{component}\." for component in unpriced_components(load_chip(chip).bitlinear))
    for name in ("datapath", "system"):
        with pytest.raises(UnpricedEventError, match=unpriced):
            result.energy(name)


def test_law_9_a_cheaper_technology_never_costs_more() -> None:
    chip = load_chip("ternary-ws-64x64")
    for name in CONVENTIONS:
        new, old = (
            bitsim.estimate("tiny-b158", chip.with_technology(node), prefill=16, decode=4).energy(name)
            for node in ("7nm", "45nm")
        )
        assert new < old


def test_law_9_more_bits_never_cost_less() -> None:
    ternary, int8, fp16 = (
        bitsim.estimate("tiny-b158", f"{pe}-ws-64x64", prefill=16, decode=4) for pe in ("ternary", "int8", "fp16")
    )
    for name in CONVENTIONS:
        assert ternary.energy(name) <= int8.energy(name) <= fp16.energy(name)


def test_law_9_doubling_the_events_doubles_the_energy() -> None:
    one, two = (bitsim.estimate("bitnet-125m", "ternary-ws-64x64", prefill=8, decode=0, batch=b) for b in (1, 2))
    attention = [sum(e.nominal for r, _, e in x.breakdown("arithmetic") if r.kind in ("qk", "pv")) for x in (one, two)]
    assert attention[1] == pytest.approx(2 * attention[0], rel=1e-12)


EXACT = [
    name
    for name, chip in ((name, load_chip(name)) for name in chips_that_take("tiny-b158"))
    if build_datapath(chip.bitlinear).exact and chip.wide.wide_bits is None  # integers there are other numerics
]


@sampled
@pytest.mark.parametrize("chip", [*EXACT, "fp16-tensor-ampere"])  # the last rounds, but no sum reaches 2^24
def test_the_chip_does_not_change_what_an_exact_datapath_computes(chip: str) -> None:
    array = ran("tiny-b158", "ternary-ws-64x64").logits
    np.testing.assert_array_equal(ran("tiny-b158", chip).logits, array)


def test_a_datapath_that_rounds_changes_the_logits_a_little() -> None:
    array, rounded = (ran("tiny-b158", chip).logits for chip in ("ternary-ws-64x64", "fp16-ws-64x64"))
    assert not np.array_equal(array, rounded)
    np.testing.assert_allclose(rounded, array, atol=1.0)


def test_wide_matmuls_on_the_datapath_round_and_change_no_data_independent_event() -> None:
    contract = ran("tiny-b158", "ternary-ws-64x64")
    rounded = bitsim.run("tiny-b158", "ternary-ws-64x64", prompt=PROMPT, new_tokens=3, wide="datapath")
    assert rounded.events.data_independent() == contract.events.data_independent()
    difference = np.abs(rounded.logits[0] - contract.logits[0]).max()
    assert 0 < difference < 0.5


def test_a_result_can_be_read_by_machines_and_names_its_inputs() -> None:
    result = ran("tiny-b158", "ternary-ws-64x64")
    data = json.loads(result.to_json())
    assert data["inputs"]["bitsim"] == bitsim.__version__
    assert data["inputs"]["numerics"] == "hf_autobitlinear"
    assert len(data["inputs"]["model_sha256"]) == len(data["inputs"]["chip_sha256"]) == 64
    assert data["headline"]["energy_system_j"] == result.energy("system")
    assert data["assumed"]
    assert result.tokens[: len(PROMPT)] == tuple(PROMPT.encode())
    assert result.logits.shape == (1 + result.workload.decode, 256)
    assert result.logits.dtype == np.float32
    assert result.time_s == pytest.approx(result.cycles * 1e-9 / result.chip.clock.nominal)


def test_the_first_overflow_is_at_the_same_token_however_the_tokens_are_split_into_steps() -> None:
    model, chip = load_model("tiny-b158"), load_chip("ternary-ws-64x64").with_accumulators(13, "saturate")
    tokens = np.frombuffer(PROMPT.encode(), np.uint8).astype(np.int64)
    found = []
    for steps in ([tokens], [tokens[:1], tokens[1:7], tokens[7:]]):
        executor = ChipExecutor(Placement(chip), Execution(recipe=recipe_named("hf_autobitlinear"), toggles="off"))
        cache = KVCache(model.config, 32)
        for step in steps:
            forward(model.config, model.weights, step, cache, executor, recipe_named("hf_autobitlinear"))
        found.append({name: o for name, o in executor.overflowed.items() if name.startswith("layers.0.self_attn")})
    assert found[0] == found[1]
    assert any(first.m > 0 for _, first in found[0].values())


def test_law_3_holds_for_prompts_in_chunks_which_change_no_arithmetic() -> None:
    chip = "ternary-ws-64x64"
    executed = bitsim.run("tiny-b158", chip, prompt=PROMPT, new_tokens=1, chunk=12)
    guessed = bitsim.estimate("tiny-b158", chip, prefill=len(PROMPT), decode=1, chunk=12)
    for real, shape in zip(executed.rows, guessed.rows, strict=True):
        assert (real.name, real.calls, real.cycles) == (shape.name, shape.calls, shape.cycles)
        assert real.events.data_independent() == shape.events.data_independent()
    whole = bitsim.run("tiny-b158", chip, prompt=PROMPT, new_tokens=1)
    linears = [sum(row.macs for row in result.rows if row.kind == "linear") for result in (executed, whole)]
    assert linears[0] == linears[1]
    assert executed.tokens == whole.tokens


@pytest.mark.parametrize("entry", [bitsim.run, bitsim.estimate])
def test_memory_that_is_too_small_is_an_error_with_its_bytes_or_a_note(entry: object) -> None:
    chip = load_chip("ternary-ws-64x64")
    dram = chip.memory.dram.model_copy(update={"capacity": amount(chip.memory.dram.capacity, 0.001)})
    small = chip.model_copy(update={"memory": chip.memory.model_copy(update={"dram": dram})})
    steps = {"prompt": "a", "new_tokens": 1} if entry is bitsim.run else {"prefill": 1, "decode": 1}
    with pytest.raises(ConfigError, match=r"memory\.dram: tiny-b158 needs [\d,]+ bytes, there are 1,000,000 "):
        entry("tiny-b158", small, **steps)
    result = entry("tiny-b158", small, beyond_capacity=True, **steps)
    assert any("there are 1,000,000" in note for note in result.notes)
