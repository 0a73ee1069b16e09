"""The figures of `bitsim reproduce sparsity` and `a4.8`."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from bitsim.figures.style import rendered
from bitsim.results.rows import SPARSITY_COLUMNS
from reports.comparison import Row

OURS, THEIRS = "#1f5a8a", "#c9772f"


def draw(rows: Sequence[Row]) -> dict[str, bytes]:
    """By kind of model: zeros by kind of linear, the paper's 7B beside the executed small model."""
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (model, kind) in zip(panels, (("tiny-a48", "a4.8"), ("tiny-b158", "b1.58")), strict=True):
        found = [row for row in rows if row.item.startswith(f"{model} ") and row.published is not None]
        places = range(len(SPARSITY_COLUMNS))
        theirs = axes.bar([x - 0.2 for x in places], [row.published for row in found], 0.38, color=THEIRS)
        ours = axes.bar([x + 0.2 for x in places], [row.ours for row in found], 0.38, color=OURS)
        theirs.set_label(f"{kind} 7B, published")
        ours.set_label(f"{model}, executed")
        for bars in (theirs, ours):
            axes.bar_label(bars, fmt="%.0f", fontsize=7)
        axes.set_xticks(list(places), list(SPARSITY_COLUMNS))
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("products that need not be formed, %")
    return rendered(figure)


def draw_claims(rows: Sequence[Row]) -> dict[str, bytes]:
    """The claims, and ours where there is one."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    for y, row in enumerate(rows):
        if row.published is not None:
            axes.plot([row.published], [y], "o", color=THEIRS, markersize=9, label="claimed" if y == 0 else None)
        if row.ours is not None:
            axes.plot([row.ours], [y], "+", color=OURS, markersize=12, label="bitsim" if y == 0 else None)
        else:
            axes.text((row.published or 0) + 0.3, y, "not reproducible", va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [row.item for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 12)
    axes.set_xlabel("ratio")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    return rendered(figure)
