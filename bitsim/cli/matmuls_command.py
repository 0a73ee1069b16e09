"""`bitsim matmuls`: a list of matmuls on a chip."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitsim.cli.files import check_directory
from bitsim.cli.options import brief_option, objective_options, output_options, priced_chip_option
from bitsim.cli.output import announce_compilation, print_table, si
from bitsim.cost import CONVENTIONS

if TYPE_CHECKING:
    from bitsim.results import Result


def sizes(_context: click.Context, _option: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """Callback of `--dim NAME=N`."""
    found = {}
    for value in values:
        name, equals, size = value.rpartition("=")
        if not equals or not name or name in found:
            raise click.BadParameter(f"expected NAME=N, each name once, got {value!r}")
        found[name] = size
    return found


@click.command("matmuls")
@click.argument("file")
@priced_chip_option
@click.option("--bits", help="Bits per weight, in place of what FILE says (default: FILE's, else 2).")
@click.option("--dim", "dims", multiple=True, callback=sizes, metavar="NAME=N", help="Size of a dimension (ONNX).")
@click.option("--phase", type=click.Choice(["prefill", "decode"]), default="prefill", show_default=True)
@objective_options
@brief_option
@output_options
def command(
    file: str, chip: Any, bits: str | None, dims: Any, brief: bool, as_json: bool, out: Path | None, **settings: Any
) -> None:
    """Cycles and energy of the matmuls in FILE on a chip, one row for each.

    FILE is CSV (a header with m, k, n and, as wanted, name, count and bits), a SCALE-Sim topology, JSON (objects with
    these keys) or ONNX. bits: up to 3 for ternary weights, 1 for binary ones, 4 or 8 for integers, 16 for FP16.
    """
    check_directory(out)
    announce_compilation()
    from bitsim.cli.emit import emit
    from bitsim.cli.merit import brief_result
    from bitsim.cli.present import result_files
    from bitsim.study.matmul_lists import read_matmuls
    from bitsim.study.matmuls import estimate_matmuls

    listed = read_matmuls(file, bits=bits, dims=dims)
    result = estimate_matmuls(listed.shapes, chip, name=listed.name, notes=listed.notes, **settings)
    view = brief_result if brief else view_matmuls
    emit(result, view, as_json=as_json, out=out, stem="result", further=result_files)


def view_matmuls(result: "Result") -> None:
    """One row per matmul of the list, and their sum; then conventions, constants and notes."""
    from bitsim.cli.merit import view_merit
    from bitsim.cli.present import energy_cell, view_assumed_and_notes, view_unpriced

    rows = [
        [r["operator"], r["calls"], f"{r['macs']:,}", f"{r['cycles']:,}", si(r["time_s"], "s"), r["bound"]]
        + [f"{100 * r['gap']:.1f}%", f"{100 * (r['utilisation'] or 0.0):.1f}%"]
        + [si(r[f"energy_{c}_pj"] * 1e-12, "J") if c in result.priced_in_part else "unpriced" for c in CONVENTIONS]
        for r in result.records("operators")
    ]
    total = [energy_cell(r["nominal_j"], r["without"]) for r in result.records("conventions")]
    macs = sum(row.macs for row in result.rows)
    rows.append(["total", "", f"{macs:,}", f"{result.cycles:,}", si(result.time_s, "s"), "", "", "", *total])
    columns = ["matmul", "count", "MACs", "cycles", "time", "bound", "gap", "utilisation", *CONVENTIONS]
    print_table(result.title, columns, rows)
    view_unpriced(result)
    view_merit(result)
    view_assumed_and_notes(result)
