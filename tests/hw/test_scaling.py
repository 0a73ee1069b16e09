"""Scaling between nodes: the published example, both ends kept, order kept, and nothing outside of the range."""

import math
import re
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import yaml

from bitsim.cost.area import PartArea, chip_area
from bitsim.cost.prices import PriceList
from bitsim.errors import ConfigError
from bitsim.hw import Constant, Technology, chip_names, load_chip, load_technology
from bitsim.hw.scaling import AREA, DELAY, ENERGY, area_factor, delay_factor, energy_factor
from tests.chips import SYNTHESISED


def test_example_of_the_authors_corrigendum() -> None:
    """1 pJ at 65 nm and 1.3 V is 0.1755 pJ at 32 nm and 0.9 V (Integration 58, section 4.2.1 as corrected)."""
    assert energy_factor(65, 1.3, 32, 0.9) == pytest.approx(0.1755, abs=1e-4)


def test_printed_area_factors_between_all_nodes() -> None:
    """Rows 45 nm and 32 nm of the printed table, two digits each."""
    printed = {65: 1.5, 45: 1, 32: 0.46, 20: 0.21, 16: 0.19, 14: 0.17, 10: 0.1, 7: 0.059}
    assert {node: area_factor(45, node) for node in printed} == pytest.approx(printed, rel=0.03)
    printed = {130: 14, 90: 6.1, 65: 3.3, 45: 2.2, 20: 0.46, 16: 0.41, 14: 0.38, 10: 0.22, 7: 0.13}
    assert {node: area_factor(32, node) for node in printed} == pytest.approx(printed, rel=0.03)


def test_smaller_nodes_are_smaller_and_cheaper_and_so_are_those_between() -> None:
    nodes = [130, 100, 90, 65, 55, 45, 40, 32, 28, 22, 20, 18, 16, 15, 14, 12, 10, 8, 7]
    areas, energies = [area_factor(45, n) for n in nodes], [energy_factor(45, 1.0, n, 0.9) for n in nodes]
    assert areas == sorted(areas, reverse=True)
    assert energies == sorted(energies, reverse=True)
    assert sorted(AREA) == sorted(ENERGY)


def test_there_and_back_is_one() -> None:
    assert area_factor(45, 22) * area_factor(22, 45) == pytest.approx(1)
    assert energy_factor(45, 1.1, 14, 0.8) * energy_factor(14, 0.8, 45, 1.1) == pytest.approx(1)


@pytest.mark.parametrize("node", [5, 6.99, 130.5, 180])
def test_nothing_is_extrapolated(node: float) -> None:
    for start, end in ((45, node), (node, 45)):
        with pytest.raises(ConfigError, match=r"expected a node within 7 \.\. 130 nm"):
            area_factor(start, end)
        with pytest.raises(ConfigError, match=r"expected a node within 7 \.\. 130 nm"):
            energy_factor(start, 1.0, end, 1.0)


def test_a_supply_that_the_curves_do_not_know_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected a supply"):
        energy_factor(45, 0.0, 7, 0.7)


def test_delays_are_as_printed_at_45_and_7_nm_and_fall_from_node_to_node() -> None:
    """-501.6 1.331 + 1567 1.21 - 1619 1.1 + 566.1 = 13.64 and -28.58 0.343 + 76.6 0.49 - 70.26 0.7 + 24.69 = 3.239."""
    assert delay_factor(45, 1.1, 7, 0.7) == pytest.approx(3.239 / 13.640, abs=1e-4)
    delays = [delay_factor(45, 1.0, node, 0.9) for node in (130, 90, 65, 50, 20, 18, 16, 14, 12, 10, 7)]
    assert delays == sorted(delays, reverse=True)
    assert sorted(DELAY) == sorted(AREA)


def made(folder: Path, **keys: object) -> Technology:
    path = folder / "made.yaml"
    path.write_text(yaml.safe_dump({"kind": "technology", **keys}))
    return load_technology(path)


def levels(constant: Constant) -> tuple[float, float, float]:
    return constant.low, constant.nominal, constant.high


def numbers(technology: Technology) -> dict[str, Constant]:
    """All its constants but those of SRAM, which has rows of its own."""
    return {path: constant for path, constant in technology.constants().items() if not path.startswith("sram")}


def test_between_keeps_both_ends(tmp_path: Path) -> None:
    for name, near in (("45nm", 45 * (1 - 1e-9)), ("7nm", 7 * (1 + 1e-9))):
        end = numbers(load_technology(name))
        found = numbers(made(tmp_path, node_nm=near, between=["45nm", "7nm"]))
        assert found.keys() == set.intersection(*(set(numbers(load_technology(one))) for one in SYNTHESISED))
        for path, constant in found.items():
            assert levels(constant) == pytest.approx(levels(end[path]), rel=1e-6), path


@pytest.mark.parametrize("name", ["28nm", "22nm", "16nm", "11.5nm"])
def test_between_lies_between_and_ends_are_not_surer_than_the_curves(name: str) -> None:
    large, small = (numbers(load_technology(end)) for end in SYNTHESISED)
    middle = load_technology(name)
    assert (middle.name, middle.node_nm) == (name, float(name.removesuffix("nm")))
    assert numbers(middle).keys() == large.keys() & small.keys()
    for path, constant in numbers(middle).items():
        ends = sorted((large[path].nominal, small[path].nominal))
        assert ends[0] * (1 - 1e-12) <= constant.nominal <= ends[1] * (1 + 1e-12), path
        if path.startswith(("prices.pe", "prices.tree", "prices.reg", "areas.pe", "areas.tree", "delays")):
            assert constant.low < constant.nominal < constant.high, path


def test_a_price_between_by_hand() -> None:
    """An INT8 addition at 22 nm, where the supply is 1.1 - 0.4 ln(45 / 22) / ln(45 / 7) = 0.94616 V."""
    v = 1.1 - 0.4 * math.log(45 / 22) / math.log(45 / 7)
    assert v == pytest.approx(0.94616, abs=1e-5)
    at_32, at_20 = 0.8367 * v * v - 0.4341 * v + 0.1701, 0.373 * v * v - 0.1582 * v + 0.04104
    at_22 = at_32 * (at_20 / at_32) ** (math.log(22 / 32) / math.log(20 / 32))
    at_45, at_7 = 1.018 * 1.21 - 0.3107 * 1.1 + 0.1539, 0.1776 * 0.49 - 0.09097 * 0.7 + 0.02447
    t = math.log(at_22 / at_45) / math.log(at_7 / at_45)
    nominal = 0.03 ** (1 - t) * 0.007**t
    apart = (0.007 / 0.03 / (at_7 / at_45)) ** (2 * t * (1 - t))
    price = load_technology("22nm").prices["add.int8"]
    assert levels(price) == pytest.approx((nominal / apart, nominal, nominal * apart))
    assert price.evidence == "derived"
    assert "of the way from 0.03 pJ to 0.007 pJ, on the energy curve of Stillmaker" in price.source
    assert "the curve misses the ratio of both 5.09 times: low / " in price.source


def test_what_is_the_same_at_both_ends_stays_with_its_source() -> None:
    middle, end = load_technology("16nm"), load_technology("7nm")
    assert middle.prices["rom.read_bits"] == end.prices["rom.read_bits"]
    assert (middle.layout_factor.nominal, middle.layout_factor.evidence) == (1.5, "published")
    assert middle.voltage is not None
    assert end.voltage is not None
    assert middle.voltage.threshold.evidence == "assumed"
    assert middle.voltage.alpha.source == end.voltage.alpha.source
    assert middle.arrays is not None
    assert middle.arrays.name == "sram-16nm"


def is_sram(part: PartArea) -> bool:
    """Buffers have data of their own, and other banks at another node."""
    return part.component.startswith("sram ")


@pytest.mark.parametrize("name", chip_names())
def test_what_both_ends_price_and_size_is_priced_and_sized_between(name: str) -> None:
    chip = load_chip(name)
    middle = chip.with_technology("16nm")
    known = [set(chip.with_technology(end).tech.prices) for end in SYNTHESISED]
    assert all(PriceList(middle).price(event) for event in known[0] & known[1])
    sized = [{p.part for p in chip_area(chip.with_technology(end)) if p.area and not is_sram(p)} for end in SYNTHESISED]
    assert {p.part for p in chip_area(middle) if p.area and not is_sram(p)} == sized[0] & sized[1]
    assert all(p.area for p in chip_area(middle) if is_sram(p))


def test_smaller_nodes_never_cost_more_nominally() -> None:
    """From 65 nm to 5 nm; what one has, all have."""
    nodes = [load_technology(name) for name in ("65nm", "45nm", "28nm", "22nm", "16nm", "7nm", "5nm")]
    for larger, smaller in pairwise(nodes):
        for kind in ("prices", "areas", "delays"):
            large, small = getattr(larger, kind), getattr(smaller, kind)
            assert set(large) ^ set(small) <= {"unit.lut_build_binary_g4", "unit.lut_build_ternary_g3"}  # 45 nm only
            dearer = [
                name for name in large.keys() & small.keys() if small[name].nominal > large[name].nominal * (1 + 1e-9)
            ]
            assert dearer == [], (larger.name, kind)


STUDIED = {
    "prices": [
        *("pe.ternary_a8_acc24.add", "pe.int8_acc32.mac", "pe.fp16_acc16.mac", "tree.depth5.add_bits"),
        *("serial.depth5.add_bits", "popcount.depth7.add_bits", "reg.clock"),
    ],
    "areas": [
        *("pe.ternary_a8_acc24", "pe.int8_acc32", "pe.fp16_acc16", "tree.add_bit"),
        *("serial.add_bit", "popcount.add_bit", "reg.bit"),
    ],
    "delays": ["pe.ternary_a8_acc24", "pe.int8_acc32", "tree.depth5", "serial.depth5", "popcount.depth7"],
}  # synthesised at both nodes


def median_miss(kind: str, whole: float) -> float:
    """How far a curve's ratio of 45 nm to 7 nm is from the synthesised ones, at the median."""
    large, small = (getattr(load_technology(name), kind) for name in SYNTHESISED)
    ratios = [small[name].nominal / large[name].nominal for name in STUDIED[kind]]
    return math.exp(median(abs(math.log(ratio / whole)) for ratio in ratios))


def test_factors_of_65_nm_are_the_curves_and_their_misses() -> None:
    technology = load_technology("65nm")
    factors, share = technology.scaled, math.log(65 / 45) / math.log(45 / 7)
    assert factors is not None
    assert technology.supply is not None
    for factor, kind, curve, whole in (
        (
            factors.energy,
            "prices",
            energy_factor(45, 1.1, 65, technology.supply.nominal),
            energy_factor(45, 1.1, 7, 0.7),
        ),
        (factors.area, "areas", area_factor(45, 65), area_factor(45, 7)),
        (factors.delay, "delays", delay_factor(45, 1.1, 65, technology.supply.nominal), delay_factor(45, 1.1, 7, 0.7)),
    ):
        miss = median_miss(kind, whole) ** share
        assert levels(factor) == pytest.approx((curve / miss, curve, curve * miss), rel=1e-3), kind


def test_a_technology_times_factors() -> None:
    base, made_of = load_technology("7nm"), load_technology("5nm")
    clock = base.prices["reg.clock"]
    expected = 0.6 * clock.low, 0.7 * clock.nominal, 0.85 * clock.high
    assert levels(made_of.prices["reg.clock"]) == pytest.approx(expected)
    assert {price.evidence for price in made_of.prices.values()} == {"assumed"}
    assert made_of.areas["reg.bit"].nominal == pytest.approx(0.556 * base.areas["reg.bit"].nominal)
    assert made_of.delays["tree.depth5"].low == pytest.approx(0.87 * 0.766)
    assert made_of.voltage is None


@pytest.mark.parametrize("name", ["3nm", "6nm", "90nm", "130nm"])
def test_beyond_the_last_source_there_is_no_technology(name: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"^technology {name}: expected 16nm, .*65nm, 7nm or a node between 7 and 45 nm"
    ):
        load_technology(name)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"node_nm": 22}, "made.yaml:1: layout_factor: required key is missing"),
        ({"between": ["45nm", "7nm"]}, "node_nm: required beside `between`, as a number"),
        (
            {"node_nm": 3, "between": ["45nm", "7nm"]},
            "between: expected a node between 7 and 45 nm, those of 7nm and 45nm",
        ),
        ({"node_nm": 22, "between": ["45nm"]}, "between: expected two technologies, the one of the larger node first"),
        ({"node_nm": 22, "between": ["45nm", "8mm"]}, r"between\[1\]: unknown technology '8mm'"),
        ({"node_nm": 22, "between": ["45nm", "fpga-28nm"]}, "expected a technology with prices .got fpga-28nm."),
        ({"node_nm": 22, "like": "7nm", "between": ["45nm", "7nm"]}, "expected one of like, between"),
        ({"node_nm": 22, "between": ["made.yaml", "7nm"]}, r"expected a chain that ends .got made\.yaml -> made\.yaml"),
        ({"node_nm": 3, "scaled": {"base": "7nm"}}, "energy: required key is missing"),
    ],
)
def test_what_is_wrong_with_a_made_technology_is_said_where_it_is(
    tmp_path: Path, keys: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        made(tmp_path, **keys)
    assert re.match(r".*made\.yaml:\d+: ", str(caught.value))


def test_a_technology_without_a_supply_is_not_scaled(tmp_path: Path) -> None:
    (tmp_path / "end.yaml").write_text("kind: technology\nlike: 7nm\nsupply: null\nvoltage: null\n")
    with pytest.raises(ConfigError, match=r"between: end: supply: required to scale to another node"):
        made(tmp_path, node_nm=22, between=["45nm", "end.yaml"])


def test_own_ends_and_own_constants_of_a_made_technology(tmp_path: Path) -> None:
    """The way between own ends starts at their own prices, and what the file says itself is not moved."""
    constant = {"unit": "pJ", "evidence": "measured", "source": "mine"}
    own = yaml.safe_dump({"kind": "technology", "like": "7nm", "prices": {"add.int8": {"value": 0.014, **constant}}})
    (tmp_path / "own.yaml").write_text(own)
    doubled = made(tmp_path, node_nm=22, between=["45nm", "own.yaml"], prices={"add.fp16": {"value": 1.0, **constant}})
    usual = load_technology("22nm")
    t = math.log(usual.prices["add.int8"].nominal / 0.03) / math.log(0.007 / 0.03)
    assert doubled.prices["add.int8"].nominal == pytest.approx(0.03 ** (1 - t) * 0.014**t)
    assert (doubled.prices["add.fp16"].nominal, doubled.prices["add.fp16"].evidence) == (1.0, "measured")
    assert doubled.prices["mul.fp16"] == usual.prices["mul.fp16"]
