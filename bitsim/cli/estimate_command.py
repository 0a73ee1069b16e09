"""`bitsim estimate`: shapes on a chip."""

from pathlib import Path
from typing import Any

import click

from bitsim.cli.options import chip_option, numerics_option, output_options, schedule_options, trace_option
from bitsim.cli.output import check_directory, print_json


@click.command("estimate")
@click.argument("model")
@chip_option
@click.option("--prefill", type=int, default=512, show_default=True, help="Prompt tokens per sequence.")
@click.option("--decode", type=int, default=128, show_default=True, help="New tokens per sequence.")
@click.option("--batch", type=int, default=1, show_default=True, help="Sequences.")
@numerics_option
@schedule_options
@trace_option
@output_options
def command(model: str, chip: str, trace: Path | None, as_json: bool, out: Path | None, **settings: Any) -> None:
    """Cycles and energy of MODEL's shapes on a chip, without weights."""
    check_directory(out)
    check_directory(trace and trace.parent, "--trace")
    from bitsim.cli.present import print_result, write_result, write_trace
    from bitsim.study import estimate

    result = estimate(model, chip, **settings)
    if as_json:
        print_json(result.to_json())
    else:
        print_result(result)
    if out:
        write_result(result, out)
    if trace:
        from bitsim.study.estimate_trace import estimate_timeline

        write_trace(estimate_timeline(model, result, chunk=settings["chunk"]), result, trace)
