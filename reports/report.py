"""What `bitsim reproduce` prints and writes, whatever it reproduces."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reports.comparison import Row, labels_summary

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One table with its figure.

    `cells`: what is printed under `columns`; `records`: the same numbers unrounded, for CSV and JSON. `inputs`: names
    and hashes of what was executed. `figure`: the bytes of the figure by file type; `texts`: further files by name.
    """

    title: str
    columns: Sequence[str]
    cells: Sequence[Sequence[object]]
    records: Sequence[Mapping[str, Any]]
    inputs: Mapping[str, Any]
    summary: str
    figure: Mapping[str, bytes]
    texts: Mapping[str, str] = field(default_factory=dict)


def comparison_report(
    title: str, rows: Sequence[Row], inputs: Mapping[str, Any], figure: Mapping[str, bytes]
) -> Report:
    """Published numbers with ours beside them."""
    return Report(
        title=title,
        columns=["item", "unit", "published", "ours", "residual %", "label", "note"],
        cells=[
            [
                row.item,
                row.unit,
                "-" if row.published is None else f"{row.published:g}",
                "-" if row.ours is None else f"{row.ours:.4g}",
                "-" if row.residual_pct is None else f"{row.residual_pct:+.2f}",
                row.label,
                noted(row),
            ]
            for row in rows
        ],
        records=[row.record() for row in rows],
        inputs=inputs,
        summary=labels_summary(rows),
        figure=figure,
    )


def noted(row: Row) -> str:
    """The note of a row, after the parameters that were fitted for it."""
    parameters = f"{row.label} by {', '.join(row.parameters)}" if row.parameters else ""
    return "; ".join(text for text in (parameters, row.note) if text)


def markdown(columns: Sequence[str], cells: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *cells]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)
