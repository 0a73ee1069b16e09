"""Figures of the reports on memory, latency and throughput, in the style of arXiv 2402.17764 Figure 2."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from bitsim.figures.style import rendered
from bitsim.serving.grid import Grid
from reports.comparison import Row

COLOURS = {"llama": "#c9772f", "bitnet": "#1f5a8a"}


def draw_sizes(rows: Sequence[Row], what: str, unit: str) -> dict[str, bytes]:
    """Left: both models by size, ours as bars and published as markers. Right: the ratios."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    sized = [row for row in rows if row.unit == unit and row.item.endswith(f" {what}")]
    sizes = list(dict.fromkeys(row.item.split()[0].rsplit("-", 1)[1] for row in sized))
    sizes.sort(key=lambda size: float(size[:-1]) * (1e-3 if size.endswith("m") else 1))
    for kind, shift in (("llama", -0.2), ("bitnet", 0.2)):
        mine = [row for row in sized if row.item.startswith(kind)]
        at = [sizes.index(row.item.split()[0].rsplit("-", 1)[1]) + shift for row in mine]
        left.bar(at, [row.ours or 0.0 for row in mine], 0.38, color=COLOURS[kind], label=f"{kind}, bitsim")
        left.plot(at, [row.published or 0.0 for row in mine], "k_", markersize=13, markeredgewidth=2)
    left.plot([], [], "k_", markersize=13, markeredgewidth=2, label="published")
    left.set_xticks(range(len(sizes)), sizes)
    left.set_yscale("log")
    left.set_ylabel(f"{what} / {unit}")
    ratios = [row for row in rows if row.unit == "ratio" and row.item.startswith("llama")]
    names = [row.item.split()[2].removeprefix("bitnet-b158-") for row in ratios]
    order = sorted(range(len(ratios)), key=lambda i: float(names[i][:-1]) * (1e-3 if names[i].endswith("m") else 1))
    right.plot(
        [names[i] for i in order], [ratios[i].published or 0.0 for i in order], "k_", markersize=13, label="published"
    )
    right.plot(
        [names[i] for i in order], [ratios[i].ours or 0.0 for i in order], "o-", color=COLOURS["bitnet"], label="bitsim"
    )
    right.set_ylabel(f"{what}: FP16 LLaMA / BitNet b1.58")
    right.set_xlabel("BitNet b1.58 size (3.9b: against LLaMA 3b)")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return rendered(figure)


def draw_throughput(sweeps: Mapping[str, Grid], points: Mapping[str, tuple[int, float]]) -> dict[str, bytes]:
    """Tokens per second over the batch up to what memory has room for, and the published points."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for model, grid in sweeps.items():
        colour = COLOURS[model.split("-")[0]]
        axes.plot(grid.batch, grid.tokens_per_s[0], color=colour, label=f"{model}, bitsim (to the largest batch)")
        batch, tokens = points[model]
        axes.plot(batch, tokens, "o", color=colour, markersize=8, label=f"{model}, published")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([1, 4, 16, 64, 176], ["1", "4", "16", "64", "176"])
    axes.set_xticks(np.array([], dtype=float), minor=True)
    axes.set_xlabel("batch")
    axes.set_ylabel("tokens per second")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return rendered(figure)
