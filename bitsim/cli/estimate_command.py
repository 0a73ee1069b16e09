"""`bitsim estimate`: shapes on a chip."""

from pathlib import Path
from typing import Any

import click

from bitsim.cli.files import check_directory, check_file
from bitsim.cli.options import (
    brief_option,
    gguf_options,
    numerics_option,
    output_options,
    priced_chip_option,
    schedule_options,
    storage_options,
    ternarise_option,
    trace_option,
)


@click.command("estimate")
@click.argument("model")
@priced_chip_option
@click.option("--prefill", type=int, default=512, show_default=True, help="Prompt tokens per sequence.")
@click.option("--decode", type=int, default=128, show_default=True, help="New tokens per sequence.")
@click.option("--batch", type=int, default=1, show_default=True, help="Sequences.")
@click.option("--experts", type=click.IntRange(min=1), help="FFNs in each layer: a mixture of experts.")
@click.option("--active-experts", type=click.IntRange(min=1), help="How many of them a token uses (default: 1).")
@numerics_option
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
    experts: int | None,
    active_experts: int | None,
    hidden_act: Any,
    i2s: Any,
    ternarise: Any,
    trace: Path | None,
    brief: bool,
    as_json: bool,
    out: Path | None,
    **settings: Any,
) -> None:
    """Cycles and energy of MODEL's shapes on a chip, without weights."""
    check_directory(out)
    check_file(trace, "--trace")
    from bitsim.cli.emit import emit
    from bitsim.cli.merit import brief_result
    from bitsim.cli.present import result_files, view_result, write_trace
    from bitsim.model.checkpoint import load_model
    from bitsim.model.experts import Experts
    from bitsim.study import estimate

    if active_experts is not None and experts is None:
        raise click.UsageError("--active-experts: expected --experts too")
    mixture = None if experts is None else Experts(total=experts, active=active_experts or 1)
    opened = load_model(model, ternarise=ternarise, hidden_act=hidden_act, i2s=i2s)
    result = estimate(opened, chip, experts=mixture, **settings)
    view = brief_result if brief else view_result
    emit(result, view, as_json=as_json, out=out, stem="result", further=result_files)
    if trace:
        from bitsim.figures.estimate_timeline import estimate_timeline

        write_trace(estimate_timeline(opened, result), result, trace)
