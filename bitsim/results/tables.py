"""The tables of a Result: sums by phase, kind and component, then every operator, event and part of its energy."""

from collections import Counter
from typing import Any

from bitsim.cost import CONVENTIONS, Energy
from bitsim.results.priced import PricedRows
from bitsim.results.rows import OperatorRow, memory_bytes

Records = list[dict[str, Any]]


def phases(result: PricedRows) -> Records:
    """Tokens of all sequences, cycles, time, and energy in each convention, whole and per token; None if unpriced.

    An energy that is not whole is that of what has a price; `energy_*_without` says what is missing.
    """
    records = []
    for phase in result.phases:
        tokens, cycles = result.phase_tokens(phase), result.phase_cycles(phase)
        record: dict[str, Any] = {"phase": phase, "tokens": tokens, "cycles": cycles, "time_s": result.seconds(cycles)}
        for name in CONVENTIONS:
            known = name in result.priced_in_part
            found = result.energy_range(name, phase, in_part=True) if known else None
            record |= _joules(found, f"energy_{name}_")
            record[f"energy_{name}_per_token_j"] = None if found is None else found.nominal * 1e-12 / tokens
            record[f"energy_{name}_without"] = result.without(name)
        records.append(record)
    return records


def kinds(result: PricedRows) -> Records:
    """By phase and kind of operator: cycles, their lower bound, what was waited for, utilisation, DRAM traffic."""
    joules = {name: _by_kind(result, name) for name in result.priced_in_part}
    records = []
    for phase in result.phases:
        alike: dict[str, list[OperatorRow]] = {}
        for row in result.phase_rows(phase):
            alike.setdefault(row.kind, []).append(row)
        for kind, rows in alike.items():
            cycles, least = sum(row.cycles for row in rows), sum(row.least_cycles for row in rows)
            waits = Counter[str]()
            for row in rows:
                waits[row.bound] += row.cycles
            macs, matmuls = sum(r.macs for r in rows), [r for r in rows if result.on_datapath(r)]
            possible = sum(r.cycles * result.peak_macs(r) for r in matmuls)
            records.append(
                {"phase": phase, "kind": kind, "operators": len(rows), "macs": macs, "cycles": cycles}
                | {"bound": waits.most_common(1)[0][0], "bound_cycles": least}
                | {
                    "gap": cycles / least - 1 if least else None,
                    "utilisation": float(macs / possible) if possible else None,
                }
                | {"dram_bytes": sum(row.events.of_unit("dram").count() for row in rows) / 8}
                | {f"energy_{name}_j": joules.get(name, {}).get((phase, kind)) for name in CONVENTIONS}
            )
    return records


def components(result: PricedRows) -> Records:
    """Energy of all phases by convention and component of the chip."""
    found: dict[tuple[str, str], Energy] = {}
    for name in result.priced_in_part:
        for _, part, energy in result.breakdown(name, in_part=True):
            found[name, part] = found.get((name, part), Energy()) + energy
    return [{"convention": name, "component": part} | _joules(energy) for (name, part), energy in found.items()]


def conventions(result: PricedRows) -> Records:
    """What each convention includes, its total energy, what that is without, and why."""
    return [
        {"convention": name, "includes": convention.includes, "not_counted": "; ".join(convention.not_counted)}
        | _joules(result.energy_range(name, in_part=True) if name in result.priced_in_part else None)
        | {"without": result.without(name), "unpriced": result.unpriced(name)}
        for name, convention in CONVENTIONS.items()
    ]


def operators(result: PricedRows) -> Records:
    """Every operator: calls, MACs, cycles, bound, plan, bytes by memory, nominal energy by convention."""
    energies: dict[tuple[int, str], float] = {}  # rows by identity: those of a list may share a name
    for convention in result.priced_in_part:
        for row, _, energy in result.breakdown(convention, in_part=True):
            key = (id(row), convention)
            energies[key] = energies.get(key, 0.0) + energy.nominal
    return [
        _identity(row)
        | {"calls": row.calls, "macs": row.macs, "cycles": row.cycles, "time_s": result.seconds(row.cycles)}
        | {"unit_cycles": row.unit_cycles, "bound": row.bound, "bound_cycles": row.least_cycles}
        | {"gap": row.cycles / row.least_cycles - 1 if row.least_cycles else 0.0}
        | {"utilisation": _utilisation(result, row), "plan": row.plan or None}
        | memory_bytes(row.events, result.chip)
        | {"sparsity": None if row.live_macs is None else 1 - row.live_macs / row.macs}
        | {f"energy_{c}_pj": energies.get((id(row), c), 0.0) for c in result.priced_in_part}
        for row in result.rows
    ]


def events(result: PricedRows) -> Records:
    """Every operator's counted events."""
    return [
        _identity(row) | {"event": event, "count": count}
        for row in result.rows
        for event, count in sorted(row.events.items())
    ]


def energies(result: PricedRows) -> Records:
    """Every operator's energy by convention and component."""
    return [
        _identity(row)
        | {"convention": convention, "component": part}
        | {"low_pj": energy.low, "nominal_pj": energy.nominal, "high_pj": energy.high}
        for convention in result.priced_in_part
        for row, part, energy in result.breakdown(convention, in_part=True)
    ]


def unpriced(result: PricedRows) -> Records:
    """What energies are without, by convention: every event that has no price, its count, and why; mostly empty."""
    return [
        {"convention": name, "event": one.event, "count": one.count, "reason": str(one.error)}
        for name in CONVENTIONS
        for one in result.unpriced_events(name)
    ]


def sparsities(result: PricedRows) -> Records:
    """The columns of arXiv 2411.04965 Table 2; empty if no quantised linear was executed."""
    return [{"linears": column, "sparsity": share} for column, share in result.sparsity.items()]


def _identity(row: OperatorRow) -> dict[str, Any]:
    return {"phase": row.phase, "layer": row.layer, "operator": row.name, "kind": row.kind}


def _utilisation(result: PricedRows, row: OperatorRow) -> float | None:
    """Of a matmul, its MACs over those that its datapath could do in the same time; None for all else."""
    busy = row.cycles if result.on_datapath(row) else 0
    return float(row.macs / (busy * result.peak_macs(row))) if busy else None


def _by_kind(result: PricedRows, convention: str) -> dict[tuple[str, str], float]:
    """Nominal joules by phase and kind of operator."""
    found: dict[tuple[str, str], float] = {}
    for row, _, energy in result.breakdown(convention, in_part=True):
        found[row.phase, row.kind] = found.get((row.phase, row.kind), 0.0) + energy.nominal * 1e-12
    return found


def _joules(energy: Energy | None, prefix: str = "") -> dict[str, float | None]:
    """Low, nominal and high in joules; None where nothing is priced."""
    return {f"{prefix}{level}_j": None if energy is None else getattr(energy, level) * 1e-12
            for level in ("low", "nominal", "high")}  # fmt: skip
