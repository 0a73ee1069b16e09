"""Whether a chip's clock leaves its datapaths' logic the time that was synthesised for it, at its supply."""

from dataclasses import dataclass

from bitsim.cost.price import LEVELS
from bitsim.datapath.registry import build_datapath
from bitsim.datapath.structure import Structure
from bitsim.hw.chip import Chip
from bitsim.hw.technology import is_finished_array

COMPONENTS = ("bitlinear", "wide")
SHAPE = (64, 320, 128)  # M, K, N of a matmul that has all of a datapath's events
DONE = (".add_bits", ".look_bits", ".read", ".mac")  # what an event says is done by the logic that it names
# What is no logic, has registers of its own on both sides, or is the logic of a whole processor.
OTHERS = ("add.", "mul.", "reg.", "gate.", "sram.", "dequant.", "acc.", "simd.", "overflow.", "regfile.")


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
            return "not known"
        amount = f"{self.low:.3g} / {self.nominal:.3g} / {self.high:.3g}"
        amount = f"{self.nominal:.3g}" if self.low == self.high else amount
        late = [time > period_ns for time in (self.low, self.nominal, self.high)]
        verdict = ("in time", "in time but for the high end", "in time at the low end only", "too slow")[sum(late)]
        return f"{amount} ns before layout, {verdict}"


def critical_paths(chip: Chip) -> tuple[CriticalPath, ...]:
    """The paths of both datapaths; the vector unit's are not known.

    Delays are those of synthesis before layout, at the chip's supply by the technology's `voltage` rule. A synthesis
    with another goal or a pipeline can be faster, wires are slower.
    """
    tech, paths = chip.tech, []
    for component in COMPONENTS:
        for unit in _units(chip, component):
            delay = tech.delays.get(unit)
            if delay is None:
                paths.append(CriticalPath(component=component, unit=unit))
                continue
            times = [getattr(delay, level) * slow for level, slow in zip(LEVELS, _slower(chip), strict=True)]
            paths.append(CriticalPath(component=component, unit=unit, low=times[0], nominal=times[1], high=times[2]))
    return tuple(paths)


def _slower(chip: Chip) -> tuple[float, float, float]:
    """Delay at the chip's own supply over that of synthesis; a supply with a range is high where delays are low."""
    rule, supply, own = chip.tech.voltage, chip.tech.supply, chip.voltage
    if own is None or rule is None or supply is None:
        return 1.0, 1.0, 1.0
    low, nominal, high = (rule.slowdown(volts, supply.nominal) for volts in (own.high, own.nominal, own.low))
    return low[0], nominal[1], high[2]


def _units(chip: Chip, component: str) -> list[str]:
    """Names of the logic that works within a cycle: parts and events of the datapath, without what is done."""
    datapath = build_datapath(getattr(chip, component))
    events = [*datapath.count(*SHAPE), *(part for part in datapath.parts() or () if part.startswith("pe."))]
    if isinstance(datapath, Structure):
        events += datapath.chances(*SHAPE)
    logic = [e for e in events if not e.startswith(OTHERS) and not is_finished_array(e)]
    return sorted({e.rpartition(".")[0] if e.endswith(DONE) else e for e in logic})


def clock_rows(chip: Chip) -> list[list[str]]:
    """Datapath, logic and what its critical path makes of the clock, for people."""
    period_ns = 1 / chip.clock.nominal
    return [[path.component, path.unit, path.text(period_ns)] for path in critical_paths(chip)]


def clock_notes(chip: Chip) -> tuple[str, ...]:
    """What a reader must know of a clock that is faster than a known critical path allows."""
    period_ns = 1 / chip.clock.nominal
    late = [p for p in critical_paths(chip) if p.nominal is not None and p.nominal > period_ns]
    return tuple(
        f"clock: {chip.clock.nominal:g} GHz leaves {period_ns:.3g} ns for {path.unit} ({path.component}), whose "
        f"critical path at {chip.volts:g} V takes {path.text(period_ns)}: it needs a pipeline or faster synthesis, of "
        "which neither is priced"
        for path in late
    )
