"""A chip with more or fewer units in the array that computes a model's linears; its buffers feed as many as before."""

from math import ceil

from bitsim.errors import ConfigError
from bitsim.hw.chip import Chip
from bitsim.hw.memory import LevelSpec

MOST_PORTS = 4096
# Operands of which every output has its own, so that their streams grow with the units that stand side by side.
PER_OUTPUT = frozenset({"weights", "psums"})


def resized(chip: Chip, component: str, count: int) -> Chip:
    """`chip` with `count` units side by side in its datapath `component`, `bitlinear` or `wide`.

    * Where both datapaths are the same units (`units_shared`), the other one grows alike.
    * Levels that hold weights or sums get ports in proportion, rounded up, so that no unit waits longer than before;
      they never lose any, as the other units of the chip use them too. All else stays, capacities among it.

    Raises `ConfigError` for a datapath that can't be resized.
    """
    spec = getattr(chip, component)
    if not spec.side_by_side:
        raise ConfigError(f"{chip.name}: {component}: a datapath of kind {spec.kind!r} can't be made larger or smaller")
    now = spec.units_side_by_side
    changed = {component: spec.resized(count)}
    if chip.units_shared:
        other = "wide" if component == "bitlinear" else "bitlinear"
        theirs = getattr(chip, other)
        wanted = max(1, round(theirs.units_side_by_side * count / now))
        changed[other] = theirs.resized(min(wanted, theirs.most_side_by_side))
    levels = tuple(_fed(level, count, now) for level in chip.memory.levels)
    return chip.model_copy(update={**changed, "memory": chip.memory.model_copy(update={"levels": levels})})


def _fed(level: LevelSpec, count: int, now: int) -> LevelSpec:
    if count <= now or not PER_OUTPUT.intersection(level.holds):
        return level
    return level.model_copy(update={"ports": min(MOST_PORTS, ceil(level.ports * count / now))})
