"""`bitsim show`: a chip or a technology, constant by constant."""

import click

from bitsim.cli.output import print_json, print_table
from bitsim.errors import UnknownNameError
from bitsim.hw import chip_names, load_chip, load_technology, technology_names
from bitsim.hw.constants import Constant


@click.command("show")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def command(name: str, as_json: bool) -> None:
    """Show the chip or technology NAME (or a YAML file of a chip) with the source of every constant."""
    if name in technology_names():
        technology = load_technology(name)
        described, constants = technology, technology.constants()
    elif name in chip_names() or name.endswith((".yaml", ".yml")):
        chip = load_chip(name)
        described, constants = chip, chip.constants()  # type: ignore[assignment]
    else:
        raise UnknownNameError("chip or technology", name, [*chip_names(), *technology_names()])
    if as_json:
        print_json(described.model_dump(mode="json"))
        return
    click.echo(f"{described.name}: {described.summary}\nfile {described.path}, sha256 {described.sha256}")
    settings = [[key, value] for key, value in described.settings().items()]
    if settings:
        print_table("settings", ["what", "value"], settings)
    print_table("constants", ["what", "value", "evidence", "source"], [row(k, c) for k, c in constants.items()])


def row(name: str, constant: Constant) -> list[str]:
    """One constant as cells."""
    return [name, constant.text(), constant.evidence, constant.source]
