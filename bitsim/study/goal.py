"""A placement whose mappers know what traffic costs on their chip."""

from typing import get_args

from bitsim.cost import PriceList
from bitsim.errors import UnknownNameError
from bitsim.hw.chip import Chip
from bitsim.schedule import Goal, Objective, Placement


def placement_for(chip: Chip, objective: Objective) -> Placement:
    """The placement of operators on `chip` by mappers that minimise time, energy of traffic, or their product.

    With objective "latency", ties go to the plan that moves less. Raises `UnknownNameError`, or `ConfigError` if the
    technology has no price for a memory and the objective needs one.
    """
    if objective not in get_args(Objective):
        raise UnknownNameError("objective", str(objective), get_args(Objective))
    return Placement(chip, None if objective == "latency" else Goal(objective=objective, per_bit=per_bit(chip)))


def per_bit(chip: Chip) -> dict[str, tuple[float, float]]:
    """Energy in pJ of a bit that is read and of one that is written, by memory."""
    prices = PriceList(chip)
    events = {name: f"sram.{name}" for name in chip.memory.names} | {"dram": "dram.weights"}
    found = {}
    for memory, event in events.items():
        read, write = (prices.must_price(f"{event}.{way}_bits", 1, "the mapper").nominal for way in ("read", "write"))
        found[memory] = (read, write)
    return found
