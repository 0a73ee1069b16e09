"""Figures for papers, drawn from a Result or a study: first the numbers, as plain data, then the drawing.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; hatches and markers tell the same on grey
paper. Every figure comes as PNG and PDF, the same bytes for the same data.
"""

from bitsim.figures.energy import energy_figure
from bitsim.figures.roofline import roofline_figure
from bitsim.figures.style import files_of
from bitsim.figures.time import time_figure
from bitsim.results.result import Result

__all__ = ["result_figures"]


def result_figures(result: Result) -> dict[str, bytes]:
    """`roofline`, `time` and `energy` as .png and .pdf; without those for which the result has no numbers."""
    return {
        name: content
        for stem, figure in (
            ("roofline", roofline_figure(result)),
            ("time", time_figure(result)),
            ("energy", energy_figure(result)),
        )
        if figure is not None
        for name, content in files_of(stem, figure).items()
    }
