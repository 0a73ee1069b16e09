"""What `bitsim reproduce` prints and writes, whatever it reproduces."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bitsim._version import __version__
from bitsim.results.outcome import Makers, Outcome, Records
from reports.comparison import Row, labels_counted, labels_summary, notes

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, repr=False)
class Report(Outcome):
    """One table with its figure.

    `cells`: what is printed under `columns`; `rows`: the same numbers unrounded, the table of the outcome. `summary`:
    lines to print below; `figure`: the bytes of the figure by file type; `texts`: further files by name.
    """

    heading: str
    columns: Sequence[str]
    cells: Sequence[Sequence[object]]
    rows: Records
    numbers: Mapping[str, Any]
    summary: str
    figure: Mapping[str, bytes]
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return "report"

    @property
    def title(self) -> str:
        return self.heading

    def headline(self) -> dict[str, Any]:
        """What the rows come to."""
        return dict(self.numbers)

    def makers(self) -> Makers:
        return {"rows": lambda: self.rows}


def comparison_report(
    title: str, rows: Sequence[Row], inputs: Mapping[str, Any], figure: Mapping[str, bytes]
) -> Report:
    """Published numbers with ours beside them."""
    return Report(
        heading=title,
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
        rows=[row.record() for row in rows],
        inputs={"bitsim": __version__} | dict(inputs),
        notes=(),
        numbers=labels_counted(rows),
        summary=labels_summary(rows),
        figure=figure,
    )


def noted(row: Row) -> str:
    """The note of a row, after the parameters that were fitted for it."""
    parameters = f"{row.label} by {', '.join(row.parameters)}" if row.parameters else ""
    return notes(parameters, row.note)


def markdown(columns: Sequence[str], cells: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *cells]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)
