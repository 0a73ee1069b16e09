"""Area of a chip: parts by count times a technology's areas. What has no area is listed with the reason, never zero."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bitsim.cost.logic import by_rule
from bitsim.cost.price import LEVELS, Price
from bitsim.cost.spread import Spread
from bitsim.cost.sram import buffer_of
from bitsim.datapath.registry import build_datapath
from bitsim.errors import ConfigError
from bitsim.hw.chip import Chip
from bitsim.hw.rules import match
from bitsim.hw.technology import Technology, is_finished_array

UM2_PER_MM2 = 1e6
NOT_COUNTED = "control, wires beyond the layout factor, scale multipliers, pads, DRAM, host"
DATAPATHS = ("bitlinear", "wide")


class Area(Spread):
    """Area in um2, as a range."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PartArea:
    """`count` parts of one name in one component of a chip; `area` of all of them, or None and `reason`."""

    component: str
    part: str
    count: int
    area: Area | None
    reason: str = ""

    @property
    def of_a_datapath(self) -> bool:
        """Whether it belongs to one of the chip's two datapaths."""
        return self.component in DATAPATHS

    def record(self) -> dict[str, Any]:
        """Plain values."""
        area = self.area
        levels = {f"{level}_um2": None if area is None else getattr(area, level) for level in LEVELS}
        return {"component": self.component, "part": self.part, "count": self.count} | levels | {"reason": self.reason}


def chip_area(chip: Chip) -> tuple[PartArea, ...]:
    """All parts of `chip` that are known: its two datapaths, the vector unit's adders and multipliers, its buffers.

    Where both datapaths are the same units (`units_shared`), a part that both have is there once, as often as the one
    needs it that has more of it; what only `wide` needs is listed under `wide`.

    A part without an area of its own has that of a rule (`bitsim.hw.rules`).

    Cells are multiplied by the technology's layout factor; SRAM, ROM and register files are not, their areas are those
    of finished arrays. A buffer is its banks (`bitsim.cost.sram`), without what connects them. Control, wires beyond
    the layout factor, the scale multipliers, of which chips tell no number, pads and DRAM are not counted.
    """
    vector = {f"add.{chip.vector.format}": chip.vector.lanes, f"mul.{chip.vector.format}": chip.vector.lanes}
    vector |= dict.fromkeys((f"{op}.{chip.vector.format}" for op in ("max", "cvt")), chip.vector.lanes)
    parts = _datapaths(chip)
    parts += [_cells(chip, "vector", part, count) for part, count in vector.items()]
    return (*parts, *(_buffer(chip, name) for name in chip.memory.names))


def without(parts: Iterable[PartArea]) -> str:
    """The parts that have no area, in words; empty if all have one."""
    return ", ".join(f"{part.count:,} {part.part} of {part.component}" for part in parts if part.area is None)


def total_area(parts: Iterable[PartArea]) -> Area:
    """The sum over the parts that have an area."""
    result = Area()
    for part in parts:
        if part.area is not None:
            result = result + part.area
    return result


def _datapaths(chip: Chip) -> list[PartArea]:
    """The parts of both datapaths."""
    parts: list[PartArea] = []
    there: Mapping[str, int] = {}
    for component in DATAPATHS:
        spec = getattr(chip, component)
        datapath = build_datapath(spec)
        needed = datapath.parts()
        if needed is None:
            reason = f"datapaths of kind {spec.kind!r} {datapath.no_parts}"
            parts.append(PartArea(component=component, part=spec.unit, count=1, area=None, reason=reason))
            continue
        more = {part: count - there.get(part, 0) for part, count in needed.items()}
        parts += [_cells(chip, component, part, count) for part, count in more.items() if count > 0]
        there = needed if chip.units_shared else {}
    return parts


def part_area(tech: Technology, part: str) -> Price | None:
    """The cell area of one part in um2 before layout: its own, else that of a rule; None if there is neither."""
    one = tech.areas.get(part)
    if one is not None:
        return Price.of(one, f"{tech.name}: areas.{part}")
    found = match(tech.area_rules, part)
    if found is None or found[1].outside(found[2]) is not None:
        return None
    return by_rule(f"{tech.name}: area_rules.{found[0]}", *found[1:])


def _cells(chip: Chip, component: str, part: str, count: int) -> PartArea:
    one = part_area(chip.tech, part)
    if one is None:
        found = match(chip.tech.area_rules, part)
        ended = None if found is None else f"area_rules.{found[0]}: {found[1].outside(found[2])}"
        reason = f"{chip.tech.path}: {ended or f'areas: no area for {part!r}'}"
        return PartArea(component=component, part=part, count=count, area=None, reason=reason)
    if not is_finished_array(part):
        one = one.scaled(chip.tech.layout_factor, f"{chip.tech.name}: layout_factor")
    low, nominal, high = (count * one.at(level) for level in LEVELS)
    return PartArea(component=component, part=part, count=count, area=Area(low=low, nominal=nominal, high=high))


def _buffer(chip: Chip, name: str) -> PartArea:
    component = f"sram {name}"
    try:
        buffer = buffer_of(chip, name)
        banks, price = buffer.banks, buffer.area()
    except ConfigError as error:
        capacity = f"{chip.memory.level(name).capacity.nominal:g} kB"
        return PartArea(component=component, part=capacity, count=1, area=None, reason=str(error))
    low, nominal, high = (price.at(level) * UM2_PER_MM2 for level in LEVELS)
    part = f"{banks.capacity_kb:g} kB x {banks.width_bits} bit"
    return PartArea(component=component, part=part, count=banks.count, area=Area(low=low, nominal=nominal, high=high))
