"""Where the time goes: layer by layer, stacked by kind of operator, one panel per phase."""

from collections.abc import Iterable, Mapping
from typing import Any

from matplotlib.figure import Figure

from bitsim.figures.style import FONT, caption, fills, keys, merged, new_figure, others, scale_of, stack, tidy
from bitsim.model.operators import Kind, Phase
from bitsim.results.result import Result

LABELS: dict[Kind, str] = {
    "linear": "linears",
    "qk": "QKᵀ",
    "pv": "PV",
    "head": "head",
    "softmax": "softmax",
    "norm": "norms",
    "quantise": "quantisation",
    "glu": "activation, GLU",
    "rope": "RoPE",
    "kv": "KV cache writes",
    "residual": "residuals",
    "bias": "biases",
    "groups": "sums of groups",
    "embedding": "embedding",
}
OUTSIDE = "other"  # embedding, last norm and head
_MOST_BARS = 40
Bars = dict[str, dict[Kind, float]]


def time_bars(result: Result, phase: Phase) -> Bars:
    """Seconds by kind of operator, in each layer, and in operators outside of all layers."""
    cycle_s = 1e-9 / result.chip.clock.nominal
    bars: Bars = {}
    for row in result.phase_rows(phase):
        name = OUTSIDE if row.layer is None else str(row.layer)
        bar = bars.setdefault(name, {})
        bar[row.kind] = bar.get(row.kind, 0.0) + row.cycles * cycle_s
    outside = bars.pop(OUTSIDE, None)
    return bars if outside is None else bars | {OUTSIDE: outside}


def labelled(bars: Iterable[Mapping[Kind, float]]) -> dict[str, float]:
    """The sum of bars, by the names of kinds."""
    found: dict[str, float] = {}
    for kind, seconds in (item for bar in bars for item in bar.items()):
        found[LABELS[kind]] = found.get(LABELS[kind], 0.0) + seconds
    return found


def _without_edges(styles: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: {**style, "linewidth": 0} for name, style in styles.items()}


def time_figure(result: Result) -> Figure | None:
    """None if nothing was done."""
    phases: list[tuple[Phase, int]] = [("prefill", result.workload.prefill), ("decode", result.workload.decode)]
    phases = [(phase, tokens) for phase, tokens in phases if tokens]
    if not result.rows:
        return None
    figure = new_figure(7.0, 0.6 + 1.9 * len(phases))
    drawn = [(phase, name, bar) for phase, _ in phases for name, bar in time_bars(result, phase).items()]
    totals = [labelled(bar for of, _, bar in drawn if of == phase) for phase, _ in phases]
    shown = merged([labelled([bar]) for _, _, bar in drawn], totals)
    styles = fills([*(n for n in LABELS.values() if any(n in bar for bar in shown)), *others(shown)])
    for axes, (phase, tokens) in zip(figure.subplots(len(phases), 1, squeeze=False)[:, 0], phases, strict=True):
        bars = {name: bar for (of, name, _), bar in zip(drawn, shown, strict=True) if of == phase}
        factor, prefix = scale_of(max(sum(bar.values()) for bar in bars.values()))
        scaled = [{part: seconds * factor for part, seconds in bar.items()} for bar in bars.values()]
        places = [i + (name == OUTSIDE) * 0.5 for i, name in enumerate(bars)]
        wide = len(bars) > _MOST_BARS  # then they touch, and no lines stand between them
        stack(axes, places, scaled, _without_edges(styles) if wide else styles, 1.0 if wide else 0.82)
        axes.set_ylim(0, 1.08 * max(sum(bar.values()) for bar in scaled))
        every = -(-len(bars) // 20)
        ticks = [(x, name) for x, name in zip(places, bars, strict=True) if name == OUTSIDE or int(name) % every == 0]
        axes.set_xticks([x for x, _ in ticks], [name for _, name in ticks])
        axes.set_xlim(-0.8, places[-1] + 0.8)
        axes.set_ylabel(f"time / {prefix}s", fontsize=FONT)
        total, (overall, unit) = result.phase_time_s(phase), scale_of(result.phase_time_s(phase))
        sequences = f"{result.workload.batch} × " if result.workload.batch > 1 else ""
        tidy(axes, f"{phase}, {sequences}{tokens:,} tokens: {total * overall:.3g} {unit}s in all")
    axes.set_xlabel("layer (other: embedding, last norm, head)", fontsize=FONT)
    figure.legend(handles=keys(styles), frameon=False, fontsize=FONT - 1, loc="outside right center")
    figure.suptitle(caption(result), fontsize=FONT)
    return figure
