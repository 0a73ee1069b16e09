"""The areas in the technology files follow from the measured tables, where those are at hand."""

from typing import Any

import pytest

from bitsim.hw import load_technology
from tests.chips import SYNTHESISED
from tools import derive_areas


@pytest.mark.parametrize("name", SYNTHESISED)
def test_cells(name: str, tables: dict[str, Any]) -> None:
    areas = load_technology(name).areas
    derived = derive_areas.derive(tables, name)
    assert derived.keys() == areas.keys()
    for part, expected in derived.items():
        constant = areas[part]
        assert (constant.low, constant.nominal, constant.high) == pytest.approx(expected, rel=1e-5), part


@pytest.mark.parametrize("name", SYNTHESISED)
def test_synthesised_ratios_of_area(name: str, tables: dict[str, Any]) -> None:
    """A tree's area per product against that of an INT8 PE, as study B has it: 11.1 (45 nm), 11.4 (7 nm)."""
    areas = load_technology(name).areas
    tree = (146 + 20) * areas["tree.add_bit"].nominal + 20 * areas["reg.bit"].nominal
    study = {
        unit: entry[derive_areas.LIBRARIES[name]]["um2"] for unit, entry in tables["pe_costs_study_b"]["units"].items()
    }
    expected = study["pe_i8_32"] / (study["tree16"] / 16)
    assert areas["pe.int8_acc32"].nominal / (tree / 16) == pytest.approx(expected, rel=1e-4)
