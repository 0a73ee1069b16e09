"""`bitsim convert`: a checkpoint in another format or packing."""

from pathlib import Path
from typing import Any

import click

from bitsim.cli.options import gguf_options
from bitsim.cli.output import note

PACKINGS = ["2bit", "1.6bit", "trits5_offset", "trits5_sign", "tq2_0", "tq1_0", "i2_s", "i2_s_x86", "i2_s_arm"]


@click.command("convert")
@click.argument("source")
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--format", "file_format", type=click.Choice(["hf", "gguf"]), required=True)
@click.option(
    "--packing",
    type=click.Choice(PACKINGS),
    required=True,
    help="hf: 2bit, 1.6bit (trits5_*); gguf: tq2_0, tq1_0, i2_s.",
)
@gguf_options
def command(source: str, target: Path, file_format: Any, packing: str, hidden_act: Any, i2s_layout: Any) -> None:
    """Write SOURCE (a shipped model, a Hugging Face directory or a GGUF file) to TARGET without loss.

    i2_s is bitnet.cpp's x86 layout; 1.6bit is trits5_offset, five trits per byte.
    """
    from bitsim.model.convert import convert, open_source

    convert(open_source(source, hidden_act, i2s_layout), target, file_format, packing)
    note(f"wrote {target}")
