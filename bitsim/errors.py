"""Errors that a user can act on: every message says where, what was expected and what came."""

from collections.abc import Iterable
from difflib import get_close_matches


class BitsimError(Exception):
    """Base of all errors that bitsim raises on purpose; the command line prints them in one line."""


class ConfigError(BitsimError):
    """A chip, technology or model description is malformed: file, line, path, expected, got."""


class CheckpointError(BitsimError):
    """A checkpoint can't be read as it stands: file, tensor or key, expected, got."""


class OperandError(BitsimError):
    """An operand has a shape, type or value that the datapath does not accept."""


class OutputMismatchError(BitsimError):
    """A datapath that calls itself exact gave other sums than the integer matmul."""


class UnpricedEventError(BitsimError):
    """An event was counted for which the technology has no price."""


class PromptError(BitsimError):
    """The prompt can't be tokenised or is empty."""


class OutputError(BitsimError):
    """An output file or directory can't be written."""


class UnknownNameError(BitsimError):
    """A name is not known; the nearest known names are suggested."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = get_close_matches(name, names, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
        super().__init__(f"unknown {what} {name!r}; {hint}")
