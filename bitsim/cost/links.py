"""The price of what leaves the chip for its host."""

from bitsim.cost.price import NOTHING, Price
from bitsim.hw.chip import Chip


def host_price(chip: Chip) -> Price:
    """Energy per bit of the link to the host; where the chip gives none it is not counted, as results say."""
    energy = None if chip.host is None else chip.host.energy
    return NOTHING if energy is None else Price.of(energy, f"{chip.name}: host.energy")
