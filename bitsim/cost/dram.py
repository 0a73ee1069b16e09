"""Prices of DRAM: bits that it gives or takes, and what it draws all the time.

A bit's energy is that of reading or writing whole rows, activation included; where a file splits it, its array and its
I/O are two terms. The tables that these numbers come from (IDD4R) hold the standby current of a device that streams, so
standby is paid for the rest of the time only, and refresh for all of it. The whole capacity is refreshed and stands by,
whether it holds anything or not.
"""

from bitsim.cost.price import NOTHING, Price
from bitsim.events import Events
from bitsim.hw.chip import Chip
from bitsim.hw.constants import Constant
from bitsim.hw.dram import PER_BIT

REFRESH, STANDBY = "dram refresh", "dram standby"


def dram_price(chip: Chip) -> Price:
    """Energy in pJ of a bit that DRAM gives or takes: of its array and its I/O, or of both in one."""
    parts = [Price.of(constant, name) for name, constant in _given(chip, PER_BIT).items()]
    return sum(parts, NOTHING)


def dram_powers(chip: Chip) -> dict[str, Price]:
    """Power in mW, by component, of the whole DRAM; without what the chip's file does not say.

    "dram refresh" flows all the time, "dram standby" while no bit moves.
    """
    found = {}
    for component, key in ((REFRESH, "refresh"), (STANDBY, "standby")):
        for name, per_gb in _given(chip, (key,)).items():
            found[component] = Price.of(per_gb, name).scaled(
                chip.memory.dram.capacity, f"{chip.name}: memory.dram.capacity"
            )
    return found


def streaming_ns(chip: Chip, events: Events) -> float:
    """How long the bits that move take at the peak rate, which is what the tables' currents flow for."""
    return events.of_unit("dram").count() / (8 * chip.memory.dram.bandwidth.nominal)


def flows_ns(component: str, chip: Chip, events: Events, time_ns: float) -> float:
    """For how much of an operator's time the power of a component flows."""
    return max(0.0, time_ns - streaming_ns(chip, events)) if component == STANDBY else time_ns


def _given(chip: Chip, keys: tuple[str, ...]) -> dict[str, Constant]:
    """Those of the DRAM's constants that its file gives, by their names in results."""
    found = {key: getattr(chip.memory.dram, key) for key in keys}
    return {f"{chip.name}: memory.dram.{key}": constant for key, constant in found.items() if constant is not None}
