"""Experiments on one chip: run, estimate and evaluate models, compare datapaths, size arrays, bound accumulators."""

from bitsim.study.estimate import estimate
from bitsim.study.evaluate import Score, evaluate
from bitsim.study.matmul import matmul
from bitsim.study.matmuls import MatmulShape, estimate_matmuls
from bitsim.study.run import run

__all__ = ["MatmulShape", "Score", "estimate", "estimate_matmuls", "evaluate", "matmul", "run"]
