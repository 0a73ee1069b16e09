"""Utilisation against array size: what linears reach of it, and what their lower bounds would allow."""

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bitsim.figures.style import BLUE, FONT, VERMILION, new_figure, tidy
from bitsim.study.array_size import ArraySizes

_LINES = {"prefill": (BLUE, "o"), "decode": (VERMILION, "s")}


def array_size_figure(study: ArraySizes) -> Figure:
    """One line per phase, dashed the bound; both axes logarithmic."""
    figure = new_figure(4.6, 2.8)
    axes = figure.subplots()
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    for phase, (colour, mark) in _LINES.items():
        points = [point for point in study.points if point.phase == phase]
        if not points:
            continue
        x = [point.rows for point in points]
        reached, bound = [p.utilisation for p in points], [p.bound_utilisation for p in points]
        axes.plot(x, bound, "--", color=colour, lw=1.0, label=f"{phase}, bound")
        axes.plot(x, reached, "-", color=colour, lw=1.3, marker=mark, ms=4.5, label=phase)
    sizes = sorted({point.rows for point in study.points})
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.tick_params(axis="x", which="minor", bottom=False)
    axes.set_ylim(top=1.3)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
    axes.set_xlabel("size of the array (rows = columns)", fontsize=FONT)
    axes.set_ylabel("utilisation of the array by linears", fontsize=FONT)
    inputs = study.inputs
    tidy(axes)
    tokens = f"prefill of {inputs['prefill']}, batch {inputs['batch']}"
    figure.suptitle(f"Linears of {inputs['model']}, {tokens}; all but the array is {inputs['chip']}", fontsize=FONT)
    figure.legend(frameon=False, fontsize=FONT - 1, loc="outside right center")
    return figure
