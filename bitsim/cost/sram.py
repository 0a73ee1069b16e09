"""Prices of a chip's buffers: an access reaches one bank, whose size sets its energy; leakage goes with capacity.

What a level is built of is assumed so: each port is a bank or more, because each may address another word in a cycle.
Where so many banks would be smaller than any that was measured, neighbouring ports share a bank that is as many times
wider. If the chip's file gives no number of banks, there are as many as an access takes to fit into a clock cycle.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from bitsim.cost.price import Factor, Price, Term
from bitsim.cost.sram_array import access_ns, array_price, slope
from bitsim.errors import ConfigError
from bitsim.floats.scalars import log, power
from bitsim.hw.chip import Chip
from bitsim.hw.constants import Constant
from bitsim.hw.memory import LevelSpec
from bitsim.hw.sram import Flavour, Leakage, Quantity, Sram

Way = Literal["read", "write"]
WAYS: tuple[Way, ...] = ("read", "write")
DEFAULT_FLAVOUR: Flavour = "high_performance"  # it leaks more: nothing is gained by leaving the flavour out


@dataclass(frozen=True, slots=True, kw_only=True)
class Banks:
    """`count` banks of `capacity_kb`, each accessed `width_bits` at a time, which `ports_each` ports share.

    `access_ns`: nominal access time of one. `fits`: whether that is at most a clock cycle.
    """

    count: int
    capacity_kb: float
    width_bits: int
    ports_each: int
    access_ns: float
    fits: bool

    def text(self) -> str:
        """For people."""
        return f"{self.count} x {self.capacity_kb:g} kB x {self.width_bits} bit"


@dataclass(frozen=True, kw_only=True)
class Buffer:
    """A level of a chip, in the SRAM of its node.

    `volts`: its supply, None for that of the SRAM's data. `slowdown`: how much longer an access takes at that supply.
    `temperature` in C, None for all that chips usually have.
    `name`: what results call the chip's file; `file`: what errors call it. Prices raise `ConfigError` where capacity,
    width, supply or temperature lies outside of the range of the data, with the range and what ends it.
    """

    level: LevelSpec
    sram: Sram
    clock_ghz: float
    flavour: Flavour = DEFAULT_FLAVOUR
    volts: Constant | None = None
    slowdown: float = 1.0
    temperature: Constant | None = None
    name: str = "chip"
    file: str = "chip"

    @cached_property
    def banks(self) -> Banks:
        """What the level is built of."""
        level, limits, kb = self.level, self.sram.limits, self.level.capacity.nominal
        if not limits.smallest.nominal <= kb <= limits.largest.nominal:
            raise self._outside("capacity", f"{kb:g} kB", limits.smallest, limits.largest)
        most = int(kb / limits.smallest.nominal)
        if level.banks is not None:
            if level.banks > most:
                raise self._outside("banks", f"{kb / level.banks:g} kB per bank", limits.smallest, limits.largest)
            return self._banks(level.banks, -(-level.ports // level.banks))
        ports_each = -(-level.ports // most)
        found = self._banks(-(-level.ports // ports_each), ports_each)
        while not found.fits and found.count * 2 <= most:
            found = self._banks(found.count * 2, ports_each)
        return found

    def _banks(self, count: int, ports_each: int) -> Banks:
        limits, kb, width = self.sram.limits, self.level.capacity.nominal / count, self.level.width_bits * ports_each
        if not limits.narrowest.nominal <= width <= limits.widest.nominal:
            shared = "" if ports_each == 1 else f": {ports_each} ports of {self.level.width_bits} bit share a bank"
            raise self._outside("width_bits", f"{width} bit{shared}", limits.narrowest, limits.widest)
        time = access_ns(self.sram, self.flavour, kb, width).nominal * self.slowdown
        return Banks(
            count=count, capacity_kb=kb, width_bits=width, ports_each=ports_each, access_ns=time,
            fits=time * self.clock_ghz <= 1.0,
        )  # fmt: skip

    def bit(self, way: Way) -> Price:
        """Energy of one bit that is read or written, in pJ: its share of an access to one bank."""
        banks = self.banks
        quantity: Quantity = "read_pj" if way == "read" else "write_pj"
        price = array_price(self.sram, quantity, banks.capacity_kb, banks.width_bits).scaled(1.0 / banks.width_bits)
        grows = slope(self.sram, quantity, banks.capacity_kb, banks.width_bits)
        price = price.scaled(power(self.level.capacity.nominal, -grows))
        price = price.scaled(self.level.capacity, f"{self._level}.capacity", grows)
        return price if self.volts is None else self._at_supply(price, self.volts, 2.0)

    def leakage(self) -> Price:
        """Leakage in mW, in proportion to the capacity, whatever it is divided into.

        With `idle: retention` or `off`, as many banks as there are ports are active all the time, the others leak the
        share that `sram.idle` says.
        """
        _ = self.banks  # a level outside of the range has no leakage either
        price = self._per_kb().scaled(1e-3).scaled(self.level.capacity, f"{self._level}.capacity")
        if self.volts is not None:
            price = self._at_supply(price, self.volts, 1.0)
            above = self.volts.nominal - self.sram.supply.nominal
            price = price.scaled(self.sram.per_volt, f"{self.sram.name}: per_volt", above)
        idle = max(0.0, 1 - self.level.ports / self.banks.count)
        if self.level.idle == "active" or not idle:
            return price
        share: Constant = getattr(self.sram.idle, self.level.idle)
        left = price.scaled(idle).scaled(share, f"{self.sram.name}: idle.{self.level.idle}")
        return price.scaled(1 - idle) + left

    def _per_kb(self) -> Price:
        """Leakage in uW per kB: between two temperatures its logarithm lies on a straight line."""
        leakage: Leakage = getattr(self.sram.leakage, self.flavour)
        name, given = f"{self.sram.name}: leakage.{self.flavour}", self.temperature
        if given is None:
            return Price.of(leakage.usual, f"{name}.usual")
        cool, hot, at = leakage.cool, leakage.hot, given.nominal
        if not cool.celsius <= given.low <= given.high <= hot.celsius:
            raise ConfigError(
                f"{self.file}: memory.temperature: expected {cool.celsius:g} .. {hot.celsius:g} C (got {given.text()}) "
                f"for memory.{self.level.name}, {self.flavour}; the range ends below with {cool.leakage.source}; above "
                f"with {hot.leakage.source}"
            )
        t = (at - cool.celsius) / (hot.celsius - cool.celsius)
        ends = [("cool", cool.leakage, 1 - t), ("hot", hot.leakage, t)]
        grows = at * log(hot.leakage.nominal / cool.leakage.nominal) / (hot.celsius - cool.celsius)
        factors = tuple(Factor(f"{name}.{key}", constant, weight) for key, constant, weight in ends if weight)
        price = Price((Term(power(at, -grows), factors),))
        return price.scaled(given, f"{self.name}: memory.temperature", grows)

    def area(self) -> Price:
        """Area of all banks in mm2; what connects them is not counted."""
        banks = self.banks
        return array_price(self.sram, "area_mm2", banks.capacity_kb, banks.width_bits).scaled(float(banks.count))

    @property
    def _level(self) -> str:
        return f"{self.name}: memory.{self.level.name}"

    def _at_supply(self, price: Price, volts: Constant, exponent: float) -> Price:
        least, most = self.sram.limits.least_supply, self.sram.limits.most_supply
        if not least.nominal <= volts.low <= volts.high <= most.nominal:
            raise self._outside("supply", volts.text(), least, most)
        price = price.scaled(volts, f"{self.name}: voltage", exponent)
        return price.scaled(self.sram.supply, f"{self.sram.name}: supply", -exponent)

    def _outside(self, key: str, got: str, least: Constant, most: Constant) -> ConfigError:
        return ConfigError(
            f"{self.file}: memory.{self.level.name}.{key}: expected {least.nominal:g} .. {most.nominal:g} {least.unit} "
            f"(got {got}); the range of {self.sram.path} ends below with {least.source}; above with {most.source}"
        )


def buffer_of(chip: Chip, name: str) -> Buffer:
    """The level `name` of a chip; raises `ConfigError` if its technology has no SRAM.

    With a supply of the chip's own, accesses take longer as logic does (`Technology.voltage`).
    """
    sram = chip.tech.arrays
    if sram is None:
        raise ConfigError(f"{chip.tech.path}: no prices: {chip.tech.unpriced} (memory level {name})")
    level, volts, rule = chip.memory.level(name), chip.voltage, chip.tech.voltage
    slower = 1.0
    if volts is not None and rule is not None:
        slower = rule.slowdown(volts.nominal, sram.supply.nominal)[1]
    return Buffer(
        level=level,
        sram=sram,
        clock_ghz=chip.clock.nominal,
        flavour=chip.memory.flavour_of(level) or DEFAULT_FLAVOUR,
        volts=volts,
        slowdown=slower,
        temperature=chip.memory.temperature,
        name=chip.name,
        file=chip.path,
    )


def notes_on_sram(chip: Chip) -> tuple[str, ...]:
    """What a reader must know of a chip's buffers: flavours that were taken, clocks that are too fast, lost content."""
    notes = []
    for level in chip.memory.levels if chip.tech.arrays is not None else ():
        buffer, name = buffer_of(chip, level.name), f"memory.{level.name}"
        try:
            banks = buffer.banks
        except ConfigError:
            continue  # prices raise it
        if chip.memory.flavour_of(level) is None:
            notes.append(f"{name}: no flavour given, {buffer.flavour} SRAM is assumed")
        if not banks.fits:
            notes.append(
                f"{name}: a clock cycle of {1 / chip.clock.nominal:.3g} ns is too short for an access of "
                f"{banks.access_ns:.3g} ns to {buffer.flavour} SRAM of {banks.text()}"
            )
        if level.idle == "off" and level.ports < banks.count:
            notes.append(f"{name}: idle banks are off, that they lose their content is not modelled")
    return tuple(notes)


def assumed_flavours(chip: Chip) -> list[dict[str, str]]:
    """Levels whose flavour the chip's file leaves open, as rows of assumed constants."""
    return [
        {"constant": f"{chip.name}: memory.{level.name}.flavour", "value": DEFAULT_FLAVOUR, "source": "not given"}
        for level in chip.memory.levels
        if chip.memory.flavour_of(level) is None
    ]


LEVEL_COLUMNS = ("level", "flavour", "banks", "access ns", "read pJ", "write pJ", "leakage mW", "area mm2")


def levels_of(chip: Chip) -> list[list[str]]:
    """A row of `LEVEL_COLUMNS` per level, for people; energies are those of one access to a bank of its width."""
    rows = []
    for level in chip.memory.levels if chip.tech.arrays is not None else ():
        buffer = buffer_of(chip, level.name)
        try:
            banks = buffer.banks
            prices = [buffer.bit(way).scaled(banks.width_bits) for way in WAYS] + [buffer.leakage(), buffer.area()]
        except ConfigError as error:
            rows.append([level.name, str(error), *[""] * (len(LEVEL_COLUMNS) - 2)])
            continue
        flavour = buffer.flavour if chip.memory.flavour_of(level) else f"{buffer.flavour} (assumed)"
        time = f"{banks.access_ns:.3g}" if banks.fits else f"{banks.access_ns:.3g}, longer than a cycle"
        amounts = [f"{price.low:.3g} / {price.nominal:.3g} / {price.high:.3g}" for price in prices]
        rows.append([level.name, flavour, banks.text(), time, *amounts])
    return rows
