"""Predictions beside what was published: the table of `bitsim validate`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bitsim._version import __version__
from bitsim.hw import load_chip
from bitsim.results.outcome import Makers, Outcome
from reports.comparison import published
from reports.predictions import Prediction, predictions

COLUMNS = (
    "design",
    "quantity",
    "unit",
    "predicted",
    "published",
    "error %",
    "bound by",
    "fitted",
    "leaves out",
    "evidence",
)


@dataclass(frozen=True, kw_only=True, repr=False)
class Validation(Outcome):
    """All predictions beside what was published."""

    rows: "tuple[Compared, ...]"

    @property
    def kind(self) -> str:
        return "validation"

    @property
    def title(self) -> str:
        return "predicted and published"

    def headline(self) -> dict[str, Any]:
        """How many published values are predicted, and the largest error among them."""
        found = [row for row in self.rows if row.error_pct is not None]
        worst = max(found, key=lambda row: abs(row.error_pct or 0.0))
        where = f"{worst.prediction.chip}, {worst.prediction.quantity}"
        counts = {"predicted": len(found), "published": len(self.rows)}
        return counts | {"worst_error_pct": worst.error_pct, "worst": where}

    def makers(self) -> Makers:
        return {"rows": lambda: [row.record() for row in self.rows]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A prediction and the published value, None where there is none; `leaves_out`: what a published energy lacks."""

    prediction: Prediction
    published: float | None
    evidence: str
    source: str
    leaves_out: str
    note: str

    @property
    def error_pct(self) -> float | None:
        """How far the prediction lies above the published value."""
        if self.prediction.value is None or self.published is None:
            return None
        return 100.0 * (self.prediction.value / self.published - 1.0)

    def record(self) -> dict[str, Any]:
        """Plain values."""
        found = asdict(self.prediction)
        low, high = found.pop("spread") or (None, None)
        found |= {"predicted": found.pop("value"), "predicted_low": low, "predicted_high": high}
        found |= {"published": self.published, "error_pct": self.error_pct}
        return found | {
            "published_leaves_out": self.leaves_out,
            "evidence": self.evidence,
            "source": self.source,
            "note": self.note,
        }

    def cells(self) -> list[str]:
        """The row under `COLUMNS`."""
        it = self.prediction
        value = "-" if it.value is None else f"{it.value:.4g}"
        if it.spread is not None:
            value += f" [{it.spread[0]:.3g} .. {it.spread[1]:.3g}]"
        error = "-" if self.error_pct is None else f"{self.error_pct:+.1f}"
        theirs = "-" if self.published is None else f"{self.published:g}"
        tail = [it.bounds or "-", it.fitted, self.leaves_out or "-", self.evidence]
        return [it.chip, it.quantity, it.unit, value, theirs, error, *tail]


def validation() -> Validation:
    """Every published value that has a prediction, or a reason why it has none; raises KeyError if one lacks either."""
    values: Mapping[str, Mapping[str, Any]] = published("hardware")["values"]
    made = {prediction.key: prediction for prediction in predictions()}
    if made.keys() != values.keys():
        raise KeyError(
            f"reports/published/hardware.yaml and predictions differ in {sorted(made.keys() ^ values.keys())}"
        )
    rows = tuple(
        Compared(
            prediction=prediction,
            published=values[key]["value"],
            evidence=values[key]["evidence"],
            source=values[key]["source"],
            leaves_out=values[key].get("leaves_out", ""),
            note=values[key].get("note", ""),
        )
        for key, prediction in made.items()
    )
    chips = {f"{prediction.chip}_sha256": load_chip(prediction.chip).sha256 for prediction in made.values()}
    return Validation(inputs={"bitsim": __version__} | chips, notes=tuple(remarks(rows)), rows=rows)


def remarks(rows: Sequence[Compared]) -> list[str]:
    """What a reader of the table must know of single rows."""
    lines = []
    for row in rows:
        it = row.prediction
        texts = [f"not predicted: {it.reason}"] if it.reason else []
        texts += [f"assumed: {it.assumed}"] if it.assumed else []
        texts += [f"predicted energy: {it.energy}"] if it.energy else []
        texts += [f"published: {row.note}"] if row.note else []
        if texts:
            lines.append(f"{it.chip}, {it.quantity}: {'; '.join(texts)}")
    return lines
