"""`bitsim machine`: a CPU description of the machine at hand."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bitsim.cli.files import check_file, write_files
from bitsim.cli.output import announce_compilation, print_table

if TYPE_CHECKING:
    from bitsim.measure.machine import Machine


@click.command("machine")
@click.option("--megabytes", type=click.IntRange(min=1), default=512, show_default=True, help="Weights to stream.")
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True, help="Best of so many.")
@click.option("--name", default="this-machine", show_default=True, help="Name in the description.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--out", type=click.Path(path_type=Path), help="YAML file of the CPU.")
def command(megabytes: int, repeats: int, name: str, as_json: bool, out: Path | None) -> None:
    """Measure memory bandwidth and multiply-add rates of this machine; --out writes a CPU with evidence `measured`.

    Run it while nothing else does: the rates are of all cores, by the clock on the wall.
    """
    check_file(out, "--out")
    announce_compilation()
    from bitsim.cli.emit import emit
    from bitsim.measure.machine import measure_machine

    found = measure_machine(weights_mb=megabytes, repeats=repeats)
    emit(found, view_machine, as_json=as_json, out=None, stem="machine")
    if out:
        write_files(out.parent, {out.name: found.cpu_yaml(name)})


def view_machine(found: "Machine") -> None:
    """The measured rates."""
    rows = [[r["what"], f"{r['rate']:.3g}", r["unit"]] for r in found.records()]
    print_table(found.title, ["what", "rate", "unit"], rows)
