"""Laws 5, 6 and 7 of whole models and operators on chips with other memories."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bitsim
from bitsim.cost import CONVENTIONS
from bitsim.datapath.registry import build_datapath
from bitsim.events import Events
from bitsim.hw import chip_names, load_chip
from bitsim.hw.chip import Chip
from bitsim.model.build_operators import forward_operators
from bitsim.model.checkpoint import load_model
from bitsim.model.operators import Operator, lone_linear
from bitsim.results import Result
from bitsim.schedule import Placed, Placement, ScheduleError
from tests.chips import executed_on
from tests.datapath.strategies import array_spec
from tests.schedule.strategies import chip_with, chips, constant, memory

PROMPT = "And God said, Let there be light"
TIGHT: dict[str, Any] = {
    "buffers of 1 kB": {"weights": 1, "acts": 1, "psums": 1},
    "hardly any sums": {"psums": 0.25},
    "activations in DRAM": {"acts": 2},
    "priced": {"weights": 8, "acts": 8, "psums": 8},  # the smallest buffers that have a price
}


def with_capacities(chip: Chip, capacities: dict[str, float]) -> Chip:
    """The chip with levels of so many kB."""
    levels = [level.model_dump() for level in chip.memory.levels]
    for level in levels:
        if level["name"] in capacities:
            level["capacity"] = constant(capacities[level["name"]], "kB")
    return chip.model_copy(update={"memory": chip.memory.model_validate(chip.memory.model_dump() | {"levels": levels})})


@cache
def ran(tight: str | None) -> Result:
    chip = load_chip("ternary-ws-64x64")
    chip = with_capacities(chip, TIGHT[tight]) if tight else chip
    return bitsim.run(
        "tiny-b158", chip, prompt=PROMPT, new_tokens=3, causal="full"
    )  # no blocks, whose size is a plan's


def arithmetic(events: Events) -> dict[str, int]:
    """Operations of the papers, of PEs and of the vector unit."""
    return {name: count for name, count in events.items() if name.split(".")[0] in ("add", "mul", "pe", "vec", "scale")}


@pytest.mark.parametrize("tight", TIGHT)
def test_law_5_tiling_changes_neither_outputs_nor_arithmetic_events(tight: str) -> None:
    plain, tiled = ran(None), ran(tight)
    np.testing.assert_array_equal(tiled.logits, plain.logits)
    assert tiled.tokens == plain.tokens
    assert [row.plan for row in tiled.rows] != [row.plan for row in plain.rows]
    assert tiled.events.data_independent() != plain.events.data_independent()
    for one, other in zip(tiled.rows, plain.rows, strict=True):
        assert arithmetic(one.events) == arithmetic(other.events)
    assert tiled.energy("arithmetic") == pytest.approx(plain.energy("arithmetic"), rel=1e-12)


def called(chip: Chip, op: Operator) -> tuple[int, ...]:
    """The tokens of each call of the datapath."""
    tiles = Placement(chip).place(op).tiles
    assert tiles is not None
    return tiles.sizes(0)


def test_law_5_covers_calls_of_parts_of_the_tokens() -> None:
    op = lone_linear(name="l", phase="prefill", m=32, k=256, n=704, weight_bits=1)
    chip = with_capacities(load_chip("ternary-ws-64x64"), TIGHT["hardly any sums"])
    assert len(called(chip, op)) > 1
    assert len(called(load_chip("ternary-ws-64x64"), op)) == 1


def test_law_6_parts_sum_to_the_total_and_conventions_are_ordered() -> None:
    result, table = ran("priced"), ran("priced").frame("energy")
    totals = [result.energy(name) for name in CONVENTIONS]
    assert totals[0] <= totals[1] <= totals[2]
    for name, total in zip(CONVENTIONS, totals, strict=True):
        assert table.loc[table["convention"] == name, "nominal_pj"].sum() * 1e-12 == pytest.approx(total, rel=1e-12)
    assert sum(row.cycles for row in result.rows) == result.cycles
    assert sum((row.events for row in result.rows), Events()) == result.events


def keeps_law_7(chip: Chip, placed: Placed, compulsory: int) -> None:
    """DRAM moves what it must, and nothing is faster than what it needs of anything."""
    assert sum(bits for name, bits in placed.events.items() if name.startswith("dram.")) >= compulsory
    assert all(placed.cycles >= cycles for cycles in placed.occupied.values())
    assert placed.cycles >= placed.least_cycles
    assert placed.gap >= 0
    assert placed.cycles / chip.clock.nominal >= compulsory / 8 / chip.memory.dram.bandwidth.nominal


@given(st.data(), chips())
def test_law_7_on_random_chips_and_shapes(data: st.DataObject, chip: Chip) -> None:
    m, k, n, repeat = (data.draw(st.integers(1, most)) for most in (13, 13, 13, 3))
    bits, held = data.draw(st.sampled_from((2, 5))), build_datapath(chip.bitlinear).holds_weights
    op = lone_linear(
        name="l",
        phase="prefill",
        m=m,
        k=k,
        n=n,
        repeat=repeat,
        weight_bits=-(-k * n * repeat * bits // 3),
    )
    try:
        placed = Placement(chip).place(op)
    except ScheduleError:
        return
    keeps_law_7(chip, placed, 0 if held else op.weight_bits)


@pytest.mark.sampled(one_in=4)
@pytest.mark.parametrize("chip_name", chip_names())
@pytest.mark.parametrize("model_name", ["tiny-b158", "bitnet-1.3b", "llama-700m"])
def test_law_7_on_models(chip_name: str, model_name: str) -> None:
    chip = load_chip(chip_name)
    if chip.wide.wide_bits is not None and not load_model(model_name).config.quantised:
        pytest.skip("linears of floats, and a wide datapath of integers")
    config, recipe = executed_on(chip, model_name)
    placement = Placement(chip)
    for tokens, context in ((7, 7), (1, 90)):
        settings = {"phase": "decode", "tokens": tokens, "context": context, "recipe": recipe, "kv": recipe.kv or 16}
        for op in {op.kind: op for op in forward_operators(config, **settings)}.values():
            resident = any(level.resident for level in chip.memory.chain("weights"))
            held = resident or (op.is_bitlinear and placement.bitlinear.holds_weights)
            compulsory = op.weight_bits * (not held) + op.kv_read_bits + op.kv_write_bits + op.dram_read_bits
            placed = placement.place(op)
            keeps_law_7(chip, placed, compulsory)
            if op.is_matmul:
                spec = chip.bitlinear if op.is_bitlinear else chip.wide
                assert placed.unit_cycles >= op.macs / spec.macs_per_cycle


def test_weights_of_a_resident_level_pass_through_the_buffers_inside_of_it_and_never_come_from_dram() -> None:
    levels = {"l3": {"resident": True}, "l1": {"capacity": constant(64, "kB")}}
    chip = chip_with(
        memory(("weights", "acts", "psums", "weights"), **levels),
        array_spec("ternary", "weight_stationary", 4, 4, column_acc_bits=32),
    )
    op = lone_linear(name="l", phase="prefill", m=3, k=8, n=8, weight_bits=128)
    events = Placement(chip).place(op).events
    assert events["sram.l3.read_bits"] == events["sram.l0.write_bits"] == 8 * 8 * 2
    assert not [name for name in events if name.startswith("dram.weights")]
    assert events["sram.l3.write_bits"] == 0
