"""Prices of what leaves the chip: DRAM, and the link to the host."""

from bitsim.cost.price import NOTHING, Price
from bitsim.hw.chip import Chip


def dram_price(chip: Chip) -> Price:
    """Energy per bit that DRAM gives or takes, in pJ."""
    return Price.of(chip.memory.dram.energy, f"{chip.name}: memory.dram.energy")


def host_price(chip: Chip) -> Price:
    """Energy per bit of the link to the host; where the chip gives none it is not counted, as results say."""
    energy = None if chip.host is None else chip.host.energy
    return NOTHING if energy is None else Price.of(energy, f"{chip.name}: host.energy")
