"""Area, power, TOPS and what follows from them on a terminal: as tables, and as the ten lines of `--brief`."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bitsim.cli.output import print_table, share_text, si
from bitsim.cli.terminal import echo
from bitsim.cost import CONVENTIONS
from bitsim.cost.area import NOT_COUNTED, UM2_PER_MM2, Area, total_area, without
from bitsim.cost.price import LEVELS
from bitsim.results.figures_of_merit import BOUNDARIES, in_short

if TYPE_CHECKING:
    from bitsim.results import Result
    from bitsim.study.compare import PairComparison

MOST_LINES = 10
POWERS = (
    ("average_power_on_chip_nominal_w", "W", "on_chip"),
    ("average_power_system_nominal_w", "W", "system"),
    ("peak_power_system_w", "W", "system"),
)
_NAMES = {name: name for name in CONVENTIONS} | {"on_chip": "on chip"}


def view_merit(result: "Result") -> None:
    """A column per phase; then the chip's area by component, and what has none."""
    records = result.records("merit")
    rows = [["tokens/s", *(number(r["tokens_per_s"]) for r in records)]]
    for name in BOUNDARIES:
        rows.append([f"power, {_NAMES[name]}", *(watts(r, name) for r in records)])
    rows.append(["peak power, system", *(_peak(r) for r in records)])
    rows.append(["TOPS, of at most", *(f"{number(r['tops'])} of {number(r['peak_tops'])}" for r in records)])
    for name in BOUNDARIES:
        rows.append([f"TOPS/W, {_NAMES[name]}", *(number(r[f"tops_per_w_{name}"]) for r in records)])
    rows.append(["TOPS/mm2", *(number(r["tops_per_mm2"]) for r in records)])
    print_table("2 operations per MAC", ["", *(r["phase"] for r in records)], rows)
    view_area(result)


def view_area(result: "Result") -> None:
    """Area by component of the chip, and what is not in it."""
    parts, rows = result.areas, []
    for component in dict.fromkeys(part.component for part in parts):
        own = [part for part in parts if part.component == component]
        known = any(part.area for part in own)
        rows.append([component, mm2(total_area(own)) if known else "no area"])
    rows.append(["total", mm2(total_area(parts)) if any(part.area for part in parts) else "no area"])
    print_table("area in mm2, nominal [low .. high]", ["component", "area"], rows)
    echo(f"area: not counted: {NOT_COUNTED}")
    if missing := without(parts):
        echo(f"area: without {missing}")


def brief_result(result: "Result") -> None:
    """A result in ten lines: the last phase that has tokens."""
    phase = result.phases[-1] if result.phases else "decode"
    brief([(f"{result.title}, {phase}", []), *merit_lines([in_short(result, phase)]), ("rests on", [basis(result)])])


def brief_compared(compared: "PairComparison") -> None:
    """Pairs side by side in ten lines, by new tokens; those that were not run have dashes."""
    records = compared.records()
    names = [f"{record['model']}@{record['chip']}" for record in records]
    rests = [basis(result) for result in compared.results]
    for i, scaling in enumerate(compared.scalings):
        rests[i] += "" if scaling is None else f"; {scaling.change} ({100 * scaling.deviation:+.2g} % {scaling.iso})"
    rests += ["not run"] * len(compared.left_out)
    brief([("decode", names), *merit_lines(records), ("rests on", rests)])


def basis(result: "Result") -> str:
    """On how much that is assumed or must be known a result rests."""
    overflows = result.events.of_unit("overflow").count()
    share = "" if result.assumed_share is None else f" ({share_text(result.assumed_share)} of the system energy)"
    said = f"{len(result.assumed())} assumed constants{share}, {len(result.notes)} notes"
    return said + (f", {overflows:,} overflows" if overflows else "")


def merit_lines(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, Sequence[str]]]:
    """Eight lines with a cell per record, which may be empty."""

    def line(label: str, *names: str) -> tuple[str, Sequence[str]]:
        return label, [" / ".join(number(r.get(name)) for name in names) for r in records]

    def joules(name: str, r: Mapping[str, Any]) -> str:
        return _cell(r, f"energy_{name}_per_token_j", "J", name)

    per_watt = [f"tops_per_w_{name}" for name in BOUNDARIES]
    bounds = [f"{r['bound']} {100 * r['bound_share']:.0f}%" if r.get("bound") else "-" for r in records]
    return [
        line("tokens/s", "tokens_per_s"),
        (f"J/token, {' / '.join(CONVENTIONS)}", [" / ".join(joules(name, r) for name in CONVENTIONS) for r in records]),
        ("waits for", bounds),
        ("area, mm2", [_area(r) for r in records]),
        ("power, average on chip / system / peak", [" / ".join(_cell(r, *power) for power in POWERS) for r in records]),
        line("TOPS (2 x MACs) / peak", "tops", "peak_tops"),
        line(f"TOPS/W, {' / '.join(_NAMES[name] for name in BOUNDARIES)}", *per_watt),
        line("TOPS/mm2", "tops_per_mm2"),
    ]  # fmt: skip


def brief(lines: Sequence[tuple[str, Sequence[str]]]) -> None:
    """At most ten lines: labels, and cells in columns."""
    width = max(len(label) for label, cells in lines if cells)
    columns = max(len(cells) for _, cells in lines)
    widths = [max((len(cells[i]) for _, cells in lines if i < len(cells)), default=0) for i in range(columns)]
    for label, cells in lines[:MOST_LINES]:
        padded = [cell.ljust(size) for cell, size in zip(cells, widths, strict=False)]
        echo("  ".join([label.ljust(width), *padded]).rstrip())


def number(value: float | None) -> str:
    """Three significant digits, or a dash."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def watts(record: Mapping[str, Any], name: str) -> str:
    """Nominal power and its range in one convention, marked if something has no price."""
    low, nominal, high = (record[f"average_power_{name}_{level}_w"] for level in LEVELS)
    if nominal is None:
        return "unpriced"
    said = si(nominal, "W") if low == high else f"{si(nominal, 'W')} [{si(low, 'W')} .. {si(high, 'W')}]"
    return said + (" without" if record[f"energy_{name}_without"] else "")


def mm2(area: Area) -> str:
    """Nominal area and its range."""
    low, nominal, high = (f"{getattr(area, level) / UM2_PER_MM2:.3g}" for level in LEVELS)
    return nominal if low == high else f"{nominal} [{low} .. {high}]"


def _area(record: Mapping[str, Any]) -> str:
    nominal, missing = record.get("area_nominal_mm2"), record.get("area_without")
    return "no area" if nominal is None else f"{nominal:.3g}" + (" (not all parts)" if missing else "")


def _peak(record: Mapping[str, Any]) -> str:
    watt = record["peak_power_system_w"]
    return "unpriced" if watt is None else f"{si(watt, 'W')} in {record['peak_power_operator']}"


def _cell(record: Mapping[str, Any], name: str, unit: str, convention: str) -> str:
    """An amount, marked if something has no price."""
    if record.get(name) is None:
        return "-"
    return si(record[name], unit) + (" without" if record.get(f"energy_{convention}_without") else "")
