"""`bitsim compare`: one prompt, several model@chip pairs."""

from pathlib import Path

import click

from bitsim.cli.options import execution_options, generation_options, output_options
from bitsim.cli.output import announce_compilation, check_directory, csv_text, print_json, print_table, si, write_files
from bitsim.cost import CONVENTIONS


@click.command("compare")
@click.argument("pairs", nargs=-1, required=True, metavar="MODEL@CHIP...")
@generation_options
@execution_options
@output_options
def command(
    pairs: tuple[str, ...],
    prompt: str,
    new_tokens: int,
    temperature: float,
    seed: int,
    numerics: str | None,
    toggles: str,
    wide: str,
    random_seed: int | None,
    as_json: bool,
    out: Path | None,
) -> None:
    """Run the same prompt on several MODEL@CHIP pairs and put cycles and energy per new token side by side."""
    announce_compilation()
    check_directory(out)
    from bitsim.study import run

    records = []
    for pair in pairs:
        model, _, chip = pair.partition("@")
        result = run(
            model,
            chip or "ternary-ws-64x64",
            prompt=prompt,
            new_tokens=new_tokens,
            temperature=temperature,
            seed=seed,
            numerics=numerics,
            toggles=toggles,  # type: ignore[arg-type]
            wide=wide,  # type: ignore[arg-type]
            random_weights=random_seed,
        )
        decoded = max(1, result.new_tokens)
        record: dict[str, object] = {"model": model, "chip": result.chip.name, "text": result.text}
        record["cycles_per_token"] = sum(r.cycles for r in result.phase_rows("decode")) / decoded
        record["time_per_token_s"] = result.phase_time_s("decode") / decoded
        for name in CONVENTIONS:
            record[f"energy_{name}_per_token_j"] = result.energy(name, "decode") / decoded
        records.append(record)
    if as_json:
        print_json(records)
    else:
        print_table(
            "per new token (decode)",
            ["model", "chip", "cycles", "time", *(f"energy, {name}" for name in CONVENTIONS)],
            [
                [r["model"], r["chip"], f"{r['cycles_per_token']:,.0f}", si(float(str(r["time_per_token_s"])), "s")]
                + [si(float(str(r[f"energy_{name}_per_token_j"])), "J") for name in CONVENTIONS]
                for r in records
            ],
        )
        for name, convention in CONVENTIONS.items():
            click.echo(f"{name}: {convention.includes}")
    if out:
        write_files(out, {"compare.csv": csv_text(records)})
