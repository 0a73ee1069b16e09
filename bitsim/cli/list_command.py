"""`bitsim list`: what comes with bitsim."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitsim.cli.options import output_options
from bitsim.cli.output import print_table

if TYPE_CHECKING:
    from bitsim.hw.library import Kind

Listed = list[dict[str, str]]
_ONLY_BY_NAME = ("numerics", "wide_numerics", "shapes")


@click.command("list")
@click.argument("what", default="all")
@output_options
def command(what: str, as_json: bool, out: Path | None) -> None:
    """List what comes with bitsim.

    WHAT is chips, gpus, cpus, links, technologies, sram, dram, tensor_cores, gpu_kernels or shapes; models (trained
    ones, then shapes); numerics of models, or wide_numerics of attention and head on chips that multiply them in
    integers; or all, which is everything but numerics and, as they are models, shapes.
    """
    from bitsim.cli.emit import emit_description
    from bitsim.model.kinds import KINDS

    lists: dict[str, Callable[[], Listed]] = {kind.plural: partial(_described, kind) for kind in KINDS}
    lists |= {"models": _models, "numerics": _numerics, "wide_numerics": _wide_numerics}
    if what != "all" and what not in lists:
        expected = ", ".join(repr(name) for name in ("all", *lists))
        raise click.BadParameter(f"{what!r} is not one of {expected}.", param_hint="'[WHAT]'")
    chosen = [name for name in lists if name not in _ONLY_BY_NAME] if what == "all" else [what]
    found = {name: lists[name]() for name in chosen}

    def view() -> None:
        for title, entries in found.items():
            print_table(title, list(entries[0]), [list(entry.values()) for entry in entries])

    emit_description(found, view, as_json=as_json, out=out, stem="list")


def _described(kind: "Kind[Any]") -> Listed:
    return [{"name": item.name, "summary": item.summary} for item in map(kind.load, kind.names())]


def _models() -> Listed:
    from bitsim.model.catalogue import catalogue

    return [
        {
            "name": entry.name,
            "executable": "yes" if entry.executable else "with --random-weights",
            "numerics": entry.numerics,
            "summary": entry.summary,
        }
        for entry in catalogue()
    ]


def _numerics() -> Listed:
    from bitsim.quant.recipes import NUMERICS

    return [
        {
            "name": name,
            "linear class": entry.linear_class or "-",
            "source": entry.source,
            "evidence": entry.evidence,
        }
        for name, entry in NUMERICS.items()
    ]


def _wide_numerics() -> Listed:
    from bitsim.quant.wide import WIDE_CONTRACTS

    return [
        {
            "name": contract.name,
            "wide datapath": f"integers of {contract.bits} bits",
            "kv": contract.kv.name,
            "source": contract.source,
            "evidence": contract.evidence,
        }
        for contract in WIDE_CONTRACTS.values()
    ]
