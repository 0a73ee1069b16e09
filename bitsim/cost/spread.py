"""An amount that is known as a range."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A low, a nominal and a high value of one unit, which the subclass names; ranges add up end by end."""

    low: float = 0.0
    nominal: float = 0.0
    high: float = 0.0

    def __add__(self, other: Self) -> Self:
        return type(self)(low=self.low + other.low, nominal=self.nominal + other.nominal, high=self.high + other.high)
