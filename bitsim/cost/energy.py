"""Energy of operators: events times prices, by component, in one convention."""

from collections.abc import Iterable
from dataclasses import dataclass

from bitsim.cost.conventions import Convention
from bitsim.cost.prices import PriceList
from bitsim.cost.spread import Spread
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


def price_operator(cost: OperatorCost, prices: PriceList, convention: Convention) -> dict[str, Energy]:
    """Energy of one operator by component; empty if the convention does not count its kind."""
    if not convention.counts(cost.kind):
        return {}
    parts: dict[str, Energy] = {}
    for event, count in cost.events.in_ledger(*convention.ledgers).items():
        price = prices.must_price(event, count, cost.name)
        energy = Energy(low=count * price.low, nominal=count * price.nominal, high=count * price.high)
        key = event_component(event)
        parts[key] = parts.get(key, Energy()) + energy
    if convention.leakage and cost.time_ns:
        power = prices.leakage_mw()
        parts["sram leakage"] = Energy(
            low=power.low * cost.time_ns, nominal=power.nominal * cost.time_ns, high=power.high * cost.time_ns
        )
    return parts


def total_energy(parts: Iterable[Energy]) -> Energy:
    """The sum of energies."""
    result = Energy()
    for part in parts:
        result = result + part
    return result
