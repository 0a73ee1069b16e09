"""Predictions beside what was published: the table of `bitsim validate`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bitsim._version import __version__
from bitsim.results.outcome import Makers, Outcome
from reports.comparison import published
from reports.predictions import Prediction, chip_named, predictions

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
        """How many published values are predicted, how many bounds hold, and the largest error among predictions."""
        found = [row for row in self.rows if row.error_pct is not None]
        worst = max(found, key=lambda row: abs(row.error_pct or 0.0))
        where = f"{worst.prediction.chip}, {worst.prediction.quantity}"
        bounds = [row.holds for row in self.rows if row.holds is not None]
        # Trinity at its other clock and VitaLLM at its own supply are no other designs.
        designs = {row.prediction.chip.removesuffix("-50mhz").removesuffix("-0v8") for row in found}
        counts = {"designs": len(designs), "predicted": len(found), "published": len(self.rows)}
        counts |= {"bounds": len(bounds), "bounds_that_hold": sum(bounds)}
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
        """How far the prediction lies above the published value; None of a bound."""
        if self.prediction.value is None or self.published is None or self.prediction.below:
            return None
        return 100.0 * (self.prediction.value / self.published - 1.0)

    @property
    def holds(self) -> bool | None:
        """Of a bound, whether the nominal prediction lies below the published value; None of anything else."""
        it = self.prediction
        return it.value < self.published if it.below and it.value is not None and self.published is not None else None

    @property
    def share_pct(self) -> float | None:
        """Of a bound, the predicted share of the published value."""
        return None if self.holds is None else 100.0 * (self.prediction.value or 0.0) / (self.published or 1.0)

    def record(self) -> dict[str, Any]:
        """Plain values."""
        found = asdict(self.prediction)
        low, high = found.pop("spread") or (None, None)
        found |= {"predicted": found.pop("value"), "predicted_low": low, "predicted_high": high}
        found |= {"published": self.published, "error_pct": self.error_pct}
        found |= {"holds": self.holds, "share_pct": self.share_pct}
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
        if self.holds is not None:
            error = f"below, {self.share_pct:.2g} %" if self.holds else f"ABOVE, {self.share_pct:.3g} %"
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
    files = {prediction.chip: chip_named(prediction.chip) for prediction in made.values()}
    chips = {f"{name}_sha256": chip.sha256 for name, chip in files.items() if chip is not None}
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
