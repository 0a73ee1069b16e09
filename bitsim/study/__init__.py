"""Experiments: run, estimate and evaluate models on chips, and the Result that all of them give."""

from bitsim.study.estimate import estimate
from bitsim.study.evaluate import Score, evaluate
from bitsim.study.matmul import matmul
from bitsim.study.result import Result
from bitsim.study.rows import OperatorRow
from bitsim.study.run import run
from bitsim.study.workload import MatmulShape, estimate_matmuls

__all__ = [
    "MatmulShape",
    "OperatorRow",
    "Result",
    "Score",
    "estimate",
    "estimate_matmuls",
    "evaluate",
    "matmul",
    "run",
]
