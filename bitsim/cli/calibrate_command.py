"""`bitsim calibrate`: a chip's efficiency and latency from measured times."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitsim.cli.files import check_file, write_files
from bitsim.cli.machine_command import command as machine_command
from bitsim.cli.options import chip_option
from bitsim.cli.output import announce_compilation, print_table, si
from bitsim.cli.terminal import echo

if TYPE_CHECKING:
    from bitsim.measure.calibrate import Calibration


_NAMES = {"dram_efficiency": "DRAM efficiency", "matmul_latency": "latency per matmul"}


@click.command("calibrate")
@click.argument("points", metavar="[CSV]", required=False)
@chip_option
@click.option("--machine", is_flag=True, help="Measure this machine instead, as `bitsim machine` does.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option("--out", type=click.Path(path_type=Path), help="YAML file for the chip with the fitted values.")
@click.pass_context
def command(
    context: click.Context, points: str | None, chip: str, machine: bool, as_json: bool, out: Path | None
) -> None:
    """Fit DRAM efficiency and latency per matmul of a chip to measured times.

    CSV has the columns m, k, n, time_s: tokens, inputs and outputs of a matmul with ternary weights at 2 bits, and the
    seconds that it took.
    """
    check_file(out, "--out")
    if machine == (points is not None):
        raise click.UsageError("expected either a CSV or --machine")
    if points is None:
        context.invoke(machine_command, as_json=as_json, out=out)
        return
    announce_compilation()
    from bitsim.cli.emit import emit
    from bitsim.measure.calibrate import calibrate

    found = calibrate(points, chip)
    text = found.chip_yaml(out) if out else ""
    emit(found, view_calibration, as_json=as_json, out=None, stem="calibration")
    if out:
        write_files(out.parent, {out.name: text})


def view_calibration(found: "Calibration") -> None:
    """The parameters, each point's error, and what binds."""
    rows = [[_NAMES[p["parameter"]], *(_amount(p, key) for key in ("fitted", "standard_error", "before"))]
            for p in found.records("parameters")]  # fmt: skip
    print_table(found.title, ["parameter", "fitted", "standard error", "before"], rows)
    print_table(
        "residuals; held out: by the fit to all other points",
        ["line", "M x K x N", "measured", "predicted", "error %", "held-out error %"],
        [
            [
                *(r["line"], f"{r['m']} x {r['k']} x {r['n']}", si(r["time_s"], "s"), si(r["predicted_s"], "s")),
                *(f"{r[error]:+.2f}" for error in ("error_pct", "held_out_error_pct")),
            ]
            for r in found.records("residuals")
        ],
    )
    echo(f"root mean square error {found.rms_pct:.2f} %, held out (leave one out) {found.held_out_rms_pct:.2f} %")
    for bound in found.binds:
        echo(f"a bound binds: {bound}")


def _amount(parameter: Mapping[str, Any], key: str) -> str:
    """A share with digits, a time with its unit, or "none"."""
    value = parameter[key]
    if value is None:
        return "none"
    return f"{value:.4g}" if parameter["unit"] == "ratio" else si(1e-6 * value, "s")
