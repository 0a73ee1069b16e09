"""What papers report of a chip, by one definition for all outcomes: area, power, tokens/s, energy per token, TOPS.

* Area: of all parts that have one (`bitsim.cost.area`); those without are named.
* Average power: energy of a phase over its time, in each convention, and `on_chip`: the system without DRAM and host.
* Peak power: the highest average power of one operator while it runs.
* TOPS: 2 x MACs of all matmuls, zeros included, over the time of the phase. Peak TOPS: 2 x MACs per cycle x clock of
  the larger datapath that has work in it.
* TOPS/W: 2 x MACs of the operators that a convention counts, over their energy in it if that is whole. There is no peak
  TOPS/W: no operator is priced at the full rate of its datapath.
* TOPS/mm2: over the area; none if a part of a datapath has no area.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from bitsim.cost import CONVENTIONS, Energy
from bitsim.cost.area import UM2_PER_MM2, Area, PartArea, total_area, without
from bitsim.cost.energy import total_energy
from bitsim.cost.price import LEVELS
from bitsim.model.operators import Kind, Phase
from bitsim.results.priced import PricedRows
from bitsim.results.rows import OperatorRow

OPS_PER_MAC = 2
ON_CHIP = "on_chip"  # the convention "system" without what other chips take
BOUNDARIES = ("arithmetic", "datapath", ON_CHIP, "system")
HEADLINE = ("tokens_per_s", "average_power_system_nominal_w", "tops", "tops_per_w_system", "tops_per_mm2")
SHORT = (
    "tokens_per_s",
    *("bound", "bound_share"),
    *(f"energy_{name}_{what}" for name in BOUNDARIES for what in ("per_token_j", "without")),
    *(f"average_power_{name}_nominal_w" for name in BOUNDARIES),
    *("peak_power_system_w", "peak_power_on_chip_w", "tops", "peak_tops"),
    *(f"tops_per_w_{name}" for name in BOUNDARIES),
    *("tops_per_mm2", "area_nominal_mm2", "area_without"),
)
_OTHER_CHIPS = ("dram", "host")
_JOULES = 1e-12  # of a pJ


def merit(result: PricedRows) -> list[dict[str, Any]]:
    """One record per phase; None where nothing is priced or no part has an area.

    An energy or a power with an `energy_*_without` is that of what has a price.
    """
    return [merit_of(result, phase) for phase in result.phases]


def merit_of(result: PricedRows, phase: Phase) -> dict[str, Any]:
    """The record of one phase that has tokens."""
    tokens, time_s = result.phase_tokens(phase), result.phase_time_s(phase)
    record: dict[str, Any] = {"phase": phase, "tokens": tokens, "time_s": time_s, "tokens_per_s": _over(tokens, time_s)}
    energies = {name: energy_within(result, name, phase) for name in BOUNDARIES}
    for name, energy in energies.items():
        record[f"energy_{name}_per_token_j"] = None if energy is None else energy.nominal * _JOULES / tokens
        record[f"energy_{name}_without"] = result.without(_convention(name))
    for name, energy in energies.items():
        record |= {f"average_power_{name}_{level}_w": _watts(energy, level, time_s) for level in LEVELS}
    record |= peak_power(result, phase)
    return record | _rates(result, phase, time_s, energies) | area_record(result.areas) | _bound(result, phase)


def energy_within(result: PricedRows, boundary: str, phase: Phase | None = None) -> Energy | None:
    """Energy in a convention, or on the chip, of what has a price (`PricedRows.without`); None if nothing has."""
    convention = _convention(boundary)
    if convention not in result.priced_in_part:
        return None
    parts = result.breakdown(convention, phase, in_part=True)
    if boundary == ON_CHIP:
        parts = [part for part in parts if is_on_chip(part[1])]
        if not parts and convention not in result.priced:
            return None
    return total_energy(energy for _, _, energy in parts)


def _convention(boundary: str) -> str:
    return "system" if boundary == ON_CHIP else boundary


def is_on_chip(component: str) -> bool:
    """Whether a component's energy is taken by the chip itself, not by DRAM or the link to the host."""
    return component.split()[0] not in _OTHER_CHIPS


def peak_power(result: PricedRows, phase: Phase) -> dict[str, Any]:
    """The highest nominal average power of an operator, with DRAM and on the chip alone, and the operator's name."""
    record: dict[str, Any] = {"peak_power_system_w": None, "peak_power_on_chip_w": None, "peak_power_operator": None}
    if "system" not in result.priced_in_part:
        return record
    whole, inside = defaultdict[int, float](float), defaultdict[int, float](float)  # pJ by row
    for row, part, energy in result.breakdown("system", phase, in_part=True):
        whole[id(row)] += energy.nominal
        inside[id(row)] += energy.nominal if is_on_chip(part) else 0.0
    timed = [(row, result.seconds(row.cycles)) for row in result.phase_rows(phase) if row.cycles]
    if timed:
        hottest, time_s = max(timed, key=lambda pair: whole[id(pair[0])] / pair[1])
        record["peak_power_system_w"] = whole[id(hottest)] * _JOULES / time_s
        record["peak_power_on_chip_w"] = max(inside[id(row)] * _JOULES / s for row, s in timed)
        record["peak_power_operator"] = hottest.name
    return record


def in_short(result: PricedRows, phase: Phase) -> dict[str, Any]:
    """The nominal numbers of one phase, those of the chip alone if it has no tokens."""
    record = merit_of(result, phase) if result.phase_tokens(phase) else area_record(result.areas)
    return {name: record.get(name) for name in SHORT}


def areas(result: PricedRows) -> list[dict[str, Any]]:
    """Every part of the chip with its area in um2, or why it has none."""
    return [part.record() for part in result.areas]


def headline(result: PricedRows) -> dict[str, Any]:
    """The chip's area, and what papers name first of the last phase: decoding, if there is any."""
    found: dict[str, Any] = {"area_nominal_mm2": area_record(result.areas)["area_nominal_mm2"]}
    for phase in result.phases[-1:]:
        record = merit_of(result, phase)
        found |= {f"{phase}_{name}": record[name] for name in HEADLINE}
    return found


def area_record(parts: Iterable[PartArea]) -> dict[str, Any]:
    """Area of all parts together in mm2, and those that have none, in words."""
    known = known_area(parts := tuple(parts))
    levels = {f"area_{level}_mm2": None if known is None else getattr(known, level) / UM2_PER_MM2 for level in LEVELS}
    return levels | {"area_without": without(parts)}


def known_area(parts: Iterable[PartArea]) -> Area | None:
    """Of the parts that have an area; None if no part of a datapath has one."""
    parts = tuple(parts)
    if not any(part.area for part in parts if part.of_a_datapath):
        return None
    return total_area(parts)


def _rates(
    result: PricedRows, phase: Phase, time_s: float, energies: dict[str, Energy | None]
) -> dict[str, float | int | None]:
    """TOPS and what they are divided by."""
    rows = [row for row in result.phase_rows(phase) if row.macs]
    macs = sum(row.macs for row in rows)
    tops, peak = _over(tera_ops(macs), time_s), peak_tops(result, rows)
    record: dict[str, float | int | None] = {"macs": macs, "tops": tops, "peak_tops": peak}
    for name, energy in energies.items():
        counted = tera_ops(sum(r.macs for r in rows if counts(name, r.kind) and result.on_datapath(r)))
        whole = energy is not None and _convention(name) in result.priced
        record[f"tops_per_w_{name}"] = _over(counted, energy.nominal * _JOULES) if energy and whole else None
    area = known_area(result.areas)
    mm2 = None if area is None or lacks_datapath(result.areas) else area.nominal / UM2_PER_MM2
    per_mm2 = {"tops_per_mm2": tops, "peak_tops_per_mm2": peak}
    return record | {name: value and mm2 and value / mm2 for name, value in per_mm2.items()}


def lacks_datapath(parts: Iterable[PartArea]) -> bool:
    """Whether a part of one of the datapaths has no area."""
    return any(part.area is None for part in parts if part.of_a_datapath)


def counts(boundary: str, kind: Kind) -> bool:
    """Whether a convention, or the chip, has energy of operators of this kind."""
    return CONVENTIONS[_convention(boundary)].counts(kind)


def tera_ops(macs: int | Fraction) -> float:
    """Operations of MACs in 10^12: a multiplication and an addition each."""
    return float(OPS_PER_MAC * macs) * 1e-12


def peak_tops(result: PricedRows, rows: Iterable[OperatorRow]) -> float | None:
    """Of the larger datapath that computes one of `rows`, when nothing idles; None without matmuls."""
    rates = {result.peak_macs(row) for row in rows if result.on_datapath(row)}
    return tera_ops(max(rates)) * result.chip.clock.nominal * 1e9 if rates else None


def _bound(result: PricedRows, phase: Phase) -> dict[str, Any]:
    """What most of the phase's time waits for, and for which share of it."""
    waits = Counter[str]()
    for row in result.phase_rows(phase):
        waits[row.bound] += row.cycles
    if not (cycles := waits.total()):
        return {"bound": None, "bound_share": None}
    (name, most), *_ = waits.most_common(1)
    return {"bound": name, "bound_share": most / cycles}


def _watts(energy: Energy | None, level: str, time_s: float) -> float | None:
    return None if energy is None or not time_s else float(getattr(energy, level)) * _JOULES / time_s


def _over(amount: float, by: float) -> float | None:
    return amount / by if by else None
