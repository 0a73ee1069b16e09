"""How a Result looks on a terminal, and what else of it is written to files."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitsim.cli.files import write_files
from bitsim.cli.merit import view_merit
from bitsim.cli.output import print_table, share_text, si
from bitsim.cli.terminal import echo
from bitsim.cost import CONVENTIONS

if TYPE_CHECKING:
    from bitsim.figures.timeline import Timeline
    from bitsim.results import Outcome, Result

SHOWN = 4  # unpriced events that a line names; all are in the table `unpriced`


def view_result(result: "Result") -> None:
    """Phases, then time by operator kind, energy by component and by kind, then what to know."""
    inputs = result.inputs
    numerics = f", numerics {inputs['numerics']}" if "numerics" in inputs else ""
    echo(f"{inputs['model']} on {inputs['chip']} ({inputs['technology']}){numerics}")
    if result.assumed_share is not None:
        echo(f"{share_text(result.assumed_share)} of the system energy rests on assumed constants")
    rows = [
        [r["phase"], r["tokens"], f"{r['cycles']:,}", si(r["time_s"], "s")]
        + [energy_cell(r[f"energy_{name}_per_token_j"], r[f"energy_{name}_without"]) for name in CONVENTIONS]
        for r in result.records("phases")
    ]
    print_table("phases; energy per token", ["phase", "tokens", "cycles", "time", *CONVENTIONS], rows)
    view_kinds(result)
    view_components(result)
    view_merit(result)
    view_sparsity(result.sparsity)
    stated = result.records("conventions")
    for r in stated:
        echo(f"{r['convention']}: {r['includes']}; not counted: {r['not_counted']}")
    view_unpriced(result)
    echo("")
    view_assumed_and_notes(result)


def view_kinds(result: "Result") -> None:
    """By phase and operator kind: how far above the best bound, what was waited for, utilisation, DRAM; and energy."""
    records = result.records("kinds")
    rows = [
        [r["phase"], r["kind"], f"{r['cycles']:,}", r["bound"]]
        + ["-" if r[name] is None else f"{100 * r[name]:.1f}%" for name in ("gap", "utilisation")]
        + [f"{r['dram_bytes'] / 1e6:,.2f}"]
        for r in records
    ]
    columns = ["phase", "operators", "cycles", "bound", "gap", "utilisation", "DRAM MB"]
    print_table("time; gap: above the best lower bound", columns, rows)
    joules = [[r["phase"], r["kind"], *(_si_or(r[f"energy_{name}_j"], "-") for name in CONVENTIONS)] for r in records]
    print_table("energy by operator kind", ["phase", "operators", *CONVENTIONS], joules)


def view_components(result: "Result") -> None:
    """One row per component of the chip, one column per convention, and the totals."""
    groups: dict[str, dict[str, str]] = {}
    for r in result.records("components"):
        groups.setdefault(r["component"], {})[r["convention"]] = joules(r)
    rows = [[component, *(cells.get(name, "-") for name in CONVENTIONS)] for component, cells in groups.items()]
    stated = result.records("conventions")
    rows.append(["total", *("unpriced" if r["nominal_j"] is None else joules(r) for r in stated)])
    if any(r["without"] for r in stated):
        rows.append(["without", *(_events(len(result.unpriced_events(name))) for name in CONVENTIONS)])
    print_table("energy by component, nominal [low .. high]", ["", *CONVENTIONS], rows)


def view_unpriced(result: "Result") -> None:
    """What energies are without, and why."""
    for r in result.records("conventions"):
        if r["without"]:
            missing = "no energy" if r["nominal_j"] is None else result.without(r["convention"], SHOWN)
            echo(f"{r['convention']}: {missing}: {r['unpriced']}")


def energy_cell(joules: float | None, without: str | None) -> str:
    """An energy, marked if something is missing of it."""
    return "unpriced" if joules is None else si(joules, "J") + (" without" if without else "")


def _events(number: int) -> str:
    return "-" if not number else f"{number} event{'s' * (number > 1)}"


def view_sparsity(found: Mapping[str, float]) -> None:
    """The columns of arXiv 2411.04965 Table 2; nothing if no quantised linear was executed."""
    if found:
        print_table("sparsity of the linears' products, %", list(found), [[f"{100 * s:.1f}" for s in found.values()]])


def view_assumed_and_notes(outcome: "Outcome") -> None:
    """What an outcome rests on without a source, and what a reader must know."""
    assumed = outcome.assumed()
    echo(f"{len(assumed)} assumed constants:")
    for constant in assumed:
        part = constant.get("share")
        share = "" if part is None else f", {share_text(part)} of the system energy"
        echo(f"  {constant['constant']} = {constant['value']}{share} ({constant['source']})")
    echo("notes:")
    for text in outcome.notes:
        echo(f"  {text}")


def joules(record: Mapping[str, Any]) -> str:
    """Nominal energy and its range."""
    text = si(record["nominal_j"], "J")
    if record["low_j"] == record["high_j"]:
        return text
    return f"{text} [{si(record['low_j'], 'J')} .. {si(record['high_j'], 'J')}]"


def write_trace(timeline: "Timeline", result: "Result", path: Path) -> None:
    """The timeline as a file; what it leaves out is said on stderr."""
    write_files(path.parent, {path.name: timeline.to_json(result.inputs)})
    if timeline.left_out:
        echo(f"{path}: {timeline.left_out}", err=True)


def result_files(result: "Result") -> Mapping[str, bytes]:
    """The figures of a result."""
    from bitsim.figures import result_figures

    return result_figures(result)


def _si_or(value: float | None, absent: str) -> str:
    return absent if value is None else si(value, "J")
