"""`bitsim parallel`: a model on several devices."""

import json
from pathlib import Path
from typing import Any

import click

from bitsim.cli.files import check_directory, write_files
from bitsim.cli.options import chip_option, listed, output_options
from bitsim.cli.output import announce_compilation, csv_text, print_json, print_table, si

COLUMNS = (
    *("devices", "tensor x stages", "statistics", "step", "speed-up", "computing", "communication", "bubbles"),
    *("messages", "MB", "link energy", "statistics: calls", "time"),
)


@click.command("parallel")
@click.argument("model")
@chip_option
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
def command(model: str, chip: str, link: str, as_json: bool, out: Path | None, **settings: Any) -> None:
    """Time, messages, bytes and energy of one step of MODEL on several devices, with and without group quantisation.

    grouped: every device quantises its own part, no statistic is exchanged. inference: the layer of one device, whose
    weights are quantised already. paper: an all-reduce for each of alpha, beta, gamma and eta and for the norm's mean
    and variance in every linear (arXiv 2310.11453). With --out: parallel.json, parallel.csv and the figure.
    """
    check_directory(out)
    announce_compilation()
    from bitsim.parallel.step import parallel

    result = parallel(model, chip, link, **settings)
    records = result.records()
    everything = {"inputs": result.inputs, "notes": list(result.notes), "steps": records}
    if out:
        from bitsim.figures.parallel import parallel_figure

        files: dict[str, str | bytes] = {"parallel.json": json.dumps(everything, indent=1) + "\n"}
        write_files(out, files | {"parallel.csv": csv_text(records)} | parallel_figure(result))
    if as_json:
        print_json(everything)
        return
    inputs = result.inputs
    print_table(
        f"{inputs['model']} on {inputs['chip']} over {inputs['link']}: one {result.phase} step, batch {result.batch}, "
        f"context {result.context}",
        COLUMNS,
        [_cells(record) for record in records],
    )
    for record in records:
        if not record["fits"] and record["statistics"] == "grouped":
            click.echo(
                f"{record['devices']} devices: each needs {record['stored_bytes']:,} bytes, its memory has "
                f"{record['dram_bytes']:,}"
            )
    for line in result.notes:
        click.echo(line)


def _cells(record: dict[str, Any]) -> list[object]:
    return [
        record["devices"],
        f"{record['tensor']} x {record['pipeline']}",
        record["statistics"],
        si(record["time_s"], "s"),
        f"{record['speed_up']:.2f}",
        si(record["compute_s"], "s"),
        si(record["communication_s"], "s"),
        f"{100 * record['bubble_share']:.0f}%",
        f"{record['messages']:,}",
        f"{record['bytes'] / 1e6:.2f}",
        si(record["communication_j"], "J"),
        f"{record['statistic_calls']:,}",
        si(record["statistic_s"], "s"),
    ]
