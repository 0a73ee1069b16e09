"""Figures of a Result, drawn from its tidy tables."""

from io import BytesIO

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bitsim.study.result import Result


def energy_figure(result: Result) -> bytes:
    """PNG: energy by component in each convention, one stacked bar per phase, joules per token."""
    table = result.frame("energy")
    conventions = list(dict.fromkeys(table["convention"]))
    figure = Figure(figsize=(4 * len(conventions), 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    tokens = {"prefill": result.prompt_tokens, "decode": result.new_tokens}
    for axes, convention in zip(figure.subplots(1, len(conventions)), conventions, strict=True):
        part = table[table["convention"] == convention]
        sums = part.groupby(["component", "phase"])["nominal_pj"].sum().unstack("phase").fillna(0.0)
        bottom = [0.0] * len(sums.columns)
        for component, row in sums.loc[sums.sum(axis=1).sort_values(ascending=False).index].iterrows():
            heights = [row[p] * 1e-12 / (tokens[p] * result.batch) for p in sums.columns]
            axes.bar(list(sums.columns), heights, bottom=bottom, label=component, width=0.6)
            bottom = [b + h for b, h in zip(bottom, heights, strict=True)]
        axes.set_title(convention)
        axes.set_ylabel("energy per token / J")
        axes.legend(frameon=False, fontsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{result.inputs['model']} on {result.inputs['chip']}, {result.inputs['technology']}")
    png = BytesIO()
    figure.savefig(png, format="png", dpi=150)
    return png.getvalue()
