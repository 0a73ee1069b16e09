"""`bitsim eval`: quality, executed on the simulator."""

import json
from pathlib import Path

import click

from bitsim.cli.options import chip_option, output_options
from bitsim.cli.output import announce_compilation, check_directory, print_json, write_files


@click.command("eval")
@click.argument("model")
@chip_option
@click.option("--text", type=click.Path(path_type=Path), help="Text to predict (default: the shipped held-out 64 KiB).")
@click.option("--numerics", help="Numerics contract (default: what the checkpoint's config says).")
@click.option("--bytes", "limit", type=click.IntRange(min=2), help="Use only the first bytes of the text.")
@output_options
def command(
    model: str,
    chip: str,
    text: Path | None,
    numerics: str | None,
    limit: int | None,
    as_json: bool,
    out: Path | None,
) -> None:
    """Bits per byte of a byte-level MODEL on text that it was not trained on, executed on a chip."""
    announce_compilation()
    check_directory(out)
    from bitsim.cli.progress import progress
    from bitsim.study import evaluate

    with progress("windows") as step:
        score = evaluate(model, chip, text=text, numerics=numerics, limit=limit, on_window=step)
    if as_json:
        print_json(score.record())
    else:
        click.echo(
            f"{score.model} on {score.chip}: {score.bits_per_byte:.4f} bits per byte "
            f"({score.predicted_bytes:,} bytes of {score.text}, windows of {score.window}, numerics {score.numerics})"
        )
        if score.overflows:
            click.echo(f"{score.overflows:,} accumulator overflows, first in {score.first_overflow}")
    if out:
        write_files(out, {"eval.json": json.dumps(score.record(), indent=1) + "\n"})
