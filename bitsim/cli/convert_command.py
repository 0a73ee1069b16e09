"""`bitsim convert`: a checkpoint in another format or packing."""

from pathlib import Path
from typing import Any

import click

from bitsim.cli.options import gguf_options, ternarise_option
from bitsim.cli.terminal import echo, note

PACKINGS = ["2bit", "1bit", "1.6bit", "trits5_offset", "trits5_sign", "tq2_0", "tq1_0", "i2_s", "i2_s_x86", "i2_s_arm"]


@click.command("convert")
@click.argument("source")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--format", "file_format", type=click.Choice(["hf", "gguf"]), required=True)
@click.option(
    "--packing",
    type=click.Choice(PACKINGS),
    help="hf: 2bit (default), 1.6bit (trits5_*), 1bit (binary weights); gguf: tq2_0 (default), tq1_0, i2_s.",
)
@click.option(
    "--random-weights",
    "random_seed",
    type=click.IntRange(min=0),
    metavar="SEED",
    help="Write a shape with random weights.",
)
@click.option(
    "--arch",
    type=click.Choice(["bitnet"]),
    help="gguf: the architecture that llama.cpp knows, with the vocabulary of SOURCE's tokenizer.json.",
)
@gguf_options
@ternarise_option
def command(
    source: str,
    target: Path,
    file_format: Any,
    packing: str | None,
    random_seed: int | None,
    arch: str | None,
    hidden_act: Any,
    i2s: Any,
    ternarise: Any,
) -> None:
    """Write SOURCE (a shipped model, a Hugging Face directory or a GGUF file) to TARGET without loss.

    i2_s is bitnet.cpp's x86 layout; 1.6bit is trits5_offset, five trits per byte. With --random-weights, SOURCE is any
    ternary shape that `bitsim list` shows.
    """
    from bitsim.model.convert import USUAL_PACKING, convert, notes_for_upstream, open_source, random_source

    if random_seed is None:
        opened = open_source(source, hidden_act, i2s, ternarise)
    else:
        opened = random_source(source, random_seed)
    convert(opened, target, file_format, packing or USUAL_PACKING[file_format], upstream=arch is not None)
    note(f"wrote {target}")
    for text in notes_for_upstream(opened.config) if arch is not None else ():
        echo(f"bitsim: warning: {text}", err=True)
