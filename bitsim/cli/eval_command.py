"""`bitsim eval`: quality, executed on the simulator."""

from pathlib import Path

import click

from bitsim.cli.options import chip_option
from bitsim.cli.output import announce_compilation, print_json


@click.command("eval")
@click.argument("model")
@chip_option
@click.option("--text", type=click.Path(path_type=Path), help="Text to predict (default: the shipped held-out 64 KiB).")
@click.option("--numerics", help="Numerics contract (default: what the checkpoint's config says).")
@click.option("--bytes", "limit", type=click.IntRange(min=2), help="Use only the first bytes of the text.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(model: str, chip: str, text: Path | None, numerics: str | None, limit: int | None, as_json: bool) -> None:
    """Bits per byte of a byte-level MODEL on text that it was not trained on, executed on a chip."""
    announce_compilation()
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
