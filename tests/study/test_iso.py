"""Chips at equal area, bandwidth and power: the number of units by hand, and what can't be made equal."""

from typing import Any

import pytest

import bitsim
from bitsim.cost.area import chip_area, total_area
from bitsim.datapath.registry import build_datapath
from bitsim.errors import ConfigError, UnknownNameError
from bitsim.hw import Chip, chip_names, load_chip
from bitsim.hw.resized import resized
from bitsim.results.figures_of_merit import merit_of
from bitsim.study.compare import compare
from bitsim.study.iso import Scaling, _closest, scaled
from tests.results.test_figures_of_merit import LAYOUT, small

MODEL = "tiny-b158"


def with_array(rows: int, cols: int, on: Chip | None = None, **changed: Any) -> Chip:
    base = on or small()
    update = {"bitlinear": base.bitlinear.model_copy(update={"rows": rows, "cols": cols}), **changed}
    return base.model_copy(update=update)


def no_watts(_: Chip) -> float:
    raise AssertionError("power is asked for")


def at_equal(chip: Chip, first: Chip, iso: Any, component: str = "bitlinear") -> Scaling:
    return scaled(chip, first, iso, component, (no_watts, no_watts))


def mm2(chip: Chip) -> float:
    return total_area(chip_area(chip)).nominal / 1e6


def test_columns_are_taken_away_until_the_areas_are_equal() -> None:
    """A column of 32 PEs takes 2 (32 x 12 + 5) um2, 64 columns of 64 take 64 x 2 (64 x 12 + 5): 127.18 of the first."""
    first, other = small(), with_array(32, 512)
    found = at_equal(other, first, "area")
    assert (found.key, found.before, found.after) == ("bitlinear.cols", 512, 127)
    missing = LAYOUT * (64 * (64 * 12 + 5) - 127 * (32 * 12 + 5)) / 1e6
    assert found.target == pytest.approx(mm2(first))
    assert found.reached == pytest.approx(mm2(first) - missing)
    assert found.deviation == pytest.approx(-missing / mm2(first))
    assert found.chip.bitlinear.macs_per_cycle == 32 * 127
    assert mm2(found.chip) == pytest.approx(found.reached)
    assert (found.chip.name, found.chip.sha256 != other.sha256) == ("ternary-ws-64x64-iso-area", True)


def test_ports_of_what_every_output_has_of_its_own_follow_a_larger_array() -> None:
    """127 / 64 of 128 and of 64 ports, rounded up; activations are shared by all columns. Ports may take area, too."""
    first, other = small(), with_array(32, 64)
    assert [level.ports for level in resized(other, "bitlinear", 127).memory.levels] == [254, 16, 127]
    found = at_equal(other, first, "area")
    ports = [level.ports for level in found.chip.memory.levels]
    assert ports == [2 * found.after, 16, found.after]
    assert found.note.endswith(f"; ports follow: weights 128 -> {ports[0]}, psums 64 -> {ports[2]}")
    for neighbour in (found.after - 1, found.after + 1):
        assert abs(mm2(resized(other, "bitlinear", int(neighbour))) - found.target) > abs(found.reached - found.target)


def test_a_smaller_array_leaves_the_ports_to_the_others() -> None:
    found = at_equal(small(), with_array(64, 10), "area")
    assert (found.after, found.deviation) == (10, pytest.approx(0))
    assert found.chip.memory == small().memory
    assert found.note.endswith("; ports of psums and weights stay, for the other units")


def test_the_wide_array_of_a_chip_counts() -> None:
    """16 columns of 32 FP16 PEs of 40 + 16 um2 and an adder of 100 take the room of so many ternary columns."""
    first = small()
    wide = first.wide.model_copy(update={"rows": 32, "cols": 48})
    found = at_equal(first.model_copy(update={"wide": wide}), first, "area")
    assert found.after == round(64 - 16 * (32 * 56 + 100) / (64 * 12 + 5))


def test_where_the_rest_alone_is_larger_nothing_is_equal_and_it_says_so() -> None:
    first, large = small(), small().model_copy(update={"wide": small().wide.model_copy(update={"cols": 512})})
    with pytest.raises(
        ConfigError, match=r"no bitlinear.cols from 1 to 1024 gives the area of .* mm2: the whole chip has"
    ):
        at_equal(large, first, "area")


def test_areas_of_which_a_datapath_is_missing_are_not_compared() -> None:
    for pair in ((load_chip("cpu-tl1"), small()), (small(), load_chip("cpu-tl1"))):
        with pytest.raises(
            ConfigError, match="cpu-tl1: its area is not known: datapaths of kind 'cpu_simd' are programs"
        ):
            at_equal(*pair, "area")


def test_areas_without_different_parts_are_not_compared() -> None:
    fewer = small().model_copy(update={"vector": small().vector.model_copy(update={"lanes": 32})})
    with pytest.raises(
        ConfigError, match=r"its area is without 32 max.fp16 of vector.*, that of .* without 64 max.fp16"
    ):
        at_equal(fewer, small(), "area")


def test_bandwidth_is_what_is_usable() -> None:
    """20 GB/s of which 0.8 are reached, over 0.85 of LPDDR4's; its pins no longer say the peak."""
    found = at_equal(load_chip("int8-ws-64x64"), small(), "bandwidth")
    dram = found.chip.memory.dram
    assert dram.bandwidth.nominal * 0.85 == pytest.approx(16.0)
    assert dram.bandwidth.nominal == found.after == pytest.approx(18.823529)
    assert (dram.pins, dram.pin_rate, dram.energy) == (None, None, load_chip("int8-ws-64x64").memory.dram.energy)
    assert (found.target, found.reached) == (pytest.approx(16.0), pytest.approx(16.0))
    assert "a bus 1.1 times as wide" in found.note
    assert found.chip.bitlinear == load_chip("int8-ws-64x64").bitlinear
    same = at_equal(load_chip("int8-ws-64x64"), load_chip("ternary-ws-64x64"), "bandwidth")
    assert (same.chip.name, same.deviation) == ("int8-ws-64x64", 0)
    assert ": as it was: " in same.note


@pytest.mark.parametrize(
    ("function", "start", "target", "expected"),
    [
        (lambda n: n * n, 10, 150.0, 12),  # 144 is nearer than 169
        (lambda n: n * n, 10, 160.0, 13),
        (lambda n: n * n, 10, 20.0, 4),
        (lambda n: n * n, 10, 100.0, 10),
        (lambda n: n * n, 10, 1e9, None),
        (lambda n: n * n, 10, 0.5, None),
        (lambda n: n * n, 100, 10_000.0, 100),
        (lambda n: min(n, 5), 20, 3.0, 3),  # the plateau is above it
        (lambda n: min(n, 5), 20, 6.0, None),
        (lambda n: abs(n - 50) + 1, 60, 31.0, 80),
        (lambda n: 100 - n, 60, 45.0, 55),  # falls: up first, then down
    ],
)  # fmt: skip
def test_the_closest_count_is_looked_for_from_the_start_outwards(
    function: Any, start: int, target: float, expected: int | None
) -> None:
    assert _closest(function, start, 100, target) == expected


@pytest.mark.parametrize("name", [name for name in chip_names() if load_chip(name).bitlinear.side_by_side])
def test_twice_the_units_are_twice_the_products_and_more_of_every_part(name: str) -> None:
    chip = load_chip(name)
    spec = chip.bitlinear
    count = min(spec.units_side_by_side, spec.most_side_by_side // 2)
    one, two = (resized(chip, "bitlinear", n).bitlinear for n in (count, 2 * count))
    assert two.macs_per_cycle == pytest.approx(2 * one.macs_per_cycle, abs=1)
    small_parts, large_parts = (build_datapath(s).parts() for s in (one, two))
    assert small_parts is not None
    assert large_parts is not None
    assert all(large_parts[part] >= small_parts[part] for part in small_parts)
    assert sum(large_parts.values()) > sum(small_parts.values())
    with pytest.raises(ValueError, match="must be 1 to"):
        spec.resized(spec.most_side_by_side + 1)


def test_units_that_take_turns_grow_together() -> None:
    chip = load_chip("fp16-ws-64x64").model_copy(update={"units_shared": True})
    for component in ("bitlinear", "wide"):
        other = resized(chip, component, 24)
        assert (other.bitlinear.macs_per_cycle, other.wide.macs_per_cycle) == (64 * 24, 64 * 24)
    with pytest.raises(ConfigError, match="cpu-tl1: bitlinear: a datapath of kind 'cpu_simd' can't be made larger"):
        resized(load_chip("cpu-tl1"), "bitlinear", 2)


def test_pairs_at_equal_area_say_what_was_changed_and_which_were_left_out() -> None:
    pairs = [(MODEL, small()), (MODEL, with_array(32, 512)), (MODEL, "cpu-tl1")]
    found = compare(pairs, iso="area", prompt="A", new_tokens=1, toggles="off")
    first, second, third = found.records()
    assert "iso_key" not in first
    assert (second["iso"], second["iso_key"], second["iso_before"], second["iso_after"]) == (
        "area", "bitlinear.cols", 512, 127,
    )  # fmt: skip
    assert second["chip"] == "ternary-ws-64x64-iso-area"
    assert second["area_nominal_mm2"] == pytest.approx(first["area_nominal_mm2"] * (1 + second["iso_deviation"]))
    assert third["iso_note"].startswith("not run: cpu-tl1: its area is not known: ")
    assert found.notes[0] == f"{MODEL}@cpu-tl1: {third['iso_note']}"
    assert second["iso_note"] in found.notes
    assert found.inputs["iso"] == "area"
    assert found.headline()["area_ratio"] == pytest.approx(1 + second["iso_deviation"])
    assert bitsim.from_json(found.to_json()).csv("per_token") == found.csv("per_token")


def test_a_comparison_with_nothing_has_no_ratios() -> None:
    found = compare([(MODEL, small()), (MODEL, "cpu-tl1")], iso="area", prompt="A", new_tokens=1, toggles="off")
    assert set(found.headline().values()) == {None}


def test_a_model_of_floats_has_its_wide_array_scaled() -> None:
    first = load_chip("ternary-ws-64x64")
    pairs: Any = [(MODEL, first), ("tiny-fp16", small().with_technology(first.tech))]
    found = compare(pairs, iso="area", prompt="A", new_tokens=1, toggles="off")
    assert found.records()[1]["iso_key"] == "wide.cols"


def test_at_equal_power_no_neighbour_is_nearer() -> None:
    def watts(chip: Chip) -> float:
        made = bitsim.estimate(MODEL, chip, prefill=1, decode=2)
        return float(merit_of(made, "decode")["average_power_system_nominal_w"])

    first, other = load_chip("ternary-ws-64x64"), load_chip("adder-tree-16x256")
    found = compare([(MODEL, first), (MODEL, other)], iso="power", tokens=[1], new_tokens=2, toggles="off")
    (scaling,) = [scaling for scaling in found.scalings if scaling]
    assert scaling.target == pytest.approx(watts(first))
    assert scaling.reached == pytest.approx(watts(resized(other, "bitlinear", int(scaling.after))))
    for count in (scaling.after - 1, scaling.after + 1):
        if count >= 1:
            assert abs(watts(resized(other, "bitlinear", int(count))) - scaling.target) >= abs(
                scaling.reached - scaling.target
            )


def test_power_that_is_not_known_is_said() -> None:
    found = compare([(MODEL, "ternary-ws-64x64"), (MODEL, "tereffic-hbm")], iso="power", tokens=[1], new_tokens=1)
    assert found.records()[1]["iso_note"].startswith("not run: tereffic-hbm: its power is not known: ")


def test_another_mode_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown iso mode 'volume'"):
        compare([(MODEL, small())], iso="volume", prompt="A")  # type: ignore[arg-type]
