"""`bitsim list`: what comes with bitsim."""

import click

from bitsim.cli.output import print_json, print_table
from bitsim.hw import chip_names, load_chip, load_technology, technology_names


@click.command("list")
@click.argument("what", type=click.Choice(["all", "chips", "technologies", "models"]), default="all")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def command(what: str, as_json: bool) -> None:
    """List the chips, technologies and models that come with bitsim."""
    from bitsim.model.catalogue import catalogue

    listed: dict[str, list[dict[str, str]]] = {}
    if what in ("all", "chips"):
        chips = (load_chip(name) for name in chip_names())
        listed["chips"] = [{"name": chip.name, "summary": chip.summary} for chip in chips]
    if what in ("all", "technologies"):
        technologies = (load_technology(name) for name in technology_names())
        listed["technologies"] = [{"name": tech.name, "summary": tech.summary} for tech in technologies]
    if what in ("all", "models"):
        listed["models"] = [
            {"name": entry.name, "weights": "shipped" if entry.executable else "shapes only", "summary": entry.summary}
            for entry in catalogue()
        ]
    if as_json:
        print_json(listed)
        return
    for title, entries in listed.items():
        print_table(title, list(entries[0]), [list(entry.values()) for entry in entries])
