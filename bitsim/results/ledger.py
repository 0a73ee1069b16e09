"""Add up what operators did, over the steps of a run or an estimate, into the rows of a Result."""

from collections import Counter
from dataclasses import dataclass, field

from bitsim.events import Events
from bitsim.model.operators import Operator
from bitsim.results.rows import OperatorRow
from bitsim.schedule.growth import Grown
from bitsim.schedule.place import Placed


@dataclass(slots=True)
class _Account:
    """What was booked on one row. Places recur from step to step: they are counted, and added up at the end."""

    row: OperatorRow
    counts: dict[str, int] = field(default_factory=dict)
    places: dict[int, tuple[Placed, int]] = field(default_factory=dict)  # by identity
    grown: list[Grown] = field(default_factory=list)


class OperatorLedger:
    """Rows by phase and operator name, in the order of their first execution."""

    def __init__(self) -> None:
        self._accounts: dict[tuple[str, str], _Account] = {}

    def add(self, op: Operator, placed: Placed, counted: Events, times: int = 1) -> None:
        """Book executions of `op`: where it was placed, and the events of its unit as `counted` for each of them."""
        account = self._account(op)
        account.row.calls += times
        if op.m:
            account.row.macs += op.macs * times
        known = account.places.get(id(placed))
        account.places[id(placed)] = (placed, times if known is None else known[1] + times)
        counts = account.counts
        for event, count in counted.items():
            counts[event] = counts.get(event, 0) + count * times

    def add_grown(self, op: Operator, grown: Grown) -> None:
        """Book the executions of `op` at many contexts."""
        account = self._account(op)
        account.row.calls += grown.calls
        account.row.macs += grown.macs
        account.grown.append(grown)

    def _account(self, op: Operator) -> _Account:
        account = self._accounts.get((op.phase, op.name))
        if account is None:
            row = OperatorRow(phase=op.phase, name=op.name, kind=op.kind, layer=op.layer, bitlinear=op.is_bitlinear)
            account = self._accounts[op.phase, op.name] = _Account(row)
        return account

    def add_live_macs(self, op: Operator, count: int) -> None:
        """Book how many of a quantised linear's products can matter (see `OperatorRow`); `op` is booked already."""
        row = self._accounts[op.phase, op.name].row
        row.live_macs = (row.live_macs or 0) + count

    def rows(self) -> tuple[OperatorRow, ...]:
        """The finished rows."""
        return tuple(_finished(account) for account in self._accounts.values())


def _finished(account: _Account) -> OperatorRow:
    row, events, waits, plans = account.row, Events(), Counter[str](), Counter[str]()
    row.cycles = row.unit_cycles = row.least_cycles = 0
    for placed, times in account.places.values():
        events += placed.events * times
        row.cycles += placed.cycles * times
        row.unit_cycles += placed.unit_cycles * times
        row.least_cycles += placed.least_cycles * times
        waits[placed.bound] += placed.cycles * times
        if placed.plan is not None:
            plans[placed.plan.text()] += placed.cycles * times
    for grown in account.grown:
        events += grown.events
        row.cycles += grown.cycles
        row.unit_cycles += grown.unit_cycles
        row.least_cycles += grown.least_cycles
        waits += grown.waits
        plans += grown.plans
    row.events, row.bound = events + Events(account.counts), waits.most_common(1)[0][0]
    row.plan = plans.most_common(1)[0][0] if plans else ""
    return row
