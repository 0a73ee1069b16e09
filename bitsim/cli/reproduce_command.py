"""`bitsim reproduce`: published numbers, ours beside theirs."""

import json
from pathlib import Path

import click

from bitsim.cli.options import output_options
from bitsim.cli.output import announce_compilation, check_directory, csv_text, print_json, print_table, write_files


@click.command("reproduce")
@click.argument("what", type=click.Choice(["energy"]))
@output_options
def command(what: str, as_json: bool, out: Path | None) -> None:
    """Recompute published numbers: ours, paper, residual; CSV and PNG with --out (default: out/reproduce-WHAT)."""
    announce_compilation()
    # Tables come with files; a program that asks for JSON gets files only where it names a directory.
    directory = out or (None if as_json else Path("out") / f"reproduce-{what}")
    check_directory(directory)
    from reports.comparison import labels_summary
    from reports.energy_2310_11453 import energy_rows, inputs
    from reports.energy_figure import draw

    rows = energy_rows()
    records = [row.record() for row in rows]
    if as_json:
        print_json(records)
    else:
        print_table(
            "energy: 2310.11453 and 2402.17764, arithmetic convention unless the item says otherwise",
            ["item", "unit", "published", "ours", "residual %", "label", "note"],
            [
                [
                    row.item,
                    row.unit,
                    "-" if row.published is None else f"{row.published:g}",
                    f"{row.ours:.4g}",
                    "-" if row.residual_pct is None else f"{row.residual_pct:+.2f}",
                    row.label,
                    row.note,
                ]
                for row in rows
            ],
        )
        click.echo(f"published rows: {labels_summary(rows)}")
    if directory:
        write_files(
            directory,
            {
                f"{what}.json": json.dumps({"inputs": inputs(), "rows": records}, indent=1) + "\n",
                f"{what}.csv": csv_text(records),
                f"{what}.png": draw(rows),
            },
        )
