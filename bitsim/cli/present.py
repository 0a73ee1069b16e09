"""How a Result looks on a terminal and in files."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bitsim.cli.files import write_files
from bitsim.cli.output import csv_text, print_table, si
from bitsim.cost import CONVENTIONS, Energy
from bitsim.model.operators import Phase

if TYPE_CHECKING:
    from bitsim.figures.timeline import Timeline
    from bitsim.results.result import Result
    from bitsim.results.rows import OperatorRow


def joules(energy: Energy) -> str:
    """Nominal energy and its range."""
    text = si(energy.nominal * 1e-12, "J")
    if energy.low == energy.high:
        return text
    return f"{text} [{si(energy.low * 1e-12, 'J')} .. {si(energy.high * 1e-12, 'J')}]"


def print_result(result: "Result") -> None:
    """Phases, then energy in the three conventions by component and by operator kind, then what to know."""
    inputs = result.inputs
    click.echo(f"{inputs['model']} on {inputs['chip']} ({inputs['technology']}), numerics {inputs['numerics']}")
    tokens: dict[Phase, int] = {"prefill": result.prompt_tokens, "decode": result.new_tokens}
    phases: list[Phase] = [phase for phase, number in tokens.items() if number]
    rows = []
    for phase in phases:
        per = max(1, tokens[phase] * result.batch)
        cycles = sum(row.cycles for row in result.phase_rows(phase))
        cells: list[object] = [phase, tokens[phase] * result.batch, f"{cycles:,}"]
        cells.append(si(result.phase_time_s(phase), "s"))
        cells += [
            si(result.energy(name, phase) / per, "J") if name in result.priced else "unpriced" for name in CONVENTIONS
        ]
        rows.append(cells)
    print_table(
        "phases; energy per token",
        ["phase", "tokens", "cycles", "time", *CONVENTIONS],
        rows,
    )
    print_times(result, phases)
    print_breakdown("energy by component, nominal [low .. high]", result, by_component=True)
    print_breakdown("energy by operator kind", result, by_component=False)
    print_sparsity(result.sparsity)
    for name, convention in CONVENTIONS.items():
        click.echo(f"{name}: {convention.includes}; not counted: {'; '.join(convention.not_counted)}")
    for name in CONVENTIONS:
        if (reason := result.unpriced(name)) is not None:
            click.echo(f"{name}: no energy: {reason}")
    assumed = result.assumed_constants()
    click.echo(f"\n{len(assumed)} assumed constants:")
    for constant in assumed:
        click.echo(f"  {constant['constant']} = {constant['value']} ({constant['source']})")
    click.echo("notes:")
    for text in result.notes:
        click.echo(f"  {text}")


def print_sparsity(found: Mapping[str, float]) -> None:
    """The columns of arXiv 2411.04965 Table 2; nothing if no quantised linear was executed."""
    if found:
        print_table("sparsity of the linears' products, %", list(found), [[f"{100 * s:.1f}" for s in found.values()]])


def print_times(result: "Result", phases: Sequence[Phase]) -> None:
    """By phase and operator kind: cycles, how far above the best bound, what was waited for, utilisation, DRAM."""
    rows: list[list[object]] = []
    for phase in phases:
        kinds: dict[str, list[OperatorRow]] = {}
        for row in result.phase_rows(phase):
            kinds.setdefault(row.kind, []).append(row)
        for kind, alike in kinds.items():
            cycles, least = sum(row.cycles for row in alike), sum(row.least_cycles for row in alike)
            waits = Counter[str]()
            for row in alike:
                waits[row.bound] += row.cycles
            possible = sum(row.cycles * result.peak_macs(row) for row in alike if row.macs)
            moved = sum(count for row in alike for event, count in row.events.items() if event.startswith("dram."))
            rows.append(
                [
                    phase,
                    kind,
                    f"{cycles:,}",
                    waits.most_common(1)[0][0],
                    f"{100 * (cycles / least - 1):.1f}%" if least else "-",
                    f"{100 * sum(row.macs for row in alike) / possible:.1f}%" if possible else "-",
                    f"{moved / 8e6:,.2f}",
                ]
            )
    columns = ["phase", "operators", "cycles", "bound", "gap", "utilisation", "DRAM MB"]
    print_table("time; gap: above the best lower bound", columns, rows)


def print_breakdown(title: str, result: "Result", *, by_component: bool) -> None:
    """One row per component or operator kind, one column per convention."""
    groups: dict[str, dict[str, Energy]] = {}
    for name in result.priced:
        for row, part, energy in result.breakdown(name):
            cells = groups.setdefault(part if by_component else row.kind, {})
            cells[name] = cells.get(name, Energy()) + energy
    rows = [[group, *(joules(cells[n]) if n in cells else "-" for n in CONVENTIONS)] for group, cells in groups.items()]
    totals = [joules(result.energy_range(name)) if name in result.priced else "unpriced" for name in CONVENTIONS]
    rows.append(["total", *totals])
    print_table(title, ["", *CONVENTIONS], rows)


def write_trace(timeline: "Timeline", result: "Result", path: Path) -> None:
    """The timeline as a file; what it leaves out is said on stderr."""
    write_files(path.parent, {path.name: timeline.to_json(result.inputs)})
    if timeline.left_out:
        click.echo(f"{path}: {timeline.left_out}", err=True)


def write_result(result: "Result", out: Path) -> None:
    """result.json, the three tidy tables as CSV, and the figures as PNG and PDF."""
    from bitsim.figures import result_figures

    tables = {f"{name}.csv": result.frame(name) for name in ("operators", "events", "energy")}
    files: dict[str, str | bytes] = {"result.json": result.to_json() + "\n"}
    files |= {name: csv_text(table.to_dict("records")) for name, table in tables.items()}  # type: ignore[arg-type]
    write_files(out, files | result_figures(result))
