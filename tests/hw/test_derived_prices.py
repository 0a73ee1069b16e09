"""The numbers in the technology files follow from the measured tables, where those are at hand."""

from typing import Any

import pytest

from bitsim.hw import load_technology
from tests.chips import SYNTHESISED
from tools import derive_prices


@pytest.mark.parametrize("name", SYNTHESISED)
def test_studies(name: str, tables: dict[str, Any]) -> None:
    prices = load_technology(name).prices
    derived = derive_prices.derive(tables, derive_prices.LIBRARIES[name])
    arithmetic = {event for event in prices if event.split(".")[0] in ("add", "mul")}
    assert derived.keys() == prices.keys() - arithmetic
    for event, expected in derived.items():
        constant = prices[event]
        if constant.value is None:
            assert (constant.low, constant.nominal, constant.high) == pytest.approx(expected, rel=1e-5), event
        else:
            assert constant.value == pytest.approx(expected[1], rel=1e-5), event


@pytest.mark.parametrize("name", SYNTHESISED)
def test_registers_and_gates_rebuild_the_measured_total(name: str, tables: dict[str, Any]) -> None:
    library = derive_prices.LIBRARIES[name]
    for ratio in derive_prices.rebuilt(tables, library, derive_prices.derive(tables, library)).values():
        assert ratio == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("name", SYNTHESISED)
def test_table_2_of_2310_11453(name: str, tables: dict[str, Any]) -> None:
    table = tables["op_energy_literature_pJ"]["bitnet_2310_11453_table2"][f"nm{name.removesuffix('nm')}"]
    prices = load_technology(name).prices
    for number_format, operations in table.items():
        for operation, energy in operations.items():
            assert prices[f"{operation}.{number_format}"].value == energy
