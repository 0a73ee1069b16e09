"""Lists as JSON: an array of objects with the keys of `KEYS`, by itself or as the only key `matmuls` of an object."""

import json
from collections.abc import Iterator

from bitsim._untrusted import UnreadableError, read_json
from bitsim.study.matmul_lists.entries import KEYS, MOST_ENTRIES, Entry, ListError

_SPACE = " \t\r\n"


def json_entries(data: bytes, path: str) -> Iterator[Entry]:
    """The entries, each with the line on which it starts; raises `ListError`."""
    try:
        content = read_json(data)
    except UnreadableError as error:
        raise ListError(f"{path}: {error}") from None
    if isinstance(content, dict) and list(content) == ["matmuls"]:
        content = content["matmuls"]
    if not isinstance(content, list):
        raise ListError(f"{path}:1: expected an array of matmuls, or an object with the key matmuls only")
    if len(content) > MOST_ENTRIES:
        raise ListError(f"{path}: expected at most {MOST_ENTRIES:,} matmuls, got {len(content):,}")
    lines = _lines(data.decode("utf-8"), len(content))
    for line, values in zip(lines, content, strict=True):
        where = f"{path}:{line}"
        if not isinstance(values, dict):
            raise ListError(f"{where}: expected an object with the keys {', '.join(KEYS)}, got {str(values)[:60]}")
        for key in values:
            if key not in KEYS:
                raise ListError(f"{where}: unknown key {key[:60]!r}; expected {', '.join(KEYS)}")
        yield Entry(values=values, where=where)


def _lines(text: str, items: int) -> Iterator[int]:
    """The line on which each item of the one array starts; `text` is known to be JSON."""
    decoder, at, line, counted = json.JSONDecoder(), text.index("[") + 1, 1, 0
    for _ in range(items):
        while text[at] in _SPACE or text[at] == ",":
            at += 1
        line += text.count("\n", counted, at)
        counted = at
        yield line
        _, at = decoder.raw_decode(text, at)
