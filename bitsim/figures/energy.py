"""Where the energy goes: one panel per convention, one bar per phase, shares of what a token takes."""

from matplotlib.figure import Figure

from bitsim.figures.style import (
    FONT,
    caption,
    fills,
    keys,
    largest_first,
    merged,
    new_figure,
    percent,
    scale_of,
    stack,
    tidy,
)
from bitsim.model.operators import Phase
from bitsim.results.result import Result

Parts = dict[str, float]
UNITS = "matmul units"  # what the convention `datapath` splits up


def energy_parts(result: Result, convention: str) -> dict[Phase, Parts]:
    """Joules by component in each phase that has tokens; in `system` by memory level, with all matmul units in one."""
    tokens: dict[Phase, int] = {"prefill": result.workload.prefill, "decode": result.workload.decode}
    found: dict[Phase, Parts] = {}
    for phase, number in tokens.items():
        if not number:
            continue
        parts = found[phase] = {}
        for _, component, energy in result.breakdown(convention, phase):
            name = _level(component) if convention == "system" else component
            parts[name] = parts.get(name, 0.0) + energy.nominal * 1e-12
    return found


def _level(component: str) -> str:
    first = component.partition(" ")[0]
    if first in ("sram", "dram"):
        return component.replace(first, first.upper(), 1)
    return component if component == "vector unit" else UNITS


def energy_figure(result: Result) -> Figure | None:
    """None if no convention has a price for everything, or nothing was done."""
    if not result.rows or not result.priced:
        return None
    figure = new_figure(2.35 * len(result.priced), 3.6)
    tokens = {phase: result.phase_tokens(phase) for phase in result.phases}
    for axes, convention in zip(figure.subplots(1, len(result.priced), squeeze=False)[0], result.priced, strict=True):
        phases = energy_parts(result, convention)
        bars = [{name: joules / tokens[phase] for name, joules in parts.items()} for phase, parts in phases.items()]
        shares = merged([percent(bar) for bar in bars])
        styles = fills(largest_first(shares))
        stack(axes, range(len(bars)), shares, styles, 0.62)
        for x, bar in enumerate(bars):
            total = sum(bar.values())
            factor, prefix = scale_of(total)
            axes.text(x, 101, f"{total * factor:.3g} {prefix}J", ha="center", va="bottom", fontsize=FONT - 1)
        axes.set_xticks(range(len(bars)), list(phases))
        axes.set_xlim(-0.6, len(bars) - 0.4)
        axes.set_ylim(0, 109)
        tidy(axes, convention)
        axes.legend(
            handles=keys(styles), frameon=False, fontsize=FONT - 2, loc="upper center", bbox_to_anchor=(0.45, -0.1)
        )
    figure.axes[0].set_ylabel("share of the energy per token / %", fontsize=FONT)
    figure.suptitle(caption(result), fontsize=FONT)
    return figure
