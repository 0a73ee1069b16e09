"""Energy of operators: what was counted times prices, by component, in one convention."""

from collections.abc import Iterable
from dataclasses import dataclass

from bitsim.cost.conventions import Convention
from bitsim.cost.dram import flows_ns
from bitsim.cost.price import Price
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """`count` of what `price` is the price of: an event, or a nanosecond of a power that flows without events.

    `item`: the event, or the component whose power it is.
    """

    item: str
    component: str
    count: float
    price: Price

    @property
    def energy(self) -> Energy:
        """In pJ, with all constants at the end that makes it so."""
        return Energy(
            low=self.count * self.price.low, nominal=self.count * self.price.nominal, high=self.count * self.price.high
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpriced:
    """What an energy is without: an event that was counted `count` times, or the leakage of SRAM; and why."""

    event: str
    count: int
    error: UnpricedEventError | ConfigError


def amounts(
    cost: OperatorCost, prices: PriceList, convention: Convention
) -> tuple[tuple[Amount, ...], tuple[Unpriced, ...]]:
    """What the energy of one operator is the sum of, and what has no price; nothing of a kind that does not count.

    SRAM leaks and DRAM is refreshed from the operator's start to its end. DRAM stands by while no bit moves: for what
    its bits at the peak rate leave of that time.
    """
    found: list[Amount] = []
    missing: list[Unpriced] = []
    if not convention.counts(cost.kind):
        return (), ()
    for event, count in cost.events.in_ledger(*convention.ledgers).items():
        try:
            price = prices.must_price(event, count, cost.name)
        except (UnpricedEventError, ConfigError) as error:
            missing.append(Unpriced(event=event, count=count, error=error))
            continue
        found.append(Amount(item=event, component=event_component(event), count=count, price=price))
    for component in prices.powers if convention.powers and cost.time_ns else ():
        try:
            price = prices.power(component)
        except ConfigError as error:
            missing.append(Unpriced(event=component, count=1, error=error))
            continue
        flows = flows_ns(component, prices.chip, cost.events, cost.time_ns)
        found.append(Amount(item=component, component=component, count=flows, price=price))
    return tuple(found), tuple(missing)


def price_operator(cost: OperatorCost, prices: PriceList, convention: Convention) -> dict[str, Energy]:
    """Energy of one operator by component; empty if the convention does not count its kind.

    Raises `UnpricedEventError`, or `ConfigError` for a memory, if anything has no price.
    """
    found, missing = amounts(cost, prices, convention)
    if missing:
        raise missing[0].error
    return by_component(found)


def by_component(parts: Iterable[Amount]) -> dict[str, Energy]:
    """Energies of amounts, added up by component."""
    found: dict[str, Energy] = {}
    for amount in parts:
        found[amount.component] = found.get(amount.component, Energy()) + amount.energy
    return found


def total_energy(parts: Iterable[Energy]) -> Energy:
    """The sum of energies."""
    result = Energy()
    for part in parts:
        result = result + part
    return result
