"""Names in figures are drawn as they are: a `$` in a chip's name is no formula, nor an error."""

from dataclasses import replace

import pytest
from matplotlib.text import Text

import bitsim
from bitsim.figures.energy import energy_figure
from bitsim.figures.roofline import roofline_figure
from bitsim.figures.style import new_figure, saved
from bitsim.figures.time import time_figure

NAME = r"a$\frac{1}{0$b$ $\alpha$"  # no valid formula: as mathematics it raises


def set_as_mathematics(text: Text) -> bool:
    return bool(text._preprocess_math(text.get_text())[1])


def test_names_with_dollars_are_drawn_as_they_are() -> None:
    result = bitsim.estimate("tiny-b158", "ternary-ws-64x64", prefill=3, decode=1)
    named = replace(result, inputs={**result.inputs, "model": NAME, "chip": NAME})
    for figure in (energy_figure(named), time_figure(named), roofline_figure(named)):
        assert figure is not None
        assert saved(figure, "png")
        drawn = [text for text in figure.findobj(Text) if NAME in text.get_text()]
        assert drawn
        assert not any(set_as_mathematics(text) for text in drawn)


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_ticks_are_names_at_linear_axes_and_powers_at_logarithmic_ones(scale: str) -> None:
    figure = new_figure(3, 2)
    axes = figure.subplots()
    axes.plot([1, 2], [1, 1e6], label=NAME)
    axes.legend()
    axes.set_yscale(scale)
    axes.set_xticks([1, 2], [NAME, NAME])
    assert saved(figure, "pdf")
    powers = [text for text in figure.findobj(Text) if set_as_mathematics(text)]
    assert bool(powers) == (scale == "log")
    assert all(text.get_text().startswith("$\\mathdefault{10^") for text in powers)
