"""What commands print: tables, JSON, CSV, notes for people at a terminal."""

import re
import sys
from collections.abc import Sequence

import click

from bitsim.cli.terminal import note, printable

# A number, with or without a unit or a range, or a dash for none.
NUMBER = re.compile(r"(-|unpriced|no area|[+-]?[\d,]+(\.\d+)?(e[+-]\d+)?%?( [munp]?[JsW])?( \[.*\])?( without)?)$")
SI = ((1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"), (1e-12, "p"))


def si(value: float, unit: str) -> str:
    """`value` with an SI prefix and three significant digits: 1.23 mJ."""
    if value == 0:
        return f"0 {unit}"
    rounded = abs(float(f"{value:.3g}"))
    for factor, prefix in SI:
        if rounded >= factor:
            return f"{value / factor:.3g} {prefix}{unit}" if abs(value) < 1000 else f"{value:,.0f} {unit}"
    return f"{value:.3g} {unit}"


def share_text(share: float) -> str:
    """A share in percent: whole numbers, small ones as a bound."""
    return f"{100 * share:.0f} %" if share >= 0.01 or share == 0 else "< 1 %"


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A plain table; columns of numbers are right-aligned."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    cells = [[printable(str(cell)) for cell in row] for row in rows]
    table = Table(title=printable(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        numeric = all(NUMBER.match(row[i]) for row in cells)
        table.add_column(printable(column), justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*row)
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160, markup=False, highlight=False)
    with console.capture() as captured:  # rich ends the process by itself when a pipe is closed
        console.print(table)
    click.echo(captured.get(), nl=False)


def echo_json(text: str) -> None:
    """JSON on stdout, as it is."""
    click.echo(text)


def announce_compilation() -> None:
    """Say once, on a terminal, that kernels are being compiled, when numba really compiles one."""
    if not sys.stderr.isatty():
        return
    from numba.core import event

    class Announcer(event.Listener):
        said = False

        def on_start(self, _event: object) -> None:
            if not self.said:
                self.said = True
                note("compiling kernels: once per machine, half a minute or so ...")

        def on_end(self, _event: object) -> None:
            return

    event.register("numba:compile", Announcer())
