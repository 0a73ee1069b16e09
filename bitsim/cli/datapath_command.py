"""`bitsim datapath`: the structures that compute matmuls, their accumulators, and all of them side by side."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitsim.cli.files import check_directory
from bitsim.cli.merit import brief as brief_lines
from bitsim.cli.merit import number
from bitsim.cli.options import brief_option, chip_option, listed, output_options
from bitsim.cli.output import announce_compilation, print_table, si
from bitsim.cli.terminal import echo
from bitsim.cost import CONVENTIONS
from bitsim.cost.price import LEVELS
from bitsim.hw import chip_names, load_chip

# What is best, by which column, and whether the least or the most is.
BEST: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("least cycles busy", "datapath_cycles", min),
    ("least energy, datapath, pJ", "energy_datapath_nominal_pj", min),
    ("least power while busy, W", "power_datapath_w", min),
    ("most TOPS/W, datapath", "tops_per_w_datapath", max),
    ("most TOPS/mm2", "tops_per_mm2_datapath", max),
    ("least area, datapath, um2", "area_datapath_nominal_um2", min),
)

if TYPE_CHECKING:
    from bitsim.study.array_size import ArraySizes
    from bitsim.study.bound import AccumulatorBounds
    from bitsim.study.compare_datapaths import DatapathComparison


@click.group("datapath", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """The structures that compute quantised linears."""
    if context.invoked_subcommand is None:
        echo(context.get_help())


@command.command("list")
@output_options
def list_datapaths(as_json: bool, out: Path | None) -> None:
    """List the BitLinear datapaths of the chips that come with bitsim."""
    from bitsim.cli.emit import emit_description
    from bitsim.datapath.registry import build_datapath
    from bitsim.hw.datapaths.base import plain
    from bitsim.results.outcome import csv_of

    records: list[dict[str, Any]] = []
    for name in chip_names():
        spec = load_chip(name).bitlinear
        exact = build_datapath(spec).exact
        record = {"chip": name, "kind": spec.kind, "exact": exact, "macs_per_cycle": plain(spec.macs_per_cycle)}
        records.append(record | {"structure": spec.text()})

    def view() -> None:
        said = {True: "yes", False: "no"}
        rows = [[*list(r.values())[:2], said[r["exact"]], *list(r.values())[3:]] for r in records]
        print_table("datapaths", ["chip", "kind", "exact", "MAC/cycle", "structure"], rows)

    emit_description(
        records, view, as_json=as_json, out=out, stem="datapaths", files={"datapaths.csv": csv_of(records)}
    )


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
    from bitsim.cli.emit import emit
    from bitsim.study.bound import accumulator_bounds

    bounds = accumulator_bounds(name, k, model=model, limit=limit)
    emit(bounds, view_bounds, as_json=as_json, out=out, stem="bound")


def view_bounds(bounds: "AccumulatorBounds") -> None:
    """One row per accumulator, with what a model's sums reach if one was executed."""
    if not bounds.bounds:
        echo(bounds.notes[0])
        return
    columns = ["accumulator", "bits it has", f"K = {bounds.k}: range", "bits needed"]
    rows = [[e.register, e.bits, f"{e.worst.low:,} .. {e.worst.high:,}", e.worst.bits] for e in bounds.bounds]
    if "model" in bounds.inputs:
        columns += [f"seen with {bounds.inputs['model']}", "bits", "in"]
        rows = [
            [*row, f"{e.seen.low:,} .. {e.seen.high:,}", e.seen.bits, f"{e.seen_in}, K = {e.seen_k}"] if e.seen else row
            for row, e in zip(rows, bounds.bounds, strict=True)
        ]
    print_table(f"accumulators of {bounds.inputs['chip']}", columns, rows)


@command.command("sizes")
@click.argument("model")
@chip_option
@click.option(
    "--sizes", callback=listed(int), metavar="N,N,...", help="Rows, and columns, of each array.  [default: 8,16,..,256]"
)
@click.option("--prefill", type=click.IntRange(min=1), default=512, show_default=True, help="Tokens per sequence.")
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Sequences.")
@output_options
def sizes(
    model: str, chip: str, sizes: list[int] | None, as_json: bool, out: Path | None, prefill: int, batch: int
) -> None:
    """How well MODEL's linears use N x N arrays on an otherwise unchanged chip, in a prefill and in a decode step.

    With --out: sizes.json, sizes.csv and the figure as PNG and PDF.
    """
    check_directory(out)
    announce_compilation()
    from bitsim.cli.emit import emit
    from bitsim.study.array_size import SIZES, array_sizes

    study = array_sizes(model, chip, sizes=sizes or SIZES, prefill=prefill, batch=batch)
    emit(study, view_sizes, as_json=as_json, out=out, stem="sizes", further=_size_figures)


def view_sizes(study: "ArraySizes") -> None:
    """One row per size and phase."""
    columns = ["array", "phase", "cycles", "time", "utilisation", "at most", "waits for"]
    rows = []
    for p in study.points:
        used = [f"{100 * share:.2f}%" for share in (p.utilisation, p.bound_utilisation)]
        rows.append([f"{p.rows} x {p.cols}", p.phase, f"{p.cycles:,}", si(p.time_s, "s"), *used, p.bound])
    print_table(study.title, columns, rows)
    for line in study.notes:
        echo(line)


def _size_figures(study: "ArraySizes") -> Mapping[str, bytes]:
    from bitsim.figures.array_size import array_size_figure
    from bitsim.figures.style import files_of

    return files_of("sizes", array_size_figure(study))


@command.command("compare")
@click.option("--model", default="tiny-b158", show_default=True, help="A quantised byte-level model with weights.")
@click.option(
    "--node",
    default="7nm",
    show_default=True,
    help="Technology that prices all chips: name, YAML file, or a node between, as 22nm.",
)
@click.option(
    "--chips", callback=listed(str), metavar="CHIP,CHIP,...", help="Chips to compare (default: all shipped but FPGAs)."
)
@click.option(
    "--bytes", "limit", type=click.IntRange(min=1), default=64, show_default=True, help="Tokens of held-out text."
)
@click.option(
    "--toggles",
    type=click.Choice(["exact", "sample", "off"]),
    default="exact",
    show_default=True,
    help="Toggles of registers that see running sums: on all columns, an eighth of the tiles (at most 8), or none.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the sampled columns.")
@brief_option
@output_options
def compare(chips: list[str] | None, brief: bool, as_json: bool, out: Path | None, **settings: Any) -> None:
    """Execute a model's linears on all datapaths: equal outputs, then cycles, energy and area side by side.

    With --out: compare.json, tables of chips, events, energies and areas as CSV, and the figure as PNG and PDF.
    """
    check_directory(out)
    announce_compilation()
    from bitsim.cli.emit import emit
    from bitsim.cli.progress import progress
    from bitsim.study.compare_datapaths import compare_datapaths

    with progress("chips") as step:
        comparison = compare_datapaths(chips=chips, on_chip=step, **settings)
    view = brief_comparison if brief else view_comparison
    emit(comparison, view, as_json=as_json, out=out, stem="compare", further=_comparison_figures)


def _comparison_figures(comparison: "DatapathComparison") -> Mapping[str, bytes]:
    from bitsim.figures.datapaths import comparison_figure

    return comparison_figure(comparison)


def view_comparison(comparison: "DatapathComparison") -> None:
    """One row per chip, then what energies include and what sets single chips apart."""
    records = comparison.records("chips")
    columns = ["chip", "outputs", "busy cycles", "use"]
    columns += [*(f"{name}, fJ/MAC" for name in CONVENTIONS), "area, 1000 um2"]
    print_table(comparison.title, columns, [_row(row) for row in records])
    columns = ["chip", "TOPS", "at most", "power while busy", "TOPS/W", "TOPS/mm2", "whole chip, mm2"]
    print_table("BitLinear datapath; 2 operations per MAC", columns, [_merit_row(row) for row in records])
    for name, convention in CONVENTIONS.items():
        echo(f"{name}: {convention.includes}")
    for record in records:
        if record["notes"]:
            echo(f"{record['chip']}: {record['notes']}")
    for line in comparison.notes:
        echo(line)


def brief_comparison(comparison: "DatapathComparison") -> None:
    """In at most ten lines: how many chips gave which outputs, and which is best by what papers report."""
    records = comparison.records("chips")
    outputs = Counter(record["outputs"] for record in records)
    found = ", ".join(f"{count} {name}" for name, count in sorted(outputs.items()))
    lines: list[tuple[str, Sequence[str]]] = [(comparison.title, []), ("outputs of chips", [found])]
    for label, name, best in BEST:
        known = [record for record in records if record[name] is not None]
        chosen = best(known, key=itemgetter(name)) if known else None
        lines.append((label, ["-", ""] if chosen is None else [number(chosen[name]), chosen["chip"]]))
    brief_lines(
        [*lines, ("rests on", [f"{len(comparison.assumed())} assumed constants, {len(comparison.notes)} notes"])]
    )


def _merit_row(record: Mapping[str, Any]) -> list[object]:
    """What papers report of one array."""
    watts, known = record["power_datapath_w"], record["area_datapath_nominal_um2"] is not None
    cells = [record["chip"], number(record["tops_datapath"]), number(record["peak_tops_datapath"])]
    cells += ["unpriced" if watts is None else si(watts, "W"), number(record["tops_per_w_datapath"])]
    return [
        *cells,
        number(record["tops_per_mm2_datapath"]),
        number(record["area_chip_nominal_mm2"]) if known else "no area",
    ]


def _row(record: Mapping[str, Any]) -> list[object]:
    """The headline numbers of one chip; energies and area as nominal [low .. high]."""
    cycles, use = record["datapath_cycles"], record["utilisation"]
    outputs = record["outputs"] + ("" if record["operands"] == "model" else ", narrowed")
    cells: list[object] = [record["chip"], outputs, "-" if cycles is None else f"{cycles:,}"]
    cells.append("-" if use is None else f"{100 * use:.0f}%")
    for name in CONVENTIONS:
        per_mac = [record[f"energy_{name}_{level}_pj"] for level in LEVELS]
        marked = " without" if record[f"energy_{name}_without"] else ""
        cells.append("unpriced" if None in per_mac else _range([1e3 * pj / record["macs"] for pj in per_mac]) + marked)
    um2 = [record[f"area_datapath_{level}_um2"] for level in LEVELS]
    return [*cells, "no area" if None in um2 else _range([area / 1e3 for area in um2])]


def _range(levels: list[float]) -> str:
    low, nominal, high = (f"{level:,.0f}" if level >= 100 else f"{level:.3g}" for level in levels)
    return nominal if low == high else f"{nominal} [{low} .. {high}]"
