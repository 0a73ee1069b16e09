"""`bitsim serve`: a model on GPUs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitsim.cli.files import check_directory, write_files
from bitsim.cli.options import numerics_option, output_options
from bitsim.cli.output import csv_text, print_json, print_table, si

if TYPE_CHECKING:
    from bitsim.serving.serve import Serving


@click.command("serve")
@click.argument("model")
@click.option("--chip", "gpu", default="a100-80gb", show_default=True, help="Name or YAML file of a GPU.")
@click.option("--devices", type=int, default=1, show_default=True, help="GPUs that share the model.")
@click.option("--prompt", type=int, default=512, show_default=True, help="Prompt tokens per sequence.")
@click.option("--new-tokens", type=int, default=512, show_default=True, help="New tokens per sequence.")
@click.option("--batch", type=int, help="Sequences (default: the largest number that fits).")
@click.option("--kv-bits", type=int, help="16, 8, 4 or 3 bits per key and value (default: the numerics', else 16).")
@click.option("--link", help="What joins the devices, by name or YAML file (default: they wait for nothing, a bound).")
@numerics_option
@output_options
def command(model: str, link: str | None, as_json: bool, out: Path | None, **settings: Any) -> None:
    """Serve MODEL on GPUs: largest batch, tokens per second, latency and energy per token, and what limits them."""
    check_directory(out)
    from bitsim.hw.link import load_link
    from bitsim.parallel.devices import EVEN, linked
    from bitsim.serving.serve import serve

    split = EVEN if link is None else linked(load_link(link))
    serving = serve(model, settings.pop("gpu"), split=split, **settings)
    if as_json:
        print_json(serving.to_json())
    else:
        print_serving(serving)
    if out:
        from bitsim.figures.serving import serving_figure

        files: dict[str, str | bytes] = {"serve.json": serving.to_json() + "\n"}
        files["serve.csv"] = csv_text(serving.grid.records())
        write_files(out, files | {f"serve.{suffix}": content for suffix, content in serving_figure(serving).items()})


def print_serving(serving: "Serving") -> None:
    """The chosen batch, where memory and time go, some other batches, and what was assumed."""
    at = serving.at_batch()
    power = serving.devices * serving.gpu.board_power.nominal
    click.echo(
        f"{serving.model} on {serving.devices} x {serving.gpu.name}, {serving.prompt} prompt and "
        f"{serving.new_tokens} new tokens per sequence"
    )
    answers = [
        ["largest batch", f"{serving.largest_batch:,}, limited by memory"],
        ["batch", f"{serving.batch:,}"],
        ["new tokens per second", f"{at['tokens_per_s']:,.1f} ({at['with_prompts_per_s']:,.1f} with prompts)"],
        ["latency per token", si(at["step_s"], "s")],
        ["one prompt", si(float(serving.grid.prompt_s[0]), "s")],
        ["energy per token", f"{si(at['energy_per_token_j'], 'J')} ({power:,.0f} W board power x time)"],
        ["limited by", at["limit"]],
    ]
    print_table("serving", ["what", "value"], answers)
    memory = [[part, f"{size / 1e9:.3f}"] for part, size in serving.memory().items()]
    print_table("memory per device", ["part", "GB"], memory)
    spent = [
        [name, si(float(at[f"{name.replace(' ', '_')}_s"]), "s"), f"{100 * at[key] / at['step_s']:.1f}%"]
        for name in serving.grid.parts_s
        for key in [f"{name.replace(' ', '_')}_s"]
    ]
    print_table("time of a step", ["spent on", "time", "share"], spent)
    records = serving.grid.records()
    shown = records[:: max(1, len(records) // 10)]
    rows = [
        [r["batch"], f"{r['tokens_per_s']:,.1f}", si(r["step_s"], "s"), si(r["energy_per_token_j"], "J"), r["limit"]]
        for r in (shown if shown[-1] == records[-1] else [*shown, records[-1]])
    ]
    print_table("batch sweep", ["batch", "tokens/s", "latency", "energy per token", "limited by"], rows)
    click.echo(f"{len(serving.assumed)} assumed constants:")
    for constant in serving.assumed:
        click.echo(f"  {constant['constant']} = {constant['value']} ({constant['source']})")
    click.echo("notes:")
    for note in serving.notes:
        click.echo(f"  {note}")
