"""Scaling between nodes: the published example, both ends kept, order kept, and nothing outside of the range."""

import pytest

from bitsim.cost.area import PartArea, chip_area
from bitsim.cost.prices import PriceList
from bitsim.errors import ConfigError
from bitsim.hw import Technology, chip_names, load_chip, load_technology
from bitsim.hw.between import between, technology_at
from bitsim.hw.scaling import AREA, ENERGY, area_factor, energy_factor


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


def constants(technology: Technology) -> dict[str, tuple[float, float, float]]:
    found = {f"prices.{event}": price for event, price in technology.prices.items()}
    found |= {f"areas.{part}": area for part, area in technology.areas.items()}
    return {name: (c.low, c.nominal, c.high) for name, c in found.items()}


def test_between_keeps_both_ends() -> None:
    for name, near in (("45nm", 45 * (1 - 1e-9)), ("7nm", 7 * (1 + 1e-9))):
        end = constants(load_technology(name))
        found = constants(between(load_technology("45nm"), load_technology("7nm"), near))
        assert found
        for constant, levels in found.items():
            assert levels == pytest.approx(end[constant], rel=1e-6), constant


def test_between_lies_between_and_says_where_it_comes_from() -> None:
    large, small, middle = load_technology("45nm"), load_technology("7nm"), technology_at("22nm")
    assert (middle.name, middle.node_nm) == ("22nm", 22)
    assert middle.prices.keys() == large.prices.keys() & small.prices.keys()
    a, b = constants(large), constants(small)
    for name, levels in constants(middle).items():
        for start, value, end in zip(a[name], levels, b[name], strict=True):
            assert min(start, end) * (1 - 1e-12) <= value <= max(start, end) * (1 + 1e-12), name
    assert middle.prices["add.int8"].evidence == "derived"
    assert "of the way from 0.03 pJ to 0.007 pJ, on the energy curve of Stillmaker" in middle.prices["add.int8"].source
    assert middle.arrays is not None
    assert middle.arrays.name == "sram-22nm"


def is_sram(part: PartArea) -> bool:
    """Buffers have data of their own, and other banks at another node."""
    return part.component.startswith("sram ")


@pytest.mark.parametrize("name", chip_names())
def test_what_both_ends_price_and_size_is_priced_and_sized_between(name: str) -> None:
    chip = load_chip(name)
    middle, ends = chip.with_technology(technology_at("16nm")), ("45nm", "7nm")
    known = [set(chip.with_technology(end).tech.prices) for end in ends]
    assert all(PriceList(middle).price(event) for event in known[0] & known[1])
    sized = [{p.part for p in chip_area(chip.with_technology(end)) if p.area and not is_sram(p)} for end in ends]
    assert {p.part for p in chip_area(middle) if p.area and not is_sram(p)} == sized[0] & sized[1]
    assert all(p.area for p in chip_area(middle) if is_sram(p))


@pytest.mark.parametrize("name", ["5nm", "65nm", "130nm"])
def test_beyond_the_synthesised_nodes_there_is_no_technology(name: str) -> None:
    with pytest.raises(ConfigError, match=f"technology {name}: expected a node between 7 and 45 nm"):
        technology_at(name)


def test_a_technology_without_a_supply_is_not_scaled() -> None:
    with pytest.raises(ConfigError, match=r"7nm\.yaml: supply: required"):
        between(load_technology("45nm"), load_technology("7nm").model_copy(update={"supply": None}), 22)
