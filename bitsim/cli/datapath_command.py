"""`bitsim datapath`: the structures that compute matmuls, and how wide their accumulators must be."""

import json
from pathlib import Path

import click

from bitsim.cli.options import output_options
from bitsim.cli.output import announce_compilation, check_directory, csv_text, print_json, print_table, write_files
from bitsim.hw import chip_names, load_chip


@click.group("datapath", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """The structures that compute quantised linears."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@command.command("list")
@output_options
def list_datapaths(as_json: bool, out: Path | None) -> None:
    """List the BitLinear datapaths of the chips that come with bitsim."""
    from bitsim.datapath.registry import build_datapath

    records = []
    for name in chip_names():
        spec = load_chip(name).bitlinear
        exact = build_datapath(spec).exact
        record = {"chip": name, "kind": spec.kind, "exact": exact, "macs_per_cycle": spec.macs_per_cycle}
        records.append(record | {"structure": spec.text()})
    if out:
        write_files(out, {"datapaths.json": json.dumps(records, indent=1) + "\n", "datapaths.csv": csv_text(records)})
    if as_json:
        print_json(records)
        return
    rows = [["yes" if value is True else "no" if value is False else value for value in r.values()] for r in records]
    print_table("datapaths", ["chip", "kind", "exact", "MAC/cycle", "structure"], rows)


@command.command("bound")
@click.argument("name")
@click.option("--k", type=click.IntRange(min=1, max=2**23), required=True, help="Depth of the sums.")
@click.option("--model", help="Also execute this byte-level model and show what its sums reach.")
@click.option(
    "--bytes", "limit", type=click.IntRange(min=2), default=256, show_default=True, help="Held-out text for --model."
)
@output_options
def bound(name: str, k: int, model: str | None, limit: int, as_json: bool, out: Path | None) -> None:
    """How wide the accumulators of the chip NAME must be so that no sum of K products can overflow."""
    check_directory(out)
    announce_compilation()
    from bitsim.study.bound import accumulator_bounds

    bounds = accumulator_bounds(load_chip(name), k, model=model, limit=limit)
    records = [entry.record() for entry in bounds]
    if out:
        write_files(out, {"bound.json": json.dumps(records, indent=1) + "\n", "bound.csv": csv_text(records)})
    if as_json:
        print_json(records)
        return
    if not records:
        click.echo(f"{name}: sums floating-point numbers, which have no width that they can outgrow")
        return
    columns = ["accumulator", "bits it has", f"K = {k}: range", "bits needed"]
    rows = [[e.register, e.bits, f"{e.worst.low:,} .. {e.worst.high:,}", e.worst.bits] for e in bounds]
    if model:
        columns += [f"seen with {model}", "bits", "in"]
        seen = [(e.seen, e.seen_in) for e in bounds]
        rows = [
            [*row, f"{s.low:,} .. {s.high:,}", s.bits, place] if s else row
            for row, (s, place) in zip(rows, seen, strict=True)
        ]
    print_table(f"accumulators of {name}", columns, rows)
