"""Rows of operators on a chip, with what they take and cost: cycles, seconds, events, energy by convention."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from bitsim.cost import CONVENTIONS, Energy, OperatorCost, PriceList
from bitsim.cost.area import PartArea, chip_area
from bitsim.cost.energy import LEAKAGE, Unpriced, price_in_part, total_energy
from bitsim.cost.sram import assumed_flavours
from bitsim.errors import UnknownNameError
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
    def areas(self) -> tuple[PartArea, ...]:
        """The chip's parts with their areas, or why they have none."""
        return chip_area(self.chip)

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

    def breakdown(
        self, convention: str, phase: Phase | None = None, *, in_part: bool = False
    ) -> list[tuple[OperatorRow, str, Energy]]:
        """Energy in pJ by operator and component.

        Raises what `price_operator` does if anything has no price; `in_part`: gives what has one, see `without`.
        """
        missing = self.unpriced_events(convention)
        if missing and not in_part:
            raise missing[0].error
        return [part for part in self._breakdowns[convention][0] if phase is None or part[0].phase == phase]

    @cached_property
    def _breakdowns(self) -> dict[str, tuple[list[tuple[OperatorRow, str, Energy]], tuple[Unpriced, ...]]]:
        return {}

    def unpriced_events(self, convention: str) -> tuple[Unpriced, ...]:
        """What was counted under `convention` and has no price, each event once, with its count in all operators."""
        if convention not in CONVENTIONS:
            raise UnknownNameError("convention", convention, CONVENTIONS)
        if convention not in self._breakdowns:
            self._breakdowns[convention] = self._priced_rows(convention)
        return self._breakdowns[convention][1]

    def _priced_rows(self, convention: str) -> tuple[list[tuple[OperatorRow, str, Energy]], tuple[Unpriced, ...]]:
        """Rows of like layers share their events, and so their energy."""
        known: dict[tuple[int, str, int], tuple[dict[str, Energy], tuple[Unpriced, ...]]] = {}
        parts: list[tuple[OperatorRow, str, Energy]] = []
        found: dict[str, Unpriced] = {}
        for row in self.rows:
            key = (id(row.events), row.kind, row.cycles)
            if key not in known:
                time_ns = row.cycles / self.chip.clock.nominal
                cost = OperatorCost(name=row.name, kind=row.kind, events=row.events, time_ns=time_ns)
                known[key] = price_in_part(cost, self.prices, CONVENTIONS[convention])
            energies, missing = known[key]
            parts += [(row, part, energy) for part, energy in energies.items()]
            for one in missing:
                before = found.get(one.event)
                found[one.event] = one if before is None else replace(before, count=before.count + one.count)
        return parts, tuple(found.values())

    def unpriced(self, convention: str) -> str | None:
        """Why the energy under `convention` is not whole: an event without a price; None if it is.

        Events, cycles and overflows of a chip that the technology can't price are known all the same.
        """
        missing = self.unpriced_events(convention)
        return str(missing[0].error) if missing else None

    def without(self, convention: str, shown: int | None = None) -> str | None:
        """The events that an energy `in_part` is without, `shown` of them (None: all), with counts; None if whole."""
        missing = self.unpriced_events(convention)
        if not missing:
            return None
        named = [one.event if one.event == LEAKAGE else f"{one.event} ({one.count:,})" for one in missing[:shown]]
        return f"without {', '.join(named)}" + (f" and {len(missing) - len(named)} more" * (len(named) < len(missing)))

    @cached_property
    def priced(self) -> tuple[str, ...]:
        """The conventions under which this result has an energy that is whole."""
        return tuple(name for name in CONVENTIONS if not self.unpriced_events(name))

    @cached_property
    def priced_in_part(self) -> tuple[str, ...]:
        """The conventions under which something has a price, or nothing was counted that needs one."""
        return tuple(name for name in CONVENTIONS if name in self.priced or self.breakdown(name, in_part=True))

    def energy_range(self, convention: str, phase: Phase | None = None, *, in_part: bool = False) -> Energy:
        """Total energy in pJ, low / nominal / high; `in_part`: of what has a price, see `without`."""
        return total_energy(energy for _, _, energy in self.breakdown(convention, phase, in_part=in_part))

    def energy(self, convention: str = "system", phase: Phase | None = None) -> float:
        """Total nominal energy in joules under `convention`, of one phase or of all."""
        return self.energy_range(convention, phase).nominal * 1e-12

    def peak_macs(self, row: OperatorRow) -> int:
        """MACs per cycle of the datapath that computes a matmul, when nothing idles."""
        return (self.chip.bitlinear if row.bitlinear else self.chip.wide).macs_per_cycle

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
        assumed = [{"constant": n, "value": v, "source": c.source} for n, v, c in stated if c.evidence == "assumed"]
        flavours = assumed_flavours(self.chip) if "system" in self.priced else []
        return [*assumed, *flavours]
