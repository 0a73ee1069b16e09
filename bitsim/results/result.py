"""What an experiment gave: operators with their events, cycles and energy, and everything needed to trace them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from bitsim.cost import CONVENTIONS, Energy, OperatorCost, PriceList, price_operator
from bitsim.cost.energy import total_energy
from bitsim.errors import ConfigError, UnknownNameError, UnpricedEventError
from bitsim.events import Events, total
from bitsim.hw.chip import Chip, OpCost
from bitsim.hw.constants import Constant
from bitsim.model.operators import Phase
from bitsim.results.rows import OperatorRow, memory_bytes, sparsity

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

Table = Literal["operators", "events", "energy"]


@dataclass(frozen=True, kw_only=True)
class Result:
    """The outcome of `run` or `estimate`.

    * `rows`: one per phase and operator. `tokens`: prompt and new tokens; `logits`: float32 (positions, vocabulary),
      None for an estimate. `prompt_tokens`, `new_tokens`: how many were processed in each phase, per sequence.
    * `notes`: assumptions, samples and overflows that a reader must know. `inputs`: names and hashes of what was used.
    """

    mode: Literal["run", "estimate"]
    chip: Chip
    rows: tuple[OperatorRow, ...]
    inputs: Mapping[str, str]
    notes: tuple[str, ...]
    prompt_tokens: int
    new_tokens: int
    batch: int = 1
    text: str | None = None
    tokens: tuple[int, ...] = ()
    logits: npt.NDArray[np.float32] | None = None

    @cached_property
    def prices(self) -> PriceList:
        return PriceList(self.chip)

    @cached_property
    def events(self) -> Events:
        """All events of all operators."""
        return total([row.events for row in self.rows])

    @cached_property
    def sparsity(self) -> dict[str, float]:
        """By kind of linear; see `rows.sparsity`."""
        return sparsity(self.rows)

    @property
    def cycles(self) -> int:
        """Clock cycles from start to end; operators follow each other."""
        return sum(row.cycles for row in self.rows)

    @property
    def time_s(self) -> float:
        return self.cycles * self._cycle_ns * 1e-9

    @property
    def _cycle_ns(self) -> float:
        return 1.0 / self.chip.clock.nominal

    def phase_rows(self, phase: Phase | None) -> Iterator[OperatorRow]:
        return (row for row in self.rows if phase is None or row.phase == phase)

    def phase_time_s(self, phase: Phase) -> float:
        """Simulated time of one phase, in seconds."""
        return sum(row.cycles for row in self.phase_rows(phase)) * self._cycle_ns * 1e-9

    def breakdown(self, convention: str, phase: Phase | None = None) -> list[tuple[OperatorRow, str, Energy]]:
        """Energy in pJ by operator and component."""
        if convention not in CONVENTIONS:
            raise UnknownNameError("convention", convention, CONVENTIONS)
        found = self._breakdowns.get(convention)
        if found is None:
            found = self._breakdowns[convention] = list(self._priced_rows(convention))
        return [part for part in found if phase is None or part[0].phase == phase]

    @cached_property
    def _breakdowns(self) -> dict[str, list[tuple[OperatorRow, str, Energy]]]:
        return {}

    def _priced_rows(self, convention: str) -> Iterator[tuple[OperatorRow, str, Energy]]:
        """Rows of like layers share their events, and so their energy."""
        known: dict[tuple[int, str, int], dict[str, Energy]] = {}
        for row in self.rows:
            key = (id(row.events), row.kind, row.cycles)
            if key not in known:
                time_ns = row.cycles * self._cycle_ns
                cost = OperatorCost(name=row.name, kind=row.kind, events=row.events, time_ns=time_ns)
                known[key] = price_operator(cost, self.prices, CONVENTIONS[convention])
            for part, energy in known[key].items():
                yield row, part, energy

    def unpriced(self, convention: str) -> str | None:
        """Why there is no energy under `convention`: an event without a price; None if there is one.

        Events, cycles and overflows of a chip that the technology can't price are known all the same.
        """
        try:
            self.breakdown(convention)
        except (UnpricedEventError, ConfigError) as error:
            return str(error)
        return None

    @cached_property
    def priced(self) -> tuple[str, ...]:
        """The conventions under which this result has an energy."""
        return tuple(name for name in CONVENTIONS if self.unpriced(name) is None)

    def energy_range(self, convention: str, phase: Phase | None = None) -> Energy:
        """Total energy in pJ, low / nominal / high."""
        return total_energy(energy for _, _, energy in self.breakdown(convention, phase))

    def energy(self, convention: str = "system", phase: Phase | None = None) -> float:
        """Total nominal energy in joules under `convention`, of one phase or of all."""
        return self.energy_range(convention, phase).nominal * 1e-12

    def assumed_constants(self) -> list[dict[str, str]]:
        """The constants with evidence `assumed` that the system energy or the time rests on, each once."""
        found: dict[str, Constant] = {}
        used = []
        if "system" in self.priced:
            priced = self.events.in_ledger(*CONVENTIONS["system"].ledgers)
            used = [price for event in priced if (price := self.prices.price(event))] + [self.prices.leakage_mw()]
        for price in used:
            found.update(dict(price.constants))
        found.update(self.chip.timing_constants())
        stated: list[tuple[str, str, Constant | OpCost]] = [(name, c.text(), c) for name, c in sorted(found.items())]
        stated += [
            (f"{self.chip.name}: vector.costs.{op}", f"{cost.cycles} cycles, {cost.add} adds, {cost.mul} muls", cost)
            for op, cost in self.chip.vector.costs.items()
        ]
        return [{"constant": n, "value": v, "source": c.source} for n, v, c in stated if c.evidence == "assumed"]

    def frame(self, table: Table = "operators") -> pd.DataFrame:
        """A tidy table: one row per operator (default), per operator and event, or per operator, convention and part.

        Units are in the column names: `cycles`, `time_s`, `energy_<convention>_pj` (nominal), `low_pj` and so on.
        Conventions in which an event has no price are left out (`unpriced` says why).
        """
        import pandas as pd

        # An operator of no layer has no number there, and the others an integer.
        makers = {"operators": self._operator_records, "events": self._event_records, "energy": self._energy_records}
        if table not in makers:
            raise UnknownNameError("table", table, makers)
        frame = pd.DataFrame(makers[table]())
        return frame.astype({"layer": "Int64"}) if len(frame) else frame

    def _identity(self, row: OperatorRow) -> dict[str, Any]:
        return {"phase": row.phase, "layer": row.layer, "operator": row.name, "kind": row.kind}

    def _operator_records(self) -> list[dict[str, Any]]:
        energies: dict[tuple[str, str, str], float] = {}
        for convention in self.priced:
            for row, _, energy in self.breakdown(convention):
                key = (row.phase, row.name, convention)
                energies[key] = energies.get(key, 0.0) + energy.nominal
        return [
            self._identity(row)
            | {
                "calls": row.calls,
                "macs": row.macs,
                "cycles": row.cycles,
                "time_s": row.cycles * self._cycle_ns * 1e-9,
                "unit_cycles": row.unit_cycles,
                "bound": row.bound,
                "bound_cycles": row.least_cycles,
                "gap": row.cycles / row.least_cycles - 1 if row.least_cycles else 0.0,
                "utilisation": self._utilisation(row),
                "plan": row.plan or None,
            }
            | memory_bytes(row.events, self.chip)
            | {
                "sparsity": None if row.live_macs is None else 1 - row.live_macs / row.macs,
            }
            | {f"energy_{c}_pj": energies.get((row.phase, row.name, c), 0.0) for c in self.priced}
            for row in self.rows
        ]

    def peak_macs(self, row: OperatorRow) -> int:
        """MACs per cycle of the datapath that computes a matmul, when nothing idles."""
        return (self.chip.bitlinear if row.bitlinear else self.chip.wide).macs_per_cycle

    def _utilisation(self, row: OperatorRow) -> float | None:
        """Of a matmul, its MACs over those that its datapath could do in the same time; None for all else."""
        return row.macs / (row.cycles * self.peak_macs(row)) if row.macs and row.cycles else None

    def _event_records(self) -> list[dict[str, Any]]:
        return [
            self._identity(row) | {"event": event, "count": count}
            for row in self.rows
            for event, count in sorted(row.events.items())
        ]

    def _energy_records(self) -> list[dict[str, Any]]:
        return [
            self._identity(row)
            | {"convention": convention, "component": part}
            | {"low_pj": energy.low, "nominal_pj": energy.nominal, "high_pj": energy.high}
            for convention in self.priced
            for row, part, energy in self.breakdown(convention)
        ]

    def summary(self) -> dict[str, Any]:
        """The headline numbers, in plain types."""
        energy = {
            name: {
                "includes": convention.includes,
                "not_counted": list(convention.not_counted),
                "total_j": _joules(self.energy_range(name)),
                "by_component_j": self._grouped(name, lambda row, part: part),
                "by_kind_j": self._grouped(name, lambda row, part: row.kind),
            }
            if name in self.priced
            else {"unpriced": self.unpriced(name)}
            for name, convention in CONVENTIONS.items()
        }
        phases: list[Phase] = ["prefill", "decode"]
        return {
            "mode": self.mode,
            "inputs": dict(self.inputs),
            "prompt_tokens": self.prompt_tokens,
            "new_tokens": self.new_tokens,
            "batch": self.batch,
            "text": self.text,
            "tokens": list(self.tokens),
            "sparsity": self.sparsity,
            "cycles": self.cycles,
            "time_s": self.time_s,
            "phases": {
                phase: {
                    "cycles": sum(row.cycles for row in self.phase_rows(phase)),
                    "time_s": self.phase_time_s(phase),
                    "energy_j": {name: _joules(self.energy_range(name, phase)) for name in self.priced},
                }
                for phase in phases
            },
            "energy": energy,
            "events": dict(sorted(self.events.items())),
            "assumed_constants": self.assumed_constants(),
            "notes": list(self.notes),
        }

    def _grouped(self, convention: str, key: Any) -> dict[str, dict[str, float]]:
        groups: dict[str, Energy] = {}
        for row, part, energy in self.breakdown(convention):
            name = key(row, part)
            groups[name] = groups.get(name, Energy()) + energy
        return {name: _joules(energy) for name, energy in sorted(groups.items())}

    def to_json(self) -> str:
        """The summary and the operators' table as JSON; logits are left out (they are in `logits`)."""
        operators = [_plain(record) for record in self._operator_records()]
        return json.dumps(self.summary() | {"operators": operators}, indent=1)


def _joules(energy: Energy) -> dict[str, float]:
    return {"low": energy.low * 1e-12, "nominal": energy.nominal * 1e-12, "high": energy.high * 1e-12}


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if value is not None}
