"""The contract that every datapath keeps: prepare weights once, execute matmuls, count them in closed form."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from bitsim.datapath.packed import PackedTernary
from bitsim.errors import OperandError
from bitsim.events import Events
from bitsim.model.operators import Operator

Toggles = Literal["exact", "sample", "off"]
Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overflow:
    """The first overflow of a matmul, in the order m, k, n.

    `k` of a column accumulator is its tile's first k; an output of an FP16 array that is not finite has the last k.
    """

    m: int
    k: int
    n: int

    def __str__(self) -> str:
        return f"token {self.m}, k {self.k}, output {self.n}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one matmul did: its events and cycles.

    `toggle_columns`: how many of the N columns the partial-sum toggles were counted on exactly; below N they are
    scaled up to N, and 0 means that they were not counted.
    """

    events: Events
    cycles: int
    toggle_columns: int
    first_overflow: Overflow | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution(Observation):
    """What one matmul did and gave: `y` (M, N), integers of an exact datapath or float32."""

    y: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class ToggleRates:
    """Flipped fraction of a register's bits at each of its updates, by kind of register."""

    act: float
    weight: float
    psum: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Averages of real operands, from which `expect` estimates the data-dependent events.

    * `weight_zeros`: fraction of ternary weights that are 0; the signs are taken as equally frequent.
    * `rates`: by kind of PE ("ternary", "int8", "fp16"). `source`: on what they were measured.
    """

    weight_zeros: float
    rates: Mapping[str, ToggleRates]
    source: str


class Datapath(Protocol):
    """How a matmul `Y[M, N] = X[M, K] W[N, K]^T` is computed, and what switches while it is."""

    @property
    def exact(self) -> bool:
        """Whether the output equals the int64 matmul for all operands that cause no overflow."""
        ...

    def prepare(self, w: Array | PackedTernary) -> Any:
        """Check and lay out the weights (N, K) once, for many calls of `execute`."""
        ...

    def execute(self, x: Array, w: Any, *, toggles: Toggles = "exact", seed: int = 0) -> Execution:
        """Run one matmul on real operands: `x` (M, K), `w` an array (N, K) or what `prepare` returned."""
        ...

    def observe(self, x: Array, w: Any, *, toggles: Toggles = "exact", seed: int = 0) -> Observation:
        """As `execute` where outputs need not be formed; overflows are found only where they are."""
        ...

    def count(self, m: int, k: int, n: int) -> Events:
        """The data-independent events of one matmul, in closed form; equal to those of `execute`."""
        ...

    def expect(self, m: int, k: int, n: int, statistics: Statistics) -> Events:
        """The data-dependent events that `statistics` predict for one matmul."""
        ...

    def cycles(self, m: int, k: int, n: int) -> int:
        """Clock cycles of one matmul."""
        ...


def scale_events(op: Operator) -> Events:
    """Scale multiplications of a quantised linear: K per token before it and N per token after it.

    Source: arXiv 2310.11453 eq. 18 (`m p + m n`), counted for every linear on its own even where q, k and v share
    their quantised input. The paper prices them at FP16, and so does every convention here.
    """
    if not op.is_bitlinear:
        return Events()
    count = op.m * (op.k + op.n) * op.repeat
    return Events({"mul.fp16": count, "scale.mul.fp16": count})


def arithmetic_events(number_format: str, m: int, k: int, n: int, *, multiplies: bool = True) -> Events:
    """One matmul as the papers count it: M (K - 1) N additions and, unless weights are +-1 or 0, M K N multiplications.

    Source: arXiv 2310.11453 eq. 16-18.
    """
    counts = {f"add.{number_format}": m * (k - 1) * n}
    if multiplies:
        counts[f"mul.{number_format}"] = m * k * n
    return Events(counts)


def as_matrix(name: str, values: Array) -> Array:
    """`values` as a C-contiguous 2-D array; raises `OperandError` for any other rank or for an empty one."""
    array = np.ascontiguousarray(values)
    if array.ndim != 2 or 0 in array.shape:
        raise OperandError(f"{name}: expected a non-empty 2-D array, got shape {np.shape(values)}")
    return array
