"""What commands print and write: tables, JSON, files that are whole or absent, notes for people at a terminal."""

import csv
import io
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from bitsim.errors import OutputError

# A number, with or without a unit or a range, or a dash for none.
NUMBER = re.compile(r"(-|unpriced|no area|[+-]?[\d,]+(\.\d+)?(e[+-]\d+)?%?( [munp]?[Js])?( \[.*\])?)$")
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


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A plain table; columns of numbers are right-aligned."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for i, column in enumerate(columns):
        numeric = all(NUMBER.match(str(row[i])) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160, markup=False, highlight=False).print(table)


def print_json(value: Any) -> None:
    """JSON on stdout; text that is JSON already passes through."""
    click.echo(value if isinstance(value, str) else json.dumps(value, indent=1))


def csv_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Records as CSV with a header line; numbers stay numbers."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(records[0]) if records else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def check_directory(directory: Path | None, option: str = "--out") -> None:
    """Raise `OutputError` before long work starts if `directory` can't be made or written; makes nothing."""
    if directory is None:
        return
    existing = next(folder for folder in (directory, *directory.absolute().parents) if folder.exists())
    if not existing.is_dir():
        raise OutputError(f"{option} {directory}: expected a directory, but {existing} is a file")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise OutputError(f"{option} {directory}: {existing} can't be written")


def write_files(directory: Path, files: Mapping[str, str | bytes]) -> None:
    """Write `files` into `directory`, each to a temporary name first and renamed when it is whole."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{directory}: can't be made: {error.strerror}") from error
    for name, content in files.items():
        temporary = directory / f".{name}.{os.getpid()}.tmp"
        try:
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
            temporary.replace(directory / name)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise OutputError(f"{directory / name}: can't be written: {error.strerror}") from error
    note(f"wrote {', '.join(files)} to {directory}")


def note(message: str) -> None:
    """A line on stderr for people at a terminal; silent when piped."""
    if sys.stderr.isatty():
        click.echo(message, err=True)


def announce_compilation() -> None:
    """Say once, on a terminal, that kernels are being compiled, when numba really compiles one."""
    if not sys.stderr.isatty():
        return
    from numba.core import event

    class Announcer(event.Listener):  # type: ignore[misc]
        said = False

        def on_start(self, _event: object) -> None:
            if not self.said:
                self.said = True
                note("compiling kernels: once per machine, half a minute or so ...")

        def on_end(self, _event: object) -> None:
            return

    event.register("numba:compile", Announcer())
