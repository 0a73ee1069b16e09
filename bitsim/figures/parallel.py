"""The figure of `bitsim parallel`: time of a step over devices, and what quantisers and norms add to messages."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bitsim.figures.style import rendered
from bitsim.parallel.communication import SYNCS
from bitsim.parallel.parallel import Parallel
from bitsim.parallel.step import Step

COLOURS = {"grouped": "#1f5a8a", "inference": "#6b8f3c", "paper": "#c9772f"}
MEANING = {
    "grouped": "grouped: only outputs exchanged",
    "inference": "one device's layer, weights quantised before",
    "paper": "alpha, beta, gamma, eta, norms of every linear",
}


def parallel_figure(result: Parallel) -> dict[str, bytes]:
    """`parallel.png` and `parallel.pdf`."""
    figure = Figure(figsize=(15, 4.4), layout="constrained")
    times, messages, shares = figure.subplots(1, 3)
    for name in SYNCS:
        steps = [step for step in result.steps if step.sync == name]
        _line(times, steps, [1e3 * step.time_s for step in steps], name)
        _line(messages, steps, [step.messages for step in steps], name)
        _line(
            shares,
            steps,
            [100 * step.communication_s / (step.compute_s + step.communication_s) for step in steps],
            name,
        )
    counts = sorted({step.devices for step in result.steps})
    ideal = [1e3 * result.steps[0].time_s * result.steps[0].devices / count for count in counts]
    times.plot(counts, ideal, color="grey", linewidth=0.8, linestyle=":", label="ideal")
    messages.set_yscale("symlog", linthresh=1)
    messages.set_ylim(bottom=0)
    times.set_yscale("log", base=10)
    shares.set_ylim(bottom=0)
    for axes, title, label in (
        (times, f"time of one {result.phase} step", "ms"),
        (messages, "messages of one step, all devices", ""),
        (shares, "share of communication in a micro-batch's time", "%"),
    ):
        axes.set_xscale("log", base=2)
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.set_xlabel("devices")
        axes.set_ylabel(label)
        axes.set_title(title, fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    times.legend(frameon=False, fontsize=8)
    inputs = result.inputs
    figure.suptitle(
        f"{inputs['model']} on {inputs['chip']}, {inputs['link']}, batch {result.batch}, context {result.context}",
        fontsize=11,
    )
    return {f"parallel.{suffix}": content for suffix, content in rendered(figure).items()}


def _line(axes: Axes, steps: list[Step], values: list[float], name: str) -> None:
    style = {"grouped": "o-", "inference": "s--", "paper": "^-"}[name]
    axes.plot([s.devices for s in steps], values, style, color=COLOURS[name], label=MEANING[name], markersize=5)
