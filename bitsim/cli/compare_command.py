"""`bitsim compare`: one prompt, several model@chip pairs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitsim.cli.files import check_directory
from bitsim.cli.merit import brief_compared, merit_lines
from bitsim.cli.options import brief_option, execution_options, generation_options, output_options
from bitsim.cli.output import announce_compilation, print_table, si
from bitsim.cli.terminal import echo
from bitsim.cost import CONVENTIONS

if TYPE_CHECKING:
    from bitsim.study.compare import PairComparison


@click.command("compare")
@click.argument("pairs", nargs=-1, required=True, metavar="MODEL[:NUMERICS]@CHIP...")
@generation_options
@execution_options
@click.option(
    "--iso",
    type=click.Choice(["area", "bandwidth", "power"]),
    help="Make the other chips equal to the first: arrays to its area or average power, or DRAM to its bandwidth.",
)
@brief_option
@output_options
def command(
    pairs: tuple[str, ...], random_seed: int | None, brief: bool, as_json: bool, out: Path | None, **settings: Any
) -> None:
    """Run the same prompt on several pairs of model and chip: cycles, energy, area and power side by side.

    MODEL:NUMERICS runs a model under numerics of its own, such as tiny-fp16:w4a16_g64@fp16-ws-64x64.
    """
    announce_compilation()
    check_directory(out)
    from bitsim.cli.emit import emit
    from bitsim.study.compare import compare, pair_of

    compared = compare([pair_of(pair) for pair in pairs], random_weights=random_seed, **settings)
    view = brief_compared if brief else view_compared
    emit(compared, view, as_json=as_json, out=out, stem="compare")


def view_compared(compared: "PairComparison") -> None:
    """Cycles, time and energy of a new token, one row per pair."""
    from bitsim.cli.present import energy_cell

    records = compared.records()
    run = records[: len(compared.results)]
    rows = [
        [r["model"], r["chip"], f"{r['cycles']:,.0f}", si(r["time_s"], "s")]
        + [energy_cell(r[f"energy_{name}_j"], r.get(f"energy_{name}_without")) for name in CONVENTIONS]
        for r in run
    ]
    rows += [[pair.model, pair.chip, *["not run"] * (2 + len(CONVENTIONS))] for pair in compared.left_out]
    columns = ["model", "chip", "cycles", "time", *(f"energy, {name}" for name in CONVENTIONS)]
    print_table("decode, per new token", columns, rows)
    names = [f"{r['model']}@{r['chip']}" for r in run]
    print_table("decode", ["", *names], [[label, *cells] for label, cells in merit_lines(run)])
    for record in records:
        if record.get("iso_note"):
            echo(f"{record['model']}@{record['chip']}: {record['iso_note']}")
    for name, convention in CONVENTIONS.items():
        echo(f"{name}: {convention.includes}")
    for record in run:
        for name in CONVENTIONS:
            if missing := record.get(f"energy_{name}_without"):
                echo(f"{record['model']}@{record['chip']}: {name}: {missing}")
        if record["overflows"]:
            echo(f"{record['model']}@{record['chip']}: {record['overflows']:,} overflows")
