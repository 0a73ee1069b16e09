"""`bitsim parallel`: a model on several devices."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitsim.cli.files import check_directory
from bitsim.cli.options import listed, output_options, priced_chip_option
from bitsim.cli.output import announce_compilation, print_table, si
from bitsim.cli.terminal import echo

if TYPE_CHECKING:
    from bitsim.parallel.parallel import Parallel

COLUMNS = (
    *("devices", "tensor x stages", "sync", "step", "speed-up", "computing", "communication", "bubbles"),
    *("messages", "MB", "link energy", "sync: calls", "time"),
)


@click.command("parallel")
@click.argument("model")
@priced_chip_option
@click.option("--link", default="nvlink", show_default=True, help="Name or YAML file of the link between devices.")
@click.option(
    "--devices",
    callback=listed(int),
    default="1,2,4,8",
    show_default=True,
    metavar="N,N,...",
    help="How many devices.",
)
@click.option("--pipeline", type=click.IntRange(min=1), help="Stages (default: as few as heads and FFN allow).")
@click.option("--batch", type=int, default=1, show_default=True, help="Sequences.")
@click.option("--context", type=int, default=512, show_default=True, help="Positions attended.")
@click.option("--phase", type=click.Choice(["prefill", "decode"]), default="decode", show_default=True)
@click.option("--micro-batches", type=int, help="Pieces of the batch in the pipeline (default: at most the stages).")
@click.option(
    "--algorithm",
    type=click.Choice(["ring", "tree", "chain"]),
    help="Of the all-reduces (default: the faster one of ring and tree, for each).",
)
@output_options
def command(model: str, chip: Any, link: str, as_json: bool, out: Path | None, **settings: Any) -> None:
    """Time, messages, bytes and energy of one step of MODEL on several devices, with and without group quantisation.

    grouped: every device quantises its own part, only outputs are exchanged. inference: the layer of one device, whose
    weights are quantised already. paper: an all-reduce for each of alpha, beta, gamma and eta and for the norm's mean
    and variance in every linear (arXiv 2310.11453). With --out: parallel.json, parallel.csv and the figure.
    """
    check_directory(out)
    announce_compilation()
    from bitsim.cli.emit import emit
    from bitsim.parallel.parallel import parallel

    result = parallel(model, chip, link, **settings)
    emit(result, view_parallel, as_json=as_json, out=out, stem="parallel", further=_figures)


def _figures(result: "Parallel") -> Mapping[str, bytes]:
    from bitsim.figures.parallel import parallel_figure

    return parallel_figure(result)


def view_parallel(result: "Parallel") -> None:
    """One row per number of devices and kind of synchronisation; then what has no room, and notes."""
    records = result.records()
    print_table(result.title, COLUMNS, [_cells(record) for record in records])
    for record in records:
        if record["reason"] is not None:
            echo(f"{record['devices']} devices: {record['reason']}")
        elif not record["fits"] and record["sync"] == "grouped":
            echo(
                f"{record['devices']} devices: each needs {record['stored_bytes']:,} bytes, its memory has "
                f"{record['dram_bytes']:,}"
            )
    for line in result.notes:
        echo(line)


def _cells(record: Mapping[str, Any]) -> list[object]:
    if record["reason"] is not None:
        return [record["devices"], *["-"] * (len(COLUMNS) - 1)]
    return [
        record["devices"],
        f"{record['tensor']} x {record['pipeline']}",
        record["sync"],
        si(record["time_s"], "s"),
        f"{record['speed_up']:.2f}",
        si(record["compute_s"], "s"),
        si(record["communication_s"], "s"),
        f"{100 * record['bubble_share']:.0f}%",
        f"{record['messages']:,}",
        f"{record['bytes'] / 1e6:.2f}",
        si(record["communication_j"], "J"),
        f"{record['sync_calls']:,}",
        si(record["sync_s"], "s"),
    ]
