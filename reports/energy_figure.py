"""The figure of `bitsim reproduce energy`: end-to-end ratios, ours on the published ones, and what is left of 71.4x."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from bitsim.figures.style import rendered
from reports.comparison import Row

OURS, THEIRS = "#1f5a8a", "#c9772f"


def draw(rows: Sequence[Row]) -> dict[str, bytes]:
    """PNG and PDF of the figure for the rows of `energy_rows`."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    ratios = [row for row in rows if row.item.endswith("FP16 / BitNet 7nm")]
    sizes = [row.item.split()[0] for row in ratios]
    left.plot(sizes, [row.published for row in ratios], "o", color=THEIRS, markersize=9, label="published")
    left.plot(sizes, [row.ours for row in ratios], "+-", color=OURS, markersize=10, label="bitsim")
    left.set_title("Energy of a 512-token forward pass, 7nm, arithmetic convention", fontsize=10)
    left.set_xlabel("model size")
    left.set_ylabel("FP16 / BitNet")
    left.set_ylim(bottom=0)
    left.legend(frameon=False)
    linears = [row for row in rows if (row.unit == "ratio" and "mul + FP16 add" in row.item) or "executed" in row.item]
    names = ["per MAC\n(71.4x)"] + [row.item.split(", ")[2].split()[0] for row in linears[1:]]
    bars = right.bar(names, [row.ours for row in linears], color=OURS, width=0.6)
    right.bar_label(bars, fmt="%.1fx")
    right.set_title("Linear layers, FP16 / ternary, 7nm", fontsize=10)
    right.set_ylabel("energy ratio")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return rendered(figure)
