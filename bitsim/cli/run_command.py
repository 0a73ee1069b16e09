"""`bitsim run`: a model writes text on a chip."""

from pathlib import Path
from typing import Any

import click

from bitsim.cli.files import check_directory, check_file
from bitsim.cli.options import (
    brief_option,
    execution_options,
    generation_options,
    gguf_options,
    output_options,
    priced_chip_option,
    schedule_options,
    storage_options,
    ternarise_option,
    trace_option,
)
from bitsim.cli.output import announce_compilation
from bitsim.cli.terminal import echo_text, note


@click.command("run")
@click.argument("model")
@priced_chip_option
@generation_options
@execution_options
@gguf_options
@ternarise_option
@storage_options
@schedule_options
@trace_option
@brief_option
@output_options
def command(
    model: str,
    chip: Any,
    random_seed: int | None,
    hidden_act: Any,
    i2s: Any,
    ternarise: Any,
    trace: Path | None,
    brief: bool,
    as_json: bool,
    out: Path | None,
    **settings: Any,
) -> None:
    """Execute MODEL bit for bit on a chip: prefill the prompt, decode new tokens, count everything.

    MODEL is a shipped model, a checkpoint directory, or, with --random-weights, any shape that `bitsim list` shows.
    """
    announce_compilation()
    check_directory(out)
    check_file(trace, "--trace")
    from bitsim.cli.emit import emit
    from bitsim.cli.merit import brief_result
    from bitsim.cli.present import result_files, view_result, write_trace
    from bitsim.figures.timeline import Timeline
    from bitsim.hw import load_chip
    from bitsim.model.checkpoint import load_model
    from bitsim.study import run

    before = iter([settings["prompt"] or ""])  # the prompt stands before the first new token

    def show(token: int, text: str) -> None:
        echo_text(next(before, "") + (text or f"{token} "))

    if random_seed is not None:
        note("drawing random weights ...")
    timeline = Timeline(load_chip(chip))
    result = run(
        load_model(model, ternarise=ternarise, hidden_act=hidden_act, i2s=i2s),
        chip,
        random_weights=random_seed,
        on_token=None if as_json or brief else show,
        on_operator=timeline.add if trace else None,
        **settings,
    )
    if not (as_json or brief):
        echo_text("\n\n")
    view = brief_result if brief else view_result
    emit(result, view, as_json=as_json, out=out, stem="result", further=result_files)
    if trace:
        write_trace(timeline, result, trace)
