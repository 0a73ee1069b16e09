"""What is checked: any object with `execute`, what it tells, and the error of a law that it breaks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

from bitsim.datapath.base import Array
from bitsim.errors import OperandError

Position = tuple[int, int, int]


class Design(Protocol):
    """Anything that computes `Y[M, N] = X[M, K] W[N, K]^T`.

    `execute(x_q, w)` takes integer arrays (M, K) and (N, K) and returns an object with `y` (M, N). Laws regard what
    else the object has, an attribute that is missing is not checked:

    * `events`: counts by name; those that start with `overflow.` are sums that left their range.
    * `cycles`: clock cycles.
    * `first_overflow`: (m, k, n) or an object with `m`, `k`, `n`, None if there was none.
    """

    @property
    def execute(self) -> Callable[..., Any]:
        """See above."""
        ...


def design_of(function: Callable[[Array, Array], Any]) -> Design:
    """The design behind a callable that takes `x_q`, `w` and returns `y` or an object as `Design` says.

    For simulations that are driven by a function: cocotb, Verilator, a compiled model.
    """

    def execute(x_q: Array, w: Array) -> Any:
        answer = function(x_q, w)
        return answer if hasattr(answer, "y") else SimpleNamespace(y=answer)

    return SimpleNamespace(execute=execute)


class LawError(AssertionError):
    """A law does not hold: its name, the operands, what was expected of the design and what came."""

    def __init__(self, law: str, what: str, expected: object, got: object, x_q: Array, w: Array) -> None:
        self.law, self.what, self.expected, self.got, self.x_q, self.w = law, what, expected, got, x_q, w
        super().__init__(
            f"law {law!r}: {what}: expected {expected}, got {got}\n"
            f"  x_q {x_q.dtype} {x_q.shape} = {_text(x_q)}\n  w {w.dtype} {w.shape} = {_text(w)}"
        )

    @property
    def size(self) -> int:
        """Numbers in the operands."""
        return int(self.x_q.size + self.w.size)


def _text(operand: Array) -> str:
    return np.array2string(operand, separator=", ", threshold=200).replace("\n", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One execution as the laws see it; None: the design does not tell. `first`: () is "no overflow"."""

    y: Array
    events: Mapping[str, int] | None
    cycles: int | None
    first: Position | tuple[()] | None

    @property
    def overflows(self) -> int | None:
        """How many sums left their range."""
        if self.events is None:
            return None
        return sum(count for name, count in self.events.items() if name.startswith("overflow."))


def told(answer: Any, m: int, n: int) -> Told:
    """What an answer of `execute` holds; raises `OperandError` if it is none for `m` tokens and `n` outputs."""
    y = np.asarray(getattr(answer, "y", None))
    if y.shape != (m, n):
        raise OperandError(
            f"execute: expected an object with y of shape {(m, n)}, got {type(answer).__name__} {y.shape}"
        )
    events = getattr(answer, "events", None)
    cycles = getattr(answer, "busy_cycles", getattr(answer, "cycles", None))
    return Told(
        y=y,
        events=None if events is None else {name: int(count) for name, count in events.items() if count},
        cycles=None if cycles is None else int(cycles),
        first=_first(answer.first_overflow) if hasattr(answer, "first_overflow") else None,
    )


def _first(found: Any) -> Position | tuple[()]:
    if found is None:
        return ()
    m, k, n = (found.m, found.k, found.n) if hasattr(found, "m") else found
    return int(m), int(k), int(n)


def executed(design: Design, x_q: Array, w: Array) -> Told:
    """One execution on operands of its own, which the design may not share with others."""
    return told(design.execute(x_q.copy(), w.copy()), len(x_q), len(w))
