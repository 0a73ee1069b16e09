"""Pricing as a matrix product: amounts (items,) or (items, columns) times prices (items, columns).

A column is one choice of all constants: all nominal, one of them at an end of its range, or a Monte Carlo draw. A price
is a sum of coefficients times powers of constants (`bitsim.cost.price`), so that a column of prices follows from a
column of constants by products. Sums and products are taken in the order of items, terms and factors, and powers by
bitsim's own exp and log: the same bits on every machine.

Constants that are equal in numbers, unit, source and evidence are one, under however many names: they move together,
within a chip and between chips.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

import numpy as np
import numpy.typing as npt

from bitsim.cost.price import Level, Price, Term
from bitsim.floats.exponentials import exponentials, logarithms
from bitsim.hw.constants import Constant

Float64 = npt.NDArray[np.float64]
Key = tuple[float, float, float, str, str, str]
_SMALLEST = 1e-300  # where a logarithm of nothing is asked for


def key_of(constant: Constant) -> Key:
    """What makes two constants the same."""
    return constant.low, constant.nominal, constant.high, constant.unit, constant.source, constant.evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Distinct:
    """One constant that prices are made of: under which `names`, and whether any price changes with it."""

    constant: Constant
    names: tuple[str, ...]

    @property
    def moves(self) -> bool:
        return self.constant.low < self.constant.high


def distinct_constants(named: Iterable[tuple[str, Constant]]) -> dict[Key, Distinct]:
    """Constants by what makes them the same, in the order in which they come up."""
    found: dict[Key, tuple[Constant, dict[str, None]]] = {}
    for name, constant in named:
        found.setdefault(key_of(constant), (constant, {}))[1][name] = None
    return {key: Distinct(constant=constant, names=tuple(names)) for key, (constant, names) in found.items()}


@dataclass(frozen=True, slots=True)
class Columns:
    """Values of constants, float64 (columns,) each; a constant that is not there is nominal in all columns."""

    number: int
    values: Mapping[Key, Float64]

    @classmethod
    def one_by_one(cls, constants: Mapping[Key, Distinct]) -> Self:
        """All nominal; then the first constant low; then it high; then the second one low; and so on."""
        number = 1 + 2 * len(constants)
        values = {}
        for i, key in enumerate(constants):
            low, nominal, high = key[:3]
            values[key] = np.full(number, nominal)
            values[key][1 + 2 * i : 3 + 2 * i] = low, high
        return cls(number, values)

    @classmethod
    def drawn(cls, constants: Mapping[Key, Distinct], draws: int, seed: int) -> Self:
        """Each constant drawn by itself; its numbers follow from itself and `seed`, not from which others there are.

        The distribution is triangular from low to high with its mode at the nominal value: over log(value), or over the
        value of a constant whose low is 0. A constant with one value keeps it.
        """
        return cls(draws, {key: _triangular(key, draws, seed) for key, found in constants.items() if found.moves})

    def of(self, constant: Constant) -> Float64 | None:
        """The values of a constant that moves; None of one that does not."""
        return self.values.get(key_of(constant))

    def prices(self, prices: Sequence[Price]) -> Float64:
        """float64 (items, columns): each price at each choice of constants."""
        powers: dict[tuple[Key, float], Float64] = {}
        found = np.zeros((len(prices), self.number))
        for i, price in enumerate(prices):
            for term in price.terms:
                found[i] += self._term(term, powers)
        return found

    def _term(self, term: Term, powers: dict[tuple[Key, float], Float64]) -> Float64 | float:
        value: Float64 | float = term.coefficient
        for factor in term.factors:
            values = None if factor.exponent == 0 else self.of(factor.constant)
            if values is None:
                value = value * factor.at("nominal")
            elif factor.exponent == 1:
                value = value * values
            else:
                power = (key_of(factor.constant), factor.exponent)
                if power not in powers:
                    powers[power] = exponentials(factor.exponent * logarithms(np.maximum(values, _SMALLEST)))
                value = value * powers[power]
        return value


def at_levels(prices: Sequence[Price], levels: Sequence[Level] = ("low", "nominal", "high")) -> Float64:
    """float64 (items, levels): each price with all its constants at the end that makes it so."""
    return np.array([[price.at(level) for level in levels] for price in prices]).reshape(len(prices), len(levels))


def totals(amounts: Float64, prices: Float64) -> Float64:
    """float64 (columns,): the sum of amounts, (items,) or (items, columns), times prices, item by item."""
    total = np.zeros(prices.shape[1])
    for amount, row in zip(amounts, prices, strict=True):
        total += amount * row
    return total


def _triangular(key: Key, draws: int, seed: int) -> Float64:
    """The inverse of the distribution function at uniform numbers."""
    words = np.frombuffer(sha256(repr(key).encode()).digest(), dtype="<u4")
    bits = np.random.PCG64(np.random.SeedSequence([seed, *words.tolist()]))
    u = np.random.Generator(bits).random(draws)
    low, mode, high = key[:3]
    if low > 0:
        low, mode, high = logarithms(np.array([low, mode, high])).tolist()
    width = high - low
    rising = low + np.sqrt(u * (width * (mode - low)))
    falling = high - np.sqrt((1 - u) * (width * (high - mode)))
    drawn = np.where(u * width < mode - low, rising, falling)
    return exponentials(drawn) if key[0] > 0 else drawn
