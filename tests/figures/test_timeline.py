"""Timelines: valid traces whose operators follow each other and fill the whole time of their result."""

import json
from collections import defaultdict
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bitsim
from bitsim.errors import ConfigError
from bitsim.figures.estimate_timeline import estimate_timeline
from bitsim.figures.timeline import BITLINEAR, LAYERS, OPERATORS, STEPS, VECTOR, WIDE, Step, Timeline
from bitsim.hw import load_chip
from bitsim.results import Result
from bitsim.results.rows import memory_bytes
from bitsim.study import MatmulShape
from bitsim.study.steps import Steps
from tests.chips import chips_that_take

Event = dict[str, Any]
CHIP = "ternary-ws-64x64"
PROMPT = "And God said"
TRACK_NAMES = ("steps", "layers", "operators", "array (bitlinear)", "array (wide)", "vector unit")


@cache
def ran(model: str, chip: str) -> tuple[Timeline, Result]:
    timeline = Timeline(load_chip(chip))
    run = bitsim.run(
        model, chip, prompt=PROMPT, new_tokens=3, toggles="off", on_operator=timeline.add, beyond_capacity=True
    )
    return timeline, run


@cache
def estimated(model: str, chip: str) -> tuple[Timeline, Result]:
    result = bitsim.estimate(model, chip, prefill=len(PROMPT), decode=3)
    return estimate_timeline(model, result), result


def parsed(timeline: Timeline) -> tuple[dict[str, Any], list[Event]]:
    """The trace as a reader of its JSON sees it: everything, and its complete events."""
    trace = json.loads(timeline.to_json())
    return trace, [event for event in trace["traceEvents"] if event["ph"] == "X"]


def on(track: int, events: list[Event]) -> list[Event]:
    return [event for event in events if event["tid"] == track]


def check_format(trace: dict[str, Any]) -> None:
    """The fields and types of the Trace Event Format that complete and metadata events must have."""
    assert trace["displayTimeUnit"] == "ns"
    named = {}
    for event in trace["traceEvents"]:
        assert event["ph"] in ("X", "M")
        assert isinstance(event["name"], str)
        assert isinstance(event["pid"], int)
        if event["ph"] == "X":
            assert isinstance(event["tid"], int)
            assert isinstance(event["ts"], int | float)
            assert isinstance(event["dur"], int | float)
            assert min(event["ts"], event["dur"]) >= 0
            assert event["tid"] in named
        elif event["name"] == "thread_name":
            named[event["tid"]] = event["args"]["name"]
    assert tuple(named.values())[: len(TRACK_NAMES)] == TRACK_NAMES


def check_tracks(events: list[Event], end_us: float) -> None:
    """On no track do events overlap, and none ends after the last operator."""
    tracks = defaultdict(list)
    for event in events:
        tracks[event["tid"]].append((event["ts"], event["dur"]))
    for spans in tracks.values():
        spans.sort()
        for (start, length), (following, _) in zip(spans, [*spans[1:], (end_us, 0)], strict=True):
            assert start + length <= following + 1e-3 * (1 + 1e-6)  # ends are rounded to a nanosecond


@pytest.mark.parametrize("make", [ran, estimated])
@pytest.mark.parametrize("model", ["tiny-b158", "tiny-fp16"])
def test_a_timeline_is_a_valid_trace_that_fills_the_time_of_its_result(make: Any, model: str) -> None:
    timeline, result = make(model, CHIP)
    trace, events = parsed(timeline)
    check_format(trace)
    check_tracks(events, result.time_s * 1e6)
    assert timeline.left_out == ""
    operators = on(OPERATORS, events)
    assert sum(event["args"]["cycles"] for event in operators) == result.cycles
    for track in (STEPS, OPERATORS):
        assert sum(event["dur"] for event in on(track, events)) == pytest.approx(result.time_s * 1e6, abs=1e-2)
    layers = {row.layer for row in result.rows if row.layer is not None}
    assert {event["name"] for event in on(LAYERS, events)} == {f"layer {i}" for i in layers}
    for row in result.rows:
        drawn = [e["args"] for e in operators if e["args"]["operator"] == row.name]
        both = sum(other.cycles for other in result.rows if other.name == row.name)
        assert sum(args["cycles"] for args in drawn) == both


@pytest.mark.sampled(one_in=7)
@pytest.mark.parametrize("chip", chips_that_take("tiny-b158"))
def test_no_unit_is_busy_longer_than_its_operators_take(chip: str) -> None:
    timeline, result = ran("tiny-b158", chip)
    _, events = parsed(timeline)
    check_tracks(events, result.time_s * 1e6)
    arrays = {name: on(track, events) for name, track in (("linear", BITLINEAR), ("wide", WIDE), ("vector", VECTOR))}
    assert {event["name"] for event in arrays["linear"]} >= {"q_proj", "down_proj"}
    host = load_chip(chip).host
    elsewhere = set() if host is None else set(host.work)
    wide = {"qk": "qk", "pv": "pv", "head": "lm_head"}
    assert {event["name"] for event in arrays["wide"]} == {wide[kind] for kind in wide.keys() - elsewhere}
    cycle_us = 1e-3 / load_chip(chip).clock.nominal
    busy = sum(row.unit_cycles for row in result.rows if row.bitlinear) * cycle_us
    assert sum(event["dur"] for event in arrays["linear"]) == pytest.approx(busy, abs=1e-3 * len(arrays["linear"]))


@settings(max_examples=20)
@given(most=st.integers(0, 3000), decode=st.integers(0, 12))
def test_steps_that_are_left_out_leave_their_time(most: int, decode: int) -> None:
    result = bitsim.estimate("tiny-b158", CHIP, prefill=5, decode=decode)
    timeline = estimate_timeline("tiny-b158", result, most_events=most)
    trace, events = parsed(timeline)
    check_format(trace)
    check_tracks(events, result.time_s * 1e6)
    assert sum(event["dur"] for event in on(STEPS, events)) == pytest.approx(result.time_s * 1e6, abs=1e-2)
    numbers = [e["name"] for e in on(STEPS, events)]
    gaps = [e["args"]["steps"] for e in on(STEPS, events) if "steps" in e["args"]]
    assert len(numbers) + sum(gaps) - len(gaps) == 1 + decode
    assert numbers[-1] == f"decode {decode}" or not decode or gaps
    first_step = sum(1 for event in events if event["ts"] < on(STEPS, events)[0]["dur"])
    assert len(events) <= max(most, first_step) + 1  # the note on what is left out
    assert bool(gaps) == ("not drawn" in timeline.left_out) == (trace["otherData"]["left_out"] != "nothing")


def test_a_run_and_an_estimate_leave_out_the_same_steps() -> None:
    result = bitsim.estimate("tiny-b158", CHIP, prefill=len(PROMPT), decode=6)
    expected = estimate_timeline("tiny-b158", result, most_events=1500)
    timeline = Timeline(load_chip(CHIP), most_events=1500)
    bitsim.run("tiny-b158", CHIP, prompt=PROMPT, new_tokens=6, toggles="off", on_operator=timeline.add)
    assert list(timeline.events()) == list(expected.events())
    assert timeline.left_out


def test_an_empty_estimate_gives_an_empty_trace() -> None:
    result = bitsim.estimate("tiny-b158", CHIP, prefill=0, decode=0)
    trace, events = parsed(estimate_timeline("tiny-b158", result))
    check_format(trace)
    assert events == []


@pytest.mark.parametrize("numerics", ["a48", "a48_kv3"])
def test_a_timeline_moves_the_bytes_of_the_numerics_that_were_estimated(numerics: str) -> None:
    """Three bits per key and value, or four, are what the trace's operators read and write."""
    result = bitsim.estimate("tiny-a48", CHIP, prefill=5, decode=3, numerics=numerics)
    _, events = parsed(estimate_timeline("tiny-a48", result))
    expected = memory_bytes(result.events, result.chip)
    for name in ("dram_read_bytes", "dram_write_bytes", "acts_read_bytes"):
        moved = sum(event["args"].get(name, 0) for event in on(OPERATORS, events))
        assert moved == pytest.approx(expected[name], rel=1e-12), name
    assert sum(event["args"]["cycles"] for event in on(OPERATORS, events)) == result.cycles
    for event in on(OPERATORS, events):
        args = event["args"]
        assert args["gap"] == pytest.approx(args["cycles"] / args["bound_cycles"] - 1, abs=1e-6)
        assert ("shape" in args) == bool(args.get("macs"))


def test_a_prompt_in_chunks_is_drawn_chunk_by_chunk() -> None:
    """5 tokens, at most 2 at a time: 2, 2 and 1."""
    result = bitsim.estimate("tiny-b158", CHIP, prefill=5, decode=0, chunk=2)
    _, events = parsed(estimate_timeline("tiny-b158", result))
    first = [event["args"]["shape"] for event in on(OPERATORS, events) if event["name"] == "q_proj"][::6]
    assert [shape.split()[0] for shape in first] == ["2", "2", "1"]
    assert sum(event["args"]["cycles"] for event in on(OPERATORS, events)) == result.cycles


def test_half_of_the_events_draw_the_first_steps_and_half_the_last_whole_steps_each() -> None:
    """Ten steps of 4 ns at 1 GHz, of 10 events each; 65 events: 32 for three of the first, 32 for three of the last."""
    chip = load_chip(CHIP)
    clock = chip.clock.model_copy(update=dict.fromkeys(("value", "low", "nominal", "high"), 1.0))
    timeline = Timeline(chip.model_copy(update={"clock": clock}), most_events=65)
    for _ in range(10):
        timeline.add_step(Step("decode", cycles=4, events=10))
    _, events = parsed(timeline)
    assert [(event["name"], event["ts"], event["dur"]) for event in events] == [
        ("decode 1", 0.0, 0.004), ("decode 2", 0.004, 0.004), ("decode 3", 0.008, 0.004),
        ("4 decode steps not drawn", 0.012, 0.016),
        ("decode 8", 0.028, 0.004), ("decode 9", 0.032, 0.004), ("decode 10", 0.036, 0.004),
    ]  # fmt: skip
    assert timeline.left_out == "4 of 10 decode steps between the first and the last ones are not drawn"


def test_a_first_step_is_drawn_even_if_it_has_more_events_than_there_may_be() -> None:
    timeline = Timeline(load_chip(CHIP), most_events=4)
    for _ in range(2):
        timeline.add_step(Step("decode", cycles=4, events=10))
    _, events = parsed(timeline)
    assert [event["name"] for event in events] == ["decode 1", "1 decode steps not drawn"]


def test_matmuls_by_themselves_have_no_timeline() -> None:
    matmuls = bitsim.estimate_matmuls([MatmulShape(name="a", m=1, k=8, n=8)], CHIP)
    with pytest.raises(ConfigError, match=r"timeline of .*: expected an estimate, got a estimate without numerics"):
        estimate_timeline("tiny-b158", matmuls)


def test_decode_steps_that_are_not_drawn_are_not_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    placed: list[int] = []
    operators = Steps.operators

    def counted(self: Steps, phase: Any, tokens: int, context: int, *more: Any) -> Any:
        placed.extend([context] * (phase == "decode"))
        return operators(self, phase, tokens, context, *more)

    result = bitsim.estimate("tiny-b158", CHIP, prefill=5, decode=40)
    monkeypatch.setattr(Steps, "operators", counted)
    _, events = parsed(estimate_timeline("tiny-b158", result, most_events=3000))
    drawn = [int(e["name"].split()[1]) for e in on(STEPS, events) if e["name"].startswith("decode ")]
    assert 2 <= len(drawn) < 40
    assert (drawn[0], drawn[-1]) == (1, 40)
    assert sorted(set(placed)) == [5 + number for number in drawn]
