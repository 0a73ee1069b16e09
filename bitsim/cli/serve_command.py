"""`bitsim serve`: a model on GPUs, a CPU or a chip."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitsim.cli.files import check_directory
from bitsim.cli.options import numerics_option, output_options, storage_options
from bitsim.cli.output import print_table, si
from bitsim.cli.present import view_assumed_and_notes
from bitsim.cli.terminal import echo

if TYPE_CHECKING:
    from bitsim.serving.serve import Serving


@click.command("serve")
@click.argument("model")
@click.option(
    "--chip", "hardware", default="a100-80gb", show_default=True, help="Name or YAML file of a GPU, a CPU or a chip."
)
@click.option("--devices", type=int, default=1, show_default=True, help="GPUs that share the model.")
@click.option("--prompt", type=int, default=512, show_default=True, help="Prompt tokens per sequence.")
@click.option("--new-tokens", type=int, default=512, show_default=True, help="New tokens per sequence.")
@click.option("--batch", type=int, help="Sequences (default: the largest number that fits).")
@click.option("--link", help="What joins the devices, by name or YAML file (default: they wait for nothing, a bound).")
@numerics_option
@storage_options
@output_options
def command(model: str, link: str | None, as_json: bool, out: Path | None, **settings: Any) -> None:
    """Serve MODEL: largest batch, tokens per second, latency and energy per token, and what limits them."""
    check_directory(out)
    from bitsim.cli.emit import emit
    from bitsim.hw.link import load_link
    from bitsim.parallel.devices import EVEN, linked
    from bitsim.serving.serve import serve

    split = EVEN if link is None else linked(load_link(link))
    serving = serve(model, settings.pop("hardware"), split=split, **settings)
    emit(serving, view_serving, as_json=as_json, out=out, stem="serve", further=_figures)


def _figures(serving: "Serving") -> Mapping[str, bytes]:
    from bitsim.figures.serving import serving_figure

    return {f"serve.{suffix}": content for suffix, content in serving_figure(serving).items()}


def view_serving(serving: "Serving") -> None:
    """The chosen batch, where memory and time go, some other batches, and what was assumed."""
    at = serving.at_batch()
    echo(serving.title)
    answers = [
        ["largest batch", f"{serving.largest_batch:,}, limited by memory"],
        ["batch", f"{serving.batch:,}"],
        ["new tokens per second", f"{at['tokens_per_s']:,.1f} ({at['with_prompts_per_s']:,.1f} with prompts)"],
        ["latency per token", si(at["step_s"], "s")],
        ["one prompt", si(serving.headline()["prompt_s"], "s")],
        ["energy per token", _energy(serving, at["energy_per_token_j"])],
        ["limited by", at["limit"]],
    ]
    print_table("serving", ["what", "value"], answers)
    memory = [[r["part"], f"{r['bytes'] / 1e9:.3f}"] for r in serving.records("memory")]
    print_table("memory per device", ["part", "GB"], memory)
    spent = [[r["part"], si(r["time_s"], "s"), f"{100 * r['share']:.1f}%"] for r in serving.records("step")]
    print_table("time of a step", ["spent on", "time", "share"], spent)
    records = serving.records("sweep")
    shown = records[:: max(1, len(records) // 10)]
    rows = [
        [r["batch"], f"{r['tokens_per_s']:,.1f}", si(r["step_s"], "s"), _joules(r["energy_per_token_j"]), r["limit"]]
        for r in (shown if shown[-1] == records[-1] else [*shown, records[-1]])
    ]
    print_table("batch sweep", ["batch", "tokens/s", "latency", "energy per token", "limited by"], rows)
    view_assumed_and_notes(serving)


def _joules(joules: float | None) -> str:
    return "-" if joules is None else si(joules, "J")


def _energy(serving: "Serving", joules: float | None) -> str:
    """Joules per token, and what they are."""
    from bitsim.hw.gpu import Gpu

    if joules is None:
        return "not known"
    if not isinstance(serving.hardware, Gpu):
        return f"{si(joules, 'J')} (system convention)"
    power = serving.devices * serving.hardware.board_power.nominal
    return f"{si(joules, 'J')} ({power:,.0f} W board power x time)"
