"""Sums over growing contexts equal placing every one of them."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsim.events import Events, total
from bitsim.hw import chip_names, load_chip
from bitsim.results.setup import Workload
from bitsim.schedule import Placed, Placement
from bitsim.schedule.growth import grown
from bitsim.study.steps import Steps
from tests.chips import executed_on

GROWING = ("kv", "qk", "softmax", "quantise", "pv")


def nothing(_op: object, _placed: Placed) -> Events:
    return Events()


def steps(
    name: str = "tiny-b158", batch: int = 1, numerics: str | None = None, chip: str = "ternary-ws-64x64"
) -> Steps:
    config, recipe = executed_on(chip, name, numerics)
    placement = Placement(load_chip(chip))
    return Steps.of(config, recipe, Workload(prefill=0, decode=1, batch=batch, causal="full"), placement)


def check(chip: str, shape: Steps, first: int, number: int) -> None:
    placement = Placement(load_chip(chip))
    for index, op in enumerate(shape.operators("decode", 1, first)):
        if op.kind not in GROWING:
            continue
        each = [shape.operators("decode", 1, context)[index] for context in range(first, first + number)]
        places = [placement.place(one) for one in each]
        result = grown(placement, lambda c, i=index: shape.operators("decode", 1, c)[i], first, number, nothing)
        assert (result.calls, result.macs) == (number, sum(one.macs for one in each))
        assert result.events == total([p.events + p.array_events for p in places])
        assert result.cycles == sum(p.cycles for p in places)
        assert result.unit_cycles == sum(p.unit_cycles for p in places)
        assert result.least_cycles == sum(p.least_cycles for p in places)
        assert sum(result.waits.values()) == result.cycles
        plans = Counter[str]()
        for p in places:
            if p.plan is not None:
                plans[p.plan.text()] += p.cycles
        assert result.plans == plans


@settings(max_examples=25)
@given(st.sampled_from(chip_names()), st.integers(1, 700), st.integers(1, 200), st.integers(1, 3))
def test_sums_over_contexts_equal_placing_every_context(chip: str, first: int, number: int, batch: int) -> None:
    check(chip, steps(batch=batch, chip=chip), first, number)


@pytest.mark.parametrize(("first", "number"), [(1, 300), (120, 20), (1000, 1100)])
def test_sums_hold_with_shared_heads_and_a_quantised_cache_whose_first_position_is_wider(
    first: int, number: int
) -> None:
    check("ternary-os-64x64", steps("bitnet-a48-700m", 7, "a48_kv3"), first, number)
    check("ternary-ws-64x64", steps("bitnet-b158-2b4t", 2), first, number)
    check("ternary-ws-64x64-int8", steps("bitnet-b158-2b4t", 2, chip="ternary-ws-64x64-int8"), first, number)


def test_tensors_that_outgrow_the_chip_move_to_dram_on_the_way() -> None:
    shape = steps("bitnet-b158-700m")
    placement = Placement(load_chip("ternary-ws-64x64"))
    near, far = (
        next(op for op in shape.operators("prefill", 64, context) if op.kind == "softmax") for context in (64, 20_000)
    )
    assert "dram" not in placement.place(near).needs
    assert "acts" not in placement.place(far).needs
