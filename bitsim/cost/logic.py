"""Prices of logic and of tables: what a technology says of an event, else what a rule says of its widths."""

from bitsim.cost.price import NOTHING, Price
from bitsim.events import event_kind
from bitsim.hw.rules import Rule, match
from bitsim.hw.technology import Technology, is_finished_array


def logic_price(tech: Technology, event: str) -> Price | None:
    """The price of an event of logic: its own, else that of a rule; None if the technology has neither.

    Synthesised logic (`datapath` ledger and vector unit, memory arrays apart) is pre-layout and multiplied by the
    technology's layout factor; the papers' own prices of the `arithmetic` ledger stay as they are.
    """
    constant = tech.prices.get(event)
    if constant is not None:
        price = Price.of(constant, f"{tech.name}: prices.{event}")
    else:
        found = match(tech.rules, event)
        if found is None or found[1].outside(found[2]) is not None:
            return None
        price = by_rule(f"{tech.name}: rules.{found[0]}", *found[1:])
    if event_kind(event).ledger == "arithmetic" or is_finished_array(event):
        return price
    return price.scaled(tech.layout_factor, f"{tech.name}: layout_factor")


def by_rule(name: str, rule: Rule, widths: dict[str, int]) -> Price:
    """What `rule`, which results call `name`, gives at `widths`; it must be valid there."""
    total = NOTHING
    for i, term in enumerate(rule.terms):
        total += Price.of(term.coefficient, f"{name}.terms[{i}]").scaled(rule.factor(term, widths))
    if rule.spread is not None:
        total = total.scaled(rule.spread, f"{name}.spread")
    return total.scaled(rule.error, f"{name}.error", rule.distance(widths))


def why_unpriced(tech: Technology, event: str) -> str | None:
    """Where a rule that stands for `event` ends, and why; None if there is no such rule."""
    found = match(tech.rules, event)
    return None if found is None else f"rules.{found[0]}: {found[1].outside(found[2])}"
