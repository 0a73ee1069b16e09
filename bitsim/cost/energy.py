"""Energy of operators: what was counted times prices, by component, in one convention."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bitsim.cost.conventions import Convention
from bitsim.cost.dram import flows_ns
from bitsim.cost.price import Price
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """`count` of what `price` is the price of: an event, or a nanosecond of a power that flows without events.

    `item`: the event, or the component whose power it is.
    """

    item: str
    component: str
    count: float
    price: Price


def amounts(cost: OperatorCost, prices: PriceList, convention: Convention) -> Iterator[Amount]:
    """Everything that the energy of one operator is the sum of; nothing if the convention does not count its kind.

    SRAM leaks and DRAM is refreshed from the operator's start to its end. DRAM stands by while no bit moves: for what
    its bits at the peak rate leave of that time.
    """
    if not convention.counts(cost.kind):
        return
    for event, count in cost.events.in_ledger(*convention.ledgers).items():
        price = prices.must_price(event, count, cost.name)
        yield Amount(item=event, component=event_component(event), count=count, price=price)
    if convention.powers and cost.time_ns:
        for component, price in prices.powers().items():
            flows = flows_ns(component, prices.chip, cost.events, cost.time_ns)
            yield Amount(item=component, component=component, count=flows, price=price)


def price_operator(cost: OperatorCost, prices: PriceList, convention: Convention) -> dict[str, Energy]:
    """Energy of one operator by component; empty if the convention does not count its kind."""
    parts: dict[str, Energy] = {}
    for amount in amounts(cost, prices, convention):
        count, price = amount.count, amount.price
        energy = Energy(low=count * price.low, nominal=count * price.nominal, high=count * price.high)
        parts[amount.component] = parts.get(amount.component, Energy()) + energy
    return parts


def total_energy(parts: Iterable[Energy]) -> Energy:
    """The sum of energies."""
    result = Energy()
    for part in parts:
        result = result + part
    return result
