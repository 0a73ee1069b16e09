"""What a forward pass needs from the thing that executes its operators, and a plain executor for reference."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bitsim.floats.matmul import matmul
from bitsim.model.decoded import ScaledIntegers, ScaledTernary
from bitsim.model.float_matmul import float_matmul
from bitsim.model.operators import Operator
from bitsim.model.weights import CodedWeight, FloatWeight
from bitsim.quant.contracts import Sums
from bitsim.quant.packing import Float32, Int8

Bool = npt.NDArray[np.bool_]


class Executor(Protocol):
    """Executes (and counts, if it likes) one operator at a time, in the order of `forward_operators`."""

    def bitlinear(self, op: Operator, x_q: Int8, weight: CodedWeight, live: Bool | None = None) -> Sums:
        """The integer sums `x_q` int8 (M, K) times the codes (N, K): int32, int64 or float32 (M, N).

        `live`: (M, N), the outputs that are needed; None: all. The others are multiplied by zero, whatever they are.
        """

    def grouped(self, op: Operator, x: Int8 | Float32, weight: ScaledTernary) -> Sums:
        """A linear of ternary weights with `op.repeat` groups of K: `x` (G, M, K), codes or numbers -> (G, M, N).

        Without the scales. Numbers are added as a datapath that takes them does.
        """

    def wide(self, op: Operator, a: Float32, b: Float32 | FloatWeight) -> Float32:
        """`a` float32 (R, M, K) times `b`: float32 (S, N, K) or a stored (N, K) weight with R = 1 -> (R, M, N).

        Each of the S matrices serves R / S of `a` in a row: the query heads that share a KV head.
        """

    def wide_codes(self, op: Operator, a: Int8, b: Int8 | ScaledIntegers) -> Sums:
        """As `wide` of codes: int8 `a` (R, M, K) times int8 (S, N, K) or a head's integers -> sums (R, M, N)."""

    def vector(self, op: Operator) -> None:
        """Every operator that is not a matmul: vector unit, KV cache, embedding. The model computes its values."""


class ReferenceExecutor:
    """Exact integer sums, wide matmuls in the contract's float32. Counts nothing."""

    def bitlinear(self, op: Operator, x_q: Int8, weight: CodedWeight, live: Bool | None = None) -> Sums:
        return exact_matmul(x_q, weight.codes())

    def grouped(self, op: Operator, x: Int8 | Float32, weight: ScaledTernary) -> Sums:
        parts = weight.groups(len(x))
        if x.dtype == np.int8:
            return np.stack([exact_matmul(acts, codes) for acts, codes in zip(x, parts, strict=True)])
        return matmul(x.astype(np.float32), np.stack(parts).astype(np.float32))

    def wide(self, op: Operator, a: Float32, b: Float32 | FloatWeight) -> Float32:
        return float_matmul(a, b)

    def wide_codes(self, op: Operator, a: Int8, b: Int8 | ScaledIntegers) -> Sums:
        matrices = b.values[None] if isinstance(b, ScaledIntegers) else b
        sharing = len(a) // len(matrices)
        return np.stack([exact_matmul(x, matrices[i // sharing]) for i, x in enumerate(a)])

    def vector(self, op: Operator) -> None:
        pass


def exact_matmul(x: npt.NDArray[Any], w: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Integers (M, K) times (N, K) -> int64 (M, N); float64 carries them exactly below 2^53."""
    sums: npt.NDArray[np.int64] = np.matmul(x.astype(np.float64), w.astype(np.float64).T).astype(np.int64)
    return sums
