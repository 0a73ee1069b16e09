"""Utilisation against array size: the numbers of `estimate` on resized chips."""

import pytest

import bitsim
from bitsim.errors import ConfigError
from bitsim.figures.array_size import array_size_figure
from bitsim.hw import load_chip
from bitsim.study.array_size import array_sizes, with_array

SIZES = (8, 32, 128)


@pytest.mark.parametrize(("model", "chip"), [("tiny-b158", "ternary-ws-64x64"), ("tiny-fp16", "fp16-ws-64x64")])
def test_points_are_those_of_an_estimate_on_the_resized_chip(model: str, chip: str) -> None:
    study = array_sizes(model, chip, sizes=SIZES, prefill=20, batch=2)
    quantised = model == "tiny-b158"
    assert [(p.rows, p.cols, p.phase) for p in study.points] == [
        (size, size, phase) for size in SIZES for phase in ("prefill", "decode")
    ]
    for point in study.points:
        resized = with_array(load_chip(chip), point.rows, bitlinear=quantised)
        result = bitsim.estimate(model, resized, prefill=20, decode=1, batch=2)
        linears = [row for row in result.phase_rows(point.phase) if row.kind == "linear"]
        assert point.cycles == sum(row.cycles for row in linears)
        assert point.macs == sum(row.macs for row in linears)
        per_cycle = (resized.bitlinear if quantised else resized.wide).macs_per_cycle
        assert per_cycle == point.rows**2
        assert point.utilisation == pytest.approx(point.macs / (point.cycles * per_cycle))
        assert 0 < point.utilisation <= point.bound_utilisation <= 1


def test_the_figure_draws_every_point_and_its_bound() -> None:
    study = array_sizes("tiny-b158", "ternary-ws-64x64", sizes=SIZES, prefill=20)
    lines = array_size_figure(study).axes[0].lines
    drawn = {(line.get_label(), *line.get_ydata()) for line in lines}
    expected = set()
    for phase in ("prefill", "decode"):
        points = [point for point in study.points if point.phase == phase]
        expected.add((phase, *(point.utilisation for point in points)))
        expected.add((f"{phase}, bound", *(point.bound_utilisation for point in points)))
    assert drawn == expected


def test_what_has_no_rows_and_columns_is_refused() -> None:
    with pytest.raises(ConfigError, match="cpu-tl1: bitlinear: expected an array with rows and columns, got cpu_simd"):
        array_sizes("tiny-b158", "cpu-tl1")
    with pytest.raises(ConfigError, match=r"ternary-ws-64x64: bitlinear: 2048 x 2048: .*1024"):
        array_sizes("tiny-b158", "ternary-ws-64x64", sizes=[2048])
    with pytest.raises(ConfigError, match="prefill: expected an integer >= 1, got 0"):
        array_sizes("tiny-b158", "ternary-ws-64x64", prefill=0)
