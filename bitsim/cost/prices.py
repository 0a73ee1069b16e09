"""The price list of one chip: event -> energy, from its technology and memories. No price, no number: it raises."""

from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Literal

from bitsim.errors import ConfigError, UnpricedEventError
from bitsim.events import event_kind, parsed
from bitsim.floats.scalars import log
from bitsim.hw.chip import Chip
from bitsim.hw.constants import Constant
from bitsim.hw.technology import SramRow, is_finished_array

Level = Literal["low", "nominal", "high"]
SHOWN = 6  # priced events that an error lists
LEVELS: tuple[Level, ...] = ("low", "nominal", "high")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Energy of one event in pJ, with the constants that it was made from (path in the YAML, constant)."""

    low: float
    nominal: float
    high: float
    constants: tuple[tuple[str, Constant], ...]

    def at(self, level: Level) -> float:
        return float(getattr(self, level))

    def scaled(self, factor: float | Constant, name: str = "") -> "Price":
        """This price times a number, or times a constant that is named in the result."""
        by = (factor.low, factor.nominal, factor.high) if isinstance(factor, Constant) else (factor,) * 3
        used = ((name, factor),) if isinstance(factor, Constant) else ()
        return Price(
            low=self.low * by[0], nominal=self.nominal * by[1], high=self.high * by[2], constants=self.constants + used
        )


NOTHING = Price(low=0.0, nominal=0.0, high=0.0, constants=())


class PriceList:
    """Prices of all events that can happen on `chip`.

    Synthesised logic (`datapath` ledger and vector unit, memory arrays apart) is pre-layout and multiplied by the
    technology's layout factor; an SRAM access is priced by the buffer's capacity, between two capacities of the
    technology's grid on a straight line over log(capacity), and never outside of the grid.
    """

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self.tech = chip.tech
        self.price = cache(self._price)

    def _price(self, event: str) -> Price | None:
        ledger = event_kind(event).ledger
        name = parsed(event)
        if ledger == "activity":
            return NOTHING
        if name.unit == "dram":
            return _of(self.chip.memory.dram.energy, f"{self.chip.name}: memory.dram.energy")
        if name.unit == "host":
            return self._host()
        if name.unit == "sram":
            return self._sram(name.place, "write" if name.action == "write_bits" else "read")
        constant = self.tech.prices.get(event)
        if constant is None:
            return None
        price = _of(constant, f"{self.tech.name}: prices.{event}")
        if ledger == "arithmetic" or is_finished_array(event):
            return price
        return price.scaled(self.tech.layout_factor, f"{self.tech.name}: layout_factor")

    def _host(self) -> Price:
        """Energy per bit of the link to the host; where the chip gives none it is not counted, as results say."""
        energy = None if self.chip.host is None else self.chip.host.energy
        return NOTHING if energy is None else _of(energy, f"{self.chip.name}: host.energy")

    def _sram(self, buffer: str, access: Literal["read", "write", "leakage"]) -> Price:
        """Energy per bit of an access (pJ), or leakage power (mW), of one buffer."""
        below, above, t = sram_between(self.chip, buffer)
        described = self.chip.memory.level(buffer)
        lower, upper = (
            _of(getattr(row, access), f"{self.tech.name}: sram {row.capacity_kb:g} kB.{access}")
            for row in (below, above)
        )
        per_bit = 1.0 if access == "leakage" else 1.0 / described.width_bits
        low, nominal, high = (((1 - t) * lower.at(level) + t * upper.at(level)) * per_bit for level in LEVELS)
        used = lower.constants if above is below else lower.constants + upper.constants
        used += ((f"{self.chip.name}: memory.{buffer}.capacity", described.capacity),)
        return Price(low=low, nominal=nominal, high=high, constants=used)

    def leakage_mw(self) -> Price:
        """Leakage power of all buffers in mW, which is pJ per ns."""
        parts = [self._sram(name, "leakage") for name in self.chip.memory.names]
        return Price(
            low=sum(p.low for p in parts),
            nominal=sum(p.nominal for p in parts),
            high=sum(p.high for p in parts),
            constants=tuple(constant for p in parts for constant in p.constants),
        )

    def must_price(self, event: str, count: int, operator: str) -> Price:
        """The price of `event`; raises `UnpricedEventError` naming the technology and the operator that caused it."""
        price = self.price(event)
        if price is None and self.tech.unpriced is not None:
            raise UnpricedEventError(
                f"{self.tech.path}: no prices: {self.tech.unpriced} ({event!r} counted {count:,} times by {operator})"
            )
        if price is None:
            alike = sorted(e for e in self.tech.prices if parsed(e).unit == parsed(event).unit)
            near = ", ".join(alike if len(alike) <= SHOWN else get_close_matches(event, alike, SHOWN, 0.0))
            near += f" and {len(alike) - SHOWN} more" if len(alike) > SHOWN else ""
            raise UnpricedEventError(
                f"{self.tech.path}: prices: expected a price for event {event!r}, counted {count:,} times by "
                f"{operator}; priced of this kind: {near or 'none'}"
            )
        return price


def sram_between(chip: Chip, buffer: str) -> tuple[SramRow, SramRow, float]:
    """The grid's rows around a buffer's capacity, and how far from the lower one it lies on a scale of log(capacity).

    Raises `ConfigError` outside of the grid, or if there is none.
    """
    described = chip.memory.level(buffer)
    if chip.tech.unpriced is not None:
        raise ConfigError(f"{chip.tech.path}: no prices: {chip.tech.unpriced} (memory level {buffer})")
    capacity, width = described.capacity.nominal, described.width_bits
    grid = sorted((row for row in chip.tech.sram if row.width_bits == width), key=lambda row: row.capacity_kb)
    if not grid or not grid[0].capacity_kb <= capacity <= grid[-1].capacity_kb:
        sizes = ", ".join(f"{row.capacity_kb:g}" for row in grid) or "none"
        raise ConfigError(
            f"{chip.path}: memory.{buffer}: {capacity:g} kB with {width}-bit access lies outside of "
            f"{chip.tech.path}'s SRAM grid (capacities at this width, kB: {sizes})"
        )
    above = next(row for row in grid if row.capacity_kb >= capacity)
    below = next(row for row in reversed(grid) if row.capacity_kb <= capacity)
    if above is below:
        return below, above, 0.0
    return below, above, log(capacity / below.capacity_kb) / log(above.capacity_kb / below.capacity_kb)


def _of(constant: Constant, where: str) -> Price:
    return Price(low=constant.low, nominal=constant.nominal, high=constant.high, constants=((where, constant),))
