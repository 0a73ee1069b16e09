"""Files that others wrote: only ordinary ones are read, within bounds, and a key of a JSON object stands there once."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PIECE_BYTES = 1 << 16  # a bound is no reason to take as much memory
_OTHERS: dict[str, Callable[[int], bool]] = {
    "a directory": stat.S_ISDIR,
    "a FIFO": stat.S_ISFIFO,
    "a socket": stat.S_ISSOCK,
    "a device": stat.S_ISCHR,
    "a block device": stat.S_ISBLK,
}


class UnreadableError(Exception):
    """Why a file or a text is not read, for the reader of its format to say where."""


class MissingError(UnreadableError):
    """There is no such file."""


def open_regular(path: str | Path) -> int:
    """A descriptor of an ordinary file, open for reading; nothing else is waited for. Raises `UnreadableError`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError as error:
        raise MissingError(f"can't be read: {error.strerror}") from None
    except OSError as error:
        raise UnreadableError(f"can't be read: {error.strerror or error}") from None
    except ValueError:  # surrogates and null characters
        raise UnreadableError("can't be read: no file has such a name") from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = next((kind for kind, is_kind in _OTHERS.items() if is_kind(mode)), "something else")
        raise UnreadableError(f"expected an ordinary file, got {kind}")
    return descriptor


def read_bounded(path: str | Path, most_bytes: int) -> bytes:
    """The bytes of an ordinary file that has at most so many. Raises `UnreadableError`."""
    data = bytearray()
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            while piece := file.read(_PIECE_BYTES):
                data += piece
                if len(data) > most_bytes:
                    raise UnreadableError(f"expected at most {most_bytes:,} bytes, got more")
    except OSError as error:
        raise UnreadableError(f"can't be read: {error.strerror or error}") from None
    return bytes(data)


def read_json(data: bytes, what: str = "JSON") -> Any:
    """The JSON in `data`, which must be UTF-8 and finite, each key once. Raises `UnreadableError`: expected `what`."""
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_unique_keys, parse_constant=_refused)
    except RecursionError:
        raise UnreadableError(f"expected {what}, got more nesting than can be read") from None
    except ValueError as error:
        raise UnreadableError(f"expected {what}, got: {str(error)[:200]}") from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the same key twice ({key[:60]!r})")
        values[key] = value
    return values


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant}, which is no JSON")
