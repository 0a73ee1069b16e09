"""SRAM of any node: one that has a file, or one between two that have."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

from bitsim.errors import ConfigError
from bitsim.floats.scalars import log, power
from bitsim.hw.complaints import validate
from bitsim.hw.constants import Constant, Described
from bitsim.hw.source import Source, is_path
from bitsim.hw.sram import QUANTITIES, SRAM, Grid, Quantity, Sram, sram_names

LEVELS = ("low", "nominal", "high")
EXACT = Constant(low=1, nominal=1, high=1, unit="ratio", source="the grid is that of the node", evidence="derived")
_NODE = re.compile(r"sram-(\d+(?:\.\d+)?)nm")


def load_sram(name: str | Path | Sram) -> Sram:
    """SRAM by its name or YAML file, or `sram-<number>nm` of a node between two that have a file.

    A `Sram` is returned as it is. Raises `UnknownNameError` or `ConfigError`.
    """
    node = None if isinstance(name, Sram) or is_path(name) else _NODE.fullmatch(str(name))
    return SRAM.load(name) if node is None or str(name) in sram_names() else sram_at(float(node[1]))


def sram_at(node_nm: float) -> Sram:
    """SRAM of any node that lies between two with a file; raises `ConfigError` beyond."""
    tabled = sorted((float(match[1]), name) for name in sram_names() if (match := _NODE.fullmatch(name)))
    for node, name in tabled:
        if node == node_nm:
            return SRAM.load(name)
    for (small, its_name), (large, other_name) in pairwise(tabled):
        if small < node_nm < large:
            return between(SRAM.load(its_name), SRAM.load(other_name), node_nm)
    (first, its_name), (last, other_name) = tabled[0], tabled[-1]
    raise ConfigError(
        f"SRAM of {node_nm:g} nm: expected a node within {first:g} .. {last:g} nm, where {its_name} and {other_name} "
        "end; nothing is extrapolated"
    )


def between(small: Sram, large: Sram, node_nm: float) -> Sram:
    """SRAM of a node between two others.

    Energies, areas and times lie on straight lines over log(node), with the error that held-out nodes have; the supply
    likewise. Leakage does not interpolate over nodes (errors of 1.2x to 3.9x within CACTI alone): it is the envelope of
    both, and assumed.
    """
    t = log(node_nm / small.node_nm) / log(large.node_nm / small.node_nm)
    where = f"{t:.3f} of the way from {small.name} to {large.name}, over log(node)"

    def joined(a: Constant, b: Constant, error: Constant = EXACT) -> dict[str, Any]:
        levels = [
            power(getattr(a, level), 1 - t) * power(getattr(b, level), t) * float(getattr(error, level))
            for level in LEVELS
        ]
        evidence = "assumed" if "assumed" in (a.evidence, b.evidence) else "derived"
        source = where if error is EXACT else f"{where}; error {error.text()}: {error.source}"
        return dict(zip(LEVELS, sorted(levels), strict=True)) | {"unit": a.unit, "evidence": evidence, "source": source}

    data = small.model_dump(mode="python", exclude={"kind", "name", "like", "summary", "grid", "leakage"}) | {
        "kind": "sram",
        "name": f"sram-{node_nm:g}nm",
        "summary": f"SRAM of {node_nm:g} nm, between {small.name} and {large.name}",
        "node_nm": node_nm,
        "supply": joined(small.supply, large.supply),
        "grid": _joined_grid(small.grid, large.grid, t, where),
        "node_energy": joined(small.node_energy or EXACT, large.node_energy or EXACT),
        "silicon": joined(small.silicon, large.silicon, small.between_nodes),
        "silicon_area": joined(small.silicon_area, large.silicon_area, small.between_nodes),
        "silicon_time": joined(small.silicon_time, large.silicon_time, small.between_nodes),
        "leakage": _envelope(small.leakage, large.leakage, f"{small.name} and {large.name}"),
    }
    data["limits"] = data["limits"] | {"most_supply": joined(small.limits.most_supply, large.limits.most_supply)}
    path = f"{small.path} .. {large.path} at {node_nm:g} nm"
    return validate(Sram, Source(path=path, data=data, places={(): (path, 1)}))


def _joined_grid(small: Grid, large: Grid, t: float, where: str) -> dict[str, Any]:
    rows = [kb for kb in small.capacities_kb if kb in large.capacities_kb]
    columns = [width for width in small.widths_bits if width in large.widths_bits]

    def value(quantity: Quantity, kb: float, width: int) -> float:
        a, b = (
            getattr(grid, quantity)[grid.capacities_kb.index(kb)][grid.widths_bits.index(width)]
            for grid in (small, large)
        )
        return power(a, 1 - t) * power(b, t)

    values = {quantity: [[value(quantity, kb, width) for width in columns] for kb in rows] for quantity in QUANTITIES}
    return values | {"capacities_kb": rows, "widths_bits": columns, "source": where, "evidence": "derived"}


def _envelope(small: Any, large: Any, names: str) -> Any:
    """The widest of two leakages; both nominals are alike or their geometric mean is taken."""
    if isinstance(small, Constant):
        return {
            "low": min(small.low, large.low),
            "nominal": power(small.nominal * large.nominal, 0.5) if small.nominal != large.nominal else small.nominal,
            "high": max(small.high, large.high),
            "unit": small.unit,
            "evidence": "assumed",
            "source": f"envelope of {names}: leakage does not interpolate over nodes",
        }
    if isinstance(small, Described):
        return {key: _envelope(getattr(small, key), getattr(large, key), names) for key in type(small).model_fields}
    return small
