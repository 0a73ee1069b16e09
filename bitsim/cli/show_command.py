"""`bitsim show`: a chip, technology, link or CPU, constant by constant."""

import json
from pathlib import Path

import click

from bitsim.cli.files import write_files
from bitsim.cli.options import output_options
from bitsim.cli.output import print_json, print_table
from bitsim.errors import UnknownNameError
from bitsim.hw import (
    Chip,
    Cpu,
    Link,
    Technology,
    chip_names,
    cpu_names,
    link_names,
    load_chip,
    load_cpu,
    load_link,
    load_technology,
    technology_names,
)
from bitsim.hw.gpu import Gpu, gpu_names, load_gpu
from bitsim.hw.technology import unpriced_names


@click.command("show")
@click.argument("name")
@output_options
def command(name: str, as_json: bool, out: Path | None) -> None:
    """Show the chip, GPU, CPU, link or technology NAME, or a YAML file of one, with the source of every constant."""
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


def load(name: str) -> Chip | Technology | Gpu | Link | Cpu:
    """What `name` stands for; a file is what its keys say, and a chip if they say nothing else."""
    is_file = name.endswith((".yaml", ".yml"))
    keys = top_level_keys(Path(name)) if is_file else set()
    if name in (*technology_names(), *unpriced_names()) or "prices" in keys:
        return load_technology(name)
    if name in gpu_names() or "peaks" in keys:
        return load_gpu(name)
    if name in link_names() or "startup" in keys:
        return load_link(name)
    if name in cpu_names() or "isa" in keys:
        return load_cpu(name)
    if name in chip_names() or is_file:
        return load_chip(name)
    known = [*chip_names(), *gpu_names(), *technology_names(), *link_names(), *cpu_names()]
    raise UnknownNameError("chip, GPU, technology, link or CPU", name, known)


def top_level_keys(path: Path) -> set[str]:
    """The keys at the left edge of a YAML file; a file that can't be read has none, and loading it says why."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return set()
    return {line.partition(":")[0] for line in lines if line[:1].isalpha()}
