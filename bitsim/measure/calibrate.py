"""Calibrate: a chip's DRAM efficiency and latency per matmul, fitted to measured times by least squares.

The model of a time is what `estimate` says at an efficiency e, plus a latency L. The squares of relative errors are
added, so that small matmuls count as much as large ones. Then the best L >= 0 of each e has a closed form, and e is
found by a scan over 1 / e, in which times are close to straight lines: schedules are made at a few e and times between
them interpolated, and a schedule is made at each best e until it stays where it is.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bitsim._version import __version__
from bitsim.datapath.base import Array
from bitsim.errors import ConfigError
from bitsim.floats.scalars import log
from bitsim.hw import chip_names, load_chip
from bitsim.hw.chip import Chip
from bitsim.hw.constants import LONGEST_NAME, Constant
from bitsim.measure.points import MeasuredPoint, MeasuredPoints, distinct_shapes, read_points
from bitsim.results.outcome import Makers, Outcome
from bitsim.schedule import Placement
from bitsim.study.matmuls import MatmulShape

PARAMETERS = 2
LEAST_EFFICIENCY = 0.02
_SUFFIX = "-calibrated"
_COARSE = 10  # efficiencies at which schedules are made first
_FINE = 2001  # steps of a scan between two of them
_REFINEMENTS = 12
_STAYS = 1e-5  # relative
_STEP = 1.01  # of 1 / e, to see what times do
_MATTERS = 0.01  # relative change of a time per relative change of 1 / e, below which DRAM does not matter
_DEPENDENT = 1e-3  # sine of the angle between two parameters' effects, below which they can't be told apart


class CalibrationError(ConfigError):
    """The points can't determine the parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Residual:
    """A measured time and the fitted chip's; `held_out_s`: of a fit to all other points."""

    point: MeasuredPoint
    predicted_s: float
    held_out_s: float

    def record(self) -> dict[str, Any]:
        """Plain values."""
        at, measured = self.point, self.point.time_s
        return {
            "line": at.line,
            "m": at.m,
            "k": at.k,
            "n": at.n,
            "time_s": measured,
            "predicted_s": self.predicted_s,
            "error_pct": 100 * (self.predicted_s / measured - 1),
            "held_out_s": self.held_out_s,
            "held_out_error_pct": 100 * (self.held_out_s / measured - 1),
        }


@dataclass(frozen=True, kw_only=True, repr=False)
class Calibration(Outcome):
    """Parameters fitted to points, with their standard errors.

    `binds`: bounds that they lie on, and what that says; a standard error means little there.
    """

    chip: Chip
    measured: MeasuredPoints
    efficiency: float
    latency_us: float
    efficiency_error: float
    latency_error_us: float
    residuals: tuple[Residual, ...]
    binds: tuple[str, ...]

    @property
    def kind(self) -> str:
        return "calibration"

    @property
    def title(self) -> str:
        return f"{self.chip.name}, fitted to {len(self.residuals)} points of {self.measured.path}"

    @property
    def rms_pct(self) -> float:
        """Root mean square of the relative errors, in percent."""
        return _rms([residual.record()["error_pct"] for residual in self.residuals])

    @property
    def held_out_rms_pct(self) -> float:
        """The same, each point by the fit to all others."""
        return _rms([residual.record()["held_out_error_pct"] for residual in self.residuals])

    def headline(self) -> dict[str, Any]:
        """The two parameters, and how far the fitted chip is off."""
        found = {"dram_efficiency": self.efficiency, "matmul_latency_us": self.latency_us}
        return found | {"rms_error_pct": self.rms_pct, "held_out_rms_error_pct": self.held_out_rms_pct}

    def parameters(self) -> list[dict[str, Any]]:
        """What was fitted, its standard error, and what the chip's description said before (None: nothing)."""
        host, dram = self.chip.host, self.chip.memory.dram
        latency = None if host is None or host.matmul_latency is None else host.matmul_latency.nominal
        rows = (
            ("dram_efficiency", "ratio", self.efficiency, self.efficiency_error, dram.efficiency.nominal),
            ("matmul_latency", "us", self.latency_us, self.latency_error_us, latency),
        )
        return [dict(zip(("parameter", "unit", "fitted", "standard_error", "before"), r, strict=True)) for r in rows]

    def makers(self) -> Makers:
        return {
            "residuals": lambda: [residual.record() for residual in self.residuals],
            "parameters": self.parameters,
        }

    def chip_yaml(self, path: str | Path) -> str:
        """What a chip file at `path` must say to be like the original with the fitted values; writes nothing.

        The original is named, if it comes with bitsim, or its file is, from the folder of `path`. Raises `ConfigError`
        if no name or file has it, or if it is taken from the file that would be overwritten.
        """
        chip, here = self.chip, os.path.realpath(path)
        built_in = chip.path == f"hw_models/chips/{chip.name}.yaml" and chip.name in chip_names()
        original = chip.name if built_in else os.path.realpath(chip.path)
        if not built_in and here in {os.path.realpath(file) for file in chip.files}:
            raise ConfigError(f"{path}: expected another file than those that {chip.path} is taken from")
        if load_chip(original).sha256 != chip.sha256:
            raise ConfigError(
                f"{chip.path}: expected a chip as its name or file describes it, since the written file is like that "
                "one (this one was changed after it was loaded)"
            )
        source = f"fitted to {len(self.residuals)} times in {self.measured.path}, sha256 {self.measured.sha256}"
        data = {
            "kind": "chip",
            "name": f"{chip.name[: LONGEST_NAME - len(_SUFFIX)]}{_SUFFIX}",
            "summary": f"{chip.name} with DRAM efficiency and latency per matmul fitted to measured times",
            "like": original if built_in else os.path.relpath(original, os.path.dirname(here)),
            "memory": {"dram": {"efficiency": _fitted(self.efficiency, "ratio", source)}},
            "host": {"matmul_latency": _fitted(self.latency_us, "us", source)},
        }
        return yaml.safe_dump(data, sort_keys=False, width=120, allow_unicode=True)


def _fitted(value: float, unit: str, source: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "evidence": "derived", "source": source}


def calibrate(points: str | Path | MeasuredPoints, chip: str | Path | Chip) -> Calibration:
    """Fit `memory.dram.efficiency` and `host.matmul_latency` of `chip` to measured times.

    Raises `PointsError` for a malformed file; `CalibrationError` for fewer than three points, or points that can't
    tell the parameters apart, because none waits for DRAM or all move as much.
    """
    measured = points if isinstance(points, MeasuredPoints) else read_points(points)
    chip, found = load_chip(chip), measured.points
    if len(found) <= PARAMETERS:
        raise CalibrationError(
            f"{measured.path}: expected at least {PARAMETERS + 1} points to fit {PARAMETERS} parameters "
            f"(got {len(found)})"
        )
    times = np.array([point.time_s for point in found])
    table = _Times(partial(scheduled_seconds, chip, found))
    slowness, latency = _refined(table, times)
    slopes = _slopes(table, times, slowness, measured.path)
    table.add(slowness)
    held_out = np.empty_like(times)
    for i in range(times.size):
        others = np.arange(times.size) != i
        held_u, held_latency = _best(table, times, others)
        held_out[i] = table.at(np.array([held_u]))[i, 0] + held_latency
    predicted = table.at(np.array([slowness]))[:, 0] + latency
    variance = ((predicted / times - 1) ** 2).sum() / (times.size - PARAMETERS) * _inverse_square(slopes)
    binds = _binding(slowness, latency)
    return Calibration(
        inputs={"bitsim": __version__, "chip": chip.name, "chip_sha256": chip.sha256}
        | {"points": measured.path, "points_sha256": measured.sha256},
        notes=("held-out errors: leave one out", *(f"a bound binds: {bound}" for bound in binds)),
        chip=chip,
        measured=measured,
        efficiency=1 / slowness,
        latency_us=1e6 * latency,
        efficiency_error=float(np.sqrt(variance[0, 0])) / slowness,
        latency_error_us=1e6 * float(np.sqrt(variance[1, 1])),
        residuals=tuple(
            Residual(point=point, predicted_s=float(p), held_out_s=float(h))
            for point, p, h in zip(found, predicted, held_out, strict=True)
        ),
        binds=binds,
    )


def scheduled_seconds(chip: Chip, points: tuple[MeasuredPoint, ...], efficiency: float) -> Array:
    """What the points' matmuls take on `chip` at a DRAM efficiency, without a latency per matmul; float64 (points,)."""
    placement = Placement(_at(chip, efficiency))
    cycles = {
        shape: placement.place(MatmulShape(name="matmul", m=shape[0], k=shape[1], n=shape[2]).operator("decode")).cycles
        for shape in distinct_shapes(points)
    }
    return np.array([cycles[point.shape] for point in points]) / chip.clock.nominal * 1e-9


def _at(chip: Chip, efficiency: float) -> Chip:
    dram = chip.memory.dram
    reached = dict.fromkeys(("low", "nominal", "high"), efficiency)
    changed: Constant = dram.efficiency.model_copy(update=reached)
    memory = chip.memory.model_copy(update={"dram": dram.model_copy(update={"efficiency": changed})})
    host = None if chip.host is None else chip.host.model_copy(update={"matmul_latency": None})
    return chip.model_copy(update={"memory": memory, "host": host})


class _Times:
    """Times of all points over the slowness u = 1 / e, known at some u and straight between these."""

    def __init__(self, exact: Callable[[float], Array]) -> None:
        self._exact = exact
        self.known = np.geomspace(1.0, 1 / LEAST_EFFICIENCY, _COARSE)
        self.values = np.stack([exact(float(1 / u)) for u in self.known], axis=1)

    def add(self, u: float) -> None:
        """Schedule at u as well."""
        if u in self.known:
            return
        place = int(np.searchsorted(self.known, u))
        self.known = np.insert(self.known, place, u)
        self.values = np.insert(self.values, place, self._exact(float(1 / u)), axis=1)

    def at(self, u: Array) -> Array:
        """float64 (points, len(u))."""
        return np.stack([np.interp(u, self.known, row) for row in self.values])


def _best(table: _Times, times: Array, used: Array) -> tuple[float, float]:
    """The slowness and latency (s) with the least squares over the points `used` (bool), twice scanned."""
    low, high = 1.0, 1 / LEAST_EFFICIENCY
    for _ in range(2):
        u = np.geomspace(low, high, _FINE)
        weights = 1 / times[used][:, None]
        relative = table.at(u)[used] * weights
        latency = np.maximum(0.0, (weights * (1 - relative)).sum(0) / (weights * weights).sum(0))
        squares = ((relative + weights * latency - 1) ** 2).sum(0)
        i = int(squares.argmin())
        low, high = u[max(0, i - 1)], u[min(_FINE - 1, i + 1)]
    return float(u[i]), float(latency[i])


def _refined(table: _Times, times: Array) -> tuple[float, float]:
    everything = np.ones(times.size, dtype=np.bool_)
    u, _ = _best(table, times, everything)
    for _ in range(_REFINEMENTS):
        table.add(u)
        before, (u, _) = u, _best(table, times, everything)
        if abs(u / before - 1) < _STAYS:
            break
    table.add(u)
    return _best(table, times, everything)


def _inverse_square(x: Array) -> Array:
    """The inverse of `x^T x` for two columns, with exact sums: no LAPACK, whose last bit is the CPU's."""
    aa, ab, bb = (math.fsum(x[:, i] * x[:, j]) for i, j in ((0, 0), (0, 1), (1, 1)))
    determinant = aa * bb - ab * ab
    return np.array([[bb, -ab], [-ab, aa]]) / determinant


def _slopes(table: _Times, times: Array, u: float, path: str) -> Array:
    """float64 (points, 2): change of each relative time with ln u and with the latency in s, from exact schedules.

    Raises `CalibrationError` unless the two differ.
    """
    step = _STEP if u * _STEP <= 1 / LEAST_EFFICIENCY else 1 / _STEP
    table.add(u * step)
    ends = table.at(np.array([u, u * step]))
    slope = (ends[:, 1] - ends[:, 0]) / log(step) / times
    if np.abs(slope).max() < _MATTERS:
        raise CalibrationError(
            f"{path}: no point waits for DRAM on this chip, so that its efficiency does not matter; measure matmuls of "
            "few tokens with large weights"
        )
    columns = np.stack([slope, 1 / times], axis=1)
    if np.linalg.svd(columns / np.linalg.norm(columns, axis=0), compute_uv=False)[-1] < _DEPENDENT:
        raise CalibrationError(
            f"{path}: expected matmuls of different sizes: with these, efficiency and latency can't be told apart"
        )
    return columns


def _binding(u: float, latency: float) -> tuple[str, ...]:
    binds = []
    if u <= 1.0:
        binds.append("efficiency <= 1: the times are shorter than the chip's peak bandwidth allows")
    if u >= 1 / LEAST_EFFICIENCY:
        binds.append(f"efficiency >= {LEAST_EFFICIENCY:g}: the times are longer than DRAM explains")
    if latency <= 0.0:
        binds.append("latency >= 0: the times leave none, or the chip takes longer than measured")
    return tuple(binds)


def _rms(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
