"""Text that others wrote (names, sources, what a model says) on a terminal: it can't move the cursor or hide itself."""

import sys
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

LONGEST_LINE = 2000
MOST_LINES = 50
# Controls, formats (bidirectional ones, invisible ones), lone surrogates, private use, line and paragraph separators.
HIDDEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def printable(text: str, keep: str = "") -> str:
    """`text` with every control, bidirectional or invisible character but those in `keep` as `\\x1b` or `\\u202e`."""
    if text.isprintable():
        return text
    return "".join(c if c in keep or unicodedata.category(c) not in HIDDEN else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return ascii(character)[1:-1]


def cut(text: str) -> str:
    """At most `MOST_LINES` lines of `LONGEST_LINE` characters; what is missing is said."""
    lines = [line if len(line) <= LONGEST_LINE else _shortened(line) for line in text.split("\n")]
    left_out = len(lines) - MOST_LINES
    return "\n".join(lines if left_out <= 0 else [*lines[:MOST_LINES], f"... and {left_out:,} more lines"])


def _shortened(line: str) -> str:
    return f"{line[:LONGEST_LINE]} ... ({len(line) - LONGEST_LINE:,} more characters)"


def echo(text: str, *, err: bool = False) -> None:
    """A line, or several, that may hold what others wrote."""
    click.echo(printable(text, keep="\n"), err=err)


def echo_text(text: str) -> None:
    """A piece of a text without a line end: as it is into a file or pipe, printable on a terminal."""
    click.echo(printable(text, keep="\n\t") if sys.stdout.isatty() else text, nl=False)


def note(message: str) -> None:
    """A line on stderr for people at a terminal; silent when piped."""
    if sys.stderr.isatty():
        echo(message, err=True)


@contextmanager
def warnings_in_a_line() -> Iterator[None]:
    """Warnings of Python are lines like those of errors, without the line of code that they come from."""

    def show(message: Warning | str, *_where: Any) -> None:
        echo(cut(f"bitsim: warning: {message}"), err=True)

    with warnings.catch_warnings():
        warnings.showwarning = show  # type: ignore[assignment]
        yield
