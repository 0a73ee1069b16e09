"""`bitsim show`: a description of any kind, constant by constant."""

from pathlib import Path

import click

from bitsim.cli.options import output_options
from bitsim.cli.output import print_table
from bitsim.cli.terminal import echo


@click.command("show")
@click.argument("name")
@output_options
def command(name: str, as_json: bool, out: Path | None) -> None:
    """Show what NAME stands for, or what a YAML file describes, with the source of every constant.

    NAME is that of a chip, GPU, CPU, link, technology, SRAM, DRAM, tensor core, GPU kernel or model shape.
    """
    from bitsim.cli.emit import emit_description
    from bitsim.cost.clock import clock_rows
    from bitsim.cost.sram import LEVEL_COLUMNS, levels_of
    from bitsim.hw.chip import Chip
    from bitsim.model.kinds import load_described

    described = load_described(name)
    content = described.model_dump(mode="json")

    def view() -> None:
        echo(f"{described.name}: {described.summary}\nfile {described.path}, sha256 {described.sha256}")
        print_table("settings", ["what", "value"], list(described.settings().items()))
        if isinstance(described, Chip) and (levels := levels_of(described)):
            print_table("memory levels: low / nominal / high", list(LEVEL_COLUMNS), levels)
        if isinstance(described, Chip) and (paths := clock_rows(described)):
            print_table(f"clock, {described.clock.text()}", ["datapath", "logic", "critical path"], paths)
        rows = [[key, c.text(), c.evidence, c.source] for key, c in described.constants().items()]
        print_table("constants", ["what", "value", "evidence", "source"], rows)

    emit_description(content, view, as_json=as_json, out=out, stem=described.name)
