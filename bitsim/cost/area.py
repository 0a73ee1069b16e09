"""Area of a chip: parts by count times a technology's areas. What has no area is listed with the reason, never zero."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bitsim.cost.logic import by_rule
from bitsim.cost.price import LEVELS, Price
from bitsim.cost.spread import Spread
from bitsim.cost.sram import sram_between
from bitsim.datapath.registry import build_datapath
from bitsim.errors import ConfigError
from bitsim.floats.scalars import exp, log
from bitsim.hw.chip import Chip
from bitsim.hw.constants import Constant
from bitsim.hw.rules import match
from bitsim.hw.technology import Technology, is_finished_array

UM2_PER_MM2 = 1e6


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

    def record(self) -> dict[str, Any]:
        """Plain values."""
        area = self.area
        levels = {f"{level}_um2": None if area is None else getattr(area, level) for level in LEVELS}
        return {"component": self.component, "part": self.part, "count": self.count} | levels | {"reason": self.reason}


def chip_area(chip: Chip) -> tuple[PartArea, ...]:
    """All parts of `chip` that are known: its two datapaths, the vector unit's adders and multipliers, its buffers.

    A part without an area of its own has that of a rule (`bitsim.hw.rules`). Cells are multiplied by the technology's
    layout factor; SRAM, ROM and register files are not, their areas are those
    of finished arrays. Between two
    capacities of the grid, the logarithm of the area lies on a straight line over log(capacity). Control, wires beyond
    the layout factor, the scale multipliers, of which chips tell no number, pads and DRAM are not counted.
    """
    vector = {f"add.{chip.vector.format}": chip.vector.lanes, f"mul.{chip.vector.format}": chip.vector.lanes}
    vector |= dict.fromkeys((f"{op}.{chip.vector.format}" for op in ("max", "cvt")), chip.vector.lanes)
    parts = [*_datapath(chip, "bitlinear"), *_datapath(chip, "wide")]
    parts += [_cells(chip, "vector", part, count) for part, count in vector.items()]
    return (*parts, *(_buffer(chip, name) for name in chip.memory.names))


def total_area(parts: Iterable[PartArea]) -> Area:
    """The sum over the parts that have an area."""
    result = Area()
    for part in parts:
        if part.area is not None:
            result = result + part.area
    return result


def _datapath(chip: Chip, component: str) -> list[PartArea]:
    spec = getattr(chip, component)
    datapath = build_datapath(spec)
    parts = datapath.parts()
    if parts is None:
        return [
            PartArea(
                component=component,
                part=spec.unit,
                count=1,
                area=None,
                reason=f"datapaths of kind {spec.kind!r} {datapath.no_parts}",
            )
        ]
    return [_cells(chip, component, part, count) for part, count in parts.items()]


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
    component, capacity = f"sram {name}", f"{chip.memory.level(name).capacity.nominal:g} kB"
    try:
        below, above, t = sram_between(chip, name)
    except ConfigError as error:
        return PartArea(component=component, part=capacity, count=1, area=None, reason=str(error))
    if below.area is None or above.area is None:
        reason = f"{chip.tech.path}: sram: no area at {below.capacity_kb:g} or {above.capacity_kb:g} kB"
        return PartArea(component=component, part=capacity, count=1, area=None, reason=reason)
    low, nominal, high = (_geometric(below.area, above.area, t, level) * UM2_PER_MM2 for level in LEVELS)
    return PartArea(component=component, part=capacity, count=1, area=Area(low=low, nominal=nominal, high=high))


def _geometric(below: Constant, above: Constant, t: float, level: str) -> float:
    start, end = float(getattr(below, level)), float(getattr(above, level))
    return start * exp(t * log(end / start))
