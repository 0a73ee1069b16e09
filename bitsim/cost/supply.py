"""What a supply of a chip's own does to the price of its logic: its energy goes with the square of the voltage."""

from bitsim.cost.price import Price
from bitsim.events import event_kind
from bitsim.hw.chip import Chip


def at_supply(chip: Chip, event: str, price: Price) -> Price:
    """The price of an event of logic at the chip's supply instead of the one that it was synthesised at.

    Memory arrays that are priced as logic (tables in SRAM, register files, ROM) follow it too. Prices of the
    `arithmetic` ledger are the papers' own and stay.
    """
    own, supply = chip.voltage, chip.tech.supply
    if own is None or supply is None or event_kind(event).ledger == "arithmetic":
        return price
    return price.scaled(supply.nominal**-2).scaled(own, f"{chip.name}: voltage", 2.0)
