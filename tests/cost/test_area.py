"""Area: parts by count times areas, SRAM between the grid's points, and what has no area said and never zero."""

from typing import Any

import pytest

from bitsim.cost.area import Area, chip_area, total_area
from bitsim.datapath.registry import build_datapath
from bitsim.datapath.template import CountedDatapath
from bitsim.hw import Chip, chip_names, load_chip
from bitsim.hw.datapaths import (
    AdderTreeSpec,
    BitSerialSpec,
    PEArraySpec,
    PopcountSpec,
    RomArraySpec,
    SparseArraySpec,
    TensorCoreSpec,
    TernaryLutSpec,
)
from tests.chips import SYNTHESISED, unpriced_components


def nominal(chip: Chip, component: str) -> float:
    parts = [part for part in chip_area(chip) if part.component == component]
    assert all(part.area for part in parts)
    return total_area(parts).nominal


def tensor_cores(instruction: str, number_format: str, weights: str) -> TensorCoreSpec:
    fields = {"arch": "ampere", "format": number_format, "instruction": instruction, "weights": weights}
    return TensorCoreSpec.model_validate({"kind": "tensor_core", "units": 3, "unit_macs": 512, "row_tiles": 2} | fields)


def with_tree(**changes: Any) -> Chip:
    chip = load_chip("adder-tree-16x256")
    return chip.model_copy(update={"bitlinear": AdderTreeSpec(**(chip.bitlinear.model_dump() | changes))})


@pytest.mark.parametrize("technology", SYNTHESISED)
def test_an_array_of_weight_registers_and_pes_is_their_sum(technology: str) -> None:
    chip = load_chip("ternary-ws-64x64").with_technology(technology)
    areas, layout = chip.tech.areas, chip.tech.layout_factor.nominal
    one = areas["pe.ternary_a8_acc24"].nominal + 2 * areas["reg.bit"].nominal
    assert nominal(chip, "bitlinear") == pytest.approx(
        layout * (64 * 64 * one + 64 * areas["add.int32"].nominal), rel=1e-12
    )


def test_a_tree_of_16_lanes_has_the_area_that_was_synthesised() -> None:
    """Study B: 1677.66 um2 with an accumulator of 20 bits, operand registers apart; the counts are those by hand."""
    chip = with_tree(trees=1, acc_bits=20).with_technology("45nm")
    areas = {part.part: part for part in chip_area(chip) if part.component == "bitlinear"}
    assert areas["tree.add_bit"].count == 8 * 9 + 4 * 10 + 2 * 11 + 12 + 20
    assert areas["reg.bit"].count == 16 * 8 + 16 * 2 + 20
    operands = (16 * 8 + 16 * 2) * chip.tech.areas["reg.bit"].nominal
    assert nominal(chip, "bitlinear") / 1.5 - operands == pytest.approx(1677.66, rel=1e-5)


def test_more_of_anything_is_never_smaller() -> None:
    base = nominal(with_tree(), "bitlinear")
    for changes in ({"trees": 257}, {"lanes": 32}, {"pipeline": 1}, {"tokens": 2}, {"acc_bits": 25}):
        assert nominal(with_tree(**changes), "bitlinear") > base
    wide = load_chip("int8-ws-64x64")
    narrow = wide.model_copy(
        update={"bitlinear": PEArraySpec(**(wide.bitlinear.model_dump() | {"pe": "ternary", "acc_bits": 32}))}
    )
    assert nominal(wide, "bitlinear") > nominal(narrow, "bitlinear")


@pytest.mark.parametrize("name", chip_names())
@pytest.mark.parametrize("technology", SYNTHESISED)
def test_every_part_has_an_area_or_a_reason(name: str, technology: str) -> None:
    chip = load_chip(name)
    parts = chip_area(chip.with_technology(technology))
    levels = {f"sram {level}" for level in chip.memory.names}
    shared = {"wide"} if chip.units_shared else set()  # the other datapath may have all of its parts
    assert {part.component for part in parts} | shared == {"bitlinear", "wide", "vector"} | levels
    for part in parts:
        assert part.count > 0
        if part.area is None:
            assert part.reason
        else:
            assert 0 < part.area.low <= part.area.nominal <= part.area.high


def test_a_part_without_an_area_is_said_and_not_counted() -> None:
    chip = load_chip("ternary-os-64x64")
    spec = PEArraySpec(**(chip.bitlinear.model_dump() | {"acc_bits": 17}))
    chip = chip.with_technology(chip.tech.model_copy(update={"area_rules": {}}))
    parts = [p for p in chip_area(chip.model_copy(update={"bitlinear": spec})) if p.component == "bitlinear"]
    missing = [part for part in parts if part.area is None]
    assert [(part.part, part.count) for part in missing] == [("pe.ternary_a8_acc17", 4096)]
    assert missing[0].reason == "hw_models/technology/7nm.yaml: areas: no area for 'pe.ternary_a8_acc17'"
    assert total_area(parts).nominal == pytest.approx(2 * 4096 * 0.2916 * 1.5)


def test_a_datapath_that_does_not_tell_its_parts_has_no_area(monkeypatch: pytest.MonkeyPatch) -> None:
    from bitsim.datapath.adder_tree import AdderTree

    monkeypatch.setattr(AdderTree, "parts", CountedDatapath.parts)
    parts = [part for part in chip_area(load_chip("adder-tree-16x256")) if part.component == "bitlinear"]
    assert [part.area for part in parts] == [None]
    assert parts[0].reason == "datapaths of kind 'adder_tree' do not tell what they are built of"


def test_a_program_has_no_area_and_says_why() -> None:
    parts = [part for part in chip_area(load_chip("cpu-i2s-avx2")) if part.component == "bitlinear"]
    assert [part.area for part in parts] == [None]
    assert parts[0].reason.startswith("datapaths of kind 'cpu_simd' are programs: no source")


@pytest.mark.parametrize(
    ("name", "array"),
    [("rom-2048x1024", "rom.bit"), ("int8-tensor-ampere", "regfile.bit"), ("ternary-lut-g4-sram", "lut.sram.bit")],
)
def test_the_layout_factor_is_for_cells_and_not_for_finished_arrays(name: str, array: str) -> None:
    chip = load_chip(name)
    for part in (part for part in chip_area(chip) if part.component == "bitlinear"):
        assert part.area is not None
        factor = 1 if part.part == array else chip.tech.layout_factor.nominal
        assert part.area.nominal == pytest.approx(part.count * chip.tech.areas[part.part].nominal * factor), part.part


@pytest.mark.parametrize("technology", SYNTHESISED)
def test_only_what_no_study_has_is_without_an_area(technology: str) -> None:
    """Programs."""
    for name in chip_names():
        spec = load_chip(name).bitlinear
        chip = load_chip(name).with_technology(technology)
        missing = [part.part for part in chip_area(chip) if part.component in ("bitlinear", "wide") and not part.area]
        assert bool(missing) == bool(unpriced_components(spec)), (name, missing)


@pytest.mark.parametrize("name", ["adder-tree-16x256", "ternary-lut-g3", "ternary-lut-g4-sram", "binary-lut-b4"])
def test_all_registers_that_are_clocked_take_area(name: str) -> None:
    """Without clock gating every register bit is clocked in every cycle."""
    spec = load_chip(name).bitlinear
    datapath: Any = build_datapath(type(spec).model_validate(spec.model_dump() | {"clock_gating": False}))
    shape = 3, 100, 2 * datapath.tile_columns + 1
    assert datapath.count(*shape)["reg.clock"] == datapath.cycles(*shape) * datapath.parts()["reg.bit"]


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        (
            BitSerialSpec(kind="bit_serial", lanes=16, rows=2, cols=3, acc_bits=24),
            {
                "serial.add_bit": 6 * (8 * 3 + 4 * 4 + 2 * 5 + 6 + 13 + 24),
                "reg.bit": 2 * 16 + 3 * 16 * 2 + 6 * (13 + 24),
            },
        ),
        (
            PopcountSpec(kind="popcount", operands="binary", lanes=8, cols=3, tokens=2, acc_bits=16),
            {"popcount.add_bit": 3 * (4 * 2 + 2 * 3 + 4 + 5 + 16), "reg.bit": 8 + 3 * (8 + 2 * 16)},
        ),
        (
            PopcountSpec(kind="popcount", operands="ternary", lanes=8, cols=1, tokens=1, acc_bits=16),
            {"popcount.mask_add_bit": 2 * (4 * 2 + 2 * 3 + 4) + 5 + 16, "reg.bit": 16 + 16 + 16},
        ),
        (
            SparseArraySpec(kind="sparse_array", lanes=2, cols=3, depth=2, lookahead=1, acc_bits=12),
            {
                "lane.look_bit": 2 * 8,
                "tree.add_bit": 6 * 10,
                "adder.bit": 3 * (11 + 12),
                "reg.bit": 8 * (4 + 2) + 3 * (2 * (2 + 10) + 12),
                "gate": 6,
            },
        ),
        (
            TernaryLutSpec(kind="ternary_lut", g=2, table="half", storage="sram", tables=2, lanes=3, acc_bits=16),
            {
                "adder.bit": 2 * 2 * 9,
                "tree.add_bit": 3 * (10 + 16),
                "reg.bit": 8 * 4 + 3 * (2 * 4 + 16),
                "lut.sram.bit": 2 * 3 * 2 * 4 * 9,
            },
        ),
        (
            RomArraySpec(kind="rom_array", rows=5, cols=3, banks=2, acc_bits=12),
            {
                "rom.bit": 2 * 5 * 3 * 2,
                "tree.add_bit": 2 * 3 * 12,
                "gate": 2 * 3,
                "reg.bit": 2 * (8 + 3 * 12),
                "add.int32": 3,
            },
        ),
        (
            tensor_cores("m16n8k32", "int8", "ternary"),
            {
                "mma.ampere_int8_acc32.mac": 3 * 512,
                "regfile.bit": 3 * (2 * (16 * 32 * 8 + 16 * 8 * 32) + 32 * 8 * (8 + 2)),
            },
        ),
        (
            tensor_cores("m16n8k16", "fp16", "full"),
            {
                "mma.ampere_fp16_acc32.mac": 3 * 512,
                "regfile.bit": 3 * (2 * (16 * 16 * 16 + 16 * 8 * 32) + 16 * 8 * 16),
            },
        ),
    ],
    ids=lambda value: getattr(value, "unit", ""),
)
def test_parts_are_those_counted_by_hand(spec: Any, parts: dict[str, int]) -> None:
    assert build_datapath(spec).parts() == parts


def test_areas_add_up() -> None:
    a, b = Area(low=1, nominal=2, high=3), Area(low=4, nominal=5, high=6)
    assert a + b == Area(low=5, nominal=7, high=9)
