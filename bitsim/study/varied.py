"""What an estimate on a chip comes to when the chip's constants move: energy and time in many columns at once.

A constant of a price moves the prices. A constant that times rest on (clock, bandwidth and efficiency of the DRAM,
delays of a host) moves what time is multiplied by: leakage, refresh, standby. It is estimated anew at both ends of each
range; in between, amounts lie on straight lines over 1 / value (over the value of a delay), and the effects of several
add up.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bitsim.cost.energy import Amount
from bitsim.cost.matrix import Columns, Distinct, Float64, Key, distinct_constants, totals
from bitsim.cost.price import Price
from bitsim.hw.chip import Chip
from bitsim.hw.constants import Constant, replaced
from bitsim.model.operators import Phase
from bitsim.results.priced import PricedRows
from bitsim.results.result import Result

TIME = "time"  # beside the items of energy
DELAYS = ("ns", "us")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A constant that times rest on, and the amounts at its low and at its high, float64 (items,)."""

    constant: Constant
    low: Float64
    high: Float64


@dataclass(frozen=True, kw_only=True)
class Varied:
    """An estimate and what its energy is the sum of; `amounts` (items,) of `prices`, and what moves them.

    The last amount is the time in ns, which has no price.
    """

    result: Result
    counted: tuple[Amount, ...]
    amounts: Float64
    prices: tuple[Price, ...]
    moved: tuple[tuple[str, Moved], ...]

    @cached_property
    def constants(self) -> dict[Key, Distinct]:
        """All constants that energy and time rest on, each once."""
        named = [used for price in self.prices for used in price.constants]
        return distinct_constants([*named, *self.result.chip.timing_constants().items()])

    def energy_and_time(self, columns: Columns) -> tuple[Float64, Float64]:
        """pJ and ns, float64 (columns,) each."""
        amounts = np.repeat(self.amounts[:, None], columns.number, axis=1)
        for _, moved in self.moved:
            values = columns.of(moved.constant)
            if values is not None:
                amounts += _change(self.amounts, moved, values)
        return totals(amounts[:-1], columns.prices(self.prices)), amounts[-1]


def varied(
    estimate: Callable[[Chip], Result], chip: Chip, convention: str, phase: Phase | None, *, times: bool = True
) -> Varied:
    """The estimate on `chip`, and on chips whose timing constants are at their ends, if `times`."""
    nominal = estimate(chip)
    moving = {
        key: found
        for key, found in distinct_constants(chip.timing_constants().items()).items()
        if found.moves and times
    }
    others = {key: [estimate(at(chip, found, value)) for value in (key[0], key[2])] for key, found in moving.items()}
    tallies = [
        _tally(result, convention, phase) for result in (nominal, *(r for pair in others.values() for r in pair))
    ]
    items = tuple(dict.fromkeys(item for tally in tallies for item in tally if item != TIME))
    prices = {item: price for tally in reversed(tallies) for item, (_, price) in tally.items()}
    counts = [np.array([tally[item][0] if item in tally else 0.0 for item in (*items, TIME)]) for tally in tallies]
    ends = zip(moving.values(), counts[1::2], counts[2::2], strict=True)
    return Varied(
        result=nominal,
        counted=nominal.amounts(convention, phase),
        amounts=counts[0],
        prices=tuple(prices[item] for item in items),
        moved=tuple((found.names[0], Moved(constant=found.constant, low=low, high=high)) for found, low, high in ends),
    )


def at(chip: Chip, found: Distinct, value: float) -> Chip:
    """`chip` with a constant, wherever it stands, at a value."""
    fixed = found.constant.model_copy(update={"low": value, "nominal": value, "high": value})
    for name in found.names:
        chip = replaced(chip, name.removeprefix(f"{chip.name}: "), fixed)
    return chip


def _tally(result: PricedRows, convention: str, phase: Phase | None) -> dict[str, tuple[float, Price]]:
    found = {amount.item: (amount.count, amount.price) for amount in result.amounts(convention, phase)}
    return found | {TIME: (result.phase_cycles(phase) / result.chip.clock.nominal, Price())}


def _change(nominal: Float64, moved: Moved, values: Float64) -> Float64:
    """By how much the amounts (items, columns) differ from nominal at the constant's values (columns,)."""
    constant = moved.constant
    low, middle, high, here = (
        _scale(constant, np.asarray(x)) for x in (constant.low, constant.nominal, constant.high, values)
    )
    below = values < constant.nominal
    # 0 at the nominal value, 1 at the end; a range that ends at the nominal value has nothing beyond it.
    gap = np.where(below, low, high) - middle
    far = np.where(gap == 0, 0.0, (here - middle) / np.where(gap == 0, 1.0, gap))
    change = np.where(below[None, :], (moved.low - nominal)[:, None], (moved.high - nominal)[:, None])
    return change * far


def _scale(constant: Constant, value: Float64) -> Float64:
    """What times are linear in: a rate's inverse, a delay itself."""
    return value if constant.unit in DELAYS else 1 / value
