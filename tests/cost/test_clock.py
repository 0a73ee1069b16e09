"""Critical paths: those of synthesis, slower at a lower supply; a clock that is too fast is said, not changed."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import bitsim
from bitsim.cost.clock import clock_notes, clock_rows, critical_paths
from bitsim.hw import Chip, chip_names, load_chip, load_technology
from tests.chips import SYNTHESISED, amount
from tools import derive_delays


def clocked(name: str, ghz: float, **keys: Any) -> Chip:
    chip = load_chip(name)
    return chip.model_copy(update={"clock": amount(chip.clock, ghz), **keys})


@pytest.mark.parametrize("name", SYNTHESISED)
def test_delays_are_those_of_the_study(name: str) -> None:
    delays = load_technology(name).delays
    derived = derive_delays.derive(derive_delays.load_tables(), name)
    assert {unit: (d.low, d.nominal, d.high) for unit, d in delays.items()} == {
        unit: pytest.approx((ns, ns, ns)) for unit, ns in derived.items()
    }


def test_an_int8_pe_of_7_nm_misses_a_clock_of_1_ghz_and_a_ternary_one_does_not() -> None:
    """Study A, asap7: 1.132 ns and 0.662 ns."""
    assert clock_rows(load_chip("int8-ws-64x64")) == [
        ["bitlinear", "pe.int8_acc32", "1.13 ns before layout, too slow"],
        ["wide", "pe.fp16_acc16", "not known"],
    ]
    assert clock_rows(load_chip("ternary-ws-64x64"))[0] == [
        "bitlinear",
        "pe.ternary_a8_acc24",
        "0.662 ns before layout, in time",
    ]
    (note,) = clock_notes(load_chip("int8-ws-64x64"))
    assert note.startswith(
        "clock: 1 GHz leaves 1 ns for pe.int8_acc32 (bitlinear), whose critical path at 0.7 V takes 1.13"
    )
    assert clock_notes(load_chip("ternary-ws-64x64")) == ()
    assert clock_notes(clocked("int8-ws-64x64", 0.88)) == ()
    assert len(clock_notes(clocked("int8-ws-64x64", 0.89))) == 1
    assert len(clock_notes(clocked("ternary-ws-64x64", 1.52))) == 1


def test_a_lower_supply_takes_its_time(tmp_path: Path) -> None:
    """0.662 ns at 0.7 V becomes 1.369, 1.477 and 1.699 times as much at 0.5 V: 0.906, 0.978 and 1.125 ns."""
    path = tmp_path / "slow.yaml"
    voltage = {"value": 0.5, "unit": "V", "evidence": "assumed", "source": "me"}
    path.write_text(yaml.safe_dump({"kind": "chip", "like": "ternary-ws-64x64", "voltage": voltage}))
    found = critical_paths(load_chip(path))[0]
    assert (found.low, found.nominal, found.high) == pytest.approx((0.906, 0.978, 1.125), abs=1e-3)
    assert clock_rows(load_chip(path))[0][2] == "0.906 / 0.978 / 1.13 ns before layout, in time but for the high end"
    voltage["value"] = 0.48
    path.write_text(yaml.safe_dump({"kind": "chip", "like": "ternary-ws-64x64", "voltage": voltage}))
    assert clock_rows(load_chip(path))[0][2].endswith("in time at the low end only")
    assert "at 0.48 V" in clock_notes(load_chip(path))[0]


def test_results_say_so() -> None:
    late = bitsim.estimate("tiny-b158", "int8-ws-64x64", prefill=2, decode=1)
    assert len([note for note in late.notes if note.startswith("clock: 1 GHz")]) == 1
    shapes = [bitsim.MatmulShape(name="one", m=1, k=64, n=64)]
    assert any("clock: 1 GHz" in note for note in bitsim.estimate_matmuls(shapes, "int8-ws-64x64").notes)
    assert not any("clock:" in note for note in bitsim.estimate("tiny-b158", "ternary-ws-64x64", decode=1).notes)


@pytest.mark.parametrize("name", chip_names())
def test_what_logic_is_named_is_in_the_units_of_delays_or_not_known(name: str) -> None:
    chip = load_chip(name)
    for path in critical_paths(chip):
        assert (path.nominal is None) == (path.unit not in chip.tech.delays)
        assert not path.unit.endswith(("_bits", ".read", ".mac", ".add"))


def test_every_delay_is_that_of_logic_that_some_chip_or_width_has() -> None:
    """Names that no datapath has would be known to nobody."""
    named = {path.unit for name in chip_names() for path in critical_paths(load_chip(name).with_technology("7nm"))}
    unused = set(load_technology("7nm").delays) - named
    assert unused <= {
        *("pe.ternary_a8_acc16", "pe.ternary_a8_acc20", "tree.depth1", "popcount.depth7"),  # other widths and depths
    }


def test_a_range_of_the_supply_widens_the_delay() -> None:
    chip = load_chip("ternary-ws-64x64")
    volts = chip.clock.model_copy(update={"unit": "V", "low": 0.45, "nominal": 0.5, "high": 0.6})
    rule = chip.tech.voltage
    assert rule is not None
    found = critical_paths(chip.model_copy(update={"voltage": volts}))[0]
    expected = rule.slowdown(0.6, 0.7)[0], rule.slowdown(0.5, 0.7)[1], rule.slowdown(0.45, 0.7)[2]
    assert (found.low, found.nominal, found.high) == pytest.approx([0.662 * slower for slower in expected])
