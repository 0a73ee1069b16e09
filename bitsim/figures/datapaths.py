"""The figure of a comparison of datapaths: stacked bars of energy in each convention and of area, beside the cycles."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from statistics import median
from typing import Any, NamedTuple

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bitsim.cost import CONVENTIONS
from bitsim.figures.style import saved
from bitsim.study.compare_datapaths import DatapathComparison
from bitsim.study.compared_datapath import ComparedDatapath

FJ_PER_PJ, AREA_UNIT_UM2 = 1e3, 1e3
CUT_ABOVE = 3.0  # times the median
LEGEND_ROWS = 0.9  # the legend begins so many rows of bars below the axis


def comparison_figure(comparison: DatapathComparison) -> dict[str, bytes]:
    """`compare.png` and `compare.pdf`: one line per chip; energy per product, area of the BitLinear datapath.

    Bars are nominal, whiskers reach from low to high; what has no price or no area says so instead of a bar. Bars that
    are far longer than most are cut, with a mark and their number.
    """
    rows = comparison.rows
    figure = Figure(figsize=(17, 2.6 + 0.42 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(CONVENTIONS) + 2, sharey=True)
    cycles = [Bar({"datapath": row.datapath_cycles / 1e3} if row.datapath_cycles else {}) for row in rows]
    _stacked(panels[0], "datapath busy, thousand cycles", cycles, "not run", _colours(cycles, "tab20"))
    bars = {convention: [_energy_bar(row, convention) for row in rows] for convention in CONVENTIONS}
    colours = _colours([bar for found in bars.values() for bar in found], "tab20", "tab20b")
    for axes, (convention, found) in zip(panels[1:-1], bars.items(), strict=True):
        _stacked(axes, f"energy, {convention}, fJ per product", found, "unpriced", colours)
    areas = [_area_bar(row) for row in rows]
    _stacked(panels[-1], "area, datapath, 1000 um²", areas, "no area", _colours(areas, "tab20c"))
    panels[0].set_yticks(range(len(rows)), [_name(row) for row in rows])
    panels[0].set_ylim(len(rows) - 0.4, -0.6)
    inputs = comparison.inputs
    figure.suptitle(f"Linears of {inputs['model']}, {inputs['tokens']} tokens, {inputs['technology']}", fontsize=11)
    return {f"compare.{kind}": saved(figure, kind, dpi=150) for kind in ("png", "pdf")}


def _name(row: ComparedDatapath) -> str:
    """The chip, and what sets its outputs or operands apart."""
    apart = [row.outputs] * (row.outputs != "identical") + ["narrowed operands"] * bool(row.made)
    return f"{row.chip.name}\n({', '.join(apart)})" if apart else row.chip.name


class Bar(NamedTuple):
    """What each component takes; empty if unknown. `low`, `high`: of the whole bar."""

    parts: Mapping[str, float]
    low: float = 0.0
    high: float = 0.0

    @property
    def end(self) -> float:
        return max(sum(self.parts.values()), self.high)


def _energy_bar(row: ComparedDatapath, convention: str) -> Bar:
    if row.result is None or convention not in row.result.priced:
        return Bar({})
    parts: dict[str, float] = {}
    scale = FJ_PER_PJ / row.macs
    for _, component, energy in row.result.breakdown(convention):
        parts[component] = parts.get(component, 0.0) + scale * energy.nominal
    total = row.result.energy_range(convention)
    return Bar(parts, scale * total.low, scale * total.high)


def _area_bar(row: ComparedDatapath) -> Bar:
    if row.area is None:
        return Bar({})
    parts = {part.part: part.area.nominal / AREA_UNIT_UM2 for part in row.datapath_parts if part.area}
    return Bar(parts, row.area.low / AREA_UNIT_UM2, row.area.high / AREA_UNIT_UM2)


def _colours(bars: Sequence[Bar], *palettes: str) -> dict[str, Any]:
    """A colour per component, the same in all panels that these bars are drawn in."""
    components = dict.fromkeys(component for bar in bars for component in bar.parts)
    shades = [colormaps[name](i) for name in palettes for i in range(20)]
    return dict(zip(components, cycle(shades), strict=False))


def _stacked(axes: Axes, title: str, bars: Sequence[Bar], missing: str, colours: Mapping[str, Any]) -> None:
    """One horizontal bar each, components in the order of their sum over all bars, the total as a number at the end."""
    sums: dict[str, float] = {}
    for component, value in (item for bar in bars for item in bar.parts.items()):
        sums[component] = sums.get(component, 0.0) + value
    limit = _limit([bar for bar in bars if bar.parts])
    left = [0.0] * len(bars)
    for component in sorted(sums, key=lambda name: -sums[name]):
        widths = [bar.parts.get(component, 0.0) for bar in bars]
        axes.barh(range(len(bars)), widths, left=left, height=0.62, label=component, color=colours[component])
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for y, (bar, total) in enumerate(zip(bars, left, strict=True)):
        if bar.low < bar.high <= limit:
            axes.hlines(y, bar.low, bar.high, color="black", linewidth=0.9)
        if total > limit:
            axes.text(0.93 * limit, y, "//", va="center", ha="center", fontsize=15, color="white", weight="bold")
        text = (f"{total:,.0f}" if total >= 100 else f"{total:.3g}") if bar.parts else missing
        axes.text(min(bar.end, limit) + 0.03 * limit, y, text, va="center", fontsize=7)
    axes.set_xlim(0, 1.25 * limit)
    axes.axvspan(limit, 1.25 * limit, color="white", zorder=1.5)
    axes.locator_params(axis="x", nbins=5)
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    if len(sums) > 1:
        axes.legend(
            frameon=False, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -LEGEND_ROWS / len(bars)), ncols=2
        )


def _limit(bars: Sequence[Bar]) -> float:
    """The end of the longest bar that is not far longer than most."""
    totals = [sum(bar.parts.values()) for bar in bars]
    return max((bar.end for bar, t in zip(bars, totals, strict=True) if t <= CUT_ABOVE * median(totals)), default=1.0)
