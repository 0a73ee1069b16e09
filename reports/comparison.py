"""Rows that put a published number beside ours, the same for every paper, and the label that says what ours is worth.

| label | ours is |
|---|---|
| `derived` | computed from first principles: shapes, counts, prices; nothing was adjusted to published results |
| `predicted` | computed with parameters that were fitted to other published numbers; the row names them |
| `fitted` | computed with parameters that this number helped to fit; the row names them. Never a reproduction |
| `input` | the published number itself, which others are computed from |
| `not reproducible` | nothing, or a number that can't be the published one; the note says why |
| `measured` | a number of bitsim's own execution, beside which nothing is published |
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal, get_args

import yaml

from bitsim.errors import BitsimError

Label = Literal["derived", "predicted", "fitted", "input", "not reproducible", "measured"]
# Labels of rows that may count as reproduced, if they come close enough.
EARNED: tuple[Label, ...] = ("derived", "predicted")
WITH_PARAMETERS: tuple[Label, ...] = ("predicted", "fitted")
CLOSE_PCT = 5.0


class RowError(BitsimError):
    """A row whose label does not fit what it holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One published number and ours.

    * `published` is None for numbers of ours that stand beside it, `ours` for what nothing of ours can give.
    * `parameters`: what was fitted, for `predicted` and `fitted`.
    * `uncertainty`: how far the published number may lie from the authors' own, in `unit`: half of its last printed
      digit, or the error of reading it off a figure.

    Raises `RowError` if the label lacks what it demands.
    """

    paper: str
    location: str
    item: str
    unit: str
    published: float | None
    ours: float | None
    label: Label
    note: str = ""
    parameters: tuple[str, ...] = ()
    uncertainty: float = 0.0

    def __post_init__(self) -> None:
        if (self.label in WITH_PARAMETERS) != bool(self.parameters):
            wanted = "the fitted parameters" if self.label in WITH_PARAMETERS else "no parameters"
            raise RowError(f"{self.item}: label {self.label}: expected {wanted}, got {self.parameters}")
        if self.label == "not reproducible" and not self.note:
            raise RowError(f"{self.item}: label not reproducible: expected a note that says why")
        if self.ours is None and self.label != "not reproducible":
            raise RowError(f"{self.item}: label {self.label}: expected a number of ours, got none")
        if self.label == "input" and self.ours != self.published:
            raise RowError(f"{self.item}: label input: expected {self.published}, as published, got {self.ours}")

    @property
    def residual_pct(self) -> float | None:
        if self.published is None or self.ours is None:
            return None
        return 100.0 * (self.ours / self.published - 1.0)

    @property
    def reproduced(self) -> bool:
        """Whether ours was earned, not fitted, and is the published number within its uncertainty or `CLOSE_PCT`."""
        if self.label not in EARNED or self.published is None or self.ours is None:
            return False
        return abs(self.ours - self.published) <= max(self.uncertainty, CLOSE_PCT / 100 * abs(self.published))

    def record(self) -> dict[str, Any]:
        """The row in plain types, in the order of the published tables."""
        return {
            "paper": self.paper,
            "location": self.location,
            "item": self.item,
            "unit": self.unit,
            "published": self.published,
            "ours": self.ours,
            "residual_pct": self.residual_pct,
            "label": self.label,
            "reproduced": self.reproduced,
            "parameters": "; ".join(self.parameters),
            "uncertainty": self.uncertainty,
            "note": self.note,
        }


def notes(*texts: str) -> str:
    """What applies, in one line."""
    return "; ".join(text for text in texts if text)


def prints_as(ours: float, published: float, decimals: int) -> bool:
    """Whether `ours`, rounded to the printed digits, is the published number."""
    return f"{ours:.{decimals}f}" == f"{published:.{decimals}f}"


def published(paper: str) -> dict[str, Any]:
    """The published numbers of one paper, from `reports/published`."""
    text = files("reports").joinpath("published", f"{paper}.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


def by_label(rows: Iterable[Row]) -> dict[Label, list[Row]]:
    """The rows beside which something is published, by label; labels without any are left out."""
    found: dict[Label, list[Row]] = {label: [] for label in get_args(Label)}
    for row in rows:
        if row.published is not None:
            found[row.label].append(row)
    return {label: alike for label, alike in found.items() if alike}


def labels_counted(rows: Iterable[Row]) -> dict[str, int]:
    """How many published rows carry each label, how many of them could count as reproduced, and how many do."""
    found = by_label(rows)
    earned = [row for label in EARNED for row in found.get(label, [])]
    counts = {label.replace(" ", "_"): len(alike) for label, alike in found.items()}
    return counts | {"derived_or_predicted": len(earned), "reproduced": sum(row.reproduced for row in earned)}


def labels_summary(rows: Iterable[Row]) -> str:
    """How many published rows carry each label and how many are reproduced, then the worst residual of each label."""
    rows = list(rows)
    found, counted = by_label(rows), labels_counted(rows)
    counts = ", ".join(f"{len(alike)} {label}" for label, alike in found.items())
    lines = [
        f"published rows: {counts}",
        f"reproduced: {counted['reproduced']} of the {counted['derived_or_predicted']} derived or predicted rows lie "
        f"within {CLOSE_PCT:g} % or the uncertainty of the published number",
    ]
    for label, alike in found.items():
        if (worst := worst_residual(alike)) is not None and label != "input":
            lines.append(f"worst residual, {label}: {worst.residual_pct:+.2f} % ({worst.item})")
    return "\n".join(lines)


def worst_residual(rows: Sequence[Row]) -> Row | None:
    """The row whose number of ours is furthest from the published one; None if no row has both."""
    both = [row for row in rows if row.residual_pct is not None]
    return max(both, key=lambda row: abs(row.residual_pct or 0.0), default=None)
