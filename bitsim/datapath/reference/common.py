"""What the twins share: the ledger of what happened, and registers of limited width."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from bitsim.datapath.base import Array, Streams
from bitsim.events import Events

Position = tuple[int, int, int]
Spec = TypeVar("Spec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a twin gives: all that the datapath's `execute`, `cycles` and `streams` must equal."""

    y: Array
    events: Events
    first_overflow: Position | None
    cycles: int
    streams: Streams


@dataclass
class Ledger:
    """What one matmul did so far. `moved`: bits by the names in `Streams`."""

    counts: Counter[str] = field(default_factory=Counter)
    overflows: list[Position] = field(default_factory=list)
    cycles: int = 0
    moved: Counter[str] = field(default_factory=Counter)

    def flip(self, register: str, old: int, new: int) -> None:
        self.counts[f"reg.{register}.toggle"] += (old ^ new).bit_count()

    def outcome(self, y: list[list[Any]], dtype: type = np.int64) -> Outcome:
        """The end of the matmul with outputs `y`."""
        return Outcome(
            y=np.array(y, dtype),
            events=Events(self.counts),
            first_overflow=min(self.overflows) if self.overflows else None,
            cycles=self.cycles,
            streams=Streams(**{name: self.moved[name] for name in Streams.__dataclass_fields__}),
        )


def in_pairs(nodes: list[int]) -> list[int]:
    """What a level of adders makes of `nodes`: sums of pairs, and the last one as it is if it has no partner."""
    return [sum(nodes[i : i + 2]) for i in range(0, len(nodes), 2)]


def limit(value: int, bits: int, overflow: str) -> tuple[int, bool]:
    """`value` in `bits` bits of two's complement, wrapped or saturated, and whether it did not fit."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    if low <= value <= high:
        return value, False
    if overflow == "saturate":
        return (low if value < low else high), True
    return (value - low) % (1 << bits) + low, True


def pattern(value: int, bits: int) -> int:
    """The bits of a register of `bits` bits that holds `value`, two's complement."""
    return value & ((1 << bits) - 1)


class Register:
    """A register that counts its flips; it starts at 0."""

    def __init__(self, ledger: Ledger, name: str, bits: int) -> None:
        self.ledger, self.name, self.bits, self.held = ledger, name, bits, 0

    def take(self, value: int) -> None:
        """Latch `value`."""
        new = pattern(value, self.bits)
        self.ledger.flip(self.name, self.held, new)
        self.held = new


def in_order(values: Array) -> list[list[int]]:
    """A matrix of checked integers as lists of Python integers."""
    return [[int(value) for value in row] for row in values]


def paper_additions(ledger: Ledger, m: int, k: int, n: int, number_format: str = "int8") -> None:
    """The additions as the papers count them: each output adds up K products of activations of a format."""
    for _ in range(m * n):
        ledger.counts[f"add.{number_format}"] += k - 1


Tile = Callable[[list[list[int]], list[list[int]], range, Spec, Ledger, list[list[int]]], None]


def in_tiles(
    acts: list[list[int]], weights: list[list[int]], width: int, spec: Spec, run_tile: Tile[Spec], weight_writes: int
) -> Outcome:
    """One matmul in tiles of `width` outputs, each of which `run_tile(acts, weights, columns, spec, ledger, y)` adds.

    The weights come into their buffer once, as `weight_writes` bits; the vector unit reads the sums back.
    """
    ledger = Ledger()
    y = [[0] * len(weights) for _ in acts]
    for n0 in range(0, len(weights), width):
        run_tile(acts, weights, range(n0, min(n0 + width, len(weights))), spec, ledger, y)
    paper_additions(ledger, len(acts), len(acts[0]), len(weights))
    ledger.moved["weight_writes"] = weight_writes
    ledger.moved["psum_reads"] = ledger.moved["psum_writes"]
    return ledger.outcome(y)
