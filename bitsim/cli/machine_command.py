"""`bitsim machine`: a CPU description of the machine at hand."""

from dataclasses import asdict
from pathlib import Path

import click

from bitsim.cli.files import check_file, write_files
from bitsim.cli.output import announce_compilation, print_json, print_table


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
    from bitsim.measure.machine import measure_machine

    found = measure_machine(weights_mb=megabytes, repeats=repeats)
    if as_json:
        print_json(asdict(found))
    else:
        rows: list[list[object]] = [
            ["memory, packed weights", f"{found.bandwidth_gb_s:.3g}", "GB/s"],
            ["int8 x ternary", f"{found.int8_top_s:.3g}", "Top/s"],
            ["float32", f"{found.float32_top_s:.3g}", "Top/s"],
            ["memory", f"{found.capacity_gb:.3g}", "GB"],
        ]
        print_table(f"{found.isa}, {found.threads} threads, best of {found.repeats}", ["what", "rate", "unit"], rows)
    if out:
        write_files(out.parent, {out.name: found.cpu_yaml(name)})
