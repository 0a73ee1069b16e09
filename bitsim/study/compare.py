"""One prompt on several pairs of model and chip, cycles and energy per new token side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitsim.cost import CONVENTIONS
from bitsim.errors import ConfigError
from bitsim.hw.chip import Chip
from bitsim.model.checkpoint import Model
from bitsim.results.outcome import Makers, Outcome
from bitsim.results.result import Result
from bitsim.study.run import run

Pair = tuple[str | Path | Model, str | Path | Chip]
DEFAULT_CHIP = "ternary-ws-64x64"
# Ratios of the headline, and the columns that they are of.
RATIOS = (
    {"time": "time_s"}
    | {f"energy_{name}": f"energy_{name}_j" for name in CONVENTIONS}
    | {
        "area": "area_nominal_mm2",
        "average_power_system": "average_power_system_nominal_w",
        "tops_per_w_system": "tops_per_w_system",
        "tops_per_mm2": "tops_per_mm2",
    }
)


@dataclass(frozen=True, kw_only=True, repr=False)
class PairComparison(Outcome):
    """The runs of all pairs; the first is what the others are held against."""

    results: tuple[Result, ...]

    @property
    def kind(self) -> str:
        return "compare"

    @property
    def title(self) -> str:
        return "; ".join(f"{result.inputs['model']} on {result.chip.name}" for result in self.results)

    def headline(self) -> dict[str, Any]:
        """What the last pair has over the first, for a new token; None where one is not known.

        Where one of two energies is not whole, `energy_*_ratio_without` says what the last and the first are without.
        """
        first, last = (self.results[i].per_token() for i in (0, -1))
        found = {f"{name}_ratio": _ratio(last[column], first[column]) for name, column in RATIOS.items()}
        return found | {
            f"energy_{convention}_ratio_without": "; ".join(missing)
            for convention in CONVENTIONS
            if (missing := _missing(f"energy_{convention}_without", last=last, first=first))
        }

    def makers(self) -> Makers:
        return {
            "per_token": lambda: [result.per_token() | dict(result.inputs) for result in self.results],
            "merit": lambda: self._of_all("merit"),
            "areas": lambda: self._of_all("areas"),
        }

    def _of_all(self, table: str) -> list[dict[str, Any]]:
        """A table of every result, with its model and chip."""
        return [
            {"model": result.inputs["model"], "chip": result.chip.name} | dict(record)
            for result in self.results
            for record in result.records(table)
        ]

    def assumed(self) -> list[dict[str, str]]:
        """Those of all pairs, each once."""
        found = {tuple(constant.items()): constant for result in self.results for constant in result.assumed()}
        return list(found.values())


def compare(
    pairs: Sequence[Pair], *, on_pair: Callable[[int, int], None] | None = None, **settings: Any
) -> PairComparison:
    """Run one prompt on each (model, chip); `settings` are those of `run`. `on_pair(done, of)` reports progress."""
    if not pairs:
        raise ConfigError("compare: expected at least one pair of model and chip, got none")
    results = []
    for model, chip in pairs:
        results.append(run(model, chip, **settings))
        if on_pair:
            on_pair(len(results), len(pairs))
    shared: Mapping[str, Any] = {
        name: value for name, value in results[0].inputs.items() if all(r.inputs.get(name) == value for r in results)
    }
    notes = [f"{r.inputs['model']}@{r.chip.name}: {note}" for r in results for note in r.notes]
    return PairComparison(inputs=shared, notes=tuple(notes), results=tuple(results))


def pair_of(text: str) -> Pair:
    """MODEL@CHIP as a pair; without @CHIP the chip is `DEFAULT_CHIP`. Raises `ConfigError`."""
    model, _, chip = text.partition("@")
    if not model:
        raise ConfigError(f"expected MODEL@CHIP, got {text!r}")
    return model, chip or DEFAULT_CHIP


def _ratio(last: float | None, first: float | None) -> float | None:
    return last / first if last is not None and first else None


def _missing(column: str, **pairs: dict[str, Any]) -> list[str]:
    """What an energy of each pair is without, in words."""
    return [f"{which} {text}" for which, pair in pairs.items() if (text := pair.get(column))]
