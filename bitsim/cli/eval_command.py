"""`bitsim eval`: quality, executed on the simulator."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitsim.cli.files import check_directory
from bitsim.cli.options import (
    gguf_options,
    listed,
    numerics_option,
    output_options,
    priced_chip_option,
    ternarise_option,
)
from bitsim.cli.output import announce_compilation, print_table
from bitsim.cli.present import joules, view_sparsity
from bitsim.cli.terminal import echo

if TYPE_CHECKING:
    from bitsim.study.evaluate import Evaluation
    from bitsim.study.width_energy import ByteEnergy


@click.command("eval")
@click.argument("model")
@priced_chip_option
@click.option("--text", type=click.Path(path_type=Path), help="Text to predict (default: the shipped held-out 64 KiB).")
@numerics_option
@click.option("--bytes", "limit", type=click.IntRange(min=2), help="Use only the first bytes of the text.")
@click.option("--acc-bits", callback=listed(int), metavar="BITS,...", help="Widths of the BitLinear accumulators.")
@click.option("--overflow", callback=listed(str), metavar="MODE,...", help="What they do: wrap, saturate.")
@click.option("--kv-bits", callback=listed(int), metavar="BITS,...", help="KV cache: 32, 16, 8, 4 or 3 bits per value.")
@gguf_options
@ternarise_option
@output_options
def command(
    model: str, chip: Any, hidden_act: Any, i2s: Any, ternarise: Any, as_json: bool, out: Path | None, **settings: Any
) -> None:
    """Bits per byte of a byte-level MODEL on text that it was not trained on, executed on a chip.

    Lists of accumulator widths, overflow modes or KV widths are all combined, one row each. Toggles of registers that
    see running sums are not counted (toggles: off); joules per byte are an estimate, by the convention `datapath`.
    """
    announce_compilation()
    check_directory(out)
    from bitsim.cli.emit import emit
    from bitsim.cli.progress import progress
    from bitsim.model.checkpoint import load_model
    from bitsim.study import evaluate

    opened = load_model(model, ternarise=ternarise, hidden_act=hidden_act, i2s=i2s)
    with progress("windows") as step:
        evaluation = evaluate(opened, chip, on_window=step, **settings)
    emit(evaluation, view_evaluation, as_json=as_json, out=out, stem="eval")


def view_evaluation(evaluation: "Evaluation") -> None:
    """One score in words, several as a table."""
    if len(evaluation.scores) > 1:
        print_table(
            evaluation.title,
            ["accumulator bits", "overflow", "KV cache", "bits per byte", "overflows", "linears, J per byte"],
            [
                [s.acc_bits, s.overflow, s.kv, f"{s.bits_per_byte:.4f}", f"{s.overflows:,}", _joules(s.energy)]
                for s in evaluation.scores
            ],
        )
        for missing in dict.fromkeys(s.energy.without or s.energy.reason for s in evaluation.scores):
            if missing:
                echo(f"energy: {missing}")
        return
    score = evaluation.score
    echo(
        f"{score.model} on {score.chip}: {score.bits_per_byte:.4f} bits per byte "
        f"({score.predicted_bytes:,} bytes of {score.text}, windows of {score.window}, numerics {score.numerics})"
    )
    if score.energy.linears is not None:
        echo(f"quantised linears: {_joules(score.energy)} per byte (datapath convention, estimated)")
    elif score.energy.reason is not None:
        echo(f"energy: {score.energy.reason}")
    view_sparsity(score.sparsity)
    if score.overflows:
        echo(f"{score.overflows:,} accumulator overflows, first in {score.first_overflow}")
    if score.wrong_sums:
        sizes = "some are not finite"
        if score.largest_sum_error is not None and score.rms_sum_error is not None:
            sizes = f"by {score.largest_sum_error:,g} at most; root mean square {score.rms_sum_error:.3g} of theirs"
        echo(f"{score.wrong_sums:,} BitLinear sums differ from the exact ones, {sizes}")


def _joules(energy: "ByteEnergy") -> str:
    """Nominal energy of the quantised linears and its range."""
    found = energy.linears
    if found is None:
        return "-"
    return joules({"low_j": found.low, "nominal_j": found.nominal, "high_j": found.high}) + (
        " without" if energy.without else ""
    )
