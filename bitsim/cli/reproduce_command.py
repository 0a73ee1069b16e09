"""`bitsim reproduce`: published numbers, ours beside theirs."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bitsim.cli.files import check_directory
from bitsim.cli.options import output_options
from bitsim.cli.our_reports import our_report
from bitsim.cli.output import announce_compilation, print_table
from bitsim.cli.terminal import echo

if TYPE_CHECKING:
    from reports.report import Report

# What can be reproduced: module of `reports` and function, called with a callback for progress, that make its `Report`.
REPORTS = {
    "all": ("everything", "all_report"),
    "a4.8": ("a48", "a48_report"),
    "cpu": ("cpu", "cpu_report"),
    "energy": ("energy_2310_11453", "energy_report"),
    "latency": ("latency_2402_17764", "latency_report"),
    "memory": ("memory_2402_17764", "memory_report"),
    "throughput": ("throughput_2402_17764", "throughput_report"),
    "quality": ("quality", "quality_report"),
    "sparsity": ("a48", "sparsity_report"),
}


@click.command("reproduce")
@click.argument("what", type=click.Choice(list(REPORTS)))
@output_options
def command(what: str, as_json: bool, out: Path | None) -> None:
    """Recompute published numbers: ours, paper, residual, label.

    JSON, CSV, PNG and PDF go to --out (default: out/reproduce-WHAT).

    all: one table of everything below but quality. a4.8: the claims made for BitNet a4.8. cpu: speed and energy of
    bitnet.cpp on an Apple M2 Ultra. energy: energy tables and ratios of BitNet and b1.58. memory, latency, throughput:
    b1.58's systems numbers, on GPUs whose kernels were fitted to published times. quality: bits per byte of the five
    shipped models. sparsity: Table 2 of a4.8.
    """
    announce_compilation()
    # Tables come with files; a program that asks for JSON gets files only where it names a directory.
    directory = out or (None if as_json else Path("out") / f"reproduce-{what}")
    check_directory(directory)
    from bitsim.cli.emit import emit
    from bitsim.cli.progress import progress

    module, function = REPORTS[what]
    with progress("steps") as step:
        report = getattr(our_report(module), function)(step)
    emit(report, view_report, as_json=as_json, out=directory, stem=what, further=partial(_further, what))


def view_report(report: "Report") -> None:
    """The table and what its rows come to."""
    print_table(report.title, report.columns, report.cells)
    echo(report.summary)


def _further(what: str, report: "Report") -> Mapping[str, str | bytes]:
    """The figure, and further texts."""
    return {f"{what}.{suffix}": content for suffix, content in report.figure.items()} | dict(report.texts)
