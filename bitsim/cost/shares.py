"""Which part of an energy rests on which constants: that of the terms of prices that vanish with them."""

from collections.abc import Callable, Iterable

from bitsim.cost.energy import Amount
from bitsim.cost.matrix import Key, key_of
from bitsim.hw.constants import Constant


def shares(amounts: Iterable[Amount]) -> dict[Key, float]:
    """The part of the nominal energy that is in terms with a constant, by constant; empty without energy."""
    found: dict[Key, float] = {}
    total = 0.0
    for amount in amounts:
        for term in amount.price.terms:
            energy = amount.count * term.at("nominal")
            total += energy
            for key in {key_of(factor.constant) for factor in term.factors if factor.exponent}:
                found[key] = found.get(key, 0.0) + energy
    return {key: energy / total for key, energy in found.items()} if total else {}


def share_resting_on(amounts: Iterable[Amount], wanted: Callable[[Constant], bool]) -> float:
    """The part of the nominal energy that is in terms with any constant that is `wanted`; 0 without energy."""
    found = total = 0.0
    for amount in amounts:
        for term in amount.price.terms:
            energy = amount.count * term.at("nominal")
            total += energy
            if any(factor.exponent and wanted(factor.constant) for factor in term.factors):
                found += energy
    return found / total if total else 0.0


def is_assumed(constant: Constant) -> bool:
    """Whether nobody measured, published or derived it."""
    return constant.evidence == "assumed"
