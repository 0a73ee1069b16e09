"""Whether a chip's clock leaves its datapaths' logic the time that was synthesised for it, at its supply."""

from collections.abc import Iterator
from dataclasses import dataclass

from bitsim.cost.price import LEVELS
from bitsim.datapath.registry import build_datapath
from bitsim.events import event_kind
from bitsim.hw.chip import Chip
from bitsim.hw.technology import is_finished_array

COMPONENTS = ("bitlinear", "wide")
SHAPE = (64, 320, 128)  # M, K, N of a matmul that has all of a datapath's events


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalPath:
    """The logic `unit` between two registers of `component`, and what it takes in ns; None: no source tells.

    `low` and `high`: what the range of the technology's threshold makes of it at a supply of the chip's own.
    """

    component: str
    unit: str
    low: float | None = None
    nominal: float | None = None
    high: float | None = None

    def text(self, period_ns: float) -> str:
        """For people, with what a clock of this period makes of it."""
        if self.low is None or self.nominal is None or self.high is None:
            return "critical path not known"
        amount = f"{self.nominal:.3g}" if self.low == self.high else f"{self.low:.3g} / {self.nominal:.3g} / {self.high:.3g}"
        verdict = f"at most {1 / self.nominal:.3g} GHz, too slow for the clock" if self.nominal > period_ns else "in time"
        return f"critical path {amount} ns before layout, {verdict}"


def critical_paths(chip: Chip) -> tuple[CriticalPath, ...]:
    """The paths of both datapaths; the vector unit's are not known.

    Delays are those of synthesis before layout, at the chip's supply by the technology's `voltage` rule. A synthesis with
    another goal or a pipeline can be faster, wires are slower.
    """
    tech, paths = chip.tech, []
    for component in COMPONENTS:
        for unit in _units(chip, component):
            delay = tech.delays.get(unit)
            if delay is None:
                paths.append(CriticalPath(component=component, unit=unit))
                continue
            slower = (1.0, 1.0, 1.0)
            if chip.voltage is not None and tech.voltage is not None and tech.supply is not None:
                slower = tech.voltage.slowdown(chip.volts, tech.supply.nominal)
            times = [getattr(delay, level) * slow for level, slow in zip(LEVELS, slower, strict=True)]
            paths.append(CriticalPath(component=component, unit=unit, low=times[0], nominal=times[1], high=times[2]))
    return tuple(paths)


def _units(chip: Chip, component: str) -> Iterator[str]:
    """Names of the logic that works within a cycle: of events of the datapath, without what is done."""
    datapath = build_datapath(getattr(chip, component))
    events = [e for e in datapath.count(*SHAPE) if event_kind(e).ledger == "datapath" and not is_finished_array(e)]
    return iter(dict.fromkeys(e.rpartition(".")[0] for e in events if not e.startswith(("reg.", "gate."))))


def clock_notes(chip: Chip) -> tuple[str, ...]:
    """What a reader must know of a clock that is faster than a known critical path allows."""
    period_ns = 1 / chip.clock.nominal
    late = [p for p in critical_paths(chip) if p.nominal is not None and p.nominal > period_ns]
    return tuple(
        f"clock: {chip.clock.nominal:g} GHz is faster than synthesis reached for {path.component}'s {path.unit} at "
        f"{chip.volts:g} V: {path.text(period_ns)}"
        for path in late
    )
