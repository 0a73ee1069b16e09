"""The price of one event or of one nanosecond: a sum of products of named constants.

Prices keep this form until numbers are asked for, so that the effect of a constant on any total can be followed: from
the logarithms of all constants they are matrix products.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

from bitsim.floats.scalars import power
from bitsim.hw.constants import Constant

Level = Literal["low", "nominal", "high"]
LEVELS: tuple[Level, ...] = ("low", "nominal", "high")
_OPPOSITE: dict[Level, Level] = {"low": "high", "nominal": "nominal", "high": "low"}


@dataclass(frozen=True, slots=True)
class Factor:
    """A constant, by its path in the YAML, to the power of `exponent`; 0: it decided which constants are used."""

    name: str
    constant: Constant
    exponent: float = 1.0

    def at(self, level: Level) -> float:
        """The factor's value that makes a product low, nominal or high."""
        if self.exponent == 0:
            return 1.0
        value = float(getattr(self.constant, level if self.exponent > 0 else _OPPOSITE[level]))
        return value if self.exponent == 1 else power(value, self.exponent)


@dataclass(frozen=True, slots=True)
class Term:
    """`coefficient` times the product of `factors`."""

    coefficient: float
    factors: tuple[Factor, ...]

    def at(self, level: Level) -> float:
        """The product at a level; factors are multiplied in their order."""
        value = self.coefficient
        for factor in self.factors:
            value *= factor.at(level)
        return value


@dataclass(frozen=True)
class Price:
    """Energy in pJ, or power in mW, which is pJ per ns, as the sum of `terms`. Coefficients are not negative."""

    terms: tuple[Term, ...] = ()

    @classmethod
    def of(cls, constant: Constant, name: str) -> Self:
        """A constant as it is."""
        return cls((Term(1.0, (Factor(name, constant),)),))

    def at(self, level: Level) -> float:
        """The sum with all constants at the level that makes it so."""
        return sum(term.at(level) for term in self.terms)

    @cached_property
    def low(self) -> float:
        return self.at("low")

    @cached_property
    def nominal(self) -> float:
        return self.at("nominal")

    @cached_property
    def high(self) -> float:
        return self.at("high")

    @cached_property
    def constants(self) -> tuple[tuple[str, Constant], ...]:
        """All constants that it was made from, each name once, in their order."""
        found = {factor.name: factor.constant for term in self.terms for factor in term.factors}
        return tuple(found.items())

    def __add__(self, other: Self) -> Self:
        return type(self)(self.terms + other.terms)

    def scaled(self, factor: float | Constant, name: str = "", exponent: float = 1.0) -> Self:
        """This price times a number, or times a power of a constant that is named in results."""
        if not isinstance(factor, Constant):
            return type(self)(tuple(Term(term.coefficient * factor, term.factors) for term in self.terms))
        more = Factor(name, factor, exponent)
        return type(self)(tuple(Term(term.coefficient, (*term.factors, more)) for term in self.terms))


NOTHING = Price()
