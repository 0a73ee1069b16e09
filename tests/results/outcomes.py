"""One small outcome of every kind, made once."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import bitsim
from bitsim.measure.machine import measure_machine
from bitsim.measure.points import MeasuredPoint, MeasuredPoints
from bitsim.parallel import parallel
from bitsim.results.outcome import Outcome
from reports.memory_2402_17764 import memory_report
from reports.validation import validation
from tests.measure.test_calibrate import NAME, SHAPES, times_of

CHIP = "ternary-ws-64x64"


def _calibration() -> Outcome:
    times = zip(SHAPES, times_of(0.6, 2e-5), strict=True)
    points = tuple(MeasuredPoint(m=m, k=k, n=n, time_s=time) for (m, k, n), time in times)
    return bitsim.calibrate(MeasuredPoints(path="points.csv", sha256="0" * 64, points=points), NAME)


MAKERS: dict[str, Callable[[], Any]] = {
    "run": partial(bitsim.run, "tiny-b158", CHIP, prompt="And", new_tokens=1),
    "estimate": partial(bitsim.estimate, "tiny-b158", CHIP, prefill=4, decode=2),
    "evaluate": partial(bitsim.evaluate, "tiny-b158", CHIP, limit=40, acc_bits=[12, 24]),
    "compare": partial(bitsim.compare, [("tiny-b158", CHIP), ("tiny-fp16", "fp16-ws-64x64")], prompt="A", new_tokens=1),
    "datapaths": partial(bitsim.compare_datapaths, "tiny-b158", node="7nm", chips=[CHIP, "fp16-ws-64x64"], limit=2),
    "serve": partial(bitsim.serve, "bitnet-b158-3b", "a100-80gb", batch=2),
    "parallel": partial(parallel, "bitnet-125m", CHIP, devices=[1, 2], context=8),
    "array_sizes": partial(bitsim.array_sizes, "tiny-b158", CHIP, sizes=[16], prefill=4),
    "accumulators": partial(bitsim.accumulator_bounds, CHIP, 4096, model="tiny-b158", limit=8),
    "sensitivity": partial(
        bitsim.sensitivity, "tiny-b158", CHIP, versus="int8-ws-64x64", prefill=4, decode=2, draws=50
    ),
    "calibration": _calibration,
    "machine": partial(measure_machine, weights_mb=1, repeats=1),
    "validation": validation,
    "report": partial(memory_report, lambda done, of: None),
}


@cache
def outcome(kind: str) -> Outcome:
    """The outcome of a kind."""
    made: Outcome = MAKERS[kind]()
    return made
