"""What bitsim predicts of published hardware, by the ordinary path: chips, shapes, `estimate`.

Nothing here knows what was published of the quantities that it predicts: those stand in reports/published/hardware.yaml
and meet the predictions in `reports.validation`.
"""

from collections.abc import Iterator

from reports.predictions.boards import tereffic, ternarycore, trinity
from reports.predictions.bounds import leakages
from reports.predictions.chips import bitmod, cutie, slim_llama, tenet, tom
from reports.predictions.common import (
    Prediction,
    chip_named,
    chip_of,
    dram_watts,
    joules,
    seconds,
    unpriced,
    waits,
    workload,
)
from reports.predictions.none import unpredicted
from reports.predictions.vitallm import vitallm

__all__ = [
    "Prediction",
    "chip_named",
    "chip_of",
    "dram_watts",
    "joules",
    "predictions",
    "seconds",
    "unpriced",
    "waits",
    "workload",
]


def predictions() -> Iterator[Prediction]:
    """All of them, design by design; then bounds, and designs without a prediction."""
    boards, chips = (trinity, tereffic, ternarycore), (vitallm, slim_llama, tenet, tom, cutie, bitmod)
    for design in (*boards, *chips, leakages, unpredicted):
        yield from design()
