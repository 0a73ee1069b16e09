"""`bitsim calibrate`: a chip's efficiency and latency from measured times."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bitsim.cli.files import check_file, write_files
from bitsim.cli.machine_command import command as machine_command
from bitsim.cli.options import chip_option
from bitsim.cli.output import announce_compilation, print_json, print_table, si

if TYPE_CHECKING:
    from bitsim.hw.host import HostSpec


def _latency_before(host: "HostSpec | None") -> str:
    return "none" if host is None or host.matmul_latency is None else host.matmul_latency.text()


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
    if machine == (points is not None):
        raise click.UsageError("expected either a CSV or --machine")
    if points is None:
        context.invoke(machine_command, as_json=as_json, out=out)
        return
    check_file(out, "--out")
    announce_compilation()
    from bitsim.measure.calibrate import calibrate

    found = calibrate(points, chip)
    text = found.chip_yaml() if out else ""
    if as_json:
        print_json(found.record())
    else:
        print_table(
            f"{found.chip.name}, fitted to {len(found.residuals)} points of {found.measured.path}",
            ["parameter", "fitted", "standard error", "before"],
            [
                [
                    "DRAM efficiency",
                    f"{found.efficiency:.4f}",
                    f"{found.efficiency_error:.2g}",
                    f"{found.chip.memory.dram.efficiency.nominal:g}",
                ],
                [
                    "latency per matmul",
                    si(1e-6 * found.latency_us, "s"),
                    si(1e-6 * found.latency_error_us, "s"),
                    _latency_before(found.chip.host),
                ],
            ],
        )
        print_table(
            "residuals; held out: by the fit to all other points",
            ["line", "M x K x N", "measured", "predicted", "error %", "held-out error %"],
            [
                [
                    r["line"],
                    f"{r['m']} x {r['k']} x {r['n']}",
                    si(r["time_s"], "s"),
                    si(r["predicted_s"], "s"),
                    f"{r['error_pct']:+.2f}",
                    f"{r['held_out_error_pct']:+.2f}",
                ]
                for r in found.record()["residuals"]
            ],
        )
        click.echo(
            f"root mean square error {found.rms_pct:.2f} %, held out (leave one out) {found.held_out_rms_pct:.2f} %"
        )
        for bound in found.binds:
            click.echo(f"a bound binds: {bound}")
    if out:
        write_files(out.parent, {out.name: text})
