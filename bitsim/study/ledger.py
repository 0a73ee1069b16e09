"""Add up what operators did, over the steps of a run or an estimate, into the rows of a Result."""

from collections import Counter
from dataclasses import dataclass, field

from bitsim.events import Events
from bitsim.model.operators import Operator
from bitsim.schedule.place import Placed
from bitsim.study.rows import OperatorRow


@dataclass(slots=True)
class _Account:
    """What was booked on one row. Places recur from step to step: they are counted, and added up at the end."""

    row: OperatorRow
    counts: dict[str, int] = field(default_factory=dict)
    places: dict[int, tuple[Placed, int]] = field(default_factory=dict)  # by identity


class OperatorLedger:
    """Rows by phase and operator name, in the order of their first execution."""

    def __init__(self) -> None:
        self._accounts: dict[tuple[str, str], _Account] = {}

    def add(self, op: Operator, placed: Placed, counted: Events) -> None:
        """Book one execution of `op`: where it was placed, and the events of its unit as `counted` for it."""
        account = self._accounts.get((op.phase, op.name))
        if account is None:
            row = OperatorRow(phase=op.phase, name=op.name, kind=op.kind, layer=op.layer, bitlinear=op.is_bitlinear)
            account = self._accounts[op.phase, op.name] = _Account(row)
        account.row.calls += 1
        if op.m:
            account.row.macs += op.macs
        known = account.places.get(id(placed))
        account.places[id(placed)] = (placed, 1 if known is None else known[1] + 1)
        counts = account.counts
        for event, count in counted.items():
            counts[event] = counts.get(event, 0) + count

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
    row.events, row.bound = events + Events(account.counts), waits.most_common(1)[0][0]
    row.plan = plans.most_common(1)[0][0] if plans else ""
    return row
