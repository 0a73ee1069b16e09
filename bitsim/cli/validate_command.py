"""`bitsim validate`: predictions beside published hardware."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bitsim.cli.files import check_directory
from bitsim.cli.options import output_options
from bitsim.cli.our_reports import our_report
from bitsim.cli.output import announce_compilation, print_table
from bitsim.cli.terminal import echo

if TYPE_CHECKING:
    from reports.validation import Validation


@click.command("validate")
@output_options
def command(as_json: bool, out: Path | None) -> None:
    """Predict published hardware and put the errors beside it; figure and CSV with --out."""
    announce_compilation()
    check_directory(out)
    from bitsim.cli.emit import emit

    emit(
        our_report("validation").validation(),
        view_validation,
        as_json=as_json,
        out=out,
        stem="validation",
        further=_figures,
    )


def view_validation(found: "Validation") -> None:
    """One row per quantity, then what to know of single rows."""
    from reports.validation import COLUMNS

    print_table(found.title, COLUMNS, [row.cells() for row in found.rows])
    for remark in found.notes:
        echo(remark)


def _figures(found: "Validation") -> Mapping[str, bytes]:
    from reports.validation_figure import draw

    return {"validation.png": draw(found.rows, "png"), "validation.pdf": draw(found.rows, "pdf")}
