"""Chips that differ from shipped ones in one thing."""

from typing import Any

from bitsim.hw import Chip
from bitsim.hw.constants import Constant


def amount(like: Constant, value: float) -> Constant:
    """The constant with another value."""
    return like.model_copy(update=dict.fromkeys(("value", "low", "nominal", "high"), value))


def with_level(chip: Chip, name: str, *, capacity: float | None = None, **changed: Any) -> Chip:
    """`chip` with another capacity (kB) or other plain fields of one memory level."""
    old = chip.memory.level(name)
    if capacity is not None:
        changed["capacity"] = amount(old.capacity, capacity)
    new = old.model_copy(update=changed)
    levels = tuple(new if level is old else level for level in chip.memory.levels)
    return chip.model_copy(update={"memory": chip.memory.model_copy(update={"levels": levels})})
