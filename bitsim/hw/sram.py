"""SRAM of one node as data: energy, area and access time by capacity and width, leakage by flavour and temperature.

A file of `hw_models/sram` holds the points that were computed or measured, the factors between them and silicon, and
the range in which the rules of `bitsim.cost.sram` hold. A node without a file lies between two that have one
(`bitsim.hw.sram_nodes`). 1 kB = 1024 bytes.
"""

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bitsim.hw.constants import Constant, Described, Evidence, Text, constants_in, in_unit
from bitsim.hw.library import Folder, FromFile, Kind
from bitsim.hw.source import problem

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


def sram_names() -> list[str]:
    """Names of the SRAMs that come with bitsim."""
    return SRAM.names()
