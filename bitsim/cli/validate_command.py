"""`bitsim validate`: predictions beside published hardware."""

import json
from pathlib import Path

import click

from bitsim.cli.files import check_directory, write_files
from bitsim.cli.options import output_options
from bitsim.cli.output import announce_compilation, csv_text, print_json, print_table


@click.command("validate")
@output_options
def command(as_json: bool, out: Path | None) -> None:
    """Predict published hardware and put the errors beside it; figure and CSV with --out."""
    announce_compilation()
    check_directory(out)
    from reports.validation import COLUMNS, remarks, validation

    rows = validation()
    records = [row.record() for row in rows]
    if as_json:
        print_json(records)
    else:
        print_table("predicted and published", COLUMNS, [row.cells() for row in rows])
        for remark in remarks(rows):
            click.echo(remark)
    if out:
        from reports.validation_figure import draw

        files: dict[str, str | bytes] = {"validation.json": json.dumps(records, indent=1) + "\n"}
        files |= {"validation.csv": csv_text(records)}
        files |= {"validation.png": draw(rows, "png"), "validation.pdf": draw(rows, "pdf")}
        write_files(out, files)
