"""Prices of logic and of tables: what a technology says of an event."""

from bitsim.cost.price import Price
from bitsim.events import event_kind
from bitsim.hw.technology import Technology, is_finished_array


def logic_price(tech: Technology, event: str) -> Price | None:
    """The price of an event of logic; None if the technology has none.

    Synthesised logic (`datapath` ledger and vector unit, memory arrays apart) is pre-layout and multiplied by the
    technology's layout factor; the papers' own prices of the `arithmetic` ledger stay as they are.
    """
    constant = tech.prices.get(event)
    if constant is None:
        return None
    price = Price.of(constant, f"{tech.name}: prices.{event}")
    if event_kind(event).ledger == "arithmetic" or is_finished_array(event):
        return price
    return price.scaled(tech.layout_factor, f"{tech.name}: layout_factor")
