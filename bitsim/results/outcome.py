"""One kind of result: whatever an experiment is about, it says from what, with what assumptions, and in tidy tables."""

import csv
import io
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from bitsim._version import __version__
from bitsim.errors import OutputError, UnknownNameError

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "bitsim.outcome/1"
Record = Mapping[str, Any]
Records = Sequence[Record]
Makers = Mapping[str, Callable[[], Records]]
_SHOWN = 8  # headline numbers in a repr
_SHOWN_ROWS = 20  # rows of the first table in a notebook
_WIDTH = 110


@dataclass(frozen=True, kw_only=True, repr=False)
class Outcome(ABC):
    """What `run`, `estimate`, `serve` and every other experiment give.

    `inputs`: names, hashes and settings of what was used, for people and for provenance. `notes`: what a reader must
    know: assumptions, samples, overflows. Tables are tidy: one row per thing, plain values, the unit in the column's
    name; None where a value does not apply or is not known.
    """

    inputs: Mapping[str, Any]
    notes: tuple[str, ...]

    @property
    @abstractmethod
    def kind(self) -> str:
        """What made it: "run", "estimate", "serve", ..."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What it is about, in one line."""

    @abstractmethod
    def makers(self) -> Makers:
        """How each table is made, by name; the first is the one that is meant when none is named."""

    @abstractmethod
    def headline(self) -> dict[str, Any]:
        """The few numbers and texts that answer the question; plain values, units in the names."""

    def assumed(self) -> list[dict[str, Any]]:
        """The constants with evidence `assumed` that the numbers rest on: `constant`, `value`, `source`.

        `share`, where an energy rests on it: the part of the nominal system energy that would vanish with the constant.
        """
        return []

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of the tables."""
        return tuple(self.makers())

    def records(self, table: str | None = None) -> Records:
        """A table row by row (default: the first); raises `UnknownNameError`."""
        makers = self.makers()
        name = next(iter(makers)) if table is None else table
        if name not in makers:
            raise UnknownNameError(f"table of {self.kind}", name, makers)
        return makers[name]()

    def frame(self, table: str | None = None) -> "pd.DataFrame":
        """A table as a pandas DataFrame; integers with gaps are `Int64`. Raises `UnknownNameError`."""
        import pandas as pd

        records = self.records(table)
        frame = pd.DataFrame(list(records), columns=columns_of(records))
        for name in frame.columns:
            values = [record.get(name) for record in records]
            present = [value for value in values if value is not None]
            if len(present) < len(values) and present and all(type(value) is int for value in present):
                frame[name] = pd.array(values, dtype="Int64")
        return frame

    def csv(self, table: str | None = None) -> str:
        """A table as CSV with a header line; numbers are not rounded, None is empty."""
        return csv_of(self.records(table))

    def to_json(self) -> str:
        """Everything as JSON of schema `bitsim.outcome/1` (docs/reference/outcome.schema.json), a table row a line.

        Raises `OutputError` for a value that JSON does not have (NaN, infinity), naming where it is.
        """
        head: dict[str, Any] = {"schema": SCHEMA, "kind": self.kind, "bitsim": __version__, "title": self.title}
        head |= {"inputs": dict(self.inputs), "headline": self.headline(), "notes": list(self.notes)}
        head |= {"assumed": self.assumed()}
        text = _dumps(head, "the head", indent=1).removesuffix("\n}")
        tables = ",\n".join(f'  "{name}": {_table_text(name, self.records(name))}' for name in self.tables)
        return f'{text},\n "tables": {{\n{tables}\n }}\n}}'

    def __repr__(self) -> str:
        """At most 15 lines: what it is, its headline numbers, its tables."""
        lines = [f"<bitsim {self.kind}: {self.title}>"]
        found = [(name, value) for name, value in self.headline().items() if value is not None]
        lines += [f"  {name}: {_shown(value)}" for name, value in found[:_SHOWN]]
        lines.append(f"  tables: {', '.join(self.tables)}")
        lines.append(f"  {len(self.notes)} notes, {len(self.assumed())} assumed constants")
        return "\n".join(line if len(line) <= _WIDTH else f"{line[: _WIDTH - 4]} ..." for line in lines)

    def _repr_html_(self) -> str:
        """For notebooks: title, headline, the beginning of the first table, notes folded."""
        found = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(_shown(value))}</td></tr>"
            for name, value in self.headline().items()
            if value is not None
        )
        name, records = self.tables[0], self.records()
        columns = columns_of(records)
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(_shown(record.get(column)))}</td>' for column in columns)}</tr>"
            for record in records[:_SHOWN_ROWS]
        )
        header = "".join(f"<th>{escape(column)}</th>" for column in columns)
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        return (
            f"<h4>{escape(self.kind)}: {escape(self.title)}</h4><table>{found}</table>"
            f"<details open><summary>{escape(name)}: {min(len(records), _SHOWN_ROWS)} of {len(records)} rows; tables: "
            f"{escape(', '.join(self.tables))}</summary><table><thead><tr>{header}</tr></thead>{rows}</table></details>"
            f"<details><summary>{len(self.notes)} notes</summary><ul>{notes}</ul></details>"
        )


def all_assumed(outcomes: Iterable["Outcome"]) -> list[dict[str, Any]]:
    """What several outcomes assume, each constant once; shares are those of one outcome, and left out."""
    found = [{name: r[name] for name in ("constant", "value", "source")} for it in outcomes for r in it.assumed()]
    return list({tuple(record.values()): record for record in found}.values())


def csv_of(records: Records) -> str:
    """Records as CSV with a header line; numbers are not rounded, None is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=columns_of(records), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def columns_of(records: Records) -> list[str]:
    """The columns of a table: those of all rows, in the order in which they come up."""
    return list(dict.fromkeys(column for record in records for column in record))


def _table_text(name: str, records: Records) -> str:
    columns = columns_of(records)
    rows = (_dumps([record.get(column) for column in columns], f"table {name}") for record in records)
    body = ",\n    ".join(rows)
    return f'{{"columns": {json.dumps(columns)}, "rows": [' + (f"\n    {body}\n  ]}}" if body else "]}")


def _dumps(value: Any, where: str, indent: int | None = None) -> str:
    try:
        return json.dumps(value, indent=indent, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise OutputError(f"{where}: can't be written as JSON: {error}: {str(value)[:200]}") from None


def _shown(value: Any) -> str:
    """A value for people: numbers with separators and five digits, the rest as it is."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.5g}" if math.isfinite(value) else str(value)
