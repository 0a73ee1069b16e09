"""Rows of operators on a chip, with what they take and cost: cycles, seconds, events, energy by convention."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from bitsim.cost import CONVENTIONS, Energy, OperatorCost, PriceList, price_operator
from bitsim.cost.energy import Amount, amounts, total_energy
from bitsim.cost.matrix import key_of
from bitsim.cost.shares import is_assumed, share_resting_on, shares
from bitsim.errors import ConfigError, UnknownNameError, UnpricedEventError
from bitsim.events import Events, total
from bitsim.hw.chip import Chip, OpCost
from bitsim.hw.constants import Constant
from bitsim.model.operators import Phase
from bitsim.results.rows import OperatorRow, sparsity
from bitsim.results.setup import Workload

PHASES: tuple[Phase, ...] = ("prefill", "decode")


@dataclass(frozen=True, kw_only=True, repr=False)
class PricedRows:
    """What operators did on `chip`: `rows`, one per phase and operator, and the `workload` that they are of."""

    chip: Chip
    rows: tuple[OperatorRow, ...]
    workload: Workload

    @property
    def phases(self) -> list[Phase]:
        """The phases in which there were tokens."""
        return [phase for phase in PHASES if self.phase_tokens(phase)]

    def phase_tokens(self, phase: Phase) -> int:
        """Tokens of all sequences that a phase processed."""
        return self.workload.batch * (self.workload.prefill if phase == "prefill" else self.workload.decode)

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
        return self.phase_cycles(None)

    @property
    def time_s(self) -> float:
        return self.seconds(self.cycles)

    def seconds(self, cycles: float) -> float:
        """Simulated time of so many cycles."""
        return cycles / self.chip.clock.nominal * 1e-9

    def phase_rows(self, phase: Phase | None) -> Iterator[OperatorRow]:
        return (row for row in self.rows if phase is None or row.phase == phase)

    def phase_cycles(self, phase: Phase | None) -> int:
        """Cycles of one phase, or of all."""
        return sum(row.cycles for row in self.phase_rows(phase))

    def phase_time_s(self, phase: Phase) -> float:
        """Simulated time of one phase, in seconds."""
        return self.seconds(self.phase_cycles(phase))

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
        known: dict[_Alike, dict[str, Energy]] = {}
        for row in self.rows:
            if _alike(row) not in known:
                known[_alike(row)] = price_operator(self._cost(row), self.prices, CONVENTIONS[convention])
            for part, energy in known[_alike(row)].items():
                yield row, part, energy

    def _cost(self, row: OperatorRow) -> OperatorCost:
        time_ns = row.cycles / self.chip.clock.nominal
        return OperatorCost(name=row.name, kind=row.kind, events=row.events, time_ns=time_ns)

    def amounts(self, convention: str, phase: Phase | None = None) -> tuple[Amount, ...]:
        """What the energy of all operators together is the sum of, each item once."""
        if convention not in CONVENTIONS:
            raise UnknownNameError("convention", convention, CONVENTIONS)
        alike: dict[_Alike, tuple[OperatorRow, int]] = {}
        for row in self.phase_rows(phase):
            alike[_alike(row)] = (row, alike[_alike(row)][1] + 1 if _alike(row) in alike else 1)
        found: dict[str, Amount] = {}
        for row, times in alike.values():
            for amount in amounts(self._cost(row), self.prices, CONVENTIONS[convention]):
                before = found[amount.item].count if amount.item in found else 0
                found[amount.item] = replace(amount, count=before + times * amount.count)
        return tuple(found.values())

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

    def peak_macs(self, row: OperatorRow) -> int:
        """MACs per cycle of the datapath that computes a matmul, when nothing idles."""
        return (self.chip.bitlinear if row.bitlinear else self.chip.wide).macs_per_cycle

    @cached_property
    def assumed_share(self) -> float | None:
        """The part of the nominal system energy in which an assumed constant is a factor; None if it has no price."""
        return share_resting_on(self.amounts("system"), is_assumed) if "system" in self.priced else None

    def assumed_constants(self) -> list[dict[str, Any]]:
        """The constants with evidence `assumed` that the system energy or the time rests on, each once.

        `share`: the part of the nominal system energy that would vanish with the constant; None if it is no factor of one.
        """
        priced = "system" in self.priced
        used = self.amounts("system") if priced else ()
        found = {name: constant for amount in used for name, constant in amount.price.constants}
        if priced:
            found |= {name: c for price in self.prices.powers().values() for name, c in price.constants}
        part = shares(used)
        stated: list[tuple[str, str, Constant | OpCost, float | None]] = [
            (name, constant.text(), constant, part.get(key_of(constant)))
            for name, constant in sorted((found | dict(self.chip.timing_constants())).items())
        ]
        stated += [
            (f"{self.chip.name}: vector.costs.{op}", f"{cost.cycles} cycles, {cost.add} adds, {cost.mul} muls", cost, None)
            for op, cost in self.chip.vector.costs.items()
        ]
        return [
            {"constant": name, "value": value, "source": c.source, "share": share}
            for name, value, c, share in stated
            if c.evidence == "assumed"
        ]


_Alike = tuple[int, str, int]


def _alike(row: OperatorRow) -> _Alike:
    """What rows of the same cost have in common."""
    return id(row.events), row.kind, row.cycles
