"""`bitsim compare`: one prompt, several model@chip pairs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitsim.cli.files import check_directory, write_files
from bitsim.cli.options import execution_options, generation_options, output_options
from bitsim.cli.output import announce_compilation, csv_text, print_json, print_table, si
from bitsim.cost import CONVENTIONS

if TYPE_CHECKING:
    from bitsim.results import Result


@click.command("compare")
@click.argument("pairs", nargs=-1, required=True, metavar="MODEL@CHIP...")
@generation_options
@execution_options
@output_options
def command(pairs: tuple[str, ...], random_seed: int | None, as_json: bool, out: Path | None, **settings: Any) -> None:
    """Run the same prompt on several MODEL@CHIP pairs and put cycles and energy per new token side by side."""
    announce_compilation()
    check_directory(out)
    from bitsim.study import run

    records = []
    for pair in pairs:
        model, _, chip = pair.partition("@")
        if not model:
            raise click.BadParameter(f"expected MODEL@CHIP, got {pair!r}")
        result = run(model, chip or "ternary-ws-64x64", random_weights=random_seed, **settings)
        records.append(per_token(result))
    if as_json:
        print_json(records)
    else:
        print_table(
            "decode, per new token",
            ["model", "chip", "cycles", "time", *(f"energy, {name}" for name in CONVENTIONS)],
            [
                [r["model"], r["chip"], f"{r['cycles']:,.0f}", si(r["time_s"], "s")]
                + ["unpriced" if (e := r[f"energy_{name}_j"]) is None else si(e, "J") for name in CONVENTIONS]
                for r in records
            ],
        )
        for name, convention in CONVENTIONS.items():
            click.echo(f"{name}: {convention.includes}")
        for record in records:
            if record["overflows"]:
                click.echo(f"{record['model']}@{record['chip']}: {record['overflows']:,} overflows")
    if out:
        write_files(out, {"compare.json": json.dumps(records, indent=1) + "\n", "compare.csv": csv_text(records)})


def per_token(result: "Result") -> dict[str, Any]:
    """Cycles, seconds and joules of one decoded token."""
    tokens = max(1, result.new_tokens)
    cycles = sum(row.cycles for row in result.phase_rows("decode"))
    record: dict[str, Any] = {"model": result.inputs["model"], "chip": result.inputs["chip"], "text": result.text}
    record |= {"new_tokens": result.new_tokens, "cycles": cycles / tokens}
    record["time_s"] = result.phase_time_s("decode") / tokens
    for name in CONVENTIONS:
        record[f"energy_{name}_j"] = result.energy(name, "decode") / tokens if name in result.priced else None
    overflows = sum(count for event, count in result.events.items() if event.startswith("overflow."))
    return record | {"overflows": overflows, "notes": "; ".join(result.notes)} | dict(result.inputs)
