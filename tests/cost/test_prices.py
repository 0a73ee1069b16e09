"""Prices: nothing is silent, and memories are priced from their capacity."""

import pytest

import bitsim
from bitsim.cost import CONVENTIONS, OperatorCost, PriceList, price_operator
from bitsim.datapath.registry import build_datapath
from bitsim.errors import UnknownNameError, UnpricedEventError
from bitsim.events import Events
from bitsim.hw import load_chip

CHIP = load_chip("ternary-ws-64x64")


def energy(events: Events, convention: str, kind: str = "linear", time_ns: float = 0.0) -> dict[str, float]:
    cost = OperatorCost(name="layers.0.q_proj", kind=kind, events=events, time_ns=time_ns)
    return {part: e.nominal for part, e in price_operator(cost, PriceList(CHIP), CONVENTIONS[convention]).items()}


def test_an_event_without_a_price_raises_and_names_event_technology_and_operator() -> None:
    events = Events({"pe.int4_acc16.mac": 12_345})
    with pytest.raises(UnpricedEventError) as caught:
        energy(events, "datapath")
    message = str(caught.value)
    for part in ("pe.int4_acc16.mac", "7nm.yaml", "12,345", "layers.0.q_proj", "pe.int8_acc32.mac"):
        assert part in message
    assert energy(events, "arithmetic") == {}


def test_a_chip_whose_width_has_no_price_fails_instead_of_costing_nothing() -> None:
    spec = CHIP.bitlinear.model_copy(update={"acc_bits": 16})
    narrow = CHIP.model_copy(update={"bitlinear": spec})
    ruled = bitsim.estimate("tiny-b158", narrow, prefill=4, decode=0)
    assert 0 < ruled.energy("datapath") < bitsim.estimate("tiny-b158", CHIP, prefill=4, decode=0).energy("datapath")
    narrow = narrow.with_technology(CHIP.tech.model_copy(update={"rules": {}}))
    result = bitsim.estimate("tiny-b158", narrow, prefill=4, decode=0)
    assert (result.without("datapath") or "").startswith("without pe.ternary_a8_acc16.")
    assert 0 < result.energy_range("datapath", in_part=True).nominal * 1e-12 < ruled.energy("datapath")
    assert result.energy("arithmetic") > 0
    with pytest.raises(UnpricedEventError, match="ternary_a8_acc16"):
        result.energy("datapath")


def test_each_convention_prices_its_own_ledgers() -> None:
    events = Events({"add.int8": 1000, "reg.clock": 1000, "dram.weights.read_bits": 1000, "overflow.psum": 3})
    assert energy(events, "arithmetic") == {"add int8": pytest.approx(7.0)}
    assert set(energy(events, "datapath")) == {"clock"}
    assert set(energy(events, "system")) == {"clock", "dram weights"}
    assert energy(events, "system")["dram weights"] == pytest.approx(8_000)


def test_the_layout_factor_applies_to_synthesised_logic_only() -> None:
    prices = PriceList(CHIP)
    factor = CHIP.tech.layout_factor.nominal
    clock = prices.must_price("reg.clock", 1, "x")
    assert clock.nominal == pytest.approx(CHIP.tech.prices["reg.clock"].nominal * factor)
    for event in ("mul.fp16", "lut.sram.read_bits", "regfile.write_bits", "rom.read_bits"):
        assert prices.must_price(event, 1, "x").nominal == CHIP.tech.prices[event].nominal, event


@pytest.mark.parametrize(("chip_name", "board_pj"), [("fp16-tensor-ampere", 2.56), ("int8-tensor-ampere", 1.28)])
def test_a_tensor_core_takes_less_than_the_whole_board(chip_name: str, board_pj: float) -> None:
    """An A100, 7 nm, spends 400 W on 312 TFLOPS (FP16) or 624 TOPS (INT8); of FP16, `high` alone lies above."""
    chip = load_chip(chip_name)
    m, k, n = 64, 1024, 1024  # whole tiles
    events, prices = build_datapath(chip.bitlinear).count(m, k, n), PriceList(chip)
    for level in ("low", "nominal"):
        total = sum(
            count * prices.must_price(event, count, "x").at(level)
            for event, count in events.items()
            if event.startswith(("mma.", "regfile.", "dequant."))
        )
        assert 0.1 < total / (m * k * n) < board_pj, level


def test_conventions_leave_out_what_they_say() -> None:
    events = Events({"add.fp16": 10, "mul.fp16": 10})
    assert energy(events, "arithmetic", kind="head") == {}
    assert energy(events, "arithmetic", kind="qk") != {}
    with pytest.raises(UnknownNameError, match="did you mean arithmetic"):
        bitsim.estimate("tiny-b158", CHIP, prefill=2, decode=0).energy("arithmetics")


def test_leakage_is_power_times_time() -> None:
    one, two = (energy(Events(), "system", time_ns=t)["sram leakage"] for t in (100.0, 200.0))
    assert two == pytest.approx(2 * one)
    assert one == pytest.approx(100.0 * PriceList(CHIP).leakage_mw().nominal)
