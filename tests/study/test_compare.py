"""Pairs of model and chip beside each other: the ratios of the last to the first."""

import pytest

from bitsim.errors import ConfigError
from bitsim.study.compare import PairComparison, pair_of
from tests.by_hand import result, row


def test_the_headline_is_the_last_pair_over_the_first_per_new_token() -> None:
    """2 GHz: 6 us for three tokens over 1 us for one are 2; 900 additions for three over 100 for one are 3."""
    one = result(row("decode", "q", "linear", 0, cycles=2000, events={"add.int8": 100}), decode=1)
    between = result(row("decode", "q", "linear", 0, cycles=77, events={"add.int8": 7}), decode=1)
    three = result(row("decode", "q", "linear", 0, cycles=12000, events={"add.int8": 900}), decode=3)
    found = PairComparison(inputs={}, notes=(), results=(one, between, three))
    headline = found.headline()
    assert list(headline) == [
        "time_ratio", "energy_arithmetic_ratio", "energy_datapath_ratio", "energy_system_ratio", "area_ratio",
        "average_power_system_ratio", "tops_per_w_system_ratio", "tops_per_mm2_ratio",
    ]  # fmt: skip
    assert headline["time_ratio"] == pytest.approx(2.0)
    assert headline["energy_arithmetic_ratio"] == pytest.approx(3.0)
    assert headline["energy_datapath_ratio"] is None  # nothing over nothing
    # Both are the same chip. Leakage alone takes energy, for twice the time: of the same power.
    assert (headline["area_ratio"], headline["average_power_system_ratio"]) == (1.0, pytest.approx(1.0))
    assert found.title == "; ".join(["by hand on ternary-ws-64x64"] * 3)
    assert [record["cycles"] for record in found.records()] == [2000, 77, 4000]
    unknown = result(row("decode", "q", "linear", 0, cycles=2, events={"pe.ternary_a8_acc17.add": 3}), decode=1)
    assert PairComparison(inputs={}, notes=(), results=(one, unknown)).headline()["energy_system_ratio"] is None


@pytest.mark.parametrize(
    ("text", "pair"),
    [("a@b", ("a", "b")), ("a", ("a", "ternary-ws-64x64")), ("a@", ("a", "ternary-ws-64x64")), ("a@b@c", ("a", "b@c"))],
)
def test_a_pair_is_model_at_chip_with_a_usual_chip(text: str, pair: tuple[str, str]) -> None:
    assert pair_of(text) == pair
    with pytest.raises(ConfigError, match="expected MODEL@CHIP, got '@b'"):
        pair_of("@b")


def test_what_is_assumed_for_several_pairs_is_listed_once() -> None:
    made = result(row("decode", "q", "linear", 0, cycles=2), decode=1)
    both = PairComparison(inputs={}, notes=(), results=(made, made))
    assert both.assumed() == made.assumed()
    assert made.assumed()
