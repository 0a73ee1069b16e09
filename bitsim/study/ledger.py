"""Add up what operators did, over the steps of a run or an estimate, into the rows of a Result."""

from collections import Counter

from bitsim.events import Events
from bitsim.model.operators import Operator
from bitsim.schedule.place import Placed
from bitsim.study.rows import OperatorRow


class OperatorLedger:
    """Rows by phase and operator name, in the order of their first execution."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], OperatorRow] = {}
        self._events: dict[tuple[str, str], dict[str, int]] = {}
        self._waits: dict[tuple[str, str], Counter[str]] = {}

    def add(self, op: Operator, placed: Placed, counted: Events) -> None:
        """Book one execution of `op`: where it was placed, and the events of its unit as `counted` for it."""
        key = (op.phase, op.name)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = OperatorRow(phase=op.phase, name=op.name, kind=op.kind, layer=op.layer)
            self._events[key] = {}
            self._waits[key] = Counter()
        row.calls += 1
        row.macs += op.macs
        row.cycles += placed.cycles
        row.unit_cycles += placed.unit_cycles
        self._waits[key][placed.bound] += placed.cycles
        counts = self._events[key]
        for events in (placed.events, counted):
            for event, count in events.items():
                counts[event] = counts.get(event, 0) + count

    def add_live_macs(self, op: Operator, count: int) -> None:
        """Book how many of a quantised linear's products can matter (see `OperatorRow`); `op` is booked already."""
        row = self._rows[op.phase, op.name]
        row.live_macs = (row.live_macs or 0) + count

    def rows(self) -> tuple[OperatorRow, ...]:
        """The finished rows."""
        for key, row in self._rows.items():
            row.events = Events(self._events[key])
            row.bound = self._waits[key].most_common(1)[0][0]
        return tuple(self._rows.values())
