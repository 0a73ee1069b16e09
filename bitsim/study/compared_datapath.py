"""What one chip's BitLinear datapath gave on recorded linears: outputs, cycles, energy, area, and what is missing."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bitsim.cost import CONVENTIONS
from bitsim.cost.area import UM2_PER_MM2, Area, PartArea, total_area
from bitsim.cost.price import LEVELS
from bitsim.datapath.outcomes import Deviation
from bitsim.hw.chip import Chip
from bitsim.hw.datapaths.base import plain
from bitsim.results.figures_of_merit import area_record, tera_ops
from bitsim.results.result import Result

Outputs = Literal["identical", "rounded", "overflowed", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedDatapath:
    """One chip's BitLinear datapath on the recorded linears.

    `outputs`: "identical" to the int64 matmul; "rounded" by a datapath that is not exact; "overflowed": exact, but sums
    left their registers; "refused": the datapath takes no such operands, for `reason`, and nothing was counted.
    `deviation`: of the needed outputs from the exact sums. `made`: by how operands were made that the datapath takes
    (`bitsim.study.taken`), in how many linears; empty if all were the model's own. `toggle_columns`: on how many
    output columns the toggles of registers that see running sums were counted: "all", "none" or "96 of 512".
    `toggle_notes`: see `ChipExecutor`.
    """

    chip: Chip
    exact: bool
    outputs: Outputs
    areas: tuple[PartArea, ...]
    reason: str = ""
    deviation: Deviation | None = None
    made: Mapping[str, int] = field(default_factory=dict)
    toggle_columns: str = "none"
    result: Result | None = None
    toggle_notes: tuple[str, ...] = ()

    @property
    def operands(self) -> str:
        """Of what the datapath multiplied: "model", or how that was made from the model's."""
        return "; ".join(self.made) or "model"

    @property
    def datapath_parts(self) -> tuple[PartArea, ...]:
        return tuple(part for part in self.areas if part.component == "bitlinear")

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.result.rows) if self.result else 0

    @property
    def datapath_cycles(self) -> int | None:
        """Cycles in which the datapath is busy; DRAM may take longer."""
        return sum(row.unit_cycles for row in self.result.rows) if self.result else None

    @property
    def utilisation(self) -> float | None:
        """Products per cycle, of those that it could form; above 1 where it skips some."""
        busy = self.datapath_cycles
        return float(self.macs / (busy * self.chip.bitlinear.macs_per_cycle)) if busy else None

    @property
    def area(self) -> Area | None:
        """Of the BitLinear datapath; None if some part of it has no area."""
        parts = self.datapath_parts
        return None if any(part.area is None for part in parts) else total_area(parts)

    def record(self) -> dict[str, Any]:
        """The headline numbers, in plain types; None for what is not known.

        An energy with an `energy_*_without` is that of what has a price.
        """
        spec, result, area = self.chip.bitlinear, self.result, self.area
        record: dict[str, Any] = {"chip": self.chip.name, "kind": spec.kind, "exact": self.exact}
        record |= {"operands": self.operands, "outputs": self.outputs} | self._differences()
        record |= {"macs": self.macs, "datapath_cycles": self.datapath_cycles}
        record |= {"cycles": None if result is None else result.cycles, "utilisation": self.utilisation}
        for name in CONVENTIONS:
            known = result is not None and name in result.priced_in_part
            energy = result.energy_range(name, in_part=True) if result is not None and known else None
            record |= {f"energy_{name}_{level}_pj": energy and getattr(energy, level) for level in LEVELS}
            record[f"energy_{name}_without"] = None if result is None else result.without(name)
        record |= {f"area_datapath_{level}_um2": area and getattr(area, level) for level in LEVELS}
        return (
            record
            | self.merit()
            | {
                "macs_per_cycle": plain(spec.macs_per_cycle),
                "toggle_columns": self.toggle_columns,
                "structure": spec.text(),
                "notes": "; ".join(self.notes),
            }
        )

    def merit(self) -> dict[str, float | str | None]:
        """What papers report of an array: TOPS and power while it is busy, TOPS/W and TOPS/mm2, and the chip's area.

        Operations are 2 x MACs; power and TOPS/W are those of the convention `datapath`.
        """
        busy, peak = self.datapath_cycles, tera_ops(self.chip.bitlinear.macs_per_cycle) * self.clock_hz
        joules = None
        if self.result is not None and "datapath" in self.result.priced:
            joules = self.result.energy("datapath")
        tops = tera_ops(self.macs) * self.clock_hz / busy if busy else None
        chip = area_record(self.areas)
        return {
            "tops_datapath": tops,
            "peak_tops_datapath": peak,
            "power_datapath_w": joules * self.clock_hz / busy if joules is not None and busy else None,
            "tops_per_w_datapath": tera_ops(self.macs) / joules if joules else None,
            "tops_per_mm2_datapath": tops * UM2_PER_MM2 / self.area.nominal if tops and self.area else None,
            "area_chip_nominal_mm2": chip["area_nominal_mm2"],
            "area_chip_without": chip["area_without"],
        }

    @property
    def clock_hz(self) -> float:
        return self.chip.clock.nominal * 1e9

    def _differences(self) -> dict[str, float | None]:
        """How many outputs are not the exact sums, and by how much; None where one of them is not finite."""
        off = self.deviation
        if off is None:
            return {"differing": None, "largest_error": None, "rms_relative_error": None}
        finite = math.isfinite(off.largest)
        sizes = (off.largest, off.rms_relative) if finite else (None, None)
        return {"differing": off.wrong, "largest_error": sizes[0], "rms_relative_error": sizes[1]}

    @property
    def notes(self) -> list[str]:
        """What is missing of this row or sets it apart, and why."""
        notes = [self.reason] if self.reason else []
        notes += [f"not the model's operands: {how}, in {n} linears" for how, n in self.made.items()]
        if self.deviation is not None and self.deviation.wrong:
            notes.append(str(self.deviation))
        unpriced = [] if self.result is None else [self.result.unpriced(name) for name in CONVENTIONS]
        notes += dict.fromkeys(f"unpriced: {reason}" for reason in unpriced if reason)
        missing = [part for part in self.datapath_parts if part.area is None]
        return notes + [f"no area: {part.count:,} x {part.part}: {part.reason}" for part in missing]
