"""The figure of `bitsim reproduce cpu`: tokens per second over sizes, ours on the published ones, and the residuals."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from bitsim.figures.style import rendered
from reports.comparison import Row

COLOURS = {"bitnet.cpp": "#1f5a8a", "llama.cpp": "#c9772f"}


def draw(rows: Sequence[Row]) -> dict[str, bytes]:
    """PNG and PDF of the figure for the rows of `cpu_rows`."""
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    speeds, errors = figure.subplots(1, 2)
    for program, colour in COLOURS.items():
        found = [row for row in rows if row.unit == "token/s" and row.item.startswith(program)]
        sizes = [row.item.split()[1] for row in found]
        speeds.plot(
            sizes, [row.published for row in found], "o", color=colour, alpha=0.5, label=f"{program}, published"
        )
        speeds.plot(sizes, [row.ours for row in found], "+-", color=colour, markersize=9, label=f"{program}, bitsim")
        errors.plot(sizes, [row.residual_pct for row in found], "-", color=colour, linewidth=0.8, label=program)
        for row in found:
            filled = colour if row.label == "predicted" else "white"
            errors.plot([row.item.split()[1]], [row.residual_pct], "o", color=colour, markerfacecolor=filled)
    speeds.set_yscale("log")
    speeds.set_ylabel("tokens per second")
    speeds.set_title("Token generation on an Apple M2 Ultra", fontsize=10)
    errors.axhline(0, color="grey", linewidth=0.6)
    errors.set_ylabel("ours / published - 1, %")
    errors.set_title("Residuals; open: fitted", fontsize=10)
    for axes in (speeds, errors):
        axes.set_xlabel("model size")
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return rendered(figure)
