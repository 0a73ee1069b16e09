"""What one matmul on a datapath did and gave."""

import math
from dataclasses import dataclass

import numpy as np

from bitsim.datapath.base import Array
from bitsim.events import Events
from bitsim.floats.rows import square_sums


@dataclass(frozen=True, slots=True, kw_only=True)
class Overflow:
    """The first overflow of a matmul, in the order m, k, n.

    `k` of an accumulator that takes the sum of a tile or group is the first k of it; an output of an FP16 array that is
    not finite has the last k.
    """

    m: int
    k: int
    n: int

    def __str__(self) -> str:
        return f"token {self.m}, k {self.k}, output {self.n}"


def _squares(values: Array) -> float:
    """The sum of squares, in the order of `floats.rows`."""
    return float(square_sums(values.reshape(1, -1))[0, 0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """How far the outputs of a datapath that is not exact lie from the exact matmul of the integers it was given.

    `wrong` of `outputs` differ, by `largest` at most (infinity if one is not finite); sums of squares of the
    differences and of the exact sums.
    """

    outputs: int
    wrong: int
    largest: float
    error_squares: float
    exact_squares: float

    @classmethod
    def between(cls, y: Array, exact: Array) -> "Deviation":
        """Of outputs `y` from `exact` sums, both of one shape, not empty."""
        error, sums = np.abs(y.astype(np.float64) - exact), exact.astype(np.float64)
        error[np.isnan(error)] = np.inf
        return cls(
            outputs=y.size,
            wrong=int(np.count_nonzero(error)),
            largest=float(error.max()),
            error_squares=_squares(error),
            exact_squares=_squares(sums),
        )

    @property
    def rms_relative(self) -> float:
        """Root mean square of the differences over that of the exact sums."""
        if not self.error_squares:
            return 0.0
        return math.sqrt(self.error_squares / self.exact_squares) if self.exact_squares else math.inf

    def __add__(self, other: "Deviation") -> "Deviation":
        return Deviation(
            outputs=self.outputs + other.outputs,
            wrong=self.wrong + other.wrong,
            largest=max(self.largest, other.largest),
            error_squares=self.error_squares + other.error_squares,
            exact_squares=self.exact_squares + other.exact_squares,
        )

    def __str__(self) -> str:
        return (
            f"{self.wrong:,} of {self.outputs:,} sums differ from the exact ones, by {self.largest:,.6g} at most; "
            f"root mean square {self.rms_relative:.3g} of theirs"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one matmul did: its events and cycles.

    `toggle_columns`: how many of the N columns the dear toggles (those of registers that see running sums) were
    counted on exactly; below N they are scaled up to N, and 0 means that they were not counted; N of a datapath that
    has none.
    """

    events: Events
    cycles: int
    toggle_columns: int
    first_overflow: Overflow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution(Observation):
    """What one matmul did and gave: `y` (M, N), integers of an exact datapath or float32.

    `exact_y`: the exact sums, of datapaths that are not exact; of floating-point ones for int8 times ternary.
    """

    y: Array
    exact_y: Array | None = None

    @property
    def deviation(self) -> Deviation | None:
        """How far `y` is off; None of an exact datapath."""
        return None if self.exact_y is None else Deviation.between(self.y, self.exact_y)
