"""SRAM of one node as data: energy, area and access time by capacity and width, leakage by flavour and temperature.

A file of `hw_models/sram` holds the points that were computed or measured, the factors between them and silicon, and the
range in which the rules of `bitsim.cost.sram` hold. A node without a file lies between two that have one (`sram_at`).
1 kB = 1024 bytes.
"""

import re
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from bitsim.errors import ConfigError
from bitsim.floats.scalars import log, power
from bitsim.hw.complaints import validate
from bitsim.hw.constants import Constant, Described, Evidence, Text, constants_in, in_unit
from bitsim.hw.library import Folder, FromFile, Kind
from bitsim.hw.source import Source, is_path, problem

Flavour = Literal["high_performance", "low_leakage"]
Idle = Literal["active", "retention", "off"]
FLAVOURS: tuple[Flavour, ...] = ("high_performance", "low_leakage")
Quantity = Literal["read_pj", "write_pj", "area_mm2", "fast_ns", "slow_ns"]
QUANTITIES: tuple[Quantity, ...] = ("read_pj", "write_pj", "area_mm2", "fast_ns", "slow_ns")
_UNITS = {"read_pj": "pJ", "write_pj": "pJ", "area_mm2": "mm2", "fast_ns": "ns", "slow_ns": "ns"}

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rows = Annotated[tuple[Annotated[tuple[Positive, ...], Field(strict=False)], ...], Field(strict=False)]
Ratio = Annotated[Constant, in_unit("ratio", positive=True)]
PerKb = Annotated[Constant, in_unit("uW/kB", positive=True)]


class Grid(Described):
    """Arrays of `capacities_kb` that are accessed `widths_bits` at a time; all else has one row per capacity.

    * `capacities_kb`, `widths_bits`: rising. `read_pj`, `write_pj`: energy of one access at `supply`.
    * `area_mm2`: of the array. `fast_ns`, `slow_ns`: access time of fast transistors, and of low-leakage cells with a
      low-power periphery.
    * `source`, `evidence`: of all of them.
    """

    capacities_kb: Annotated[tuple[Positive, ...], Field(strict=False, min_length=2)]
    widths_bits: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False, min_length=2)]
    read_pj: Rows
    write_pj: Rows
    area_mm2: Rows
    fast_ns: Rows
    slow_ns: Rows
    source: Text
    evidence: Evidence

    @model_validator(mode="after")
    def _whole(self) -> "Grid":
        for key in ("capacities_kb", "widths_bits"):
            if any(a >= b for a, b in pairwise(getattr(self, key))):
                raise problem("expected rising numbers", key=key)
        shape = (len(self.capacities_kb), len(self.widths_bits))
        for key in QUANTITIES:
            rows = getattr(self, key)
            if len(rows) != shape[0] or any(len(row) != shape[1] for row in rows):
                raise problem(f"expected {shape[0]} rows of {shape[1]} numbers, one per capacity and width", key=key)
        return self

    def point(self, quantity: Quantity, row: int, column: int) -> Constant:
        """One number of the grid with its unit and source."""
        value = getattr(self, quantity)[row][column]
        unit, source, evidence = _UNITS[quantity], self.source, self.evidence
        return Constant(low=value, nominal=value, high=value, unit=unit, source=source, evidence=evidence)

    def at(self, row: int, column: int) -> str:
        """A point's place, for people."""
        return f"{self.capacities_kb[row]:g} kB x {self.widths_bits[column]} bit"


class AtTemperature(Described):
    """Leakage at one temperature.

    * `celsius`: the temperature. `leakage`: of arrays that are clocked, per kB.
    """

    celsius: Annotated[float, Field(ge=0, le=150)]
    leakage: PerKb


class Leakage(Described):
    """Leakage of one flavour at `supply`, proportional to capacity.

    * `usual`: over the temperatures that chips have, where a chip does not state its own. `cool`, `hot`: at the two
      ends of the range of temperatures.
    """

    usual: PerKb
    cool: AtTemperature
    hot: AtTemperature

    @model_validator(mode="after")
    def _rising(self) -> "Leakage":
        if not self.cool.celsius < self.hot.celsius:
            raise problem("expected a temperature above that of `cool`", key="hot")
        return self


class Leakages(Described):
    """Leakage by flavour.

    * `high_performance`: fast arrays. `low_leakage`: arrays of high thresholds, as in chips for the edge.
    """

    high_performance: Leakage
    low_leakage: Leakage


class IdleShare(Described):
    """What is left of the leakage of a bank that is not accessed.

    * `retention`: it keeps its content. `off`: it loses it.
    """

    retention: Annotated[Constant, in_unit("ratio", positive=True, at_most=1.0)]
    off: Annotated[Constant, in_unit("ratio", positive=True, at_most=1.0)]


class Beyond(Described):
    """How prices go on outside of the grid.

    * `smaller`: times this for each quarter of the capacity below the grid. `larger`: for each four times above it.
    * `narrower`: times this for each half of the width below the grid. `wider`: times this, for each doubling above it,
      of what arrays of the grid's greatest width take that share the capacity and stand side by side.
    """

    smaller: Annotated[Constant, in_unit("ratio", positive=True, at_most=1.0)]
    larger: Ratio
    narrower: Annotated[Constant, in_unit("ratio", positive=True, at_most=1.0)]
    wider: Ratio


class Limits(Described):
    """The least and the most for which the rules hold; the source of each is what ends it.

    * `smallest`, `largest`: capacity. `narrowest`, `widest`: width of an access.
    * `least_supply`, `most_supply`: voltage.
    """

    smallest: Annotated[Constant, in_unit("kB", positive=True)]
    largest: Annotated[Constant, in_unit("kB", positive=True)]
    narrowest: Annotated[Constant, in_unit("bit", positive=True)]
    widest: Annotated[Constant, in_unit("bit", positive=True)]
    least_supply: Annotated[Constant, in_unit("V", positive=True)]
    most_supply: Annotated[Constant, in_unit("V", positive=True)]


class Sram(FromFile):
    """SRAM of one node.

    * `node_nm`: the node. `supply`: the voltage of the grid and of the leakage. `grid`: what was computed or measured.
    * `node_energy`: energies are the grid's times this, where the grid is that of another node.
    * `silicon`: energy of real arrays over the grid's. `silicon_area`, `silicon_time`: area and access time likewise.
    * `interpolation`: the error between two points of the grid, as a factor; `between_nodes`: between two nodes.
    * `beyond`: how it goes on outside of the grid.
    * `leakage`: by flavour. `per_volt`: times this for each volt above `supply`, beside the ratio of voltages.
    * `idle`: the share of banks that are not accessed. `limits`: the range in which all of this holds.
    """

    kind: Literal["sram"]
    node_nm: Positive
    supply: Annotated[Constant, in_unit("V", positive=True)]
    grid: Grid
    node_energy: Ratio | None = None
    silicon: Ratio
    silicon_area: Ratio
    silicon_time: Ratio
    interpolation: Ratio
    between_nodes: Ratio
    beyond: Beyond
    leakage: Leakages
    per_volt: Ratio
    idle: IdleShare
    limits: Limits

    def settings(self) -> dict[str, str]:
        """What is not a constant, for people."""
        sizes, widths = self.grid.capacities_kb, self.grid.widths_bits
        return {
            "node": f"{self.node_nm:g} nm",
            "grid": f"{sizes[0]:g} to {sizes[-1]:g} kB, {widths[0]} to {widths[-1]} bits",
        }

    def constants(self) -> dict[str, Constant]:
        """All constants by their path in the YAML, those of the grid by their point."""
        found = constants_in(self)
        places = [(r, c) for r in range(len(self.grid.capacities_kb)) for c in range(len(self.grid.widths_bits))]
        return found | {
            f"grid.{quantity} {self.grid.at(*place)}": self.grid.point(quantity, *place)
            for quantity in QUANTITIES
            for place in places
        }


SRAM = Kind(name="sram", title="SRAM", plural="sram", model=Sram, library=Folder(name="sram"))
LEVELS = ("low", "nominal", "high")
EXACT = Constant(
    low=1, nominal=1, high=1, unit="ratio", source="the grid is that of the node", evidence="derived"
)
_NODE = re.compile(r"sram-(\d+(?:\.\d+)?)nm")


def sram_names() -> list[str]:
    """Names of the SRAMs that come with bitsim."""
    return SRAM.names()


def load_sram(name: str | Path | Sram) -> Sram:
    """SRAM by its name or YAML file, or `sram-<number>nm` of a node between two that have a file.

    A `Sram` is returned as it is. Raises `UnknownNameError` or `ConfigError`.
    """
    node = None if isinstance(name, Sram) or is_path(name) else _NODE.fullmatch(str(name))
    return SRAM.load(name) if node is None or str(name) in sram_names() else sram_at(float(node[1]))


def sram_at(node_nm: float) -> Sram:
    """SRAM of any node that lies between two with a file; raises `ConfigError` beyond."""
    tabled = sorted((SRAM.load(name) for name in sram_names()), key=lambda sram: sram.node_nm)
    for sram in tabled:
        if sram.node_nm == node_nm:
            return sram
    for small, large in pairwise(tabled):
        if small.node_nm < node_nm < large.node_nm:
            return between(small, large, node_nm)
    first, last = tabled[0], tabled[-1]
    raise ConfigError(
        f"SRAM of {node_nm:g} nm: expected a node within {first.node_nm:g} .. {last.node_nm:g} nm, where {first.path} "
        f"and {last.path} end; nothing is extrapolated"
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

    return {
        "capacities_kb": rows, "widths_bits": columns, "source": where, "evidence": "derived",
    } | {quantity: [[value(quantity, kb, width) for width in columns] for kb in rows] for quantity in QUANTITIES}  # fmt: skip


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
