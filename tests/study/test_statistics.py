"""Estimates rest on statistics of the shipped model of the same kind, on every chip that takes its operands."""

from typing import Any

import pytest

from bitsim.errors import BitsimError, ConfigError
from bitsim.events import total
from bitsim.hw import chip_names, load_chip
from bitsim.hw.chip import Chip
from bitsim.hw.datapaths import BitSerialSpec, PopcountSpec
from bitsim.model.catalogue import SHIPPED
from bitsim.model.checkpoint import load_model
from bitsim.schedule import Placement
from bitsim.study import estimate
from bitsim.study.codes import EstimateError
from bitsim.study.statistics import MEASURED_ON, default_statistics
from tests.chips import takes
from tools.measure_statistics import executed, matmuls

FAMILIES = [name for name in SHIPPED if load_model(name).config.quantised]


def changed(name: str, **fields: Any) -> Chip:
    chip = load_chip(name)
    spec = type(chip.bitlinear).model_validate(chip.bitlinear.model_dump() | fields)
    return chip.model_copy(update={"bitlinear": spec})


def popcounts(operands: str) -> Chip:
    spec = PopcountSpec.model_validate(
        {"kind": "popcount", "operands": operands, "lanes": 64, "cols": 64, "tokens": 1, "acc_bits": 16}
    )
    return load_chip("ternary-ws-64x64").model_copy(update={"bitlinear": spec})


@pytest.mark.sampled(one_in=6)
@pytest.mark.parametrize("model", SHIPPED)
@pytest.mark.parametrize("chip", chip_names())
def test_every_kind_of_model_is_estimated_on_every_shipped_chip_that_takes_it(chip: str, model: str) -> None:
    if not takes(chip, model):
        with pytest.raises(BitsimError, match=rf"{chip}.*( takes | multiplies integers )"):
            estimate(model, chip, prefill=5, decode=1)
        return
    result = estimate(model, chip, prefill=5, decode=1, beyond_capacity=True)
    assert MEASURED_ON[load_model(model).config.linear_class] == model
    assert [f"{model} under " in note for note in result.notes if "from statistics" in note] == [True]
    assert all(count >= 0 for count in result.events.values())


@pytest.mark.parametrize("model", FAMILIES)
@pytest.mark.parametrize("skips", [True, False])
def test_binary_bit_planes_are_estimated_for_binary_weights_only(model: str, skips: bool) -> None:
    chip = changed("bit-serial-16x8x256", weights="binary", skip_zero_planes=skips)
    assert isinstance(chip.bitlinear, BitSerialSpec)
    if model == "tiny-b1":
        assert estimate(model, chip, prefill=5, decode=1).events["reg.serial.toggle"] > 0
        return
    with pytest.raises(ConfigError, match=f"takes binary weights, -1 and 1, but those of {model} are ternary"):
        estimate(model, chip, prefill=5, decode=1)


@pytest.mark.parametrize("model", FAMILIES)
@pytest.mark.parametrize("operands", ["binary", "ternary"])
def test_popcounts_take_the_activations_of_no_family(model: str, operands: str) -> None:
    with pytest.raises(EstimateError, match=r"takes activations of at most [12] "):
        estimate(model, popcounts(operands), prefill=5, decode=1)


@pytest.mark.parametrize("model", FAMILIES)
@pytest.mark.parametrize("name", ["sparse-array-16x256", "bit-serial-16x2048", "adder-tree-16x256"])
def test_what_is_expected_of_the_measured_matmuls_is_what_was_counted(name: str, model: str) -> None:
    """On chips that gave their kind's rates, each matmul in one call.

    Rates have six digits; each operator's events are rounded.
    """
    chip, loaded = load_chip(name), load_model(model)
    rows = executed(loaded, chip, loaded.config.default_numerics, "exact")
    counted = total([row.events for row in rows if row.name.endswith("_proj")])
    statistics, datapath = default_statistics(loaded.config.linear_class), Placement(chip).bitlinear
    linears = [op for op in matmuls(loaded, chip, chip.bitlinear.rates) if op.is_bitlinear]
    expected = total([datapath.expect(op.m, op.k, op.n, statistics) for op in linears])
    rated = statistics.rates[chip.bitlinear.rates]
    assert {"reg.act.toggle", "reg.psum.toggle", "reg.weight.toggle"} <= rated.keys() & counted.keys()
    for event in rated.keys() & counted.keys():
        assert expected[event] == pytest.approx(counted[event], rel=2e-5, abs=32), event


def test_codes_of_few_bits_that_leave_a_datapaths_range_are_refused() -> None:
    """E2M1 codes are numbers of 4 bits, but go from -12 to 12."""
    with pytest.raises(EstimateError, match=r"a48_e2m1 have codes of -12\.\.12, int4-tensor-ampere takes -8\.\.7"):
        estimate("tiny-a48", "int4-tensor-ampere", prefill=4, decode=1, numerics="a48_e2m1")
    assert estimate("tiny-a48", "ternary-ws-64x64", prefill=4, decode=1, numerics="a48_e2m1").cycles > 0
