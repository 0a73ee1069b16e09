"""Shipped chips have arrays for attention and head that fit their class, by the rule that their files state."""

from functools import cache

import pytest

import bitsim
from bitsim.cost.area import chip_area, total_area
from bitsim.hw import Chip, chip_names, load_chip
from bitsim.hw.datapaths import PEArraySpec

MODEL, PROMPT = "bitnet-b158-2b4t", 512
TOKEN, PROMPT_TIME = 1.01, 1.03  # at most so much longer than with 64 x 64 PEs
RULED = ("ternary-ws-64x64", "ternary-ws-64x64-int8")


def with_wide(name: str, rows: int, cols: int) -> Chip:
    chip = load_chip(name)
    return chip.model_copy(update={"wide": chip.wide.model_copy(update={"rows": rows, "cols": cols})})


@cache
def times(name: str, rows: int, cols: int) -> tuple[float, float]:
    """Cycles of a prompt and of a new token behind it."""
    made = bitsim.estimate(MODEL, with_wide(name, rows, cols), prefill=PROMPT, decode=1)
    prompt, token = (float(record["cycles"]) for record in made.records("phases"))
    return prompt, token


def fits(name: str, rows: int, cols: int) -> bool:
    (prompt, token), (whole_prompt, whole_token) = times(name, rows, cols), times(name, 64, 64)
    return token <= TOKEN * whole_token and prompt <= PROMPT_TIME * whole_prompt


@pytest.mark.parametrize("name", RULED)
def test_the_array_fits_and_half_of_it_does_not(name: str) -> None:
    spec = load_chip(name).wide
    assert isinstance(spec, PEArraySpec)
    assert fits(name, spec.rows, spec.cols)
    half = spec.rows * spec.cols // 2
    for rows in (8, 16, 32, 64):
        if half // rows <= 64:
            assert not fits(name, rows, half // rows)


def test_chips_of_the_same_class_have_the_same_array() -> None:
    """All with FP16 PEs behind LPDDR4 but those whose linears run on the same array, and published designs."""
    ruled = load_chip("ternary-ws-64x64")
    for name in chip_names():
        chip = load_chip(name)
        alike = isinstance(chip.wide, PEArraySpec) and chip.wide.pe == "fp16" and chip.tech.unpriced is None
        if alike and not chip.units_shared and chip.memory.dram == ruled.memory.dram:
            assert chip.wide == ruled.wide, name


@pytest.mark.parametrize("name", RULED)
def test_the_array_takes_about_a_third_of_the_chip_at_most(name: str) -> None:
    parts = chip_area(load_chip(name))
    wide = total_area(part for part in parts if part.component == "wide")
    assert wide.nominal < 0.36 * total_area(parts).nominal


def test_datapaths_that_are_called_the_same_units_are() -> None:
    """One array of FP16 PEs, and tensor cores that take several formats."""
    shared = [name for name in chip_names() if load_chip(name).units_shared]
    assert "fp16-ws-64x64" in shared
    assert load_chip("fp16-ws-64x64").wide == load_chip("fp16-ws-64x64").bitlinear
    assert [name for name in chip_names() if "-tensor-" in name] == [name for name in shared if "-tensor-" in name]
    components = {part.component for part in chip_area(load_chip("fp16-ws-64x64"))}
    assert "wide" not in components
