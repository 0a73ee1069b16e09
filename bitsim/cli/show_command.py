"""`bitsim show`: a description of any kind, constant by constant."""

import json
from pathlib import Path

import click

from bitsim.cli.files import write_files
from bitsim.cli.options import output_options
from bitsim.cli.output import print_json, print_table
from bitsim.cli.terminal import echo


@click.command("show")
@click.argument("name")
@output_options
def command(name: str, as_json: bool, out: Path | None) -> None:
    """Show what NAME stands for, or what a YAML file describes, with the source of every constant.

    NAME is that of a chip, GPU, CPU, link, technology, DRAM, tensor core, GPU kernel or model shape.
    """
    from bitsim.model.kinds import load_described

    described = load_described(name)
    content = described.model_dump(mode="json")
    if out:
        write_files(out, {f"{described.name}.json": json.dumps(content, indent=1) + "\n"})
    if as_json:
        print_json(content)
        return
    echo(f"{described.name}: {described.summary}\nfile {described.path}, sha256 {described.sha256}")
    print_table("settings", ["what", "value"], list(described.settings().items()))
    print_table(
        "constants",
        ["what", "value", "evidence", "source"],
        [[key, c.text(), c.evidence, c.source] for key, c in described.constants().items()],
    )
