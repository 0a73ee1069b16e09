"""What a matplotlib figure shows, in plain values; and figures that functions would have turned into bytes."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

Points = list[tuple[float, float]]


def caught(monkeypatch: pytest.MonkeyPatch, module: ModuleType, function: str) -> list[Figure]:
    """The figures that `module` hands to `rendered` or `saved`, which then give no bytes."""
    figures: list[Figure] = []

    def keep(figure: Figure, *_: Any, **__: Any) -> dict[str, bytes] | bytes:
        if figure not in figures:
            figures.append(figure)
        return {"png": b"", "pdf": b""} if function == "rendered" else b""

    monkeypatch.setattr(module, function, keep)
    return figures


def plotted(axes: Axes) -> dict[str, Points]:
    """The points of every line that has a label of its own."""
    return {str(line.get_label()): points(line) for line in axes.lines if not str(line.get_label()).startswith("_")}


def points(line: Any) -> Points:
    """The points of one line."""
    return [(float(x), float(y)) for x, y in zip(line.get_xdata(orig=False), line.get_ydata(orig=False), strict=True)]


def bars(axes: Axes) -> list[tuple[float, float, float]]:
    """Middle, bottom and height of every bar, in the order in which they were drawn."""
    found = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    return [(round(p.get_x() + p.get_width() / 2, 9), p.get_y(), p.get_height()) for p in found]


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def legend(axes_or_figure: Any) -> list[str]:
    """The entries of a legend, from above."""
    found = axes_or_figure.get_legend() if isinstance(axes_or_figure, Axes) else axes_or_figure.legends[0]
    return [text.get_text() for text in found.get_texts()]


def ticks(axis: Any) -> dict[float, str]:
    """Places and words of an axis's ticks."""
    words = [label.get_text() for label in axis.get_ticklabels()]
    return dict(zip((float(x) for x in axis.get_ticklocs()), words, strict=True))


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() or axes.get_title(loc="left") for axes in figure.axes]


def labels(axes: Axes) -> tuple[str, str]:
    """What stands at both axes."""
    return axes.get_xlabel(), axes.get_ylabel()


def scales(axes: Axes) -> tuple[str, str]:
    return axes.get_xscale(), axes.get_yscale()


def same_points(found: Points, expected: Points) -> bool:
    return bool(np.allclose(found, expected, rtol=1e-12))


def is_hollow(line: Any) -> bool:
    """Whether the inside of a line's markers differs from their edge."""
    face = line.get_markerfacecolor()
    return face == "none" or to_hex(face) != to_hex(line.get_markeredgecolor())
