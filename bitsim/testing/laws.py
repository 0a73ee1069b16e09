"""The laws, each for one pair of operands: they return None or raise a `LawError`.

`design`, `reference`, `twin` and `core` are any objects with `execute` (`bitsim.testing.design`). What a design does
not tell (events, cycles, overflows) is not compared, except by the law that is about it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from bitsim.datapath.base import Array
from bitsim.errors import OperandError
from bitsim.testing.design import Design, LawError, Told, executed, told


def exactness(design: Design, x_q: Array, w: Array, *, reference: Design) -> None:
    """Outputs are those of `reference`: the int64 matmul, or sums that wrap or saturate at a stated width.

    So is the number of sums that left their range, if both tell it.
    """
    expected, got = executed(reference, x_q, w), executed(design, x_q, w)
    same = _Same(EXACTNESS, x_q, w)
    same.outputs(expected.y, got.y)
    if expected.overflows is not None and got.overflows is not None:
        same.values("sums that left their range", expected.overflows, got.overflows)


def overflow_position(design: Design, x_q: Array, w: Array, *, reference: Design) -> None:
    """The first overflow is where that of `reference` is: (m, k, n), least m first, then k, then n."""
    expected, got = executed(reference, x_q, w), executed(design, x_q, w)
    if expected.first is None or got.first is None:
        raise OperandError(f"law {POSITION!r}: expected answers with first_overflow, (m, k, n) or None, got none")
    _Same(POSITION, x_q, w).values("first_overflow", expected.first or None, got.first or None)


def kernel_equals_twin(design: Design, x_q: Array, w: Array, *, twin: Design) -> None:
    """Two implementations agree in outputs, every event, the first overflow and cycles, as far as both tell them."""
    _Same(TWIN, x_q, w).answers(executed(twin, x_q, w), executed(design, x_q, w))


def determinism(design: Design, x_q: Array, w: Array) -> None:
    """The same operands give the same answer again, whatever came in between, and are left as they were."""
    same = _Same(DETERMINISM, x_q, w)
    own = x_q.copy(), w.copy()
    first = told(design.execute(*own), len(x_q), len(w))
    first = Told(y=first.y.copy(), events=first.events, cycles=first.cycles, first=first.first)
    for name, before, after in (("x_q", x_q, own[0]), ("w", w, own[1])):
        same.values(f"{name} after execute", before.tolist(), after.tolist())
    again = executed(design, x_q, w)
    same.answers(first, again, " of the second execution")
    executed(design, x_q[::-1, ::-1], w[:1, ::-1])
    same.answers(first, executed(design, x_q, w), " after an execution of other operands")


def split_and_add(
    design: Design, x_q: Array, w: Array, *, columns: int = 1, at: tuple[int, int] | None = None, sums: bool = True
) -> None:
    """Splitting M or K and adding gives the same outputs; splitting N the same outputs, events and cycles.

    * `columns`: outputs that are computed side by side: N is split at multiples of it.
    * `at`: where M and K are split; None: in the middle. `sums`: False for a design that rounds, whose sums over parts
      of K may differ. Sums over parts of K are compared where no sum left its range.
    """
    same, whole = _Same(SPLIT, x_q, w), executed(design, x_q, w)
    m, k = at or (len(x_q) // 2, x_q.shape[1] // 2)
    rows = [executed(design, part, w) for part in (x_q[:m], x_q[m:]) if len(part)]
    same.outputs(whole.y, np.concatenate([part.y for part in rows]), f" of M split at {m}")
    parts = [executed(design, x_q, w[i : i + columns]) for i in range(0, len(w), columns)]
    note = f" of N split at multiples of {columns}"
    same.outputs(whole.y, np.concatenate([part.y for part in parts], axis=1), note)
    if whole.events is not None:
        same.events(whole.events, added(part.events or {} for part in parts), note)
    if whole.cycles is not None:
        same.values("cycles" + note, whole.cycles, sum(part.cycles or 0 for part in parts))
    if not sums or not 0 < k < x_q.shape[1]:
        return
    halves = [executed(design, x_q[:, :k], w[:, :k]), executed(design, x_q[:, k:], w[:, k:])]
    if not any(part.first or part.overflows for part in (whole, *halves)):
        same.outputs(whole.y, halves[0].y.astype(np.int64) + halves[1].y, f" of K split at {k}")


EXACTNESS, TWIN, SPLIT = "exactness", "kernel == twin", "split and add"
POSITION, DETERMINISM, REPLAY = "overflow position", "determinism", "replay"
LAWS = (DETERMINISM, EXACTNESS, SPLIT, POSITION, TWIN, REPLAY)

Replay = Callable[[Any, Array, Array], Any]  # the answer that is replayed, x_q, w -> an answer
Operands = tuple[Array, Array]


def replay(design: Design, x_q: Array, w: Array, *, replayed: Replay, left_out: tuple[str, ...] = ()) -> None:
    """The plan that an answer holds, replayed call by call, gives the outputs, events and cycles of the answer.

    `replayed(answer, x_q, w)` works it off, as `by_tiles` does. `left_out`: beginnings of names of events that are not
    compared. Outputs are compared where neither has a sum that left its range.
    """
    answer = design.execute(x_q.copy(), w.copy())
    shape = len(x_q), len(w)
    got, expected = told(answer, *shape), told(replayed(answer, x_q, w), *shape)
    same = _Same(REPLAY, x_q, w)
    if not (got.first or expected.first):
        same.outputs(expected.y, got.y)
    if got.events is not None and expected.events is not None:
        wanted, came = (
            {e: n for e, n in one.items() if not e.startswith(left_out)} for one in (expected.events, got.events)
        )
        same.events(wanted, came)
    if got.cycles is not None and expected.cycles is not None:
        same.values("cycles", expected.cycles, got.cycles)


def added(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Counts of many executions together."""
    found: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            found[name] = found.get(name, 0) + count
    return found


class _Same:
    """Compares and raises with the law's name and the operands."""

    def __init__(self, law: str, x_q: Array, w: Array) -> None:
        self.law, self.x_q, self.w = law, x_q, w

    def values(self, what: str, expected: object, got: object) -> None:
        if expected != got:
            raise LawError(self.law, what, expected, got, self.x_q, self.w)

    def outputs(self, expected: Array, got: Array, note: str = "") -> None:
        wrong = np.argwhere(~((expected == got) | ((expected != expected) & (got != got))))
        if len(wrong):
            m, n = (int(i) for i in wrong[0])
            what = f"y[{m}, {n}]{note} ({len(wrong)} of {got.size} outputs differ)"
            raise LawError(self.law, what, expected[m, n].item(), got[m, n].item(), self.x_q, self.w)

    def events(self, expected: Mapping[str, int], got: Mapping[str, int], note: str = "") -> None:
        for name in sorted({*expected, *got}):
            self.values(f"event {name}{note}", expected.get(name, 0), got.get(name, 0))

    def answers(self, expected: Told, got: Told, note: str = "") -> None:
        self.outputs(expected.y, got.y, note)
        if expected.events is not None and got.events is not None:
            self.events(expected.events, got.events, note)
        if expected.first is not None and got.first is not None:
            self.values(f"first_overflow{note}", expected.first or None, got.first or None)
        if expected.cycles is not None and got.cycles is not None:
            self.values(f"cycles{note}", expected.cycles, got.cycles)
