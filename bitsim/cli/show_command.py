"""`bitsim show`: a chip or a technology, constant by constant."""

import json
from pathlib import Path

import click

from bitsim.cli.options import output_options
from bitsim.cli.output import print_json, print_table, write_files
from bitsim.errors import UnknownNameError
from bitsim.hw import chip_names, load_chip, load_technology, technology_names
from bitsim.hw.constants import Constant


@click.command("show")
@click.argument("name")
@output_options
def command(name: str, as_json: bool, out: Path | None) -> None:
    """Show the chip or technology NAME (or a YAML file of a chip) with the source of every constant."""
    is_file = name.endswith((".yaml", ".yml"))
    if name in technology_names() or (is_file and "bitlinear:" not in readable(name)):
        technology = load_technology(name)
        described, constants = technology, technology.constants()
    elif name in chip_names() or is_file:
        chip = load_chip(name)
        described, constants = chip, chip.constants()  # type: ignore[assignment]
    else:
        raise UnknownNameError("chip or technology", name, [*chip_names(), *technology_names()])
    content = described.model_dump(mode="json")
    if out:
        write_files(out, {f"{described.name}.json": json.dumps(content, indent=1) + "\n"})
    if as_json:
        print_json(content)
        return
    click.echo(f"{described.name}: {described.summary}\nfile {described.path}, sha256 {described.sha256}")
    settings = [[key, value] for key, value in described.settings().items()]
    if settings:
        print_table("settings", ["what", "value"], settings)
    print_table("constants", ["what", "value", "evidence", "source"], [row(k, c) for k, c in constants.items()])


def readable(path: str) -> str:
    """The text of a file, or nothing; what is wrong with it is said where it is loaded."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return "bitlinear:"


def row(name: str, constant: Constant) -> list[str]:
    """One constant as cells."""
    return [name, constant.text(), constant.evidence, constant.source]
