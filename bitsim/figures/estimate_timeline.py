"""The timeline of an estimate: its steps one by one, as many of the first and the last as a timeline draws."""

from pathlib import Path

from bitsim.errors import ConfigError
from bitsim.figures.timeline import MOST_EVENTS, Step, Timeline
from bitsim.model.checkpoint import Model, load_model
from bitsim.model.generate import chunks
from bitsim.model.operators import Operator, Phase
from bitsim.results.result import Result
from bitsim.study.goal import placement_for
from bitsim.study.steps import Steps, all_layers, at_layer


def estimate_timeline(model: str | Path | Model, result: Result, *, most_events: int = MOST_EVENTS) -> Timeline:
    """What `result`, an estimate of `model`, consists of, in time.

    Decode steps that are not drawn are not placed either: they took what remains of the result's cycles.
    """
    model = model if isinstance(model, Model) else load_model(model)
    config, workload = model.config, result.workload
    if result.recipe is None:
        raise ConfigError(f"timeline of {result.title}: expected an estimate, got a {result.kind} without numerics")
    placement = placement_for(result.chip, result.scheduling.objective)
    steps_of_one_layer = Steps.of(config, result.recipe, workload, placement)
    prompt, steps = workload.prefill, workload.decode

    def step(phase: Phase, operators: list[Operator]) -> Step:
        whole = Step(phase)
        executions = []
        for op in operators:
            executions.append((op, placement.place(op)))
            if (exchanged := placement.exchange(op)) is not None:
                executions.append(exchanged)
        for (op, placed), layer in all_layers(executions, config.num_layers, lambda done: done[0].layer):
            whole.add(at_layer(op, layer), placed)
        return whole

    timeline = Timeline(result.chip, most_events=most_events)
    for start, stop in chunks(prompt, result.scheduling.chunk):
        timeline.add_step(step("prefill", steps_of_one_layer.prompt(start, stop)))
    if not steps:
        return timeline

    def decoded(i: int) -> Step:
        return step("decode", steps_of_one_layer.operators("decode", 1, prompt + i + 1))

    events = decoded(0).events
    first = min(steps, timeline.room // events)
    last = min(steps - first, timeline.half // events)
    drawn = [decoded(i) for i in (*range(first), *range(steps - last, steps))]
    for done in drawn[:first]:
        timeline.add_step(done)
    if left := steps - len(drawn):
        cycles = sum(row.cycles for row in result.phase_rows("decode")) - sum(done.cycles for done in drawn)
        timeline.skip("decode", left, cycles)
    for done in drawn[first:]:
        timeline.add_step(done)
    return timeline
