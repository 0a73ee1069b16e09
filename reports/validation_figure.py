"""The figure of `bitsim validate`: predicted over published, one row per quantity."""

from collections.abc import Sequence
from typing import Literal

from bitsim.figures.style import new_figure, saved
from reports.validation import Compared

TIME, ENERGY = "#1f5a8a", "#c9772f"


def draw(rows: Sequence[Compared], file_format: Literal["png", "pdf"]) -> bytes:
    """Bytes of the figure; rows without a published value or a prediction are left out."""
    shown = [(row, row.error_pct) for row in rows if row.error_pct is not None][::-1]
    figure = new_figure(9.5, 0.8 + 0.36 * len(shown))
    axes = figure.subplots()
    axes.axvspan(0.9, 1.1, color="#e4e4e4", zorder=0)
    axes.axvline(1.0, color="black", linewidth=0.8, zorder=1)
    for y, (row, error) in enumerate(shown):
        it, theirs = row.prediction, row.published or 0.0
        ratio, colour = 1.0 + error / 100.0, ENERGY if it.energy else TIME
        if it.spread is not None:
            axes.plot([end / theirs for end in it.spread], [y, y], color=colour, linewidth=1.2)
        axes.plot([ratio], [y], "o", color=colour, markersize=7)
        right = max(ratio, (it.spread[1] / theirs) if it.spread else ratio, 1.1)
        waits = f"  ({it.bounds})" if it.bounds else ""
        text = f"{error:+.1f} %{waits}"
        axes.annotate(text, (right, y), xytext=(8, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(shown)), [_label(row) for row, _ in shown], fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(0.2, 20)
    ticks = (0.25, 0.5, 1, 2, 4, 8)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("predicted / published (band: 10 %)")
    axes.plot([], [], "o", color=TIME, label="time or rate, and what it waits for")
    axes.plot([], [], "o-", color=ENERGY, label="energy, low to high")
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    axes.spines[["top", "right"]].set_visible(False)
    return saved(figure, file_format, dpi=150)


def _label(row: Compared) -> str:
    it = row.prediction
    what = f"{it.quantity}: {it.energy.partition(':')[0].partition(';')[0]}" if it.energy else it.quantity
    return f"{it.chip}\n{what}"
