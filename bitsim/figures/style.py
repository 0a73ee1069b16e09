"""What all figures have in common: size of type, colours and hatches, frames, files."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.text import Text

from bitsim.results.result import Result

FONT = 8
DPI = 200
# Okabe and Ito, "Color Universal Design" (2008), without black and with a grey.
BLUE, ORANGE, GREEN, PINK, SKY, VERMILION, YELLOW, GREY = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999"),
)
_FILLS = (BLUE, ORANGE, SKY, VERMILION, YELLOW, GREEN, PINK, GREY)
_OTHERS = " others, < 1 % each"
_HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "----")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of a size in inches, with a canvas that needs no display."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def rendered(figure: Figure) -> dict[str, bytes]:
    """The figure by file type."""
    return {kind: saved(figure, kind) for kind in ("png", "pdf")}


def files_of(stem: str, figure: Figure) -> dict[str, bytes]:
    """The figure as `stem`.png and `stem`.pdf."""
    return {f"{stem}.{kind}": content for kind, content in rendered(figure).items()}


def saved(figure: Figure, kind: str, dpi: int = DPI) -> bytes:
    """The file's bytes, the same for the same figure."""
    _take_literally(figure)
    content = BytesIO()
    with rc_context({"hatch.linewidth": 0.4, "pdf.fonttype": 42}):
        figure.savefig(content, format=kind, dpi=dpi, metadata={"CreationDate": None} if kind == "pdf" else None)
    return content.getvalue()


def _take_literally(figure: Figure) -> None:
    """Names are drawn as they are, `$` too; only the powers of ten at logarithmic axes are set as mathematics."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) if axis.get_scale() != "linear"):
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            tick.label1.set_parse_math(True)
            tick.label2.set_parse_math(True)


def fills(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A colour with a hatch for each name; neighbours differ in both."""
    found = {}
    for i, name in enumerate(names):
        colour, hatch = _FILLS[i % len(_FILLS)], _HATCHES[(i + i // len(_FILLS)) % len(_HATCHES)]
        found[name] = {"facecolor": colour, "hatch": hatch, "edgecolor": "0.1", "linewidth": 0.4}
    return found


def scale_of(largest: float) -> tuple[float, str]:
    """The factor and the SI prefix with which `largest` reads as a number from 1 to 1000."""
    for factor, prefix in ((1.0, ""), (1e3, "m"), (1e6, "µ"), (1e9, "n")):
        if largest * factor >= 1:
            return factor, prefix
    return 1e12, "p"


def rate_text(value: float, unit: str) -> str:
    """Three significant digits with an SI prefix: `8.19 Tops/s`."""
    factor, prefix = next(((f, p) for f, p in ((1e12, "T"), (1e9, "G"), (1e6, "M")) if value >= f), (1.0, ""))
    return f"{value / factor:.3g} {prefix}{unit}"


def percent(parts: Mapping[str, float]) -> dict[str, float]:
    """Shares of the sum, in percent; empty if there is nothing to share."""
    total = sum(parts.values())
    return {name: 100.0 * part / total for name, part in parts.items()} if total else {}


def merged(
    bars: Sequence[Mapping[str, float]], totals: Sequence[Mapping[str, float]] | None = None
) -> list[dict[str, float]]:
    """The bars with those parts as one that are below 1 % in each of the `totals` (of each bar, if not given)."""
    wholes = bars if totals is None else totals
    limits = [0.01 * sum(whole.values()) for whole in wholes]
    names = dict.fromkeys(name for bar in bars for name in bar)
    small = {n for n in names if all(t.get(n, 0.0) < limit for t, limit in zip(wholes, limits, strict=True))}
    if len(small) < 2:
        return [dict(bar) for bar in bars]
    found = []
    for bar in bars:
        rest = sum(part for name, part in bar.items() if name in small)
        kept = {name: part for name, part in bar.items() if name not in small}
        found.append(kept | ({f"{len(small)}{_OTHERS}": rest} if rest else {}))
    return found


def others(bars: Sequence[Mapping[str, float]]) -> list[str]:
    """The name of what was merged, if anything was."""
    return list(dict.fromkeys(name for bar in bars for name in bar if name.endswith(_OTHERS)))


def largest_first(bars: Sequence[Mapping[str, float]]) -> list[str]:
    """Parts by their sum over all bars, what was merged last."""
    sums: dict[str, float] = {}
    for name, part in (item for bar in bars for item in bar.items()):
        sums[name] = sums.get(name, 0.0) + part
    return sorted(sums, key=lambda name: (name.endswith(_OTHERS), -sums[name], name))


def stack(
    axes: Axes, positions: Sequence[float], bars: Sequence[Mapping[str, float]], styles: Mapping[str, Any], width: float
) -> None:
    """One bar per position, parts in the order of `styles` from the bottom."""
    bottom = [0.0] * len(bars)
    for name, style in styles.items():
        heights = [bar.get(name, 0.0) for bar in bars]
        axes.bar(positions, heights, bottom=bottom, width=width, **style)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]


def tidy(axes: Axes, title: str = "") -> None:
    """No box, small type, a light grid behind the data."""
    axes.set_title(title, fontsize=FONT, loc="left")
    axes.tick_params(labelsize=FONT - 1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis="y", linewidth=0.4, color="0.85")


def keys(styles: Mapping[str, Mapping[str, Any]]) -> list[Patch]:
    """What a legend shows of the parts of stacked bars, the uppermost first."""
    return [Patch(label=name, **style) for name, style in reversed(list(styles.items()))]


def caption(result: Result) -> str:
    """What a figure is about, in one line."""
    return result.title
