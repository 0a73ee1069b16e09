"""Figures of studies made by hand: array sizes, devices, serving and datapaths side by side."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex

from bitsim.cost.area import Area, PartArea
from bitsim.events import Events
from bitsim.figures import datapaths, parallel, serving
from bitsim.figures.array_size import array_size_figure
from bitsim.figures.sensitivity import sensitivity_figure
from bitsim.hw import load_chip, load_link
from bitsim.model.operators import Phase
from bitsim.parallel.parallel import Parallel
from bitsim.parallel.step import Step
from bitsim.results import OperatorRow, Result
from bitsim.results.setup import Scheduling, Workload
from bitsim.study.array_size import ArrayPoint, ArraySizes
from bitsim.study.compare_datapaths import DatapathComparison
from bitsim.study.compared_datapath import ComparedDatapath
from tests.by_hand import serving_by_hand
from tests.figures.drawn import caught, labels, legend, plotted, points, same_points, scales, texts, ticks, titles
from tests.sensitivity_by_hand import toy_sensitivity


def point(size: int, phase: Phase, reached: float, bound: float) -> ArrayPoint:
    return ArrayPoint(rows=size, cols=size, phase=phase, macs=1, cycles=1, time_s=1.0, utilisation=reached,
                      bound_utilisation=bound, bound="array")  # fmt: skip


def test_array_sizes_draw_what_is_reached_solid_and_its_bound_dashed() -> None:
    study = ArraySizes(
        inputs={"model": "m", "chip": "c", "prefill": 32, "batch": 4},
        notes=(),
        points=(
            point(8, "prefill", 0.5, 0.75), point(8, "decode", 0.25, 0.5),
            point(64, "prefill", 0.125, 0.25), point(64, "decode", 0.03125, 0.0625),
        ),
    )  # fmt: skip
    figure = array_size_figure(study)
    (axes,) = figure.axes
    assert plotted(axes) == {
        "prefill": [(8, 0.5), (64, 0.125)],
        "prefill, bound": [(8, 0.75), (64, 0.25)],
        "decode": [(8, 0.25), (64, 0.03125)],
        "decode, bound": [(8, 0.5), (64, 0.0625)],
    }
    looks = {line.get_label(): (line.get_linestyle(), line.get_marker(), line.get_color()) for line in axes.lines}
    assert looks == {
        "prefill, bound": ("--", "None", "#0072B2"), "prefill": ("-", "o", "#0072B2"),
        "decode, bound": ("--", "None", "#D55E00"), "decode": ("-", "s", "#D55E00"),
    }  # fmt: skip
    assert scales(axes) == ("log", "log")
    assert ticks(axes.xaxis) == {8.0: "8", 64.0: "64"}
    assert axes.yaxis.get_major_formatter()(0.125, 0) == "12.5 %"
    assert axes.get_ylim()[1] == pytest.approx(1.3)
    assert labels(axes) == ("size of the array (rows = columns)", "utilisation of the array by linears")
    assert figure.get_suptitle() == "Linears of m, prefill of 32, batch 4; all but the array is c"
    only = array_size_figure(replace(study, points=study.points[1:2]))
    assert list(plotted(only.axes[0])) == ["decode, bound", "decode"]


def step(devices: int, sync: str, time_s: float, messages: int, compute_s: float, communication_s: float) -> Step:
    rest: dict[str, Any] = dict.fromkeys(Step.__dataclass_fields__, 0)
    rest |= {"devices": devices, "sync": sync, "time_s": time_s, "messages": messages}
    return Step(**(rest | {"compute_s": compute_s, "communication_s": communication_s}))


def test_devices_draw_milliseconds_messages_and_the_share_of_communication(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = caught(monkeypatch, parallel, "rendered")
    study = Parallel(
        inputs={"model": "m", "chip": "c", "link": "l"}, notes=(), chip=load_chip("ternary-ws-64x64"),
        link=load_link("nvlink"), phase="decode", tokens=1, context=512, batch=3,
        steps=(
            step(1, "grouped", 0.008, 0, 0.008, 0.0), step(1, "inference", 0.008, 0, 0.008, 0.0),
            step(1, "paper", 0.008, 0, 0.008, 0.0), step(2, "grouped", 0.005, 8, 0.004, 0.001),
            step(2, "inference", 0.006, 16, 0.004, 0.002), step(2, "paper", 0.008, 64, 0.004, 0.004),
        ),
    )  # fmt: skip
    assert set(parallel.parallel_figure(study)) == {"parallel.png", "parallel.pdf"}
    times, messages, shares = figures[0].axes
    grouped, inference, paper = (
        "grouped: only outputs exchanged",
        "one device's layer, weights quantised before",
        "alpha, beta, gamma, eta, norms of every linear",
    )
    found = plotted(times)
    assert list(found) == [grouped, inference, paper, "ideal"] == legend(times)
    assert same_points(found[grouped], [(1, 8.0), (2, 5.0)])
    assert same_points(found[inference], [(1, 8.0), (2, 6.0)])
    assert same_points(found[paper], [(1, 8.0), (2, 8.0)])
    assert same_points(found["ideal"], [(1, 8.0), (2, 4.0)])  # one device's 8 ms over the devices
    assert plotted(messages) == {grouped: [(1, 0), (2, 8)], inference: [(1, 0), (2, 16)], paper: [(1, 0), (2, 64)]}
    assert same_points(plotted(shares)[grouped], [(1, 0.0), (2, 20.0)])  # 1 of 4 + 1 ms, in percent
    assert same_points(plotted(shares)[paper], [(1, 0.0), (2, 50.0)])
    assert [scales(axes) for axes in (times, messages, shares)] == [
        ("log", "log"), ("log", "symlog"), ("log", "linear"),
    ]  # fmt: skip
    assert [labels(axes) for axes in (times, messages, shares)] == [
        ("devices", "ms"),
        ("devices", ""),
        ("devices", "%"),
    ]
    assert titles(figures[0]) == [
        "time of one decode step", "messages of one step, all devices",
        "share of communication in a micro-batch's time",
    ]  # fmt: skip
    assert ticks(times.xaxis) == {1.0: "1", 2.0: "2"}
    assert [(line.get_marker(), line.get_linestyle()) for line in times.lines] == [
        ("o", "-"), ("s", "--"), ("^", "-"), ("None", ":"),
    ]  # fmt: skip
    assert (messages.get_ylim()[0], shares.get_ylim()[0]) == (0, 0)
    assert figures[0].get_suptitle() == "m on c, l, batch 3, context 512"
    assert tuple(figures[0].get_size_inches()) == (15, 4.4)


def test_serving_draws_tokens_per_second_milliseconds_and_what_a_step_is_spent_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    figures = caught(monkeypatch, serving, "rendered")
    serving.serving_figure(serving_by_hand())
    speed, latency, spent = figures[0].axes
    found = plotted(speed)
    assert same_points(found["decoding"], [(1, 100.0), (2, 2 / 0.012), (4, 200.0)])
    # With prompts: 50 steps and a prompt of 0.1 s for each sequence: 50 / (0.5 + 0.1), 100 / (0.6 + 0.2), ...
    assert same_points(found["with prompts"], [(1, 50 / 0.6), (2, 100 / 0.8), (4, 200 / 1.4)])
    chosen = speed.lines[-1]
    assert same_points(points(chosen), [(2, 2 / 0.012)])
    assert (chosen.get_marker(), speed.lines[1].get_linestyle()) == ("o", "--")
    found = plotted(latency)
    assert same_points(found["latency per token / ms"], [(1, 10.0), (2, 12.0), (4, 20.0)])
    # Two devices of 400 W: 800 W over tokens per second, in mJ.
    assert same_points(found["energy per token / mJ"], [(1, 8000.0), (2, 4800.0), (4, 4000.0)])
    assert [scales(axes) for axes in (speed, latency, spent)] == [("log", "linear"), ("log", "log"), ("log", "linear")]
    layers = [np.unique(layer.get_paths()[0].vertices[:, 1].round(9)) for layer in spent.collections]
    assert layers[0][-1] == pytest.approx(0.6)  # 6 of 10 ms wait for weights
    assert layers[-1][-1] == pytest.approx(1.0)
    assert legend(spent) == ["weight bandwidth", "compute", "attention", "kernel overhead", "communication"]
    assert [labels(axes) for axes in (speed, latency, spent)] == [
        ("batch (room for 4)", "new tokens per second"),
        ("batch (room for 4)", ""),
        ("batch (room for 4)", "share of a step's time"),
    ]
    assert spent.get_ylim() == (0, 1)
    assert speed.get_ylim()[0] == 0
    assert figures[0].get_suptitle() == "m on 2 x a100-80gb, 7 prompt and 50 new tokens"
    assert tuple(figures[0].get_size_inches()) == (12, 4.2)


def compared(name: str, events: dict[str, int] | None, areas: tuple[PartArea, ...], **more: Any) -> ComparedDatapath:
    """A chip with 1000 products in 250 cycles of its datapath, or one that refused them."""
    chip = load_chip("ternary-ws-64x64").model_copy(update={"name": name})
    row = OperatorRow(phase="prefill", name="q_proj", kind="linear", layer=0, bitlinear=True, macs=1000, cycles=9999,
                      unit_cycles=250, events=Events(events or {}))  # fmt: skip
    result = Result(inputs={}, notes=(), chip=chip, rows=(row,), workload=Workload(prefill=1, decode=0),
                    mode="run", scheduling=Scheduling(), recipe=None)  # fmt: skip
    known = {"outputs": "identical", "exact": True} | more
    return ComparedDatapath(chip=chip, areas=areas, result=None if events is None else result, **known)


def area(component: str, part: str, um2: float) -> PartArea:
    return PartArea(component=component, part=part, count=1, area=Area(low=um2 / 2, nominal=um2, high=2 * um2))


def widths(axes: Any) -> list[tuple[float, float, float]]:
    """Row, left end and length of every horizontal bar."""
    found = [patch for container in axes.containers for patch in container]
    return [(round(p.get_y() + p.get_height() / 2, 9), p.get_x(), p.get_width()) for p in found]


def test_datapaths_draw_cycles_femtojoules_per_product_and_area_beside_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """add.int8: 2000 x 0.007 pJ = 14 pJ over 1000 products are 14 fJ; mul.fp16: 100 x 0.34 pJ are 34 fJ."""
    figures = caught(monkeypatch, datapaths, "saved")
    study = DatapathComparison(
        inputs={"model": "m", "tokens": 5, "technology": "7nm"},
        notes=(),
        rows=(
            compared("one", {"add.int8": 2000, "mul.fp16": 100},
                     (area("bitlinear", "a", 3000.0), area("bitlinear", "b", 1000.0), area("wide", "a", 7777.0))),
            compared("two", {"add.int8": 1000}, (area("bitlinear", "a", 2000.0),), outputs="rounded", exact=False),
            compared("three", None, (PartArea(component="bitlinear", part="a", count=1, area=None, reason="none"),),
                     outputs="refused", made={"cut to 4 bits": 3}),
        ),
    )  # fmt: skip
    assert set(datapaths.comparison_figure(study)) == {"compare.png", "compare.pdf"}
    cycles, arithmetic, *_, areas = figures[0].axes
    assert titles(figures[0]) == [
        "datapath busy, thousand cycles",
        "energy, arithmetic, fJ per product",
        "energy, datapath, fJ per product",
        "energy, system, fJ per product",
        "area, datapath, 1000 um²",
    ]
    assert ticks(cycles.yaxis) == {0.0: "one", 1.0: "two\n(rounded)", 2.0: "three\n(refused, narrowed operands)"}
    assert widths(cycles) == [(0, 0, 0.25), (1, 0, 0.25), (2, 0, 0)]
    assert texts(cycles) == ["0.25", "0.25", "not run"]
    # The larger sum first: mul fp16 34, add int8 14 + 7.
    assert widths(arithmetic) == [
        (0, 0, pytest.approx(34.0)), (1, 0, 0), (2, 0, 0),
        (0, pytest.approx(34.0), pytest.approx(14.0)), (1, 0, pytest.approx(7.0)), (2, 0, 0),
    ]  # fmt: skip
    assert legend(arithmetic) == ["mul fp16", "add int8"]
    assert texts(arithmetic) == ["48", "7", "unpriced"]
    assert widths(areas)[:2] == [(0, 0, 3.0), (1, 0, 2.0)]  # in 1000 um2; other components are not counted
    assert texts(areas) == ["4", "2", "no area"]
    whiskers = [path.vertices[:, 0].tolist() for line in areas.collections for path in line.get_paths()]
    assert whiskers == [[2.0, 8.0], [1.0, 4.0]]  # from half to twice
    assert figures[0].get_suptitle() == "Linears of m, 5 tokens, 7nm"
    assert tuple(figures[0].get_size_inches()) == pytest.approx((17, 2.6 + 3 * 0.42))  # a line per chip
    assert cycles.get_ylim() == pytest.approx((2.6, -0.6))  # the first chip above


def test_bars_far_longer_than_most_are_cut_with_a_mark_and_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = caught(monkeypatch, datapaths, "saved")
    sizes = {"one": 1000.0, "two": 2000.0, "three": 3000.0, "four": 6001.0, "five": 1_234_000.0}
    rows = tuple(compared(name, {"add.int8": 1}, (area("bitlinear", "a", um2),)) for name, um2 in sizes.items())
    datapaths.comparison_figure(
        DatapathComparison(inputs={"model": "m", "tokens": 1, "technology": "7nm"}, notes=(), rows=rows)
    )
    axes = figures[0].axes[-1]
    # Median 3; 6.001 is at most three times that, its whisker ends at 12.002: the longest that is not cut.
    assert axes.get_xlim() == pytest.approx((0, 1.25 * 12.002))
    assert texts(axes) == ["1", "2", "3", "6", "//", "1,234"]
    ends = {text.get_text(): text.get_position()[0] for text in axes.texts}
    assert ends["1"] == pytest.approx(2.0 + 0.03 * 12.002)  # behind the whisker, which ends at 2
    assert ends["1,234"] == pytest.approx(1.03 * 12.002)
    assert to_hex(axes.patches[-1].get_facecolor()) == "#ffffff"  # covers what is cut


def test_a_tornado_has_a_bar_from_each_end_of_a_constant_to_the_nominal_number_and_the_draws_beside_it() -> None:
    """230 pJ: multiplications from 130 to 430, additions to 290 only; of both chips 230 / 210 with 290 / 230."""
    figure = sensitivity_figure(toy_sensitivity())
    tornado, draws = figure.axes
    bars = [(patch.get_x(), patch.get_width(), patch.get_y() + patch.get_height() / 2) for patch in tornado.patches]
    assert np.allclose(bars, [(230, -100, 0), (230, 200, 0), (230, 0, 1), (230, 60, 1)])
    assert list(ticks(tornado.yaxis).values()) == ["7nm: prices.mul.fp16", "7nm: prices.add.fp16"]
    assert legend(tornado) == ["constant low", "constant high"]
    assert labels(tornado)[0] == labels(draws)[0] == "energy / pJ"
    assert sum(patch.get_height() for patch in draws.patches) == 500
    assert {"5 %", "50 %", "95 %"} <= set(texts(draws))
    two = sensitivity_figure(toy_sensitivity(versus=(100, 1)))
    first = two.axes[0].patches[1]
    assert (first.get_x(), first.get_x() + first.get_width()) == pytest.approx((230 / 210, 290 / 230))
    assert labels(two.axes[0])[0] == "ratio"
