"""Outcomes read back from JSON: the same surface as when they were made, tables and numbers as they were written."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bitsim._untrusted import UnreadableError, read_bounded
from bitsim.errors import BitsimError
from bitsim.results.outcome import SCHEMA, Makers, Outcome, Records

MOST_BYTES = 1 << 28
_KEYS: Mapping[str, type] = {
    **{"schema": str, "kind": str, "bitsim": str, "title": str, "inputs": dict, "headline": dict},
    **{"notes": list, "assumed": list, "tables": dict},
}
_ASSUMED = {"constant", "value", "source"}
_SHARE = "share"  # where energies rest on the constant


class OutcomeError(BitsimError):
    """A file is no outcome, a damaged one, or one of another version."""


@dataclass(frozen=True, kw_only=True, repr=False)
class StoredOutcome(Outcome):
    """An outcome from a file. `version`: of the bitsim that wrote it."""

    written_kind: str
    written_title: str
    version: str
    written_headline: Mapping[str, Any]
    written_assumed: tuple[dict[str, Any], ...]
    content: Mapping[str, Records]

    @property
    def kind(self) -> str:
        return self.written_kind

    @property
    def title(self) -> str:
        return self.written_title

    def makers(self) -> Makers:
        return {name: partial(self.content.__getitem__, name) for name in self.content}

    def headline(self) -> dict[str, Any]:
        return dict(self.written_headline)

    def assumed(self) -> list[dict[str, Any]]:
        return [dict(constant) for constant in self.written_assumed]


def read_outcome(path: str | Path) -> StoredOutcome:
    """The outcome in a JSON file that `--out` or `to_json` wrote; raises `OutcomeError`."""
    try:
        text = read_bounded(path, MOST_BYTES).decode("utf-8")
    except UnreadableError as error:
        raise OutcomeError(f"{path}: {error}") from None
    except ValueError as error:
        raise OutcomeError(f"{path}: can't be read: {error}") from None
    return from_json(text, where=str(path))


def from_json(text: str, *, where: str = "outcome") -> StoredOutcome:
    """The outcome that `Outcome.to_json` wrote; `where` names it in errors.

    Raises `OutcomeError` for text that is no JSON, is cut off, has another schema, or lacks what the schema demands.
    """
    try:
        data = json.loads(text, object_pairs_hook=partial(_unique, where), parse_constant=partial(_refuse, where))
    except (json.JSONDecodeError, RecursionError) as error:
        raise OutcomeError(f"{where}: expected the JSON of an outcome, whole: {error}") from None
    if not isinstance(data, dict) or "schema" not in data:
        raise OutcomeError(f"{where}: expected an outcome with a key 'schema', as bitsim writes it")
    if data["schema"] != SCHEMA:
        raise OutcomeError(
            f"{where}: schema: expected {SCHEMA!r}, got {data['schema']!r}: written by another version of bitsim "
            f"({data.get('bitsim', 'unknown')}); make it anew, or read it with that version"
        )
    for key, expected in _KEYS.items():
        if not isinstance(data.get(key), expected):
            raise OutcomeError(f"{where}: {key}: expected {expected.__name__}, got {str(data.get(key))[:60]!r}")
    if unknown := data.keys() - _KEYS.keys():
        raise OutcomeError(f"{where}: unknown keys {', '.join(sorted(unknown))}")
    assumed = data["assumed"]
    if not all(isinstance(constant, dict) and constant.keys() - {_SHARE} == _ASSUMED for constant in assumed):
        raise OutcomeError(f"{where}: assumed: expected entries with {', '.join(sorted(_ASSUMED))}")
    if not all(isinstance(note, str) for note in data["notes"]):
        raise OutcomeError(f"{where}: notes: expected texts")
    return StoredOutcome(
        inputs=data["inputs"],
        notes=tuple(data["notes"]),
        written_kind=data["kind"],
        written_title=data["title"],
        version=data["bitsim"],
        written_headline=data["headline"],
        written_assumed=tuple(assumed),
        content={name: _records(table, f"{where}: tables: {name}") for name, table in data["tables"].items()},
    )


def _records(table: Any, where: str) -> Records:
    if not isinstance(table, dict) or table.keys() != {"columns", "rows"}:
        raise OutcomeError(f"{where}: expected 'columns' and 'rows'")
    columns, rows = table["columns"], table["rows"]
    if not (isinstance(columns, list) and all(isinstance(column, str) for column in columns)):
        raise OutcomeError(f"{where}: columns: expected names, got {str(columns)[:60]}")
    if not isinstance(rows, list):
        raise OutcomeError(f"{where}: rows: expected a list, got {str(rows)[:60]}")
    for i, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(columns):
            raise OutcomeError(f"{where}: row {i}: expected {len(columns)} values, got {str(row)[:60]}")
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _unique(where: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise OutcomeError(f"{where}: key {twice!r} stands there twice")
    return found


def _refuse(where: str, constant: str) -> float:
    raise OutcomeError(f"{where}: {constant} is no number of JSON")
