"""DRAM types: their numbers are those of the facts, labelled as these are, and a file says each of them once."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bitsim.errors import ConfigError
from bitsim.hw import dram_names, load_chip, load_dram
from bitsim.hw.dram import PER_BIT, Dram
from tests.outside import outside

TYPES = {
    "ddr3l-667-x16": "DDR3", "ddr4-3200-x64": "DDR4", "ddr5-5600-x64": "DDR5", "lpddr4-4266-x32": "LPDDR4",
    "lpddr4x-4266-x32": "LPDDR4X", "lpddr5-6400-x32": "LPDDR5", "lpddr5x-8533-x64": "LPDDR5X",
    "lpddr5x-8533-x128-package": "on_package_LPDDR5X", "gddr6-16-x256": "GDDR6", "gddr6x-21-x384": "GDDR6X",
    "hbm2-2.0-x1024": "HBM2", "hbm2-u280": "HBM2", "hbm2e-3.2-x1024": "HBM2E", "hbm3-6.4-x1024": "HBM3",
    "hbm3e-9.2-x1024": "HBM3E",
}  # fmt: skip
# What first-hand, computed, second-hand and remembered numbers are called here.
LABELS = {
    "read": "published", "recomputed": "derived", "derived": "derived", "secondary": "assumed", "unverified": "assumed",
}  # fmt: skip
GB_S = {
    "ddr3l-667-x16": 1.334, "ddr4-3200-x64": 25.6, "ddr5-5600-x64": 44.8, "lpddr4-4266-x32": 17.064,
    "lpddr4x-4266-x32": 17.064, "lpddr5-6400-x32": 25.6, "lpddr5x-8533-x64": 68.264,
    "lpddr5x-8533-x128-package": 136.528, "gddr6-16-x256": 512, "gddr6x-21-x384": 1008, "hbm2-2.0-x1024": 256,
    "hbm2-u280": 460, "hbm2e-3.2-x1024": 409.6, "hbm3-6.4-x1024": 819.2, "hbm3e-9.2-x1024": 1177.6,
}  # fmt: skip


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(outside("facts/memory_tables.yaml").read_text(encoding="utf-8"))["dram"]
    return found


def per_bit(dram: Dram, level: str) -> float:
    return sum(getattr(constant, level) for key in PER_BIT if (constant := getattr(dram, key)) is not None)


def test_every_type_is_held_against_the_facts() -> None:
    assert set(dram_names()) == set(TYPES) == set(GB_S)


@pytest.mark.parametrize("name", TYPES)
def test_a_bit_costs_what_the_facts_recommend(name: str, facts: dict[str, Any]) -> None:
    dram, listed = load_dram(name), facts["recommended_pJ_per_bit"][TYPES[name]]
    for level in ("low", "nominal", "high"):
        assert per_bit(dram, level) == pytest.approx(listed[level]), level
    labels = {constant.evidence for key in PER_BIT if (constant := getattr(dram, key)) is not None}
    # Of DDR4's whole, 4 pJ/bit of I/O are an assumption; the facts label the whole.
    assert labels == ({"derived", "assumed"} if TYPES[name] == "DDR4" else {LABELS[listed["evidence"]]})


def test_arrays_and_pins_are_split_as_the_facts_split_them(facts: dict[str, Any]) -> None:
    split = facts["split_HBM2_pJ_per_bit"]
    hbm2, lpddr4 = load_dram("hbm2-2.0-x1024"), load_dram("lpddr4-4266-x32")
    for level in ("low", "nominal", "high"):
        pins = getattr(hbm2.energy_io, level) / per_bit(hbm2, level)
        assert pins == pytest.approx(split["io"] / (split["activate"] + split["transfer"] + split["io"]), rel=0.03)
        assert getattr(lpddr4.energy_array, level) / per_bit(lpddr4, level) == pytest.approx(0.65, rel=1e-3)
    micron = {row[0]: row[1] for row in facts["idd_recomputed"]["rows"]}
    assert lpddr4.energy_array is not None
    assert lpddr4.energy_array.low == micron["LPDDR4-3200 6Gb core if both channels"]


@pytest.mark.parametrize(
    ("name", "listed"),
    [("ddr4-3200-x64", "DDR4"), ("lpddr4-4266-x32", "LPDDR4"), ("lpddr5-6400-x32", "LPDDR5"), ("hbm2-u280", "HBM2")],
)
def test_refresh_and_standby_add_up_to_the_background_of_the_facts(
    name: str, listed: str, facts: dict[str, Any]
) -> None:
    """In power-down at the low end, in standby at the nominal one; the facts are rounded to whole mW per GB."""
    dram, background = load_dram(name), facts["background_mW_per_GB"][listed]
    assert dram.refresh is not None
    assert dram.standby is not None
    assert dram.refresh.low + dram.standby.low == pytest.approx(background["idle_powerdown"], abs=0.6)
    assert dram.refresh.nominal + dram.standby.nominal == pytest.approx(background["active_standby"], abs=0.6)
    labels = {dram.refresh.evidence, dram.standby.evidence}
    assert labels == {LABELS[background["evidence"]]}


@pytest.mark.parametrize("name", TYPES)
def test_what_is_assumed_of_energy_and_power_is_a_range(name: str) -> None:
    dram = load_dram(name)
    for key in (*PER_BIT, "refresh", "standby"):
        constant = getattr(dram, key)
        if constant is not None and constant.evidence == "assumed":
            assert constant.low < constant.high, key


@pytest.mark.parametrize("name", TYPES)
def test_the_peak_is_what_the_pins_move(name: str) -> None:
    assert load_dram(name).bandwidth.nominal == pytest.approx(GB_S[name])


@pytest.mark.parametrize("name", sorted(set(TYPES) - {"hbm2-u280"}))
def test_efficiencies_are_those_of_the_facts(name: str, facts: dict[str, Any]) -> None:
    """The U280 is to be predicted at its roofline."""
    reached, listed = load_dram(name).efficiency, facts["streaming_efficiency"]
    assert [reached.low, reached.nominal, reached.high] == [listed[level] for level in ("low", "nominal", "high")]


def chip_with(here: Path, *lines: str) -> Any:
    (here / "x.yaml").write_text(
        "kind: chip\nlike: ternary-ws-64x64\nmemory:\n  dram:\n    like: lpddr4-4266-x32\n"
        + "".join(f"    {line}\n" for line in lines)
    )
    return load_chip(here / "x.yaml").memory.dram


def energy(key: str) -> str:
    return f"{key}: {{low: 1, nominal: 2, high: 3, unit: pJ/bit, evidence: assumed, source: x}}"


def test_a_chip_changes_the_pins_and_has_their_peak(tmp_path: Path) -> None:
    dram = chip_with(tmp_path, "pins: 64")
    assert dram.bandwidth.nominal == pytest.approx(34.128)
    assert dram.bandwidth.evidence == "assumed"
    assert dram.bandwidth.source == "64 pins: the speed grade's name"


def test_the_energy_of_a_bit_is_given_whole_or_in_two_parts(tmp_path: Path) -> None:
    whole = chip_with(tmp_path, energy("energy"), "energy_array: null", "energy_io: null")
    assert (whole.energy.nominal, whole.energy_array, whole.energy_io) == (2, None, None)
    for lines, got in (
        ([energy("energy")], "energy, energy_array, energy_io"),
        (["energy_io: null"], "energy_array"),
        (["energy_array: null", "energy_io: null"], "none"),
    ):
        with pytest.raises(ConfigError, match=rf"memory\.dram: expected energy, or .* \(got {got}\); .*KEY: null"):
            chip_with(tmp_path, *lines)


def test_refresh_in_another_unit_is_refused(tmp_path: Path) -> None:
    line = "refresh: {value: 1, unit: mW, evidence: measured, source: x}"
    with pytest.raises(ConfigError, match=r"x\.yaml:6: memory\.dram\.refresh\.unit: must be 'mW/GB' \(got 'mW'\)"):
        chip_with(tmp_path, line)
