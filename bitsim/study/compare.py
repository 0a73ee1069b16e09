"""One prompt on several pairs of model and chip, cycles and energy per new token side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, get_args

from bitsim.cost import CONVENTIONS
from bitsim.errors import ConfigError, UnknownNameError
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.model.checkpoint import Model, load_model
from bitsim.quant.recipes import recipe_named
from bitsim.results.figures_of_merit import merit_of
from bitsim.results.outcome import Makers, Outcome, all_assumed
from bitsim.results.result import Result
from bitsim.study.estimate import estimate
from bitsim.study.iso import Iso, Scaling, Watts, scaled
from bitsim.study.numerics import executed_as
from bitsim.study.run import prompt_tokens, run

Pair = tuple[str | Path | Model, str | Path | Chip] | tuple[str | Path | Model, str | Path | Chip, str]
DEFAULT_CHIP = "ternary-ws-64x64"
# Settings of `run` that `estimate` has, too.
_ESTIMATED = frozenset(
    ("numerics", "packing", "kv_bits", "head_bits", "embedding_bits", "objective", "chunk", "causal", "logits")
) | {"beyond_capacity"}
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A pair that was not run, as nothing makes its chip equal to the first one, for `reason`."""

    model: str
    chip: str
    reason: str

    def record(self) -> dict[str, Any]:
        return {"model": self.model, "chip": self.chip, "iso_note": f"not run: {self.reason}"}


@dataclass(frozen=True, kw_only=True, repr=False)
class PairComparison(Outcome):
    """The runs of all pairs; the first is what the others are held against.

    `asked`: numerics that were asked for a pair by itself, which then is called MODEL:NUMERICS. `scalings`: what was
    changed of each result's chip to make it equal to the first, None if nothing was.
    """

    results: tuple[Result, ...]
    asked: tuple[str | None, ...] = ()
    scalings: tuple[Scaling | None, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @property
    def kind(self) -> str:
        return "compare"

    @property
    def title(self) -> str:
        return "; ".join(
            f"{name} on {result.chip.name}" for name, result in zip(self.models, self.results, strict=True)
        )

    @property
    def models(self) -> tuple[str, ...]:
        """What the model of each result is called."""
        named = zip_longest(self.results, self.asked)
        return tuple(labelled(result.inputs["model"], numerics) for result, numerics in named)

    def headline(self) -> dict[str, Any]:
        """What the last pair has over the first, for a new token; None where one is not known.

        Where one of two energies is not whole, `energy_*_ratio_without` says what the last and the first are without.
        """
        first, last = (self.results[i].per_token() for i in (0, -1))
        last = {} if self.left_out and len(self.results) == 1 else last
        found = {f"{name}_ratio": _ratio(last.get(column), first[column]) for name, column in RATIOS.items()}
        return found | {
            f"energy_{convention}_ratio_without": "; ".join(missing)
            for convention in CONVENTIONS
            if (missing := _missing(f"energy_{convention}_without", last=last, first=first))
        }

    def makers(self) -> Makers:
        return {
            "per_token": self._per_token,
            "merit": lambda: self._of_all("merit"),
            "areas": lambda: self._of_all("areas"),
        }

    def _per_token(self) -> list[dict[str, Any]]:
        """A record per pair, those that were left out last."""
        records = []
        for model, result, scaling in zip_longest(self.models, self.results, self.scalings):
            how = scaling.record() if scaling else {}
            records.append(result.per_token() | dict(result.inputs) | {"model": model} | how)
        return records + [pair.record() for pair in self.left_out]

    def _of_all(self, table: str) -> list[dict[str, Any]]:
        """A table of every result, with its model and chip."""
        return [
            {"model": model, "chip": result.chip.name} | dict(record)
            for model, result in zip(self.models, self.results, strict=True)
            for record in result.records(table)
        ]

    def assumed(self) -> list[dict[str, Any]]:
        """Those of all pairs, each once."""
        return all_assumed(self.results)


def compare(
    pairs: Sequence[Pair],
    *,
    iso: Iso | None = None,
    on_pair: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> PairComparison:
    """Run one prompt on each (model, chip) or (model, chip, numerics); other `settings` are those of `run`.

    `on_pair(done, of)` reports progress.
    `iso`: make the other chips equal to the first in area, DRAM bandwidth or average power (`bitsim.study.iso`); notes
    and columns say what was changed and how close it came. Chips that nothing makes equal are not run, and the last
    rows say why.
    """
    if not pairs:
        raise ConfigError("compare: expected at least one pair of model and chip, got none")
    if iso is not None and iso not in get_args(Iso):
        raise UnknownNameError("iso mode", str(iso), get_args(Iso))
    results: list[Result] = []
    scalings: list[Scaling | None] = []
    left_out: list[LeftOut] = []
    asked: list[str | None] = []
    for done, pair in enumerate(pairs, 1):
        model, chip, numerics = _parts(pair)
        try:
            scaling = _scaling(pair, pairs[0], iso, settings) if iso and done > 1 else None
        except ConfigError as error:
            named = labelled(_name(model), numerics)
            left_out.append(LeftOut(model=named, chip=load_chip(chip).name, reason=str(error)))
        else:
            results.append(run(model, chip if scaling is None else scaling.chip, **_settings(settings, numerics)))
            scalings.append(scaling)
            asked.append(numerics)
        if on_pair:
            on_pair(done, len(pairs))
    shared: dict[str, Any] = {
        name: value for name, value in results[0].inputs.items() if all(r.inputs.get(name) == value for r in results)
    }
    names = [labelled(r.inputs["model"], numerics) for r, numerics in zip(results, asked, strict=True)]
    notes = [f"{name}@{r.chip.name}: {note}" for name, r in zip(names, results, strict=True) for note in r.notes]
    notes = [scaling.note for scaling in scalings if scaling] + notes
    notes = [f"{pair.model}@{pair.chip}: not run: {pair.reason}" for pair in left_out] + notes
    return PairComparison(
        inputs=shared | ({"iso": iso} if iso else {}),
        notes=tuple(notes),
        results=tuple(results),
        asked=tuple(asked),
        scalings=tuple(scalings),
        left_out=tuple(left_out),
    )


def _scaling(pair: Pair, first: Pair, iso: Iso, settings: Mapping[str, Any]) -> Scaling:
    """The chip of `pair`, made equal to that of `first`."""
    (given, name, numerics), (other, other_name, other_numerics) = _parts(pair), _parts(first)
    model, chip = given if isinstance(given, Model) else load_model(given), load_chip(name)
    settings = _settings(settings, numerics)
    executed, recipe = executed_as(model, chip, numerics=settings.get("numerics"))
    component = "bitlinear" if executed.config.quantised or recipe.ternary_floats else "wide"
    watts = (_watts(other, _settings(settings, other_numerics)), _watts(model, settings))
    return scaled(chip, load_chip(other_name), iso, component, watts)


def _parts(pair: Pair) -> tuple[str | Path | Model, str | Path | Chip, str | None]:
    return pair if len(pair) == 3 else (*pair, None)


def _settings(settings: Mapping[str, Any], numerics: str | None) -> dict[str, Any]:
    """Those of a pair, for which numerics may be asked for by itself."""
    return dict(settings) if numerics is None else {**settings, "numerics": numerics}


def labelled(model: str, numerics: str | None) -> str:
    """A model with the numerics that were asked for it."""
    return model if numerics is None else f"{model}:{numerics}"


def _watts(model: str | Path | Model, settings: Mapping[str, Any]) -> Watts:
    """What gives the average power of the system while it decodes, or reads the prompt, with a model on a chip."""
    given = {name: value for name, value in settings.items() if name in _ESTIMATED}

    def watts(chip: Chip) -> float:
        opened = model if isinstance(model, Model) else load_model(model)
        as_bytes = settings.get("random_weights") is not None
        ids = prompt_tokens(opened, settings.get("prompt"), settings.get("tokens"), as_bytes=as_bytes)
        made = estimate(opened, chip, prefill=len(ids), decode=settings.get("new_tokens", 0), **given)
        if reason := made.unpriced("system"):
            raise ConfigError(f"{chip.name}: its power is not known: {reason}")
        return float(merit_of(made, made.phases[-1])["average_power_system_nominal_w"])

    return watts


def pair_of(text: str) -> Pair:
    """MODEL@CHIP or MODEL:NUMERICS@CHIP; without @CHIP the chip is `DEFAULT_CHIP`.

    A colon in the path of a model that exists is its own. Raises `ConfigError`, or `UnknownNameError` for numerics.
    """
    model, _, chip = text.partition("@")
    name, colon, numerics = model.rpartition(":")
    if not model or (colon and not name):
        raise ConfigError(f"expected MODEL@CHIP or MODEL:NUMERICS@CHIP, got {text!r}")
    if not colon or Path(model).exists():
        return model, chip or DEFAULT_CHIP
    return name, chip or DEFAULT_CHIP, recipe_named(numerics).name


def _name(model: str | Path | Model) -> str:
    return model.name if isinstance(model, Model) else str(model)


def _ratio(last: float | None, first: float | None) -> float | None:
    return last / first if last is not None and first else None


def _missing(column: str, **pairs: dict[str, Any]) -> list[str]:
    """What an energy of each pair is without, in words."""
    return [f"{which} {text}" for which, pair in pairs.items() if (text := pair.get(column))]
