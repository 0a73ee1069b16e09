"""Each law holds of a design that keeps it, and breaks on one that differs in what the law is about."""

from functools import partial
from typing import Any

import numpy as np
import pytest

from bitsim.errors import OperandError
from bitsim.testing import LawError, Takes, accumulator, design_of, hold, laws, reference
from bitsim.testing.replaying import by_calls
from tests.testing.designs import Changed, Plain, Tiled

X = np.array([[3, -2, 7], [1, 1, -128]], np.int8)
W = np.array([[1, 0, -1], [1, 1, 1]], np.int8)


def spoil(name: str, value: Any) -> Changed:
    return Changed(lambda answer, x_q, w: answer.update({name: value(answer[name], x_q, w)}))


def writes(answer: Any, x_q: Any, w: Any) -> None:
    w[0, 0] = 0


def law_of(name: str, design: Any) -> Any:
    return {
        "exactness": partial(laws.exactness, design, reference=reference()),
        "kernel == twin": partial(laws.kernel_equals_twin, design, twin=Plain()),
        "split and add": partial(laws.split_and_add, design),
        "overflow position": partial(laws.overflow_position, design, reference=reference(accumulator(20))),
        "determinism": partial(laws.determinism, design),
    }[name]


@pytest.mark.parametrize("name", [name for name in laws.LAWS if name != "replay"])
def test_a_design_that_keeps_a_law_passes(name: str) -> None:
    law_of(name, Plain())(X, W)


@pytest.mark.parametrize(
    ("name", "design", "text"),
    [
        ("exactness", spoil("y", lambda y, x, w: y + (x[:, -1:] == 7)), r"y\[0, 0\] \(2 of 4 .*: expected -4, got -3"),
        ("kernel == twin", spoil("y", lambda y, x, w: y - 1), r"y\[0, 0\] \(4 of 4"),
        ("kernel == twin", spoil("events", lambda e, x, w: {}), "event product: expected 12, got 0"),
        ("kernel == twin", spoil("events", lambda e, x, w: e | {"more": 2}), "event more: expected 0, got 2"),
        ("kernel == twin", spoil("cycles", lambda c, x, w: c + 1), "cycles: expected 4, got 5"),
        ("kernel == twin", spoil("first_overflow", lambda f, x, w: (0, 1, 1)), r"expected None, got \(0, 1, 1\)"),
        ("split and add", spoil("y", lambda y, x, w: y + len(x)), r"y\[0, 0\] of M split at 1"),
        ("split and add", spoil("y", lambda y, x, w: y + len(w)), r"y\[0, 0\] of N split at multiples of 1"),
        ("split and add", spoil("y", lambda y, x, w: y + 1), r"y\[0, 0\] of K split at 1"),
        ("split and add", spoil("events", lambda e, x, w: {"product": 1}), "event product of N split"),
        ("split and add", spoil("cycles", lambda c, x, w: c + 1), "cycles of N split .*: expected 5, got 6"),
        ("overflow position", spoil("first_overflow", lambda f, x, w: (0, 0, 0)), r"expected None, got \(0, 0, 0\)"),
        ("determinism", Changed(writes), r"w after execute: expected \[\[1, 0, -1\]"),
    ],
)
def test_a_design_that_breaks_a_law_is_told_what_was_expected_and_what_came(name: str, design: Any, text: str) -> None:
    with pytest.raises(LawError, match=text) as found:
        law_of(name, design)(X, W)
    assert found.value.law == name
    assert f"law {name!r}: " in str(found.value)
    assert "x_q int8 (2, 3) = [[   3,   -2,    7]," in str(found.value)


def test_replay_holds_of_a_plan_that_was_worked_off_and_of_no_other() -> None:
    law = partial(laws.replay, replayed=by_calls(Plain()))
    law(Tiled(), X, W)

    def drops(design: Any, x_q: Any, w: Any) -> Any:
        answer = design.execute(x_q, w)
        answer.calls = answer.calls[:-1]
        return answer

    def counts(name: str, more: Any, x_q: Any, w: Any) -> Any:
        answer = Tiled().execute(x_q, w)
        setattr(answer, name, more(getattr(answer, name)))
        return answer

    for broken, text in (
        (partial(drops, Tiled()), r"y\[0, 0\].*: expected 3, got -4"),
        (partial(counts, "events", lambda e: {"product": e["product"] + 1}), "event product: expected 12, got 13"),
        (partial(counts, "cycles", lambda c: c - 1), "cycles: expected 8, got 7"),
    ):
        with pytest.raises(LawError, match=text):
            law(design_of(broken), X, W)


def test_what_changes_between_executions_is_not_deterministic() -> None:
    calls: list[int] = []
    design = spoil("events", lambda e, x, w: calls.append(1) or e | {"product": len(calls)})
    with pytest.raises(LawError, match="event product of the second execution: expected 1, got 2"):
        laws.determinism(design, X, W)


def test_what_other_operands_leave_behind_is_not_deterministic() -> None:
    with pytest.raises(LawError, match="after an execution of other operands"):
        laws.determinism(design_of(Remembers().execute), X, W)


class Remembers:
    """The outputs of the operands before, if there were others."""

    def __init__(self) -> None:
        self.last: Any = None

    def execute(self, x_q: Any, w: Any) -> Any:
        other = self.last is not None and self.last != w.tolist()
        self.last = w.tolist()
        return x_q.astype(int) @ w.astype(int).T + other


def test_what_a_design_does_not_tell_is_not_compared_except_by_the_law_about_it() -> None:
    silent = design_of(lambda x_q, w: x_q.astype(int) @ w.astype(int).T)
    for name in ("exactness", "kernel == twin", "split and add", "determinism"):
        law_of(name, silent)(X, W)
    with pytest.raises(OperandError, match=r"law 'overflow position': expected answers with first_overflow"):
        law_of("overflow position", silent)(X, W)


def test_an_answer_of_another_shape_is_an_error() -> None:
    with pytest.raises(OperandError, match=r"execute: expected an object with y of shape \(2, 2\), got .* \(2, 1\)"):
        law_of("exactness", design_of(lambda x_q, w: np.zeros((2, 1))))(X, W)


def test_the_search_ends_with_the_smallest_operands() -> None:
    deep = Changed(lambda answer, x, w: answer["y"].__iadd__(x.shape[1] > 5))
    with pytest.raises(LawError) as found:
        hold(law_of("exactness", deep), Takes())
    assert found.value.x_q.shape == (1, 6)
    assert found.value.w.shape == (1, 6)
    assert not found.value.x_q.any()


def test_a_law_that_breaks_now_and_then_is_reported_as_such() -> None:
    calls: list[int] = []
    moody = spoil("y", lambda y, x, w: calls.append(1) or y + (len(calls) % 7 == 3))
    with pytest.raises(LawError, match="not on every execution: check the law 'determinism'"):
        hold(law_of("exactness", moody), Takes(), examples=30)


def test_what_is_not_a_number_equals_what_is_not_a_number_and_nothing_else() -> None:
    def giving(*numbers: float) -> Any:
        return design_of(lambda x_q, w: np.array(numbers).reshape(2, 2))

    nan = float("nan")
    laws.kernel_equals_twin(giving(1, nan, 3, 4), X, W, twin=giving(1, nan, 3, 4))
    for got, expected in ((giving(1, nan, 3, 4), giving(1, 2, 3, 4)), (giving(1, 2, 3, 4), giving(1, nan, 3, 4))):
        with pytest.raises(LawError, match=r"y\[0, 1\] \(1 of 4 outputs differ\)"):
            laws.kernel_equals_twin(got, X, W, twin=expected)


def test_both_first_overflows_must_be_told_and_be_the_same() -> None:
    def at(first: Any) -> Any:
        return spoil("first_overflow", lambda f, x, w: first)

    law = laws.overflow_position
    law(at((0, 1, 1)), X, W, reference=at((0, 1, 1)))
    for got, expected in (((0, 1, 0), (0, 1, 1)), (None, (0, 1, 1)), ((0, 1, 1), None)):
        with pytest.raises(LawError) as found:
            law(at(got), X, W, reference=at(expected))
        assert (found.value.expected, found.value.got) == (expected, got)
