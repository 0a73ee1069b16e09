"""bitsim runs BitNet layers bit for bit on a modelled chip and says what that costs.

The names below are the stable interface; the command line is a shell over them. They are imported on first use, so
that `import bitsim` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bitsim._version import __version__

if TYPE_CHECKING:
    from bitsim.datapath.tensor_core.mma import mma
    from bitsim.events import Events
    from bitsim.hw import load_chip
    from bitsim.model.checkpoint import load_model
    from bitsim.results import Result
    from bitsim.serving.serve import serve
    from bitsim.study.estimate import estimate
    from bitsim.study.evaluate import evaluate
    from bitsim.study.execute import Executed, execute
    from bitsim.study.matmul import matmul
    from bitsim.study.run import run

_HOMES = {
    "Events": "bitsim.events",
    "Result": "bitsim.results",
    "Executed": "bitsim.study.execute",
    "estimate": "bitsim.study",
    "evaluate": "bitsim.study",
    "execute": "bitsim.study.execute",
    "load_chip": "bitsim.hw",
    "load_model": "bitsim.model.checkpoint",
    "matmul": "bitsim.study",
    "mma": "bitsim.datapath.tensor_core.mma",
    "run": "bitsim.study",
    "serve": "bitsim.serving.serve",
}

__all__ = [
    "Events",
    "Executed",
    "Result",
    "__version__",
    "estimate",
    "evaluate",
    "execute",
    "load_chip",
    "load_model",
    "matmul",
    "mma",
    "run",
    "serve",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bitsim' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
