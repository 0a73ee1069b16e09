"""Figures of reports from rows made by hand: what is published and what is ours, at their places, with their units."""

from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from bitsim.results.rows import SPARSITY_COLUMNS
from bitsim.serving.grid import Grid
from bitsim.study import Score
from reports import a48_figure, cpu_figure, energy_figure, quality_figure, systems_figure, validation_figure
from reports.comparison import Row
from reports.predictions import Prediction
from reports.validation import Compared
from tests.figures.drawn import bars, caught, labels, legend, plotted, points, same_points, scales, texts, ticks, titles

OURS, THEIRS = "#1f5a8a", "#c9772f"


def row(item: str, published: float | None, ours: float | None, unit: str = "ratio", label: Any = "derived") -> Row:
    parameters = ("p",) if label in ("fitted", "predicted") else ()
    return Row(paper="p", location="l", item=item, unit=unit, published=published, ours=ours, label=label,
               parameters=parameters, note="why" if label == "not reproducible" else "")  # fmt: skip


def heights(axes: Axes) -> list[tuple[float, float]]:
    return [(x, height) for x, _, height in bars(axes)]


def worded(axes: Axes) -> dict[str, list[tuple[str, float]]]:
    """Lines over words: the points of those that have a label."""
    lines = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    return {
        str(line.get_label()): list(zip(map(str, line.get_xdata()), map(float, line.get_ydata()), strict=True))
        for line in lines
    }


def test_sparsity_stands_beside_the_published_one_column_by_column(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = caught(monkeypatch, a48_figure, "rendered")
    rows = [
        row(f"{model} {column}, beside 7B {kind}", 10.0 * i + shift, 10.0 * i + shift + 3, "%", "not reproducible")
        for model, kind, shift in (("tiny-a48", "a4.8", 1), ("tiny-b158", "b1.58", 2))
        for i, column in enumerate(SPARSITY_COLUMNS)
    ]
    rows.append(row("tiny-a48 activated", None, 9.0, "1e6", "measured"))
    a48_figure.draw(rows)
    four, ternary = figures[0].axes
    n = len(SPARSITY_COLUMNS)
    assert heights(four) == [(pytest.approx(i - 0.2), 10.0 * i + 1) for i in range(n)] + [
        (pytest.approx(i + 0.2), 10.0 * i + 4) for i in range(n)
    ]
    assert heights(ternary)[0] == (-0.2, 2.0)
    assert [to_hex(container.patches[0].get_facecolor()) for container in four.containers] == [THEIRS, OURS]
    assert legend(four) == ["a4.8 7B, published", "tiny-a48, executed"]
    assert legend(ternary) == ["b1.58 7B, published", "tiny-b158, executed"]
    assert ticks(four.xaxis) == {float(i): column for i, column in enumerate(SPARSITY_COLUMNS)}
    assert four.get_ylabel() == "products that need not be formed, %"
    assert texts(four)[:2] == ["1", "11"]


def test_claims_are_points_and_what_is_not_reproducible_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = caught(monkeypatch, a48_figure, "rendered")
    a48_figure.draw_claims([row("a", 10.0, 9.0), row("b", None, 7.0), row("c", 4.0, None, label="not reproducible")])
    (axes,) = figures[0].axes
    assert [(line.get_marker(), points(line)) for line in axes.lines] == [
        ("o", [(10.0, 0.0)]), ("+", [(9.0, 0.0)]), ("+", [(7.0, 1.0)]), ("o", [(4.0, 2.0)]),
    ]  # fmt: skip
    assert legend(axes) == ["claimed", "bitsim"]
    assert [(text.get_text(), text.get_position()) for text in axes.texts] == [("not reproducible", (4.3, 2))]
    assert ticks(axes.yaxis) == {0.0: "a", 1.0: "b", 2.0: "c"}
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first one above
    assert (axes.get_xlim(), axes.get_xlabel()) == ((0.0, 12.0), "ratio")


def test_speeds_on_a_cpu_are_logarithmic_and_fitted_residuals_open(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = caught(monkeypatch, cpu_figure, "rendered")
    cpu_figure.draw(
        [
            row("llama.cpp 7B", 10.0, 11.0, "token/s", "predicted"),
            row("llama.cpp 70B", 2.0, 2.0, "token/s", "fitted"),
            row("bitnet.cpp 7B", 50.0, 40.0, "token/s", "predicted"),
            row("bitnet.cpp 7B energy", 1.0, 1.0, "J/token", "predicted"),
        ]
    )
    speeds, errors = figures[0].axes
    assert worded(speeds) == {
        "bitnet.cpp, published": [("7B", 50.0)],
        "bitnet.cpp, bitsim": [("7B", 40.0)],
        "llama.cpp, published": [("7B", 10.0), ("70B", 2.0)],
        "llama.cpp, bitsim": [("7B", 11.0), ("70B", 2.0)],
    }
    assert worded(errors) == {
        "bitnet.cpp": [("7B", pytest.approx(-20.0))],
        "llama.cpp": [("7B", pytest.approx(10.0)), ("70B", 0.0)],
    }
    marks = [(line.get_ydata()[0], line.get_markerfacecolor()) for line in errors.lines if line.get_marker() == "o"]
    assert marks == [(pytest.approx(-20.0), OURS), (pytest.approx(10.0), THEIRS), (0.0, "white")]
    assert [labels(axes) for axes in (speeds, errors)] == [
        ("model size", "tokens per second"), ("model size", "ours / published - 1, %"),
    ]  # fmt: skip
    assert titles(figures[0]) == ["Token generation on an Apple M2 Ultra", "Residuals; open: fitted"]
    assert (speeds.get_yscale(), errors.get_yscale()) == ("log", "linear")


def test_energy_ratios_over_sizes_and_what_is_left_of_71_4(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = caught(monkeypatch, energy_figure, "rendered")
    energy_figure.draw(
        [
            row("(FP16 mul + FP16 add) / INT8 add, 7nm", 71.4, 70.0),
            row("linears of tiny-fp16 / tiny-b158, executed, arithmetic convention, 7nm", None, 30.0, label="measured"),
            row("linears of tiny-fp16 / tiny-b158, executed, system convention, 7nm", None, 2.5, label="measured"),
            row("125M FP16 / BitNet 7nm", 8.8, 8.5),
            row("125M FP16 / BitNet 45nm", None, 5.0),
            row("70B FP16 / BitNet 7nm", 41.2, 40.0),
            row("6.7B W16 7nm MUL", 1.14, 1.14, "J"),
        ]
    )
    left, right = figures[0].axes
    assert worded(left) == {"published": [("125M", 8.8), ("70B", 41.2)], "bitsim": [("125M", 8.5), ("70B", 40.0)]}
    assert heights(right) == [(0.0, 70.0), (1.0, 30.0), (2.0, 2.5)]
    assert list(ticks(right.xaxis).values()) == ["per MAC\n(71.4x)", "arithmetic", "system"]
    assert texts(right) == ["70.0x", "30.0x", "2.5x"]
    assert [labels(axes) for axes in (left, right)] == [("model size", "FP16 / BitNet"), ("", "energy ratio")]
    assert titles(figures[0]) == [
        "Energy of a 512-token forward pass, 7nm, arithmetic convention", "Linear layers, FP16 / ternary, 7nm",
    ]  # fmt: skip
    assert left.get_ylim()[0] == 0


def score(model: str, kv: str, bits: float) -> Score:
    return Score(model=model, chip="c", numerics="n", kv=kv, acc_bits=24, overflow="wrap", linear_weights=1, text="t",
                 window=1, predicted_bytes=1, bits_per_byte=bits, overflows=0, first_overflow=None, wrong_sums=0,
                 largest_sum_error=0.0, rms_sum_error=0.0, sparsity={})  # fmt: skip


def test_quality_has_a_bar_per_model_and_width_of_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = caught(monkeypatch, quality_figure, "rendered")
    quality_figure.draw(
        {
            "a": [score("a", "32", 1.5), score("a", "INT4", 1.75), score("a", "INT3", 2.0)],
            "b": [score("b", "32", 1.25), score("b", "INT4", 1.5), score("b", "INT3", 1.75)],
        }
    )
    (axes,) = figures[0].axes
    assert heights(axes) == [
        (pytest.approx(x), bits)
        for x, bits in ((-0.27, 1.5), (0.73, 1.25), (0.0, 1.75), (1.0, 1.5), (0.27, 2.0), (1.27, 1.75))
    ]
    assert legend(axes) == ["KV cache: float32", "KV cache: INT4", "KV cache: INT3"]
    assert ticks(axes.xaxis) == {0.0: "a", 1.0: "b"}
    assert texts(axes)[:2] == ["1.500", "1.250"]
    assert axes.get_ylabel() == "bits per byte, held-out text"
    assert axes.get_ylim() == (0.0, 2.5)


def test_sizes_of_models_are_bars_with_the_published_mark_and_their_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = caught(monkeypatch, systems_figure, "rendered")
    systems_figure.draw_sizes(
        [
            row("llama-13b memory", 27.5, 27.0, "GB"), row("bitnet-b158-700m memory", 0.8, 0.9, "GB"),
            row("llama-700m memory", 2.08, 2.0, "GB"), row("bitnet-b158-13b memory", 5.4, 5.0, "GB"),
            row("w2a8 kernel, N = 1", 1.0, 1.0, "us"),
            row("llama-13b / bitnet-b158-13b memory", 5.12, 5.4), row("llama-700m / bitnet-b158-700m memory", 2.6, 2.2),
            row("bitnet-b158-13b / llama-3b memory, claimed < 1", 0.7, 0.6),
        ],
        "memory", "GB",
    )  # fmt: skip
    left, right = figures[0].axes
    assert ticks(left.xaxis) == {0.0: "700m", 1.0: "13b"}  # by size, not by letters
    assert heights(left) == [(pytest.approx(x), y) for x, y in ((0.8, 27.0), (-0.2, 2.0), (0.2, 0.9), (1.2, 5.0))]
    assert [same_points(points(line), p) for line, p in zip(
        left.lines, ([(0.8, 27.5), (-0.2, 2.08)], [(0.2, 0.8), (1.2, 5.4)]), strict=False)] == [True, True]  # fmt: skip
    assert [to_hex(container.patches[0].get_facecolor()) for container in left.containers] == [THEIRS, OURS]
    assert legend(left) == ["published", "llama, bitsim", "bitnet, bitsim"]
    assert worded(right) == {"published": [("700m", 2.6), ("13b", 5.12)], "bitsim": [("700m", 2.2), ("13b", 5.4)]}
    assert left.get_ylabel() == "memory / GB"
    assert labels(right) == ("BitNet b1.58 size (3.9b: against LLaMA 3b)", "memory: FP16 LLaMA / BitNet b1.58")
    assert (left.get_yscale(), right.get_ylim()[0]) == ("log", 0)


def test_throughput_over_the_batch_with_the_published_points(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = caught(monkeypatch, systems_figure, "rendered")
    grid = Grid(
        devices=np.array([2]), batch=np.array([1, 4]), fits=np.ones((1, 2), bool), step_s=np.array([[0.5, 0.8]]),
        prompt_s=np.array([0.0]), limit=np.array([["a", "a"]]), memory_bytes=np.zeros((1, 2)),
        communication_bytes=np.zeros((1, 2)), parts_s={}, energy_per_token_j=None, new_tokens=1,
    )  # fmt: skip
    systems_figure.draw_throughput({"bitnet-b158-70b": grid}, {"bitnet-b158-70b": (176, 2977.0)})
    (axes,) = figures[0].axes
    found = plotted(axes)
    assert same_points(found["bitnet-b158-70b, bitsim (to the largest batch)"], [(1, 2.0), (4, 5.0)])
    assert found["bitnet-b158-70b, published"] == [(176.0, 2977.0)]
    assert [line.get_color() for line in axes.lines] == [OURS, OURS]
    assert (scales(axes), labels(axes)) == (("log", "log"), ("batch", "tokens per second"))
    assert ticks(axes.xaxis) == {1.0: "1", 4.0: "4", 16.0: "16", 64.0: "64", 176.0: "176"}


def compared(key: str, value: float | None, published: float | None, **more: Any) -> Compared:
    it = Prediction(key=key, chip=f"chip-{key}", quantity="time", unit="s", value=value, **more)
    return Compared(prediction=it, published=published, evidence="read", source="s", leaves_out="", note="")


def test_predictions_are_drawn_over_published_values_with_the_error_and_what_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    figures = caught(monkeypatch, validation_figure, "saved")
    rows = [
        compared("a", 30.0, 20.0, bounds="dram 90 %"),
        compared("b", 4.0, 8.0, spread=(2.0, 16.0), energy="DRAM only: rest; more"),
        compared("c", None, 1.0, reason="none"),
        compared("d", 1.0, None),
    ]
    validation_figure.draw(rows, "png")
    (axes,) = figures[0].axes
    drawn = [(points(line), line.get_color(), line.get_marker()) for line in axes.lines[1:-2]]
    assert drawn == [
        ([(0.25, 0.0), (2.0, 0.0)], THEIRS, "None"),  # 2 and 16 over 8
        ([(0.5, 0.0)], THEIRS, "o"),
        ([(1.5, 1.0)], OURS, "o"),
    ]
    found = {text.get_text(): text.xy for text in axes.texts}  # type: ignore[attr-defined]
    assert found == {"-50.0 %": (2.0, 0), "+50.0 %  (dram 90 %)": (1.5, 1)}
    assert ticks(axes.yaxis) == {0.0: "chip-b\ntime: DRAM only", 1.0: "chip-a\ntime"}
    band = axes.patches[0]
    assert (band.get_x(), band.get_x() + band.get_width()) == (0.9, pytest.approx(1.1))
    assert points(axes.lines[0])[0][0] == 1.0
    assert (axes.get_xscale(), axes.get_xlim()) == ("log", (0.2, 20.0))
    assert list(ticks(axes.xaxis).values()) == ["0.25", "0.5", "1", "2", "4", "8"]
    assert axes.get_xlabel() == "predicted / published (band: 10 %)"
    assert legend(axes) == ["time or rate, and what it waits for", "energy, low to high"]
