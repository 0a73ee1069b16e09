"""Roofline: what each matmul reaches, under what its array and the DRAM allow.

Source: Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009.
"""

import math
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bitsim.figures.style import BLUE, FONT, GREEN, ORANGE, VERMILION, caption, new_figure, rate_text, tidy
from bitsim.hw.chip import Chip
from bitsim.model.operators import Kind, Phase
from bitsim.results.result import Result
from bitsim.results.rows import memory_bytes

OPS_PER_MAC = 2
# By kind: marker, its size, colour and name; sizes differ so that all can be seen where points coincide.
MARKS: dict[Kind, tuple[str, float, str, str]] = {
    "head": ("s", 6.5, GREEN, "head"),
    "linear": ("o", 5.0, BLUE, "linears"),
    "qk": ("^", 4.0, VERMILION, "QKᵀ"),
    "pv": ("v", 4.0, ORANGE, "PV"),
}
_MARGIN = 2.5  # of both axes around what is drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """All executions of one matmul of a layer in one phase, over all layers; `ops`: two per MAC."""

    phase: Phase
    operator: str
    kind: Kind
    bitlinear: bool
    ops: int
    dram_bytes: float
    time_s: float

    @property
    def intensity(self) -> float:
        """Operations per byte of DRAM traffic; infinite without any."""
        return self.ops / self.dram_bytes if self.dram_bytes else math.inf

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.ops / self.time_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofs:
    """Operations per second of both arrays when nothing idles, bytes per second of the DRAM."""

    bitlinear: float
    wide: float
    dram: float
    dram_peak: float

    def over(self, point: Point) -> float:
        """The rate that no schedule exceeds."""
        return min(self.bitlinear if point.bitlinear else self.wide, self.dram * point.intensity)


def roofs_of(chip: Chip) -> Roofs:
    """The roofs of a chip; `dram`: with its efficiency."""
    hertz, peak = chip.clock.nominal * 1e9, chip.memory.dram.bandwidth.nominal * 1e9
    return Roofs(
        bitlinear=float(OPS_PER_MAC * chip.bitlinear.macs_per_cycle) * hertz,
        wide=float(OPS_PER_MAC * chip.wide.macs_per_cycle) * hertz,
        dram=peak * chip.memory.dram.efficiency.nominal,
        dram_peak=peak,
    )


def roofline_points(result: Result) -> list[Point]:
    """One point per phase and matmul of a layer."""
    sums: dict[tuple[Phase, str], Point] = {}
    cycle_s = 1e-9 / result.chip.clock.nominal
    for row in result.rows:
        if not row.macs:
            continue
        moved, key = memory_bytes(row.events, result.chip), (row.phase, row.name.rpartition(".")[2])
        before = sums.get(key)
        sums[key] = Point(
            phase=row.phase,
            operator=key[1],
            kind=row.kind,
            bitlinear=row.bitlinear,
            ops=OPS_PER_MAC * row.macs + (before.ops if before else 0),
            dram_bytes=moved["dram_read_bytes"] + moved["dram_write_bytes"] + (before.dram_bytes if before else 0.0),
            time_s=row.cycles * cycle_s + (before.time_s if before else 0.0),
        )
    return list(sums.values())


def roofline_figure(result: Result) -> Figure | None:
    """None if there is no matmul."""
    points = roofline_points(result)
    if not points:
        return None
    roofs = roofs_of(result.chip)
    ridges = [roof / roofs.dram for roof in (roofs.bitlinear, roofs.wide)]
    known = [point.intensity for point in points if point.dram_bytes] + ridges
    left, right = min(known) / _MARGIN, max(known) * _MARGIN
    figure = new_figure(5.8, 3.4)
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(left, right)
    axes.set_ylim(min(point.rate for point in points) / _MARGIN, max(roofs.bitlinear, roofs.wide) * _MARGIN)
    lines = _draw_roofs(axes, roofs, left, right, skips=result.chip.bitlinear.cycles_vary)
    for point in sorted(points, key=lambda point: list(MARKS).index(point.kind)):
        x = point.intensity if point.dram_bytes else right
        axes.plot(x, point.rate, clip_on=False, zorder=3, **_mark(point.kind, point.phase))
    axes.set_xlabel("operational intensity / (operations / byte of DRAM traffic)", fontsize=FONT)
    axes.set_ylabel("performance / (operations / s)", fontsize=FONT)
    tidy(axes, caption(result))
    axes.grid(axis="x", linewidth=0.4, color="0.85")
    figure.legend(handles=lines + _keys(points), frameon=False, fontsize=FONT - 1, loc="outside right center")
    return figure


def _draw_roofs(axes: Axes, roofs: Roofs, left: float, right: float, *, skips: bool) -> list[Line2D]:
    """Both arrays, and the DRAM up to the higher of them; returns what the legend shows.

    `skips`: points of executed linears may lie above the roof of their array, which does not skip.
    """
    top = max(roofs.bitlinear, roofs.wide)
    name = "BitLinear, nothing skipped" if skips else "BitLinear"
    arrays = [(roofs.bitlinear, "-", name), (roofs.wide, "-.", "other matmuls")]
    if roofs.bitlinear == roofs.wide and not skips:
        arrays = [(top, "-", "all matmuls")]
    shown = []
    for rate, style, name in arrays:
        label = f"{name}: {rate_text(rate, 'ops/s')}"
        shown += axes.plot([rate / roofs.dram_peak, right], [rate, rate], style, color="black", lw=1.1, label=label)
    for bandwidth, style, name in ((roofs.dram, "-", "reached"), (roofs.dram_peak, ":", "peak")):
        label = f"DRAM, {name}: {rate_text(bandwidth, 'B/s')}"
        ends = [left, top / bandwidth]
        shown += axes.plot(ends, [x * bandwidth for x in ends], style, color="0.45", lw=1.1, label=label)
    return shown


def _mark(kind: Kind, phase: Phase) -> dict[str, Any]:
    """Filled in prefill; in decode hollow, and larger, to be seen around another one."""
    mark, size, colour, _ = MARKS[kind]
    face, larger = (colour, 0.0) if phase == "prefill" else ("none", 3.5)
    return {"ls": "", "marker": mark, "mec": colour, "mfc": face, "ms": size + larger, "mew": 1.1}


def _keys(points: list[Point]) -> list[Line2D]:
    """One entry for each kind in each phase that has a point."""
    found = [
        Line2D([], [], label=f"{MARKS[kind][-1]}, {phase}", **_mark(kind, phase))
        for kind, phase in dict.fromkeys((point.kind, point.phase) for point in points)
    ]
    if any(not point.dram_bytes for point in points):
        found.append(Line2D([], [], ls="", label="right edge: no DRAM traffic"))
    return found
