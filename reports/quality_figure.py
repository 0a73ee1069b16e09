"""The figure of `bitsim reproduce quality`: bits per byte by model and width of the KV cache."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from bitsim.figures.style import rendered
from bitsim.study import Score

COLOURS = ("#1f5a8a", "#7fa8c9", "#c9772f")


def draw(scores: Mapping[str, Sequence[Score]]) -> dict[str, bytes]:
    """PNG and PDF: one group of bars per model, one bar per KV width."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    axes = figure.subplots()
    at = np.arange(len(scores))
    widths = len(next(iter(scores.values())))
    for j in range(widths):
        found = [by_kv[j] for by_kv in scores.values()]
        bars = axes.bar(at + (j - (widths - 1) / 2) * 0.27, [s.bits_per_byte for s in found], 0.25, color=COLOURS[j])
        axes.bar_label(bars, fmt="%.3f", fontsize=7, rotation=90, padding=3)
        bars.set_label(f"KV cache: {'float32' if found[0].kv == '32' else found[0].kv}")
    axes.set_xticks(at, [name.replace(", ", "\n") for name in scores])
    axes.set_ylabel("bits per byte, held-out text")
    axes.set_ylim(0, 1.25 * max(s.bits_per_byte for by_kv in scores.values() for s in by_kv))
    axes.legend(frameon=False, ncols=widths, loc="upper left")
    axes.spines[["top", "right"]].set_visible(False)
    return rendered(figure)
