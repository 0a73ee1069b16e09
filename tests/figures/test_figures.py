"""Figures: what they draw sums to the totals of their result, and no point lies above its roof."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

import bitsim
from bitsim.figures import result_figures
from bitsim.figures.energy import UNITS, energy_figure, energy_parts
from bitsim.figures.roofline import OPS_PER_MAC, roofline_figure, roofline_points, roofs_of
from bitsim.figures.style import merged, percent, saved
from bitsim.figures.time import OUTSIDE, time_bars, time_figure
from bitsim.hw import load_chip
from bitsim.model.operators import Phase
from bitsim.results import Result
from tests.chips import chips_on_fpgas, chips_that_take

PHASES: tuple[Phase, ...] = ("prefill", "decode")
sampled = pytest.mark.sampled(one_in=6)
priced_chip = pytest.mark.parametrize(
    "chip", [name for name in chips_that_take("tiny-b158") if name not in chips_on_fpgas()]
)
every_chip = pytest.mark.parametrize("chip", chips_that_take("tiny-b158"))


@cache
def estimated(chip: str, model: str = "tiny-b158", batch: int = 2) -> Result:
    return bitsim.estimate(model, chip, prefill=9, decode=3, batch=batch, beyond_capacity=True)


def heights(figure: Figure) -> list[dict[float, float]]:
    """Of each panel, the sum of what is stacked at each place."""
    panels = []
    for axes in figure.axes:
        sums: dict[float, float] = {}
        for patch in axes.patches:
            assert isinstance(patch, Rectangle)
            middle = round(patch.get_x() + patch.get_width() / 2, 6)
            sums[middle] = sums.get(middle, 0.0) + patch.get_height()
        panels.append(sums)
    return panels


@sampled
@priced_chip
def test_energy_bars_sum_to_the_energy_of_their_phase(chip: str) -> None:
    result = estimated(chip)
    for convention in result.priced:
        parts = energy_parts(result, convention)
        assert list(parts) == list(PHASES)
        for phase in PHASES:
            assert sum(parts[phase].values()) == pytest.approx(result.energy(convention, phase), rel=1e-12)
    figure = energy_figure(result)
    assert figure is not None
    panels = heights(figure)
    assert len(panels) == len(result.priced)
    assert all(len(panel) == 2 and all(sum_ == pytest.approx(100.0) for sum_ in panel.values()) for panel in panels)


def test_the_system_panel_shows_memory_levels_and_all_matmul_units_as_one() -> None:
    result = estimated("ternary-ws-64x64")
    units = sum(energy_parts(result, "datapath")["decode"].values())
    parts = energy_parts(result, "system")["decode"]
    assert parts[UNITS] == pytest.approx(units, rel=1e-12)
    assert set(parts) >= {"DRAM weights", "DRAM kv", "SRAM weights", "SRAM acts", "SRAM psums", "vector unit", UNITS}


@sampled
@every_chip
def test_time_bars_sum_to_the_time_of_their_phase(chip: str) -> None:
    result = estimated(chip)
    figure = time_figure(result)
    assert figure is not None
    for phase, panel in zip(PHASES, heights(figure), strict=True):
        bars = time_bars(result, phase)
        assert list(bars) == [*(str(i) for i in range(len(bars) - 1)), OUTSIDE]
        assert sum(s for bar in bars.values() for s in bar.values()) == pytest.approx(result.phase_time_s(phase))
        drawn = sum(panel.values())
        longest = max(sum(bar.values()) for bar in bars.values())
        assert drawn * longest == pytest.approx(max(panel.values()) * result.phase_time_s(phase))
        assert 1 <= max(panel.values()) < 1000
        assert len(panel) == len(bars)


@sampled
@pytest.mark.parametrize(
    ("chip", "model"), [(chip, model) for model in ("tiny-b158", "tiny-fp16") for chip in chips_that_take(model)]
)
def test_law_7_no_point_lies_above_its_roof(chip: str, model: str) -> None:
    result = estimated(chip, model)
    roofs = roofs_of(load_chip(chip))
    points = roofline_points(result)
    assert {point.kind for point in points} == {"linear", "qk", "pv", "head"}
    assert sum(point.ops for point in points) == OPS_PER_MAC * sum(row.macs for row in result.rows)
    matmuls = [row for row in result.rows if row.macs]
    dram = sum(count for row in matmuls for event, count in row.events.items() if event.startswith("dram."))
    assert sum(point.dram_bytes for point in points) == pytest.approx(dram / 8, rel=1e-12)
    for point in points:
        assert point.rate <= roofs.over(point) * (1 + 1e-9)


def test_points_without_dram_traffic_stand_at_the_right_edge() -> None:
    chip = load_chip("ternary-ws-64x64")
    weights, *rest = chip.memory.levels
    room = weights.capacity.model_copy(update=dict.fromkeys(("low", "nominal", "high"), 4096.0))
    levels = (weights.model_copy(update={"resident": True, "capacity": room}), *rest)
    held = chip.model_copy(update={"memory": chip.memory.model_copy(update={"levels": levels})})
    result = bitsim.estimate("tiny-b158", held, prefill=4, decode=0)
    inside = [point for point in roofline_points(result) if not point.dram_bytes]
    assert {point.kind for point in inside} >= {"linear"}
    figure = roofline_figure(result)
    assert figure is not None
    axes = figure.axes[0]
    edge = [line for line in axes.lines if line.get_marker() != "None" and line.get_xdata()[0] == axes.get_xlim()[1]]
    assert len(edge) == len(inside)


@given(
    bars=st.lists(st.dictionaries(st.sampled_from("abcdefg"), st.floats(0, 1e6), min_size=1), min_size=1, max_size=5)
)
def test_merging_small_parts_keeps_the_sum_of_every_bar_and_all_large_parts(bars: list[dict[str, float]]) -> None:
    for before, after in zip(bars, merged(bars), strict=True):
        assert sum(after.values()) == pytest.approx(sum(before.values()))
        whole = sum(before.values())
        for name, part in before.items():
            assert after.get(name) == part or part < 0.01 * whole or not whole
        assert sum(percent(after).values()) == pytest.approx(100.0 if whole else 0.0)


def test_figures_are_png_and_pdf_and_the_same_every_time() -> None:
    result = estimated("ternary-ws-64x64")
    files = result_figures(result)
    assert set(files) == {f"{stem}.{kind}" for stem in ("roofline", "time", "energy") for kind in ("png", "pdf")}
    for name, content in files.items():
        assert content.startswith(b"\x89PNG" if name.endswith("png") else b"%PDF-")
    assert result_figures(result) == files


@pytest.mark.parametrize(("prefill", "decode", "stems"), [(0, 0, set()), (3, 0, {"roofline", "time", "energy"})])
def test_phases_without_tokens_are_not_drawn(prefill: int, decode: int, stems: set[str]) -> None:
    result = bitsim.estimate("tiny-b158", "ternary-ws-64x64", prefill=prefill, decode=decode)
    assert {name.partition(".")[0] for name in result_figures(result)} == stems


def test_a_chip_without_prices_still_gets_its_other_figures() -> None:
    result = estimated("cpu-tl1")
    assert "arithmetic" in result.priced
    assert "system" not in result.priced
    assert len(result_figures(result)) == 6


def test_files_of_figures_do_not_say_when_they_were_made_and_have_the_resolution_that_is_asked_for() -> None:
    def drawn() -> Figure:
        return Figure(figsize=(2, 1))

    document = saved(drawn(), "pdf")
    assert document.startswith(b"%PDF")
    assert b"CreationDate" not in document
    for dpi in (50, 100):
        image = saved(drawn(), "png", dpi=dpi)
        width, height = (int.from_bytes(image[at : at + 4], "big") for at in (16, 20))  # of its header
        assert (width, height) == (2 * dpi, dpi)
        assert b"CreationDate" not in image
