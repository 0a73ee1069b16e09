"""Energy of operators: events times prices, by component, in one convention."""

from collections.abc import Iterable
from dataclasses import dataclass

from bitsim.cost.conventions import Convention
from bitsim.cost.prices import PriceList
from bitsim.cost.spread import Spread
from bitsim.errors import ConfigError, UnpricedEventError
from bitsim.events import Events, event_component
from bitsim.model.operators import Kind


class Energy(Spread):
    """Energy in pJ, as a range."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCost:
    """What is known of one operator's work when it is priced."""

    name: str
    kind: Kind
    events: Events
    time_ns: float


LEAKAGE = "sram leakage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpriced:
    """What an energy is without: an event that was counted `count` times, or the leakage of SRAM; and why."""

    event: str
    count: int
    error: UnpricedEventError | ConfigError


def price_operator(cost: OperatorCost, prices: PriceList, convention: Convention) -> dict[str, Energy]:
    """Energy of one operator by component; empty if the convention does not count its kind.

    Raises `UnpricedEventError`, or `ConfigError` for a memory, if anything has no price.
    """
    parts, missing = price_in_part(cost, prices, convention)
    if missing:
        raise missing[0].error
    return parts


def price_in_part(
    cost: OperatorCost, prices: PriceList, convention: Convention
) -> tuple[dict[str, Energy], tuple[Unpriced, ...]]:
    """As `price_operator`, of what has a price; and what has none."""
    parts: dict[str, Energy] = {}
    missing: list[Unpriced] = []
    if not convention.counts(cost.kind):
        return parts, ()
    for event, count in cost.events.in_ledger(*convention.ledgers).items():
        try:
            price = prices.must_price(event, count, cost.name)
        except (UnpricedEventError, ConfigError) as error:
            missing.append(Unpriced(event=event, count=count, error=error))
            continue
        energy = Energy(low=count * price.low, nominal=count * price.nominal, high=count * price.high)
        key = event_component(event)
        parts[key] = parts.get(key, Energy()) + energy
    if convention.leakage and cost.time_ns:
        try:
            power = prices.leakage_mw()
        except ConfigError as error:
            return parts, (*missing, Unpriced(event=LEAKAGE, count=1, error=error))
        parts[LEAKAGE] = Energy(
            low=power.low * cost.time_ns, nominal=power.nominal * cost.time_ns, high=power.high * cost.time_ns
        )
    return parts, tuple(missing)


def total_energy(parts: Iterable[Energy]) -> Energy:
    """The sum of energies."""
    result = Energy()
    for part in parts:
        result = result + part
    return result
