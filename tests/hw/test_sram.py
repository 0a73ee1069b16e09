"""SRAM as data: the grids are CACTI's, the stated errors cover what was held out, and mistakes say where they are."""

from math import exp, log
from pathlib import Path

import pytest

from bitsim.errors import ConfigError, UnknownNameError
from bitsim.hw import load_sram, load_technology, sram_names
from bitsim.hw.constants import Constant
from bitsim.hw.sram import FLAVOURS, QUANTITIES
from bitsim.hw.sram_nodes import sram_at
from tools import derive_sram

RUNS = derive_sram.load_runs()


@pytest.mark.parametrize("node", derive_sram.NODES)
def test_grids_are_what_cacti_says(node: int) -> None:
    grid, derived = load_sram(f"sram-{node}nm").grid, derive_sram.derive(RUNS, node)
    assert (grid.capacities_kb, grid.widths_bits) == (derive_sram.CAPACITIES_KB, derive_sram.WIDTHS_BITS)
    for quantity in QUANTITIES:
        assert [list(row) for row in getattr(grid, quantity)] == derived[quantity], quantity


def test_cacti_as_printed() -> None:
    """45 nm, 128 kB, 64 bits: 33.0 and 21.2 pJ, 0.72 ns, 0.387 mm2; low-leakage cells 1.56 ns."""
    grid = load_sram("sram-45nm").grid
    found = [getattr(grid, quantity)[3][1] for quantity in QUANTITIES]
    assert found == pytest.approx([32.96, 21.16, 0.3874, 0.7245, 1.56], rel=2e-3)


def within(errors: list[float], factor: float) -> float:
    """The share of errors that a factor covers."""
    return sum(abs(error) <= log(factor) for error in errors) / len(errors)


@pytest.mark.parametrize("quantity", ["read_pj", "write_pj", "area_mm2", "fast_ns"])
def test_the_stated_errors_cover_what_was_held_out(quantity: str) -> None:
    sram, errors = load_sram("sram-22nm"), derive_sram.held_out(RUNS[quantity])
    between = sram.interpolation.high
    assert within(errors["capacity, gaps of 4x"], between) == 1.0  # the grid's own gaps
    # A gap of twice as many octaves has four times the error, in logarithms: where a line errs, it errs by curvature.
    assert within(errors["capacity, gaps of 16x"], 1.40) >= 0.95
    assert within(errors["width, gaps of 4x"], 1.34) >= 0.95
    assert exp(((log(1.226) ** 2) + (log(1.34) / 4) ** 2) ** 0.5) <= between
    for key in ("node, 32 nm between 22 and 45", "node, 45 nm between 28 and 65", "node, 28 nm between 22 and 32"):
        assert within(errors[key], sram.between_nodes.high) >= 0.95, key


def test_the_stated_errors_beyond_the_grid_cover_what_was_held_out() -> None:
    beyond = load_sram("sram-22nm").beyond
    for quantity in ("read_pj", "write_pj"):
        errors = derive_sram.held_out(RUNS[quantity])
        assert within(errors["16 MB over twice 4 MB by a square root"], beyond.larger.high / 2) == 1.0
        wider = errors["512 bits over two of 256 side by side"]
        assert all(log(beyond.wider.low) <= error <= log(beyond.wider.high) for error in wider)


def test_leakage_of_a_flavour_is_in_order_and_its_usual_range_holds_both_ends() -> None:
    for name in sram_names():
        sram = load_sram(name)
        for flavour in FLAVOURS:
            leakage = getattr(sram.leakage, flavour)
            cool, hot = leakage.cool.leakage, leakage.hot.leakage
            for level in ("low", "nominal", "high"):
                assert getattr(cool, level) < getattr(hot, level), (name, flavour)
            assert leakage.usual.low <= cool.low
            assert cool.nominal <= leakage.usual.nominal <= hot.nominal <= leakage.usual.high
        assert sram.leakage.low_leakage.usual.high < sram.leakage.high_performance.usual.nominal


def test_what_is_assumed_is_a_range() -> None:
    """But for the ends of ranges and labels: a number that nobody measured has no single value."""
    for name in sram_names():
        for key, constant in load_sram(name).constants().items():
            assert isinstance(constant, Constant)
            if constant.evidence == "assumed" and not key.startswith("limits.") and key != "supply":
                assert constant.low < constant.high, (name, key)


def test_no_active_leakage_was_published_below_22_nm() -> None:
    for node in ("16", "7"):
        leakages = load_sram(f"sram-{node}nm").leakage
        assert {getattr(leakages, flavour).usual.evidence for flavour in FLAVOURS} == {"assumed"}


def test_nodes_between_and_beyond() -> None:
    assert sram_at(22) == load_sram("sram-22nm")
    middle = load_sram("sram-32nm")
    assert (middle.name, middle.node_nm, middle.grid.evidence) == ("sram-32nm", 32, "derived")
    assert middle.supply.nominal == pytest.approx(0.86 ** (1 - 0.2814) * 1.0**0.2814, rel=1e-3)
    for node in ("5", "6.9", "66", "130"):
        with pytest.raises(ConfigError, match=rf"SRAM of {node} nm: expected a node within 7 \.\. 65 nm"):
            load_sram(f"sram-{node}nm")
    with pytest.raises(UnknownNameError, match="sram-7nm"):
        load_sram("7nm")


LEAKAGE = "{value: 5, unit: uW/kB, evidence: measured, source: my macro}"


def test_a_file_changes_one_number_and_a_technology_and_its_hash_follow(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"kind: sram\nlike: sram-7nm\nleakage: {{low_leakage: {{usual: {LEAKAGE}}}}}\n", encoding="utf-8")
    technology = tmp_path / "tech.yaml"
    technology.write_text("kind: technology\nlike: 7nm\nsram: mine.yaml\n", encoding="utf-8")
    found, original = load_technology(technology), load_technology("7nm")
    assert found.arrays is not None
    assert original.arrays is not None
    assert found.arrays.leakage.low_leakage.usual.nominal == 5
    assert found.arrays.grid == original.arrays.grid
    before = found.sha256
    mine.write_text(mine.read_text(encoding="utf-8").replace("value: 5", "value: 6"), encoding="utf-8")
    assert load_technology(technology).sha256 != before


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("silicon:\n", "silicone:\n", "silicone: unknown key; did you mean silicon"),
        ("    - [0.499244,", "    - [", "grid.read_pj: expected 7 rows of 5 numbers, one per capacity and width"),
        ("[2, 8, 32,", "[2, 32,", "grid.read_pj: expected 6 rows of 5 numbers"),
        ("[32, 64, 128,", "[64, 32, 128,", "grid.widths_bits: expected rising numbers"),
        ("celsius: 85", "celsius: 25", "leakage.low_leakage.hot: expected a temperature above that of `cool`"),
        ("unit: uW/kB", "unit: mW", "unit: must be 'uW/kB' (got 'mW')"),
        ("value: 0.01,", "value: 1.01,", "idle.off.value: must be <= 1 (got 1.01)"),
    ],
)
def test_mistakes_say_where(tmp_path: Path, old: str, new: str, text: str) -> None:
    shipped = Path(__file__).parents[2] / "hw_models" / "sram" / "sram-22nm.yaml"
    content, mine = shipped.read_text(encoding="utf-8"), tmp_path / "mine.yaml"
    assert old in content
    mine.write_text(content.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_sram(mine)
    assert text in str(caught.value)
    assert f"{mine}:" in str(caught.value)


@pytest.mark.parametrize(
    ("sram", "text"),
    [("sram-8nmm", "unknown SRAM 'sram-8nmm'"), ("gone.yaml", "file not found"), ("sram-5nm", "within 7 .. 65 nm")],
)
def test_a_technology_without_such_sram_says_at_which_line(tmp_path: Path, sram: str, text: str) -> None:
    technology = tmp_path / "tech.yaml"
    technology.write_text(f"kind: technology\nlike: 7nm\nsram: {sram}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_technology(technology)
    assert "tech.yaml:3: sram: " in str(caught.value)
    assert text in str(caught.value)
