"""bitsim runs BitNet layers bit for bit on a modelled chip and says what that costs.

The names below are the stable interface; the command line is a shell over them. They are imported on first use, so
that `import bitsim` costs nothing.
"""

from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING, Any

from bitsim._version import __version__

if TYPE_CHECKING:
    from bitsim.datapath.tensor_core.mma import mma
    from bitsim.events import Events
    from bitsim.hw import load_chip
    from bitsim.measure.calibrate import calibrate
    from bitsim.model.checkpoint import load_model
    from bitsim.results.outcome import Outcome
    from bitsim.results.result import Result
    from bitsim.results.stored import from_json, read_outcome
    from bitsim.serving.serve import serve
    from bitsim.study.array_size import array_sizes
    from bitsim.study.bound import accumulator_bounds
    from bitsim.study.compare import compare
    from bitsim.study.compare_datapaths import compare_datapaths
    from bitsim.study.estimate import estimate
    from bitsim.study.evaluate import evaluate
    from bitsim.study.execute import Executed, execute
    from bitsim.study.matmul import matmul
    from bitsim.study.matmul_lists import read_matmuls
    from bitsim.study.matmuls import MatmulShape, estimate_matmuls
    from bitsim.study.run import run
    from bitsim.study.sensitivity import sensitivity

_HOMES = {
    "Events": "bitsim.events",
    "Executed": "bitsim.study.execute",
    "MatmulShape": "bitsim.study.matmuls",
    "Outcome": "bitsim.results.outcome",
    "Result": "bitsim.results.result",
    "accumulator_bounds": "bitsim.study.bound",
    "array_sizes": "bitsim.study.array_size",
    "calibrate": "bitsim.measure.calibrate",
    "compare": "bitsim.study.compare",
    "compare_datapaths": "bitsim.study.compare_datapaths",
    "estimate": "bitsim.study.estimate",
    "estimate_matmuls": "bitsim.study.matmuls",
    "evaluate": "bitsim.study.evaluate",
    "execute": "bitsim.study.execute",
    "from_json": "bitsim.results.stored",
    "load_chip": "bitsim.hw",
    "load_model": "bitsim.model.checkpoint",
    "matmul": "bitsim.study.matmul",
    "mma": "bitsim.datapath.tensor_core.mma",
    "read_matmuls": "bitsim.study.matmul_lists",
    "read_outcome": "bitsim.results.stored",
    "run": "bitsim.study.run",
    "sensitivity": "bitsim.study.sensitivity",
    "serve": "bitsim.serving.serve",
}

__all__ = [
    "Events",
    "Executed",
    "MatmulShape",
    "Outcome",
    "Result",
    "__version__",
    "accumulator_bounds",
    "array_sizes",
    "calibrate",
    "compare",
    "compare_datapaths",
    "estimate",
    "estimate_matmuls",
    "evaluate",
    "execute",
    "from_json",
    "load_chip",
    "load_model",
    "matmul",
    "mma",
    "read_matmuls",
    "read_outcome",
    "run",
    "sensitivity",
    "serve",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bitsim' has no attribute {name!r}")
    found = getattr(import_module(_HOMES[name]), name)
    if isinstance(found, FunctionType):
        from bitsim._checks import checked

        found = checked(found)
    globals()[name] = found  # so that a name is one object
    return found
