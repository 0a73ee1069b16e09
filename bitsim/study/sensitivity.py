"""Sensitivity: which constants decide a number of an estimate, and the ratio of two chips.

Each constant is moved from low to high by itself, the others nominal; then all of them at once, drawn again and again.
Constants that two chips have in common move together, so that they cancel in the ratio as far as they should.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from bitsim._checks import ArgumentError, checked
from bitsim.cost import CONVENTIONS
from bitsim.cost.matrix import Columns, Distinct, Float64, Key, key_of
from bitsim.cost.shares import is_assumed, share_resting_on, shares
from bitsim.errors import ConfigError, UnknownNameError
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.model.checkpoint import Model, load_model
from bitsim.model.operators import Phase
from bitsim.results.outcome import Makers, Outcome, all_assumed
from bitsim.results.result import Result
from bitsim.results.setup import check_count
from bitsim.study.estimate import estimate
from bitsim.study.varied import Varied, varied

Number = Literal["energy_per_token", "energy", "power", "time"]
UNITS: dict[Number, str] = {"energy_per_token": "j", "energy": "j", "power": "w", "time": "s"}
PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
BINS = 30
MOST_DRAWS = 1_000_000
Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True, repr=False)
class Sensitivity(Outcome):
    """What moves the `number` of a `chip`, and its ratio to that of `versus`, if there is one.

    * `chip`, `versus`: the estimates with what their amounts and prices rest on. `phase`: whose tokens, time and energy
      are meant, None for all.

    Tables: ranking (one constant at a time), percentiles and histogram (all at once), chips.
    """

    chip: Varied
    versus: Varied | None
    number: Number
    convention: str
    phase: Phase | None
    draws: int
    seed: int

    @property
    def kind(self) -> str:
        return "sensitivity"

    @property
    def title(self) -> str:
        result = self.chip.result
        against = "" if self.versus is None else f" against {self.versus.result.chip.name}"
        named = self.number.replace("_", " ")
        return f"{named}, {self.convention}: {result.inputs['model']} on {result.chip.name}{against}"

    @property
    def column(self) -> str:
        """What the number is called in tables, with its unit."""
        return f"{self.number}_{UNITS[self.number]}"

    def headline(self) -> Record:
        """The nominal number, where 90 % of the draws lie, what is assumed, the ratio, the constant that moves most."""
        first = self.ranking[0] if self.ranking else None
        found: Record = {self.column: self.one_by_one["chip"][0]}
        found |= {f"{self.column}_p{p}": _percentile(self.drawn["chip"], p) for p in (5, 50, 95)}
        found |= {"assumed_share": share_resting_on(self.chip.counted, is_assumed)}
        if self.versus is not None:
            found |= {"ratio": self.one_by_one["ratio"][0]}
            found |= {f"ratio_p{p}": _percentile(self.drawn["ratio"], p) for p in (5, 50, 95)}
        return found | {"decides": None if first is None else first["constant"]}

    def assumed(self) -> list[Record]:
        if self.versus is None:
            return self.chip.result.assumed()
        return all_assumed((self.chip.result, self.versus.result))

    def makers(self) -> Makers:
        return {
            "ranking": lambda: self.ranking,
            "percentiles": self._percentiles,
            "histogram": self._histogram,
            "chips": self._chips,
        }

    @cached_property
    def constants(self) -> dict[Key, Distinct]:
        """Those of both chips that have a range; one that both have, under all of its names."""
        found = dict(self.chip.constants)
        for key, other in ({} if self.versus is None else self.versus.constants).items():
            names = (*found[key].names, *other.names) if key in found else other.names
            found[key] = Distinct(constant=other.constant, names=tuple(dict.fromkeys(names)))
        return {key: constant for key, constant in found.items() if constant.moves}

    @cached_property
    def one_by_one(self) -> dict[str, list[float]]:
        """`chip`, `versus` and `ratio`, nominal, then with each of `constants` low and high in turn."""
        return {name: values.tolist() for name, values in self._columns(Columns.one_by_one(self.constants)).items()}

    @cached_property
    def drawn(self) -> dict[str, Float64]:
        """`chip`, `versus` and `ratio` in each draw, float64 (draws,)."""
        return self._columns(Columns.drawn(self.constants, self.draws, self.seed))

    def _columns(self, columns: Columns) -> dict[str, Float64]:
        found = {"chip": self._number(self.chip, columns)}
        if self.versus is not None:
            found["versus"] = self._number(self.versus, columns)
            found["ratio"] = found["chip"] / found["versus"]
        return found

    def _number(self, side: Varied, columns: Columns) -> Float64:
        energy_pj, time_ns = side.energy_and_time(columns)
        if self.number == "time":
            return time_ns * 1e-9
        if self.number == "power":
            return energy_pj / time_ns * 1e-3
        tokens = self.tokens(side.result) if self.number == "energy_per_token" else 1
        return energy_pj * 1e-12 / tokens

    def tokens(self, result: Result) -> int:
        """Tokens of the phase, or of all phases."""
        return sum(result.phase_tokens(phase) for phase in result.phases if self.phase in (None, phase))

    @cached_property
    def ranking(self) -> list[Record]:
        """A row for each constant with a range, by the swing of the ratio, or of the number where there is one chip."""
        records = [self._ranked(i, found) for i, found in enumerate(self.constants.values())]
        by = "ratio_swing" if self.versus is not None else "swing"
        return sorted(records, key=lambda record: (-record[by], record["constant"]))

    def _ranked(self, i: int, found: Distinct) -> Record:
        constant = found.constant
        record: Record = {"constant": found.names[0], "also": "; ".join(found.names[1:]) or None}
        record |= {"evidence": constant.evidence, "source": constant.source, "unit": constant.unit}
        record |= {"low": constant.low, "nominal": constant.nominal, "high": constant.high}
        record |= self._ends("chip", i, self.column, "")
        record["share"] = self._shares.get(key_of(constant))  # None: it moves times
        if self.versus is not None:
            record |= self._ends("versus", i, f"versus_{self.column}", "versus_") | self._ends(
                "ratio", i, "ratio", "ratio_"
            )
        return record

    @cached_property
    def _shares(self) -> dict[Key, float]:
        return shares(self.chip.counted)

    def _ends(self, of: str, i: int, column: str, prefix: str) -> Record:
        """The number at both ends of a constant, and what lies between them as a share of the nominal number."""
        nominal, ends = self.one_by_one[of][0], self.one_by_one[of][1 + 2 * i : 3 + 2 * i]
        reached = (nominal, *ends)
        swing = (max(reached) - min(reached)) / nominal if nominal else 0.0
        return {f"{column}_low": ends[0], f"{column}_high": ends[1], f"{prefix}swing": swing}

    def _percentiles(self) -> list[Record]:
        names = {"chip": self.column, "versus": f"versus_{self.column}", "ratio": "ratio"}
        return [
            {"percentile": p} | {names[of]: _percentile(values, p) for of, values in self.drawn.items()}
            for p in PERCENTILES
        ]

    def _histogram(self) -> list[Record]:
        """Draws by bins of equal width from the least to the most."""
        found = []
        for of, values in self.drawn.items():
            counts, edges = np.histogram(values, bins=BINS)
            found += [
                {"of": of, "from": low, "to": high, "draws": count}
                for low, high, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True)
            ]
        return found

    def _chips(self) -> list[Record]:
        found = []
        for of, side in (("chip", self.chip), ("versus", self.versus)):
            if side is not None:
                record: Record = {"of": of, "chip": side.result.chip.name, "technology": side.result.chip.tech.name}
                record |= {"tokens": self.tokens(side.result), self.column: self.one_by_one[of][0]}
                energy = side.result.energy_range(self.convention, self.phase)
                record |= {f"energy_{level}_j": getattr(energy, level) * 1e-12 for level in ("low", "nominal", "high")}
                found.append(record | {"assumed_share": share_resting_on(side.counted, is_assumed)})
        return found


def sensitivity(
    model: str | Path | Model,
    chip: str | Path | Chip,
    *,
    versus: str | Path | Chip | None = None,
    number: Number = "energy_per_token",
    convention: str = "system",
    phase: Phase | None = None,
    draws: int = 1000,
    seed: int = 0,
    **settings: Any,
) -> Sensitivity:
    """How far each constant moves a number of an estimate of `model` on `chip`, and its ratio to that on `versus`.

    * `number`: "energy_per_token" or "energy" in J, average "power" in W, or "time" in s; of one `phase`, or of all.
    * `draws`, `seed`: of the Monte Carlo over all constants at once; see `bitsim.cost.matrix` for the distribution.
    * `settings`: those of `estimate`.

    Raises `UnknownNameError` or `ConfigError` for settings that mean nothing, and `UnpricedEventError` or `ConfigError`
    if the convention has no price for something that was counted.
    """
    for name, value, allowed in (("number", number, get_args(Number)), ("convention", convention, tuple(CONVENTIONS))):
        if value not in allowed:
            raise UnknownNameError(name, str(value), allowed)
    if phase is not None and phase not in get_args(Phase):
        raise UnknownNameError("phase", str(phase), get_args(Phase))
    if unknown := sorted(settings.keys() - signature(estimate).parameters):
        raise ArgumentError(f"sensitivity: got an unexpected keyword argument {unknown[0]!r}")
    check_count("draws", draws, 1)
    check_count("seed", seed, 0)
    if draws > MOST_DRAWS:
        raise ConfigError(f"draws: expected at most {MOST_DRAWS:,}, got {draws:,}")
    model = model if isinstance(model, Model) else load_model(model)

    def side(given: str | Path | Chip) -> Varied:
        timed = number in ("power", "time") or CONVENTIONS[convention].powers
        return varied(
            lambda on: checked(estimate)(model, on, **settings), load_chip(given), convention, phase, times=timed
        )

    found, other = side(chip), None if versus is None else side(versus)
    if phase is not None and phase not in found.result.phases:
        raise ConfigError(f"phase: expected one that has tokens, {' or '.join(found.result.phases)}, got {phase!r}")
    inputs: Mapping[str, Any] = found.result.inputs
    return Sensitivity(
        inputs=dict(inputs)
        | ({} if other is None else {"versus": other.result.chip.name, "versus_sha256": other.result.chip.sha256})
        | {"number": number, "convention": convention, "phase": phase, "draws": draws, "seed": seed},
        notes=tuple(_notes(found, other)),
        chip=found,
        versus=other,
        number=number,
        convention=convention,
        phase=phase,
        draws=draws,
        seed=seed,
    )


def _notes(chip: Varied, versus: Varied | None) -> list[str]:
    sides = [side for side in (chip, versus) if side is not None]
    moved = dict.fromkeys(name for side in sides for name, _ in side.moved)
    found = [
        "each constant is drawn by itself from a triangular distribution from low to high, mode at nominal, "
        "over log(value) (over the value where low is 0); constants with the same numbers, unit, source and evidence "
        "are one",
        "numbers that are no constants stay as they are: widths, lanes, cycles and operations of the vector unit, zero "
        "fractions, the plan of tiles but where a timing constant is at an end",
    ]
    if moved:
        found.append(
            f"estimated anew at both ends, on straight lines between them, effects added up: {', '.join(moved)}"
        )
    notes = [f"{side.result.chip.name}: {note}" for side in sides for note in side.result.notes]
    return found + list(dict.fromkeys(notes))


def _percentile(values: Float64, percent: int) -> float:
    return float(np.percentile(values, percent))
