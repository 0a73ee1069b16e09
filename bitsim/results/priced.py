"""Rows of operators on a chip, with what they take and cost: cycles, seconds, events, energy by convention."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, TypeVar

from bitsim.cost import CONVENTIONS, Energy, OperatorCost, PriceList
from bitsim.cost.area import PartArea, chip_area
from bitsim.cost.energy import Amount, Unpriced, amounts, by_component, total_energy
from bitsim.cost.matrix import key_of
from bitsim.cost.prices import LEAKAGE
from bitsim.cost.shares import is_assumed, share_resting_on, shares
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
        self._check_whole(convention, in_part)
        return [part for part in self._breakdowns[convention] if phase is None or part[0].phase == phase]

    @cached_property
    def _breakdowns(self) -> "_ByConvention[list[tuple[OperatorRow, str, Energy]]]":
        return _ByConvention(self._energies)

    def _energies(self, convention: str) -> list[tuple[OperatorRow, str, Energy]]:
        known = {alike: by_component(found) for alike, (found, _) in self._amounts[convention].items()}
        return [(row, part, energy) for row in self.rows for part, energy in known[_alike(row)].items()]

    def amounts(self, convention: str, phase: Phase | None = None, *, in_part: bool = False) -> tuple[Amount, ...]:
        """What the energy of all operators together is the sum of, each item once; raises as `breakdown` does."""
        self._check_whole(convention, in_part)
        times = Counter(_alike(row) for row in self.phase_rows(phase))
        found: dict[str, Amount] = {}
        for alike, number in times.items():
            for amount in self._amounts[convention][alike][0]:
                before = found[amount.item].count if amount.item in found else 0
                found[amount.item] = replace(amount, count=before + number * amount.count)
        return tuple(found.values())

    @cached_property
    def _amounts(self) -> "_ByConvention[dict[_Alike, _Amounts]]":
        return _ByConvention(self._counted)

    def _counted(self, convention: str) -> "dict[_Alike, _Amounts]":
        """Rows of like layers share their events, and so what is priced of them."""
        if convention not in CONVENTIONS:
            raise UnknownNameError("convention", convention, CONVENTIONS)
        found: dict[_Alike, _Amounts] = {}
        for row in self.rows:
            if _alike(row) not in found:
                time_ns = row.cycles / self.chip.clock.nominal
                cost = OperatorCost(name=row.name, kind=row.kind, events=row.events, time_ns=time_ns)
                found[_alike(row)] = amounts(cost, self.prices, CONVENTIONS[convention])
        return found

    def _check_whole(self, convention: str, in_part: bool) -> None:
        missing = self.unpriced_events(convention)
        if missing and not in_part:
            raise missing[0].error

    def unpriced_events(self, convention: str) -> tuple[Unpriced, ...]:
        """What was counted under `convention` and has no price, each event once, with its count in all operators."""
        return self._unpriced[convention]

    @cached_property
    def _unpriced(self) -> "_ByConvention[tuple[Unpriced, ...]]":
        return _ByConvention(self._missing)

    def _missing(self, convention: str) -> tuple[Unpriced, ...]:
        known, found = self._amounts[convention], dict[str, Unpriced]()
        for row in self.rows if any(missing for _, missing in known.values()) else ():
            for one in known[_alike(row)][1]:
                before = found.get(one.event)
                found[one.event] = one if before is None else replace(before, count=before.count + one.count)
        return tuple(found.values())

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

    def on_datapath(self, row: OperatorRow) -> bool:
        """Whether it is a matmul that a datapath computes: those of a host that works itself are not."""
        return row.macs > 0 and (self.chip.host is None or row.kind not in self.chip.host.work)

    def peak_macs(self, row: OperatorRow) -> int | Fraction:
        """MACs per cycle of the datapath that computes a matmul, when nothing idles."""
        return (self.chip.bitlinear if row.bitlinear else self.chip.wide).macs_per_cycle

    @cached_property
    def assumed_share(self) -> float | None:
        """The part of the nominal system energy in which an assumed constant is a factor; None if it is not whole."""
        return share_resting_on(self.amounts("system"), is_assumed) if "system" in self.priced else None

    def assumed_constants(self) -> list[dict[str, Any]]:
        """The constants with evidence `assumed` that the system energy or the time rests on, each once.

        `share`: the part of the nominal system energy that would vanish with the constant; None if it is no factor of
        one, or if that energy is not whole.
        """
        whole = "system" in self.priced
        used = self.amounts("system", in_part=True)
        found = {name: constant for amount in used for name, constant in amount.price.constants}
        part = shares(used) if whole else {}
        stated: list[tuple[str, str, Constant | OpCost, float | None]] = [
            (name, constant.text(), constant, part.get(key_of(constant)))
            for name, constant in sorted((found | dict(self.chip.timing_constants())).items())
        ]
        stated += [
            (
                f"{self.chip.name}: vector.costs.{op}",
                f"{cost.cycles} cycles, {cost.add} adds, {cost.mul} muls",
                cost,
                None,
            )
            for op, cost in self.chip.vector.costs.items()
        ]
        assumed = [
            {"constant": name, "value": value, "source": c.source, "share": share}
            for name, value, c, share in stated
            if c.evidence == "assumed"
        ]
        return assumed + [record | {"share": None} for record in (assumed_flavours(self.chip) if whole else [])]


_Alike = tuple[int, str, int]
_Amounts = tuple[tuple[Amount, ...], tuple[Unpriced, ...]]
Found = TypeVar("Found")


def _alike(row: OperatorRow) -> _Alike:
    """What rows of the same cost have in common."""
    return id(row.events), row.kind, row.cycles


class _ByConvention(dict[str, Found]):
    """What `make` gives of a convention, made once."""

    def __init__(self, make: Callable[[str], Found]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, convention: str) -> Found:
        found = self[convention] = self._make(convention)
        return found
