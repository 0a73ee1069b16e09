"""Pairs of model and chip beside each other: the ratios of the last to the first."""

from pathlib import Path

import pytest

import bitsim
from bitsim.errors import ConfigError, UnknownNameError
from bitsim.study.compare import PairComparison, compare, pair_of
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
    unknown = result(row("decode", "q", "linear", 0, cycles=2, events={"simd.avx2.load": 3}), decode=1)
    in_part = PairComparison(inputs={}, notes=(), results=(one, unknown)).headline()
    # Leakage of 2 cycles over that of 2000, and said to be all that is known.
    assert in_part["energy_system_ratio"] == pytest.approx(0.001)
    assert in_part["energy_system_ratio_without"] == "last without simd.avx2.load (3)"
    assert "energy_arithmetic_ratio_without" not in in_part


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("a@b", ("a", "b")),
        ("a", ("a", "ternary-ws-64x64")),
        ("a@", ("a", "ternary-ws-64x64")),
        ("a@b@c", ("a", "b@c")),
        ("a:w8a8@b", ("a", "b", "w8a8")),
        ("a:w8a8", ("a", "ternary-ws-64x64", "w8a8")),
    ],
)
def test_a_pair_is_model_at_chip_with_a_usual_chip(text: str, pair: tuple[str, str]) -> None:
    assert pair_of(text) == pair
    for wrong in ("@b", ":w8a8@b"):
        with pytest.raises(ConfigError, match=f"expected MODEL@CHIP or MODEL:NUMERICS@CHIP, got '{wrong}'"):
            pair_of(wrong)


def test_a_colon_in_the_path_of_a_model_is_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "mine:w8"
    folder.mkdir()
    assert pair_of(f"{folder}@b") == (str(folder), "b")
    with pytest.raises(UnknownNameError, match="unknown numerics 'w8'; did you mean"):
        pair_of(f"{tmp_path / 'other'}:w8@b")


def test_each_pair_has_numerics_of_its_own_and_is_called_by_them() -> None:
    pairs = [("tiny-b158", "ternary-ws-64x64"), ("tiny-fp16", "int8-ws-64x64", "w4a8"), ("tiny-fp16", "fp16-ws-64x64")]
    found = compare(pairs, prompt="It", new_tokens=1, toggles="off")
    assert [result.inputs["numerics"] for result in found.results] == ["hf_autobitlinear", "w4a8", "float"]
    assert found.models == ("tiny-b158", "tiny-fp16:w4a8", "tiny-fp16")
    assert [record["model"] for record in found.records()] == list(found.models)
    assert {record["model"] for record in found.records("areas")} == set(found.models)
    assert "tiny-fp16:w4a8 on int8-ws-64x64" in found.title
    assert any(note.startswith("tiny-fp16:w4a8@int8-ws-64x64: the linears are rounded") for note in found.notes)
    alone = bitsim.run("tiny-fp16", "int8-ws-64x64", prompt="It", new_tokens=1, toggles="off", numerics="w4a8")
    assert found.results[1].cycles == alone.cycles


def test_what_is_assumed_for_several_pairs_is_listed_once() -> None:
    made = result(row("decode", "q", "linear", 0, cycles=2), decode=1)
    both = PairComparison(inputs={}, notes=(), results=(made, made))
    assert made.assumed()
    shareless = [{key: value for key, value in one.items() if key != "share"} for one in made.assumed()]
    assert both.assumed() == shareless  # a share is of one result's energy
