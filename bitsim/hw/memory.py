"""The memories of a chip as data: on-chip levels from the datapath outwards, and the DRAM behind them.

A level holds one operand of a matmul or several: a level for `weights` and another for `acts` are buffers side by side,
a level for all three outside of them is a shared (global) SRAM. An operand moves from DRAM through the levels that hold
it, the last one in the file first. A level's `rank` is its place in that order: those of rank 0 are read and written by
the datapath, those of rank 1 feed them, and so on.
"""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bitsim.errors import UnknownNameError
from bitsim.hw.constants import Constant, Described, Text, in_unit
from bitsim.hw.dram import DramSpec
from bitsim.hw.source import problem
from bitsim.hw.sram import Flavour, Idle

Held = Literal["weights", "acts", "psums"]
OPERANDS: tuple[Held, ...] = ("weights", "acts", "psums")
BITS_PER_KB = 8 * 1024


class LevelSpec(Described):
    """An on-chip SRAM of `ports` ports, each `width_bits` wide and used once per cycle. 1 kB = 1024 bytes.

    * `name`: its name in events and results. `holds`: the operands that pass through it.
    * `capacity`: its size. `width_bits`: bits that one port moves in a cycle. `ports`: ports side by side.
    * `flavour`: of its transistors: `high_performance`, fast and leaky, or `low_leakage`. Without it `memory.flavour`.
    * `banks`: arrays that it is divided into. Without it there are as many as ports, or as it takes for an access to
      fit into a clock cycle. `idle`: what banks that no port reaches do: stay `active`, keep their content with less
      leakage (`retention`) or lose it (`off`).
    * `double_buffered`: half of it is filled or emptied while the datapath works on the other half, otherwise the
      datapath waits; the halves share its ports.
    * `resident`: it holds all weights of a model from the start.
    """

    name: Annotated[Text, Field(pattern="^[a-z][a-z0-9_]*$")]
    holds: Annotated[tuple[Held, ...], Field(strict=False)]
    capacity: Annotated[Constant, in_unit("kB", positive=True)]
    width_bits: Annotated[int, Field(ge=1, le=4096)]
    ports: Annotated[int, Field(ge=1, le=4096)] = 1
    flavour: Flavour | None = None
    banks: Annotated[int, Field(ge=1, le=65536)] | None = None
    idle: Idle = "active"
    double_buffered: bool = True
    resident: bool = False

    @model_validator(mode="after")
    def _sensible(self) -> "LevelSpec":
        if not self.holds:
            raise problem("expected weights, acts, psums or several of them (got none)", key="holds")
        if len(set(self.holds)) < len(self.holds):
            raise problem(f"names an operand twice (got {', '.join(self.holds)})", key="holds")
        if self.resident and self.holds != ("weights",):
            raise problem(
                f"only a level that holds weights and nothing else can be (it holds {', '.join(self.holds)})",
                key="resident",
            )
        return self

    @property
    def capacity_bits(self) -> int:
        return math.floor(self.capacity.nominal * BITS_PER_KB)

    @property
    def bits_per_cycle(self) -> int:
        """What all ports together move in one cycle."""
        return self.ports * self.width_bits


class MemorySpec(Described):
    """On-chip levels, from the datapath outwards, and the DRAM.

    * `levels`: the memories on the chip, in this order. `dram`: the memory behind them.
    * `flavour`: of all levels that name none; if there is none either, `high_performance` is taken, and results list it
      as an assumption.
    * `temperature`: of the memories on the chip, on which their leakage depends. Without it leakage has the range over
      all temperatures that chips usually have.
    """

    levels: Annotated[tuple[LevelSpec, ...], Field(min_length=1, strict=False)]
    flavour: Flavour | None = None
    temperature: Annotated[Constant, in_unit("C", positive=True)] | None = None
    dram: DramSpec

    @model_validator(mode="after")
    def _complete(self) -> "MemorySpec":
        if len(set(self.names)) < len(self.names) or "dram" in self.names:
            raise problem(
                f"names must differ from each other and from dram (got {', '.join(self.names)})", key="levels"
            )
        for operand in OPERANDS:
            if not self.chain(operand):
                raise problem(f"no level holds the {operand}: each operand needs one", key="levels")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(level.name for level in self.levels)

    def level(self, name: str) -> LevelSpec:
        """The level that events call `name`; raises `UnknownNameError`."""
        for level in self.levels:
            if level.name == name:
                return level
        raise UnknownNameError("memory level", name, self.names)

    def flavour_of(self, level: LevelSpec) -> Flavour | None:
        """A level's own flavour, or that of all; None if neither is given."""
        return level.flavour or self.flavour

    def chain(self, operand: Held) -> tuple[LevelSpec, ...]:
        """The levels that hold an operand, from the datapath outwards."""
        return tuple(level for level in self.levels if operand in level.holds)

    def ranks(self) -> tuple[tuple[LevelSpec, ...], ...]:
        """The levels by rank: a level lies one rank outside of all earlier ones that hold one of its operands."""
        rank: dict[str, int] = {}
        for i, level in enumerate(self.levels):
            inside = [rank[other.name] for other in self.levels[:i] if set(other.holds) & set(level.holds)]
            rank[level.name] = max(inside, default=-1) + 1
        return tuple(
            tuple(level for level in self.levels if rank[level.name] == r) for r in range(max(rank.values()) + 1)
        )
