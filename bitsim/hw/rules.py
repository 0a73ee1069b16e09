"""Rules: what an event costs, or how large a part is, as a function of the widths in its name.

A rule stands for names such as `pe.ternary_a8_acc{acc}.add`. Its value is a sum of terms, each a constant times powers
of these widths, fitted to what was synthesised. It is used where no price or area of that very name exists.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from math import prod
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from bitsim.floats.scalars import log, power
from bitsim.hw.constants import Constant, Described, Text, in_unit
from bitsim.hw.source import problem

_WIDTH = re.compile(r"{(\w+)}")
_LARGEST = 4096

Width = Annotated[int, Field(ge=1, le=_LARGEST)]
Ratio = Annotated[Constant, in_unit("ratio", positive=True)]


def _around_one(constant: Constant) -> Constant:
    if constant.nominal != 1:
        raise problem(f"must have a nominal of 1: it widens a value and does not move it (got {constant.nominal:g})")
    return constant


class Term(Described):
    """One summand of a rule.

    * `coefficient`: what it is at widths of 1. `powers`: by name of a width, the exponent that it is raised to; without
      any the summand is the same at all widths.
    """

    coefficient: Constant
    powers: dict[Text, Annotated[float, Field(ge=-4, le=4)]] = Field(default_factory=dict)


class Extent(Described):
    """Smallest and largest value of one width."""

    low: Width
    high: Width

    @model_validator(mode="after")
    def _ordered(self) -> "Extent":
        if self.low > self.high:
            raise problem(f"expected low <= high (got {self.low}, {self.high})")
        return self


class Rule(Described):
    """The value of all names that one pattern stands for.

    * `terms`: what is added up. `origin`: by name of a width, the value at which it counts as 0.
    * `synthesised`: by name of a width, the range of the points that it was fitted to. `valid`: the range in which it
      is used. `ends`: why no further, and which source ends it.
    * `spread`: by how much studies and models of delay differ from the fit, a ratio around 1.
    * `error`: by how much the fit misses points that it was not told of, a ratio around 1; outside of `synthesised` to
      a power that grows by one for each doubling of the distance.
    """

    terms: Annotated[tuple[Term, ...], Field(strict=False, min_length=1)]
    origin: dict[Text, Annotated[int, Field(ge=0, le=_LARGEST)]] = Field(default_factory=dict)
    synthesised: dict[Text, Extent]
    valid: dict[Text, Extent]
    ends: Text
    spread: Annotated[Ratio, AfterValidator(_around_one)] | None = None
    error: Annotated[Ratio, AfterValidator(_around_one)]

    @model_validator(mode="after")
    def _consistent(self) -> "Rule":
        if self.synthesised.keys() != self.valid.keys():
            raise problem(f"expected the widths of `synthesised`, {_listed(self.synthesised)}", key="valid")
        for name, valid in self.valid.items():
            if not valid.low <= self.synthesised[name].low <= self.synthesised[name].high <= valid.high:
                raise problem(f"must hold the range of `synthesised` ({name})", key="valid")
            if self.origin.get(name, 0) > valid.low:
                raise problem(f"must be <= {valid.low}, where `valid` begins ({name})", key="origin")
        used = {name for term in self.terms for name in term.powers} | set(self.origin)
        if unknown := used - set(self.valid):
            raise problem(
                f"expected the widths of `valid`, {_listed(self.valid)} (got {_listed(unknown)})", key="terms"
            )
        return self

    def outside(self, widths: dict[str, int]) -> str | None:
        """Why the rule is not used at `widths`: the range, what came, the source that ends it; None if it is used."""
        for name, width in widths.items():
            valid = self.valid[name]
            if not valid.low <= width <= valid.high:
                return f"{name} must be {valid.low} to {valid.high} (got {width}): {self.ends}"
        return None

    def factor(self, term: Term, widths: dict[str, int]) -> float:
        """What a term's coefficient is multiplied by."""
        return prod(power(float(widths[n] - self.origin.get(n, 0)), exponent) for n, exponent in term.powers.items())

    def distance(self, widths: dict[str, int]) -> float:
        """The exponent of `error`: 1, and 1 more for each doubling of a width beyond what was synthesised."""
        doublings = 0.0
        for name, width in widths.items():
            known = self.synthesised[name]
            doublings += max(0.0, log(known.low / width), log(width / known.high)) / log(2.0)
        return 1.0 + doublings


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    """What a pattern stands for; a width has no leading zeros."""
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[1-9]\\d{0,3})", re.escape(pattern)))


def match(rules: Mapping[str, Rule], name: str) -> tuple[str, Rule, dict[str, int]] | None:
    """The first pattern that stands for `name`, its rule, and the widths in the name; None if there is none."""
    for pattern, rule in rules.items():
        if found := _expression(pattern).fullmatch(name):
            return pattern, rule, {width: int(value) for width, value in found.groupdict().items()}
    return None


def checked(rules: dict[str, Rule], unit: str) -> dict[str, Rule]:
    """`rules`, if their patterns have the widths that they are a function of, and all coefficients the unit."""
    for pattern, rule in rules.items():
        names = _WIDTH.findall(pattern)
        if sorted(names) != sorted(rule.valid):
            raise problem(f"expected the widths {_listed(rule.valid)} in the name, each once", key=pattern)
        for term in rule.terms:
            if term.coefficient.unit != unit:
                raise problem(f"coefficients must be in {unit!r} (got {term.coefficient.unit!r})", key=pattern)
    return rules


def example(pattern: str) -> str:
    """A name that the pattern stands for."""
    return _WIDTH.sub("1", pattern)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
