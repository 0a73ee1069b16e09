"""Figures of a Result, drawn from its tidy tables."""

from io import BytesIO

from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bitsim.study.result import Result


def rendered(figure: Figure) -> dict[str, bytes]:
    """The figure by file type: PNG, and PDF without the date so that equal figures are equal files."""
    FigureCanvasAgg(figure)
    files = {}
    for suffix, metadata in (("png", None), ("pdf", {"CreationDate": None})):
        content = BytesIO()
        figure.savefig(content, format=suffix, dpi=150, metadata=metadata)
        files[suffix] = content.getvalue()
    return files


def energy_figure(result: Result) -> bytes:
    """PNG: energy by component in each convention that has a price, one stacked bar per phase, joules per token."""
    table = result.frame("energy")
    colours = {part: colormaps["tab20"](i % 20) for i, part in enumerate(dict.fromkeys(table["component"]))}
    figure = Figure(figsize=(4.4 * len(result.priced), 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    tokens = {"prefill": result.prompt_tokens, "decode": result.new_tokens}
    for axes, convention in zip(figure.subplots(1, len(result.priced), squeeze=False)[0], result.priced, strict=True):
        part = table[table["convention"] == convention]
        sums = part.groupby(["component", "phase"])["nominal_pj"].sum().unstack("phase").fillna(0.0)
        phases = [phase for phase in tokens if phase in sums.columns]
        bottom = [0.0] * len(phases)
        for component, row in sums.loc[sums.sum(axis=1).sort_values(ascending=False).index].iterrows():
            heights = [row[phase] * 1e-12 / (tokens[phase] * result.batch) for phase in phases]
            axes.bar(phases, heights, bottom=bottom, label=component, width=0.6, color=colours.get(component))
            bottom = [b + h for b, h in zip(bottom, heights, strict=True)]
        axes.set_title(convention)
        axes.set_ylabel("energy per token / J")
        axes.ticklabel_format(axis="y", scilimits=(0, 0))
        axes.legend(frameon=False, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=2)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(f"{result.inputs['model']} on {result.inputs['chip']}, {result.inputs['technology']}")
    png = BytesIO()
    figure.savefig(png, format="png", dpi=150)
    return png.getvalue()
