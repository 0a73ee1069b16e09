"""Options that several commands share."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def together(*decorators: Decorator) -> Decorator:
    """Several click decorators as one, in the order in which help shows them."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


def listed(kind: type[int] | type[str]) -> Callable[[click.Context, click.Parameter, str | None], list[Any] | None]:
    """Callback of an option that takes values with commas between them."""

    def parse(_context: click.Context, _option: click.Parameter, value: str | None) -> list[Any] | None:
        if value is None:
            return None
        if not all(word.strip() for word in value.split(",")):
            raise click.BadParameter(f"expected values with commas between them, got {value!r}")
        try:
            return [kind(word.strip()) for word in value.split(",")]
        except ValueError:
            raise click.BadParameter(f"expected integers with commas between them, got {value!r}") from None

    return parse


numerics_option = click.option(
    "--numerics", help="Numerics, a contract or a recipe by name (default: what the checkpoint's config says)."
)
storage_options = together(
    click.option("--packing", help="How quantised linears are stored, such as trits5_offset (default: as they are)."),
    click.option("--kv-bits", type=int, help="16, 8, 4 or 3 bits per key and value (default: what the numerics say)."),
    click.option("--head-bits", type=int, help="16, 8 or 4 bits per weight of the head: rows rounded to nearest."),
    click.option("--embedding-bits", type=int, help="The same of the embedding."),
)
chip_option = click.option("--chip", default="ternary-ws-64x64", show_default=True, help="Name or YAML file of a chip.")
technology_option = click.option(
    "--technology", help="Technology to price the chip with: name, YAML file, or a node between, as 18nm."
)


def priced_chip_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--chip`, and `--technology` to have it on another one; the command is given the chip that they mean."""

    @chip_option
    @technology_option
    @wraps(function)
    def command(*arguments: Any, chip: str, technology: str | None, **settings: Any) -> Any:
        if technology is None:
            return function(*arguments, chip=chip, **settings)
        from bitsim.hw import load_chip

        return function(*arguments, chip=load_chip(chip).with_technology(technology), **settings)

    return command


objective_option = click.option(
    "--objective",
    type=click.Choice(["latency", "energy", "edp"]),
    default="latency",
    show_default=True,
    help="What tiles and loop orders are chosen for.",
)
capacity_option = click.option(
    "--beyond-capacity", is_flag=True, help="Go on if model and KV cache have no room in memory."
)
schedule_options = together(
    objective_option,
    click.option("--chunk", type=int, help="Most prompt tokens per prefill step (default: the whole prompt)."),
    click.option(
        "--causal",
        type=click.Choice(["triangle", "full"]),
        default="triangle",
        show_default=True,
        help="Attention of a prompt in blocks that skip later tokens, or the whole rectangle, which is then masked.",
    ),
    click.option(
        "--logits",
        type=click.Choice(["last", "all"]),
        default="last",
        show_default=True,
        help="Positions of a prompt for which the head is computed.",
    ),
    capacity_option,
)
objective_options = together(objective_option, capacity_option)


def one_form(context: click.Context, option: click.Parameter, value: bool) -> bool:
    """Callback of flags that say how an outcome is printed: one of them."""
    if value and any(context.params.get(other) for other in ("as_json", "brief") if other != option.name):
        raise click.UsageError("expected --brief or --json, not both")
    return value


output_options = together(
    click.option("--json", "as_json", is_flag=True, callback=one_form, help="Print JSON instead of tables."),
    click.option("--out", type=click.Path(path_type=Path), help="Directory for JSON, CSV and figures."),
)

brief_option = click.option(
    "--brief",
    is_flag=True,
    callback=one_form,
    help="Print ten lines: speed, energy, area, power, TOPS, TOPS/W, TOPS/mm2.",
)

trace_option = click.option(
    "--trace",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a timeline of the operators as JSON, for ui.perfetto.dev.",
)

execution_options = together(
    numerics_option,
    click.option(
        "--toggles",
        type=click.Choice(["exact", "sample", "off"]),
        default="sample",
        show_default=True,
        help="Toggles of registers that see running sums: on all columns, an eighth of the tiles (at most 8), or none.",
    ),
    click.option(
        "--wide",
        type=click.Choice(["float32", "datapath"]),
        default="float32",
        show_default=True,
        help="Values of the matmuls that stay wide: the contract's float32, or the wide datapath's own rounding.",
    ),
    click.option(
        "--random-weights",
        "random_seed",
        type=click.IntRange(min=0),
        metavar="SEED",
        help="Run a shape with random weights.",
    ),
)

ternarise_option = click.option(
    "--ternarise",
    type=click.Choice(["exact", "absmean"]),
    help="Take float linears for ternary: exact: they hold -s, 0 and +s already, as TriLM's do and a "
    "GGUF file's ternary types, activations are not quantised; absmean: they are master weights of BitLinear.",
)

gguf_options = together(
    click.option(
        "--hidden-act",
        type=click.Choice(["relu2", "silu"]),
        help="FFN activation, where a GGUF file does not tell it (llama.cpp takes silu).",
    ),
    click.option(
        "--i2s-layout",
        "i2s",
        type=click.Choice(["x86", "arm"]),
        help="Layout of I2_S tensors, where a file does not tell it.",
    ),
)

generation_options = together(
    click.option("--prompt", help="Text to continue."),
    click.option("--tokens", callback=listed(int), metavar="ID,ID,...", help="Token ids to continue, instead of text."),
    click.option("--new-tokens", type=click.IntRange(min=0), default=64, show_default=True),
    click.option("--temperature", type=click.FloatRange(min=0), default=0.0, show_default=True, help="0 is greedy."),
    click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Seed of sampling (tokens and toggle columns).",
    ),
)
