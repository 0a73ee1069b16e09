"""`bitsim sensitivity`: which constants decide a number."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitsim.cli.files import check_directory
from bitsim.cli.options import (
    chip_option,
    gguf_options,
    numerics_option,
    output_options,
    schedule_options,
    storage_options,
    ternarise_option,
)
from bitsim.cli.output import announce_compilation, print_table, share_text, si
from bitsim.cli.terminal import echo

if TYPE_CHECKING:
    from bitsim.study.sensitivity import Sensitivity

SHOWN = 20  # constants in the printed table; files have all


@click.command("sensitivity")
@click.argument("model")
@chip_option
@click.option("--versus", metavar="CHIP", help="A second chip: what moves the ratio of both.")
@click.option(
    "--number",
    type=click.Choice(["energy_per_token", "energy", "power", "time"]),
    default="energy_per_token",
    show_default=True,
    help="What is moved: of --phase, or of all phases.",
)
@click.option(
    "--convention", type=click.Choice(["arithmetic", "datapath", "system"]), default="system", show_default=True
)
@click.option("--phase", type=click.Choice(["prefill", "decode"]), help="Count one phase only.")
@click.option("--draws", type=click.IntRange(min=1), default=1000, show_default=True, help="Monte Carlo draws.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the draws.")
@click.option("--prefill", type=int, default=512, show_default=True, help="Prompt tokens per sequence.")
@click.option("--decode", type=int, default=128, show_default=True, help="New tokens per sequence.")
@click.option("--batch", type=int, default=1, show_default=True, help="Sequences.")
@numerics_option
@gguf_options
@ternarise_option
@storage_options
@schedule_options
@output_options
def command(
    model: str,
    chip: str,
    hidden_act: Any,
    i2s: Any,
    ternarise: Any,
    as_json: bool,
    out: Path | None,
    **settings: Any,
) -> None:
    """Which constants decide the energy, power or time of MODEL on a chip, or the ratio of two chips.

    Every constant from low to high, one by one and drawn all at once; those that both chips have move together.
    """
    check_directory(out)
    announce_compilation()
    from bitsim.cli.emit import emit
    from bitsim.model.checkpoint import load_model
    from bitsim.study.sensitivity import sensitivity

    opened = load_model(model, ternarise=ternarise, hidden_act=hidden_act, i2s=i2s)
    found = sensitivity(opened, chip, **settings)
    emit(found, view_sensitivity, as_json=as_json, out=out, stem="sensitivity", further=sensitivity_files)


def view_sensitivity(found: "Sensitivity") -> None:
    """The number and its range, the constants that move it most, percentiles, then what to know."""
    from bitsim.cli.present import view_assumed_and_notes

    unit, column = found.column.rpartition("_")[2].upper().replace("S", "s"), found.column
    chips = [
        [r["chip"], r["technology"], si(r[column], unit), share_text(r["assumed_share"])]
        for r in found.records("chips")
    ]
    print_table(found.title, ["chip", "technology", "nominal", "energy on assumed constants"], chips)
    ranking = found.records("ranking")
    rows = [[_constant(r), r["evidence"], _range(r), *_moves(r, column, unit)] for r in ranking[:SHOWN]]
    columns = ["constant", "evidence", "low / nominal / high", "at low", "at high", "swing", "share"]
    columns += ["ratio at low", "at high", "swing"] if found.versus is not None else []
    print_table(f"one by one, {min(SHOWN, len(ranking))} of {len(ranking)} constants with a range", columns, rows)
    percentiles = [
        [f"{r['percentile']} %"] + [_of(value, name, unit) for name, value in r.items() if name != "percentile"]
        for r in found.records("percentiles")
    ]
    names = [name for name in found.records("percentiles")[0] if name != "percentile"]
    print_table(f"all at once, {found.draws:,} draws", ["draws below", *names], percentiles)
    echo("")
    view_assumed_and_notes(found)


def sensitivity_files(found: "Sensitivity") -> Mapping[str, bytes]:
    """The tornado and the draws."""
    from bitsim.figures.sensitivity import sensitivity_figure
    from bitsim.figures.style import files_of

    return files_of("sensitivity", sensitivity_figure(found))


def _constant(record: Mapping[str, Any]) -> str:
    also = record["also"]
    more = f" and {also.count(';') + 1} more" if also else ""
    return f"{record['constant']}{more}"


def _range(record: Mapping[str, Any]) -> str:
    unit = "" if record["unit"] == "ratio" else f" {record['unit']}"
    return f"{record['low']:g} / {record['nominal']:g} / {record['high']:g}{unit}"


def _moves(record: Mapping[str, Any], column: str, unit: str) -> list[str]:
    cells = [si(record[f"{column}_{end}"], unit) for end in ("low", "high")]
    cells += ["-" if record[name] is None else f"{100 * record[name]:.1f}%" for name in ("swing", "share")]
    if "ratio_swing" in record:
        cells += [f"{record[f'ratio_{end}']:.3g}" for end in ("low", "high")] + [f"{100 * record['ratio_swing']:.1f}%"]
    return cells


def _of(value: float, name: str, unit: str) -> str:
    return f"{value:.3g}" if name == "ratio" else si(value, unit)
