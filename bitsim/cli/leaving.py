"""How a command ends that is not let finish: by Ctrl-C, or because nobody reads what it prints."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

INTERRUPTED, CLOSED_PIPE = 130, 141  # 128 + SIGINT, 128 + SIGPIPE, as shells report them


class Left(BaseException):
    """The command is over. `code`: exit code; `says`: a line for stderr, if there is something to say."""

    def __init__(self, code: int, says: str = "") -> None:
        super().__init__(says)
        self.code, self.says = code, says


@contextmanager
def leaving(context: click.Context | None = None) -> Iterator[None]:
    """Turn Ctrl-C and a closed pipe into `Left`. `context`: of the command that runs."""
    try:
        yield
    except (KeyboardInterrupt, click.exceptions.Abort):
        words = " ".join(("bitsim", *_words(context)))
        raise Left(
            INTERRUPTED, f"interrupted: {words} did not finish; files that it had not completed are not there"
        ) from None
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
        _print_to_nobody()
        raise Left(CLOSED_PIPE) from None


@contextmanager
def streams() -> Iterator[None]:
    """A process that was started without stdout or stderr prints to nobody."""
    given = sys.stdout, sys.stderr
    with open(os.devnull, "w") as nobody:
        sys.stdout, sys.stderr = sys.stdout or nobody, sys.stderr or nobody
        try:
            yield
        finally:
            sys.stdout, sys.stderr = given


def _words(context: click.Context | None) -> tuple[str, ...]:
    return (context.invoked_subcommand,) if context is not None and context.invoked_subcommand else ()


def _print_to_nobody() -> None:
    """Let the interpreter flush at its exit what can't be written any more."""
    nobody = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            os.dup2(nobody, stream.fileno())
    os.close(nobody)
