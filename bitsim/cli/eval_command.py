"""`bitsim eval`: quality, executed on the simulator."""

import json
from itertools import product
from pathlib import Path

import click

from bitsim.cli.files import check_directory, write_files
from bitsim.cli.options import chip_option, listed, numerics_option, output_options
from bitsim.cli.output import announce_compilation, csv_text, print_json, print_table
from bitsim.errors import ConfigError


@click.command("eval")
@click.argument("model")
@chip_option
@click.option("--text", type=click.Path(path_type=Path), help="Text to predict (default: the shipped held-out 64 KiB).")
@numerics_option
@click.option("--bytes", "limit", type=click.IntRange(min=2), help="Use only the first bytes of the text.")
@click.option("--acc-bits", callback=listed(int), metavar="BITS,...", help="Widths of the BitLinear accumulators.")
@click.option("--overflow", callback=listed(str), metavar="MODE,...", help="What they do: wrap, saturate.")
@click.option("--kv-bits", callback=listed(int), metavar="BITS,...", help="KV cache: 32, 16, 8, 4 or 3 bits per value.")
@output_options
def command(
    model: str,
    chip: str,
    text: Path | None,
    numerics: str | None,
    limit: int | None,
    acc_bits: list[int] | None,
    overflow: list[str] | None,
    kv_bits: list[int] | None,
    as_json: bool,
    out: Path | None,
) -> None:
    """Bits per byte of a byte-level MODEL on text that it was not trained on, executed on a chip.

    Lists of accumulator widths, overflow modes or KV widths are all combined, one row each. Toggles of registers that
    see running sums are not counted (toggles: off), because nothing of energy is reported.
    """
    announce_compilation()
    check_directory(out)
    from bitsim.cli.present import print_sparsity
    from bitsim.cli.progress import progress
    from bitsim.hw import load_chip
    from bitsim.model.checkpoint import load_model
    from bitsim.study import evaluate

    loaded = load_model(model)
    if (acc_bits or overflow) and not loaded.config.quantised:
        raise ConfigError(f"{model}: --acc-bits and --overflow change BitLinear, which this model does not have")
    described = load_chip(chip)
    widths: list[int | None] = [*acc_bits] if acc_bits else [None]
    modes: list[str | None] = [*overflow] if overflow else [None]
    variants = [described.with_accumulators(bits, mode) for bits, mode in product(widths, modes)]
    scores = []
    kv_widths: list[int | None] = [*kv_bits] if kv_bits else [None]
    for variant, width in product(variants, kv_widths):
        with progress("windows") as step:
            scores.append(
                evaluate(loaded, variant, text=text, numerics=numerics, limit=limit, kv_bits=width, on_window=step)
            )
    records = [score.record() for score in scores]
    table = csv_text([score.table_record() for score in scores])
    first = scores[0]
    if as_json:
        print_json(records[0] if len(records) == 1 else records)
    elif len(scores) == 1:
        click.echo(
            f"{first.model} on {first.chip}: {first.bits_per_byte:.4f} bits per byte "
            f"({first.predicted_bytes:,} bytes of {first.text}, windows of {first.window}, numerics {first.numerics})"
        )
        print_sparsity(first.sparsity)
        if first.overflows:
            click.echo(f"{first.overflows:,} accumulator overflows, first in {first.first_overflow}")
        if first.wrong_sums:
            click.echo(
                f"{first.wrong_sums:,} BitLinear sums differ from the exact ones, by {first.largest_sum_error:,g} at "
                f"most; root mean square {first.rms_sum_error:.3g} of theirs"
            )
    else:
        print_table(
            f"{first.model} on {first.chip}, {first.predicted_bytes:,} bytes of {first.text}",
            ["accumulator bits", "overflow", "KV cache", "bits per byte", "overflows"],
            [[s.acc_bits, s.overflow, s.kv, f"{s.bits_per_byte:.4f}", f"{s.overflows:,}"] for s in scores],
        )
    if out:
        write_files(out, {"eval.json": json.dumps(records, indent=1) + "\n", "eval.csv": table})
