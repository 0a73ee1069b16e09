"""Which constant decides: a tornado of the largest swings, and the distribution of all draws beside it."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bitsim.figures.style import BLUE, FONT, GREY, VERMILION, new_figure, scale_of, tidy
from bitsim.study.sensitivity import Sensitivity

BARS = 12
_LONGEST = 46  # letters of a constant's name


def sensitivity_figure(found: Sensitivity) -> Figure:
    """Of the ratio where there are two chips, else of the number."""
    two = found.versus is not None
    figure = new_figure(7.2, 1.5 + 0.22 * max(6, min(BARS, len(found.ranking))))
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
    of, column = ("ratio", "ratio") if two else ("chip", found.column)
    nominal = found.one_by_one[of][0]
    factor, prefix = (1.0, "") if two else scale_of(nominal)
    unit = column.rpartition("_")[2]
    shown = "s" if unit == "s" else unit.upper()
    label = "ratio" if two else f"{found.number.replace('_', ' ')} / {prefix}{shown}"
    _tornado(left, found, column, nominal, factor)
    values = [value * factor for value in found.drawn[of].tolist()]
    right.hist(values, bins=30, color=GREY, edgecolor="0.1", linewidth=0.4)
    for percentile in found.records("percentiles"):
        if percentile["percentile"] in (5, 50, 95):
            at = percentile[column] * factor
            right.axvline(at, color="black", lw=0.8, ls="--")
            right.annotate(
                f"{percentile['percentile']} %", (at, 1.0), xycoords=("data", "axes fraction"), ha="center",
                va="bottom", fontsize=FONT - 2,
            )  # fmt: skip
    right.axvline(nominal * factor, color=VERMILION, lw=1.2)
    for axes in (left, right):
        axes.set_xlabel(label, fontsize=FONT)
    right.set_ylabel(f"of {found.draws:,} draws", fontsize=FONT)
    tidy(left)
    tidy(right)
    figure.suptitle(found.title, fontsize=FONT)
    return figure


def _tornado(axes: Axes, found: Sensitivity, column: str, nominal: float, factor: float) -> None:
    """One bar per constant, from the number at its low to that at its high; the largest swing on top."""
    shown = found.ranking[:BARS]
    for y, record in enumerate(shown):
        for end, colour, hatch in (("low", BLUE, ""), ("high", VERMILION, "////")):
            width = record[f"{column}_{end}"] - nominal
            axes.barh(
                y, width * factor, left=nominal * factor, height=0.62, facecolor=colour, hatch=hatch, edgecolor="0.1",
                linewidth=0.4, label=f"constant {end}" if y == 0 else None,
            )  # fmt: skip
    axes.axvline(nominal * factor, color="black", lw=0.8)
    axes.set_yticks(range(len(shown)), [_cut(record["constant"]) for record in shown])
    axes.invert_yaxis()
    if shown:
        axes.legend(frameon=False, fontsize=FONT - 2, loc="lower right")


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..."
