"""Rows that put a published number beside ours, the same for every paper."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any, Literal

import yaml

Label = Literal["derived", "not reproducible", "measured"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One published number and ours. `published` is None for numbers of ours that stand beside it."""

    paper: str
    location: str
    item: str
    unit: str
    published: float | None
    ours: float
    label: Label
    note: str = ""

    @property
    def residual_pct(self) -> float | None:
        if self.published is None:
            return None
        return 100.0 * (self.ours / self.published - 1.0)

    def record(self) -> dict[str, Any]:
        """The row in plain types, in the order of the published tables."""
        fields = asdict(self)
        label, note = fields.pop("label"), fields.pop("note")
        return fields | {"residual_pct": self.residual_pct, "label": label, "note": note}


def prints_as(ours: float, published: float, decimals: int) -> bool:
    """Whether `ours`, rounded to the printed digits, is the published number."""
    return f"{ours:.{decimals}f}" == f"{published:.{decimals}f}"


def published(paper: str) -> dict[str, Any]:
    """The published numbers of one paper, from `reports/published`."""
    text = files("reports").joinpath("published", f"{paper}.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


def labels_summary(rows: Iterable[Row]) -> str:
    """How many published rows carry each label, in words."""
    counts: dict[str, int] = {}
    for row in rows:
        if row.published is not None:
            counts[row.label] = counts.get(row.label, 0) + 1
    return ", ".join(f"{count} {label}" for label, count in sorted(counts.items()))
