"""The figure of `bitsim serve`: throughput, latency and energy over the batch, and what a step's time is spent on."""

from matplotlib.figure import Figure

from bitsim.figures.style import rendered
from bitsim.serving.serve import Serving

INK, MARK = "#1f5a8a", "#c9772f"
PARTS = ("#1f5a8a", "#c9772f", "#7fa8c9", "#9a9a9a", "#5b8c5a")


def serving_figure(serving: Serving) -> dict[str, bytes]:
    """PNG and PDF of the batch sweep; the batch that was asked for is marked."""
    grid = serving.grid
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    speed, latency, spent = figure.subplots(1, 3)
    speed.plot(grid.batch, grid.tokens_per_s[0], color=INK, label="decoding")
    speed.plot(grid.batch, grid.with_prompts_per_s[0], color=INK, linestyle="--", label="with prompts")
    speed.set_ylabel("new tokens per second")
    latency.plot(grid.batch, 1e3 * grid.step_s[0], color=INK, label="latency per token / ms")
    if grid.energy_per_token_j is not None:
        latency.plot(grid.batch, 1e3 * grid.energy_per_token_j[0], color=MARK, label="energy per token / mJ")
    latency.set_yscale("log")
    shares = [part[0] / grid.step_s[0] for part in grid.parts_s.values()]
    spent.stackplot(grid.batch, shares, labels=list(grid.parts_s), colors=PARTS)
    spent.set_ylabel("share of a step's time")
    spent.set_ylim(0, 1)
    at = serving.at_batch()
    speed.plot(at["batch"], at["tokens_per_s"], "o", color=MARK)
    for axes in (speed, latency, spent):
        axes.set_xlabel(f"batch (room for {serving.largest_batch})")
        axes.set_xscale("log")
        axes.spines[["top", "right"]].set_visible(False)
    for axes in (speed, latency):
        axes.legend(frameon=False, fontsize=8)
    spent.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    speed.set_ylim(bottom=0)
    where = f"{serving.model} on {serving.devices} x {serving.hardware.name}"
    figure.suptitle(f"{where}, {serving.prompt} prompt and {serving.new_tokens} new tokens")
    return rendered(figure)
