"""Prices of SRAM: accesses and leakage of a buffer, by its capacity on the technology's grid."""

from typing import Literal

from bitsim.cost.price import Price
from bitsim.errors import ConfigError
from bitsim.floats.scalars import log
from bitsim.hw.chip import Chip
from bitsim.hw.technology import SramRow


def sram_price(chip: Chip, buffer: str, access: Literal["read", "write", "leakage"]) -> Price:
    """Energy per bit of an access (pJ), or leakage power (mW), of one buffer.

    Between two capacities of the grid it lies on a straight line over log(capacity), and never outside of the grid.
    """
    below, above, t = sram_between(chip, buffer)
    described = chip.memory.level(buffer)
    lower, upper = (
        Price.of(getattr(row, access), f"{chip.tech.name}: sram {row.capacity_kb:g} kB.{access}")
        for row in (below, above)
    )
    price = lower if above is below else lower.scaled(1 - t) + upper.scaled(t)
    per_bit = price if access == "leakage" else price.scaled(1.0 / described.width_bits)
    return per_bit.scaled(described.capacity, f"{chip.name}: memory.{buffer}.capacity", 0.0)


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
