"""`bitsim list`: what comes with bitsim."""

import json
from pathlib import Path

import click

from bitsim.cli.files import write_files
from bitsim.cli.options import output_options
from bitsim.cli.output import print_json, print_table
from bitsim.hw import (
    chip_names,
    cpu_names,
    link_names,
    load_chip,
    load_cpu,
    load_link,
    load_technology,
    technology_names,
)


@click.command("list")
@click.argument(
    "what",
    type=click.Choice(["all", "chips", "gpus", "cpus", "links", "technologies", "models", "numerics"]),
    default="all",
)
@output_options
def command(what: str, as_json: bool, out: Path | None) -> None:
    """List the chips, GPUs, CPUs, links, technologies and models that come with bitsim, or the numerics of models."""
    from bitsim.model.catalogue import catalogue

    listed: dict[str, list[dict[str, str]]] = {}
    if what in ("all", "chips"):
        chips = (load_chip(name) for name in chip_names())
        listed["chips"] = [{"name": chip.name, "summary": chip.summary} for chip in chips]
    if what in ("all", "gpus"):
        from bitsim.hw.gpu import gpu_names, load_gpu

        gpus = (load_gpu(name) for name in gpu_names())
        listed["gpus"] = [{"name": gpu.name, "summary": gpu.summary} for gpu in gpus]
    if what in ("all", "cpus"):
        listed["cpus"] = [{"name": cpu.name, "summary": cpu.summary} for cpu in map(load_cpu, cpu_names())]
    if what in ("all", "links"):
        listed["links"] = [{"name": link.name, "summary": link.summary} for link in map(load_link, link_names())]
    if what in ("all", "technologies"):
        technologies = (load_technology(name) for name in technology_names())
        listed["technologies"] = [{"name": tech.name, "summary": tech.summary} for tech in technologies]
    if what in ("all", "models"):
        listed["models"] = [
            {
                "name": entry.name,
                "executable": "yes" if entry.executable else "with --random-weights",
                "numerics": entry.numerics,
                "summary": entry.summary,
            }
            for entry in catalogue()
        ]
    if what == "numerics":
        from bitsim.quant.recipes import NUMERICS

        listed["numerics"] = [
            {
                "name": name,
                "linear class": entry.linear_class or "-",
                "source": entry.source,
                "evidence": entry.evidence,
            }
            for name, entry in NUMERICS.items()
        ]
    if out:
        write_files(out, {"list.json": json.dumps(listed, indent=1) + "\n"})
    if as_json:
        print_json(listed)
        return
    for title, entries in listed.items():
        print_table(title, list(entries[0]), [list(entry.values()) for entry in entries])
