"""The price list of one chip: event -> energy, from its technology and memories. No price, no number: it raises."""

from difflib import get_close_matches
from functools import cache, partial

from bitsim.cost.dram import dram_powers, dram_price
from bitsim.cost.links import host_price
from bitsim.cost.logic import logic_price, why_unpriced
from bitsim.cost.price import NOTHING, Price
from bitsim.cost.sram import buffer_of
from bitsim.cost.supply import at_supply
from bitsim.errors import UnpricedEventError
from bitsim.events import event_kind, parsed
from bitsim.hw.chip import Chip

LEAKAGE = "sram leakage"
SHOWN = 6  # priced events that an error lists


class PriceList:
    """Prices of all events that can happen on `chip`: of logic by its technology, of memories by what it says."""

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        self.tech = chip.tech
        self.buffer = cache(partial(buffer_of, chip))
        self.price = cache(self._price)
        self.powers = (LEAKAGE, *dram_powers(chip))  # what flows without events
        self.power = cache(self._power)

    def _price(self, event: str) -> Price | None:
        ledger = event_kind(event).ledger
        name = parsed(event)
        if ledger == "activity":
            return NOTHING
        if name.unit == "dram":
            return dram_price(self.chip)
        if name.unit == "host":
            return host_price(self.chip)
        if name.unit == "sram":
            return self.buffer(name.place).bit("write" if name.action == "write_bits" else "read")
        price = logic_price(self.tech, event)
        return None if price is None else at_supply(self.chip, event, price)

    def leakage_mw(self) -> Price:
        """Leakage power of all buffers in mW, which is pJ per ns."""
        return sum((self.buffer(name).leakage() for name in self.chip.memory.names), NOTHING)

    def _power(self, component: str) -> Price:
        """Power of such a component in mW; raises `ConfigError` for SRAM that has no price."""
        return self.leakage_mw() if component == LEAKAGE else dram_powers(self.chip)[component]

    def must_price(self, event: str, count: int, operator: str) -> Price:
        """The price of `event`; raises `UnpricedEventError` naming the technology and the operator that caused it."""
        price = self.price(event)
        if price is None and self.tech.unpriced is not None:
            raise UnpricedEventError(
                f"{self.tech.path}: no prices: {self.tech.unpriced} ({event!r} counted {count:,} times by {operator})"
            )
        if price is None and (ended := why_unpriced(self.tech, event)) is not None:
            raise UnpricedEventError(f"{self.tech.path}: {ended} ({event!r} counted {count:,} times by {operator})")
        if price is None:
            alike = sorted(e for e in self.tech.prices if parsed(e).unit == parsed(event).unit)
            near = ", ".join(alike if len(alike) <= SHOWN else get_close_matches(event, alike, SHOWN, 0.0))
            near += f" and {len(alike) - SHOWN} more" if len(alike) > SHOWN else ""
            raise UnpricedEventError(
                f"{self.tech.path}: prices: expected a price for event {event!r}, counted {count:,} times by "
                f"{operator}; priced of this kind: {near or 'none'}"
            )
        return price
