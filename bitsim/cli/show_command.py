"""`bitsim show`: a chip or a technology, constant by constant."""

import json
from pathlib import Path

import click

from bitsim.cli.options import output_options
from bitsim.cli.output import print_json, print_table, write_files
from bitsim.errors import UnknownNameError
from bitsim.hw import Chip, Technology, chip_names, load_chip, load_technology, technology_names
from bitsim.hw.gpu import Gpu, gpu_names, load_gpu
from bitsim.hw.technology import unpriced_names


@click.command("show")
@click.argument("name")
@output_options
def command(name: str, as_json: bool, out: Path | None) -> None:
    """Show the chip, GPU or technology NAME, or a YAML file of one, with the source of every constant."""
    described = load(name)
    content = described.model_dump(mode="json")
    if out:
        write_files(out, {f"{described.name}.json": json.dumps(content, indent=1) + "\n"})
    if as_json:
        print_json(content)
        return
    click.echo(f"{described.name}: {described.summary}\nfile {described.path}, sha256 {described.sha256}")
    print_table("settings", ["what", "value"], list(described.settings().items()))
    print_table(
        "constants",
        ["what", "value", "evidence", "source"],
        [[key, c.text(), c.evidence, c.source] for key, c in described.constants().items()],
    )


def load(name: str) -> Chip | Technology | Gpu:
    """What `name` stands for; a file with prices is a technology, one with peak rates a GPU, any other a chip."""
    is_file = name.endswith((".yaml", ".yml"))
    if name in (*technology_names(), *unpriced_names()) or (is_file and has_key(Path(name), "prices")):
        return load_technology(name)
    if name in gpu_names() or (is_file and has_key(Path(name), "peaks")):
        return load_gpu(name)
    if name in chip_names() or is_file:
        return load_chip(name)
    raise UnknownNameError("chip, GPU or technology", name, [*chip_names(), *gpu_names(), *technology_names()])


def has_key(path: Path, key: str) -> bool:
    """Whether a file has a top-level key; a file that can't be read has none, and loading it says why."""
    try:
        return any(line.startswith(f"{key}:") for line in path.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError):
        return False
