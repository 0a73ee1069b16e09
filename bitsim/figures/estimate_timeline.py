"""The timeline of an estimate: its steps one by one, as many of the first and the last as a timeline draws."""

from dataclasses import replace
from pathlib import Path

from bitsim.figures.timeline import MOST_EVENTS, Step, Timeline
from bitsim.model.checkpoint import Model, load_model
from bitsim.model.experts import Experts
from bitsim.model.operators import Phase
from bitsim.quant.recipes import recipe_named
from bitsim.results.result import Result
from bitsim.schedule import Objective
from bitsim.study.goal import placement_for
from bitsim.study.steps import Steps, all_layers, at_layer


def estimate_timeline(
    model: str | Path | Model,
    result: Result,
    *,
    merge_heads: bool = False,
    chunk: int | None = None,
    experts: Experts | None = None,
    most_events: int = MOST_EVENTS,
) -> Timeline:
    """What `result`, an estimate of `model`, consists of, in time; the other options are those it was made with.

    Decode steps that are not drawn are not placed either: they took what remains of the result's cycles.
    """
    model = model if isinstance(model, Model) else load_model(model)
    config, recipe = model.config, recipe_named(result.inputs["numerics"])
    objective: Objective = result.inputs["objective"]  # type: ignore[assignment]
    placement = placement_for(result.chip, objective)
    steps_of_one_layer = Steps(
        config=replace(config, num_layers=1),
        recipe=recipe,
        batch=result.batch,
        merge_heads=merge_heads,
        experts=experts,
    )
    prompt, steps = result.prompt_tokens, result.new_tokens

    def step(phase: Phase, tokens: int, context: int) -> Step:
        operators = steps_of_one_layer.operators(phase, tokens, context)
        whole = Step(phase)
        executions = [(op, placement.place(op)) for op in operators]
        exchanged = placement.exchange(operators[-1])
        executions += [] if exchanged is None else [exchanged]
        for (op, placed), layer in all_layers(executions, config.num_layers, lambda done: done[0].layer):
            whole.add(at_layer(op, layer), placed)
        return whole

    timeline = Timeline(result.chip, most_events=most_events)
    for start in range(0, prompt, chunk or max(prompt, 1)):
        stop = min(start + (chunk or prompt), prompt)
        timeline.add_step(step("prefill", stop - start, stop))
    if not steps:
        return timeline
    events = step("decode", 1, prompt + 1).events
    first = min(steps, timeline.room // events)
    last = min(steps - first, timeline.half // events)
    drawn = [step("decode", 1, prompt + i + 1) for i in (*range(first), *range(steps - last, steps))]
    for done in drawn[:first]:
        timeline.add_step(done)
    if left := steps - len(drawn):
        cycles = sum(row.cycles for row in result.phase_rows("decode")) - sum(done.cycles for done in drawn)
        timeline.skip("decode", left, cycles)
    for done in drawn[first:]:
        timeline.add_step(done)
    return timeline
