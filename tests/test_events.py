"""The vocabulary of events and their exact arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.errors import UnknownNameError
from bitsim.events import EventCountError, Events, event_kind, total

NAMES = ("add.int8", "mul.fp16", "reg.psum.toggle", "dram.weights.read_bits", "overflow.psum")
counts = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 2**80))


@given(st.lists(counts, max_size=4), st.integers(0, 2**40))
def test_addition_and_multiplication_are_exact(parts: list[dict[str, int]], n: int) -> None:
    summed = total([Events(part) for part in parts])
    for name in NAMES:
        assert summed[name] == sum(part.get(name, 0) for part in parts)
        assert (summed * n)[name] == summed[name] * n


@given(counts, counts)
def test_total_equals_repeated_addition(a: dict[str, int], b: dict[str, int]) -> None:
    assert total([Events(a), Events(b)]) == Events(a) + Events(b)


def test_an_unknown_event_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown event 'reg.psum.togle'; did you mean reg.psum.toggle"):
        Events({"reg.psum.togle": 1})


@pytest.mark.parametrize("count", [-1, 1.5])
def test_counts_are_integers_from_zero(count: float) -> None:
    with pytest.raises(EventCountError, match=r"add\.int8: expected a count >= 0"):
        Events({"add.int8": count})


def test_ledgers_partition_the_events() -> None:
    events = Events(dict.fromkeys(NAMES, 3))
    parts = [events.in_ledger(ledger) for ledger in ("arithmetic", "datapath", "system", "activity")]
    assert total(parts) == events
    assert sum(len(part) for part in parts) == len(NAMES)


def test_toggles_depend_on_data_and_macs_do_not() -> None:
    assert event_kind("reg.act.toggle").data_dependent
    assert Events({"pe.int8_acc32.mac": 2, "pe.ternary_a8_acc24.skip": 1}).data_independent() == Events(
        {"pe.int8_acc32.mac": 2}
    )


def test_events_are_equal_exactly_if_all_their_counts_are() -> None:
    events = Events({"add.int8": 2, "mul.fp16": 1, "reg.psum.toggle": 0})
    assert events == Events({"mul.fp16": 1, "add.int8": 2})
    assert hash(events) == hash(Events({"mul.fp16": 1, "add.int8": 2}))
    for other in ({"add.int8": 2}, {"add.int8": 2, "mul.fp16": 2}, {"add.int8": 2, "mul.fp16": 1, "overflow.x": 1}, {}):
        assert events != Events(other)
    assert events != {"add.int8": 2, "mul.fp16": 1}  # a plain dict is not checked


@pytest.mark.parametrize("n", [-1, 0.5, -0.5])
def test_events_are_multiplied_by_integers_from_zero(n: float) -> None:
    with pytest.raises(EventCountError, match=f"by an integer >= 0, got {n}"):
        Events({"add.int8": 2}) * n  # type: ignore[operator]
    assert Events({"add.int8": 2}) * 0 == Events() == Events(None)
    assert len(Events({"add.int8": 0})) == 0


def test_what_was_not_counted_is_zero_and_what_is_no_event_an_error() -> None:
    events = Events({"add.int8": 2})
    assert (events["add.int8"], events["mul.fp16"]) == (2, 0)
    assert ("add.int8" in events, "mul.fp16" in events) == (True, False)
    assert (list(events), len(events), repr(events)) == (["add.int8"], 1, "Events({'add.int8': 2})")
    with pytest.raises(UnknownNameError):
        events["add"]


def test_events_are_chosen_by_unit() -> None:
    events = Events({"dram.weights.read_bits": 5, "dram.kv.write_bits": 7, "overflow.psum": 1, "add.int8": 2})
    assert events.of_unit("dram") == Events({"dram.weights.read_bits": 5, "dram.kv.write_bits": 7})
    assert events.of_unit("dram", "add").count() == 14
    assert events.apart_from("dram", "add") == Events({"overflow.psum": 1})
    assert events.count() == 15
