"""The chips and technologies that come with bitsim: they load, and their prices obey the laws."""

import subprocess
import sys
from typing import Any

import pytest

from bitsim.cost.prices import PriceList
from bitsim.cost.sram import buffer_of
from bitsim.datapath.registry import build_datapath
from bitsim.errors import UnknownNameError
from bitsim.events import event_kind
from bitsim.hw import Chip, Constant, chip_names, load_chip, load_technology, technology_names
from tests.chips import SYNTHESISED, unpriced_components


def test_names() -> None:
    assert {"fp16-ws-64x64", "int8-ws-64x64", "ternary-os-64x64", "ternary-ws-64x64"} <= set(chip_names())
    assert {"45nm", "7nm"} <= set(technology_names())


@pytest.mark.parametrize("name", chip_names())
def test_chip_loads(name: str) -> None:
    chip = load_chip(name)
    assert chip.name == name
    assert chip.path == f"hw_models/chips/{name}.yaml"
    assert len(chip.sha256) == 64
    assert chip.tech.name == chip.technology
    assert chip.wide.can_be_wide
    assert load_chip(chip) is chip


@pytest.mark.parametrize("name", technology_names())
def test_technology_loads(name: str) -> None:
    technology = load_technology(name)
    assert technology.name == name
    assert technology.path == f"hw_models/technology/{name}.yaml"
    assert len(technology.prices) > 28


@pytest.mark.parametrize(
    ("name", "unit", "column_format"),
    [
        ("ternary-ws-64x64", "ternary_a8_acc24", "int32"),
        ("ternary-os-64x64", "ternary_a8_acc24", "int32"),
        ("int8-ws-64x64", "int8_acc32", "int32"),
        ("fp16-ws-64x64", "fp16_acc16", "fp16"),
    ],
)
def test_names_used_in_events(name: str, unit: str, column_format: str) -> None:
    spec = load_chip(name).bitlinear
    assert (spec.unit, spec.column_format) == (unit, column_format)


@pytest.mark.parametrize("chip_name", chip_names())
@pytest.mark.parametrize("technology", SYNTHESISED)
def test_every_technology_prices_every_chip(chip_name: str, technology: str) -> None:
    chip = load_chip(chip_name).with_technology(technology)
    needed = ["scale.mul.fp16", "mul.fp16", *(f"vec.{op}.fp16" for op in ("add", "mul", "max", "cvt"))]
    for spec in (chip.bitlinear, chip.wide):
        datapath: Any = build_datapath(spec)
        shape = 70, 333, 130
        needed += [*datapath.count(*shape), *datapath.chances(*shape)]
    prices = PriceList(chip)
    unpriced = {event.split(".")[0] for event in needed if prices.price(event) is None}
    assert unpriced == unpriced_components(chip.bitlinear)
    for name in chip.memory.names:
        assert buffer_of(chip, name).banks.fits


def test_with_technology_changes_only_the_technology() -> None:
    chip = load_chip("ternary-ws-64x64")
    other = chip.with_technology("45nm")
    assert (other.technology, other.tech.name, chip.tech.name) == ("45nm", "45nm", "7nm")
    assert (other.bitlinear, other.memory) == (chip.bitlinear, chip.memory)
    assert other.sha256 != chip.sha256
    with pytest.raises(UnknownNameError, match=r"unknown technology '7mm'; did you mean 7nm"):
        chip.with_technology("7mm")


def test_every_constant_has_a_source() -> None:
    described = [load_chip(name) for name in chip_names()] + [load_technology(name) for name in technology_names()]
    constants = {f"{d.path}: {name}": constant for d in described for name, constant in d.constants().items()}
    assert len(constants) > 100
    assert [name for name, constant in constants.items() if not constant.source] == []


def test_unverified_and_secondary_facts_are_assumed() -> None:
    arrays = load_technology("7nm").arrays
    assert arrays is not None
    assert arrays.node_energy is not None
    leakages = [arrays.leakage.low_leakage.usual, arrays.leakage.high_performance.usual]
    assert {constant.evidence for constant in (arrays.node_energy, *leakages)} == {"assumed"}


def test_law_a_smaller_node_never_costs_more() -> None:
    """Holds for every event; SRAM has data of its own."""
    small, large = load_technology("7nm").prices, load_technology("45nm").prices
    assert small.keys() == large.keys()
    dearer = [event for event in small if not small[event].nominal <= large[event].nominal]
    dearer += [event for event in small if not small[event].low <= large[event].low]
    dearer += [event for event in small if not small[event].high <= large[event].high]
    assert dearer == []


@pytest.mark.parametrize("name", SYNTHESISED)
def test_law_a_wider_accumulator_never_costs_less(name: str) -> None:
    """Per PE and cycle, with its registers clocked: study B's 32-bit gates alone are 1.5 % below its 24-bit ones."""
    prices = load_technology(name).prices
    clock = prices["reg.clock"].nominal

    def cost(bits: int, level: str) -> float:
        return float(getattr(prices[f"pe.ternary_a8_acc{bits}.add"], level)) + (8 + bits) * clock

    for level in ("low", "nominal", "high"):
        assert cost(20, level) < cost(24, level) < cost(32, level)


@pytest.mark.parametrize("name", SYNTHESISED)
def test_zero_weights_save_no_gate_energy_unless_a_sum_is_held(name: str) -> None:
    prices = load_technology(name).prices
    for bits in (20, 24, 32):
        add, sub, skip = (prices[f"pe.ternary_a8_acc{bits}.{action}"] for action in ("add", "sub", "skip"))
        assert add == sub == skip
        assert 0 < prices[f"pe.ternary_a8_acc{bits}.idle"].high < add.high / 2


def test_priced_events_are_arithmetic_datapath_or_vector() -> None:
    for event in load_technology("7nm").prices:
        assert event_kind(event).ledger in ("arithmetic", "datapath") or event.startswith("vec.")


def test_timing_constants() -> None:
    chip = load_chip("ternary-ws-64x64")
    assert {name: constant.text() for name, constant in chip.timing_constants().items()} == {
        "ternary-ws-64x64: clock": "1 GHz",
        "ternary-ws-64x64: memory.dram.bandwidth": "17.064 GB/s",
        "ternary-ws-64x64: memory.dram.efficiency": "0.6 / 0.85 / 0.95",
    }


def test_descriptions_are_plain_data() -> None:
    chip = load_chip("ternary-os-64x64")
    assert isinstance(chip, Chip)
    assert chip.model_dump(mode="json")["clock"]["nominal"] == 1.0
    assert all(isinstance(constant, Constant) for constant in chip.constants().values())
    assert all(isinstance(text, str) for text in (chip.settings() | chip.tech.settings()).values())


def test_loading_needs_no_numerics() -> None:
    """`bitsim list` must start fast."""
    code = (
        "import sys; from bitsim.hw import *; [load_chip(name) for name in chip_names()]; "
        "sys.exit(', '.join({'numpy', 'pandas', 'numba'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
