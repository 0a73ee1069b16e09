"""What passes between one rank of buffers and the memories behind it: ports, widths, room, and the events of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from bitsim.datapath.base import Array
from bitsim.hw.chip import Chip
from bitsim.hw.memory import OPERANDS, Held, LevelSpec, MemorySpec
from bitsim.schedule.homes import VALUE_BITS, share_of_acts
from bitsim.schedule.kernels import nest
from bitsim.schedule.matmul import DRAM, IN_DATAPATH, Matmul

STEPS = 4096  # bits per element are rounded up, and bits per cycle down, to 1 / STEPS in times


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One operand's way between two memories, `inner` and `outer`, and its bits per element in each of them."""

    inner: str
    outer: str
    inner_bits: Fraction
    outer_bits: Fraction


@dataclass(frozen=True, kw_only=True)
class Transfers:
    """The legs of one rank by operand (weights, acts, psums, outputs); an operand without one does not move there."""

    chip: Chip
    matmul: Matmul
    rank: int
    levels: tuple[LevelSpec, ...]
    legs: Mapping[str, Leg]

    @cached_property
    def ports(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for leg in self.legs.values() for name in (leg.outer, leg.inner) if name))

    @cached_property
    def cost(self) -> Array:
        """int64 (ports, 4): see `kernels.nest`."""
        cost = np.zeros((len(self.ports), 4), dtype=np.int64)
        for column, operand in enumerate((*OPERANDS, "outputs")):
            leg = self.legs.get(operand)
            if leg is not None:
                for name, bits in ((leg.outer, leg.outer_bits), (leg.inner, leg.inner_bits)):
                    if name:
                        cost[self.ports.index(name), column] = -int(-bits * STEPS // 1)
        return cost

    @cached_property
    def den(self) -> Array:
        return np.array([int(bits_per_cycle(self.chip, name) * STEPS) for name in self.ports], dtype=np.int64)

    @cached_property
    def wait(self) -> Array:
        latency = Fraction(repr(self.chip.memory.dram.latency.nominal)) * Fraction(repr(self.chip.clock.nominal))
        return np.array([-int(-latency // 1) if name == DRAM else 0 for name in self.ports], dtype=np.int64)

    @property
    def timing(self) -> tuple[Array, Array, Array, Array]:
        """What `kernels.nest` must know of ports and buffers to say how long transfers take."""
        return self.cost, self.den, self.wait, self.overlaps

    @cached_property
    def overlaps(self) -> Array:
        """bool (3,): whether weights, activations and sums come and go while the datapath works."""
        double = [all(level.double_buffered for level in self._buffers(operand)) for operand in OPERANDS]
        return np.array(double, dtype=np.bool_)

    def _buffers(self, operand: Held) -> tuple[LevelSpec, ...]:
        """The levels of this rank that hold an operand; outputs leave the innermost buffer of sums, at any rank."""
        found = tuple(level for level in self.levels if operand in level.holds)
        return self.chip.memory.chain("psums")[:1] if operand == "psums" and self.rank == 0 else found

    @cached_property
    def room(self) -> Array:
        """Bits of each level that are left for tiles."""
        home = self.chip.memory.chain("acts")[-1]
        taken = share_of_acts(self.chip.memory) * (self.matmul.acts_inside + self.matmul.outputs_inside) / 2
        return np.array([level.capacity_bits - taken * (level is home) for level in self.levels], dtype=np.float64)

    @cached_property
    def held(self) -> Array:
        """float64 (levels, 3): bits per element of weights, activations, sums that are in a level."""
        widths = (self.matmul.weight_bits, self.matmul.act_bits, self.matmul.sum_bits)
        held = np.zeros((len(self.levels), 3))
        for row, level in enumerate(self.levels):
            for column, operand in enumerate(OPERANDS):
                if operand in level.holds and passes(self.chip.memory, self.matmul, level, operand):
                    held[row, column] = float(widths[column])
        return held

    @cached_property
    def double(self) -> Array:
        """bool (levels,): whether a level holds the next tile as well."""
        return np.array([level.double_buffered for level in self.levels], dtype=np.bool_)

    def prices(self, per_bit: Mapping[str, tuple[float, float]]) -> Array:
        """float64 (6,): energy per element of each count of `kernels.nest`; `per_bit`: reads and writes, by memory."""
        prices = np.zeros(nest.COUNTS)

        def price(leg: Leg | None, inward: bool) -> float:
            if leg is None:
                return 0.0
            outer = per_bit[leg.outer][0 if inward else 1] * float(leg.outer_bits)
            return outer + (per_bit[leg.inner][1 if inward else 0] * float(leg.inner_bits) if leg.inner else 0.0)

        prices[nest.MOVED_WEIGHTS] = price(self.legs.get("weights"), True)
        prices[nest.MOVED_ACTS] = price(self.legs.get("acts"), True)
        prices[nest.PSUMS_IN] = price(self.legs.get("psums"), True)
        prices[nest.PSUMS_OUT] = price(self.legs.get("psums"), False)
        prices[nest.MOVED_OUTPUTS] = price(self.legs.get("outputs"), False)
        return prices


def bits_per_cycle(chip: Chip, memory: str) -> Fraction:
    """What a memory moves in one cycle of the chip's clock, its efficiency included."""
    if memory != DRAM:
        return Fraction(chip.memory.level(memory).bits_per_cycle)
    dram = chip.memory.dram
    reached = Fraction(repr(dram.bandwidth.nominal)) * Fraction(repr(dram.efficiency.nominal)) * 8
    return reached / Fraction(repr(chip.clock.nominal))


def passes(memory: MemorySpec, matmul: Matmul, level: LevelSpec, operand: Held) -> bool:
    """Whether tiles of an operand come into a level from outside; where its home lies, and beyond, they don't."""
    outside = memory.chain(operand).index(level)
    if operand == "weights" and matmul.weights_home != DRAM:
        names = [other.name for other in memory.chain("weights")]
        return matmul.weights_home != IN_DATAPATH and outside < names.index(matmul.weights_home)
    return not (operand == "acts" and matmul.acts_inside and level is memory.chain("acts")[-1])


def transfers_of(chip: Chip, matmul: Matmul, rank: int) -> Transfers:
    """The legs between the levels of `rank` and what lies behind them.

    Finished sums leave the innermost rank and go through the scale multipliers to the home of activations directly.
    """
    memory = chip.memory
    levels = memory.ranks()[rank]
    legs: dict[str, Leg] = {}
    buffered = {"weights": matmul.weight_bits, "acts": Fraction(matmul.act_bits), "psums": Fraction(matmul.sum_bits)}
    packed = Fraction(matmul.stored_bits, matmul.k * matmul.n * matmul.repeat)
    stored = buffered | {"weights": packed, "acts": Fraction(matmul.stored_act_bits)}
    for level in levels:
        for operand in level.holds:
            if not passes(memory, matmul, level, operand):
                continue
            chain = memory.chain(operand)
            behind = chain[chain.index(level) + 1 :]
            outer = behind[0].name if behind else DRAM
            at_home = not behind or (operand == "acts" and matmul.acts_inside and len(behind) == 1)
            bits = stored[operand] if at_home else buffered[operand]
            legs[operand] = Leg(inner=level.name, outer=outer, inner_bits=buffered[operand], outer_bits=bits)
    if rank == 0:
        target = memory.chain("acts")[-1].name if matmul.outputs_inside else DRAM
        legs["outputs"] = Leg(inner="", outer=target, inner_bits=Fraction(0), outer_bits=Fraction(VALUE_BITS))
    return Transfers(chip=chip, matmul=matmul, rank=rank, levels=levels, legs=legs)
