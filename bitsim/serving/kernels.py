"""GPU kernels calibrated on published times: an overhead and the share of the memory bandwidth that they reach.

    time = overhead + bytes / (efficiency x bandwidth)        one token, one matrix

The two parameters minimise the sum of squared relative errors. Seen as a curve, the efficiency that a kernel reaches
rises with its bytes and saturates at `efficiency`. How good that is shows the error of each time when the fit has not
seen it ("left out").
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bitsim.errors import ConfigError
from bitsim.hw.gpu import GpuKernel, Measured, load_gpu, load_gpu_kernel

Float64 = npt.NDArray[np.float64]
OUTPUT_BYTES = 2  # of one FP16 or BF16 output


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedTime:
    """One measured time, what the fit says, and what it says when this time is left out; in seconds."""

    n: int
    k: int
    measured_s: float
    fitted_s: float
    left_out_s: float

    @property
    def left_out_error(self) -> float:
        return self.left_out_s / self.measured_s - 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A kernel's overhead, in seconds on the GPU it was measured on, and its share of the memory bandwidth.

    `launch_s`: what of the overhead that GPU's launches take. `source`, `evidence`: of the measurements. `times`: empty
    for a kernel that borrows the calibration of another one. `within_l2`: how many times are of matrices that
    fit the L2, where they may stay from one measurement to the next.
    """

    overhead_s: float
    bandwidth_efficiency: float
    launch_s: float
    gpu: str
    source: str
    evidence: str
    times: tuple[FittedTime, ...]
    within_l2: int

    @property
    def left_out_error(self) -> float:
        """Mean magnitude of the relative errors of times that were left out."""
        return float(np.mean([abs(time.left_out_error) for time in self.times])) if self.times else 0.0


@lru_cache(maxsize=32)
def calibrated(name: str) -> Calibration:
    """The calibration of a kernel by name; raises `ConfigError` if its times contradict the GPU's bandwidth."""
    return calibrate(load_gpu_kernel(name))


def calibrate(kernel: GpuKernel) -> Calibration:
    """Fit a kernel to its measurements, or take those of the kernel that it is said to behave like."""
    if not isinstance(kernel.calibration, Measured):
        other = load_gpu_kernel(kernel.beside(kernel.calibration.same_as, ("calibration", "same_as")))
        if not isinstance(other.calibration, Measured):
            raise ConfigError(f"{kernel.path}: calibration.same_as: {other.name} has no measurements of its own")
        base = calibrate(other)
        return Calibration(
            overhead_s=base.overhead_s,
            bandwidth_efficiency=base.bandwidth_efficiency,
            launch_s=base.launch_s,
            gpu=base.gpu,
            source=kernel.calibration.source,
            evidence=kernel.calibration.evidence,
            times=(),
            within_l2=0,
        )
    gpu = load_gpu(kernel.beside(kernel.calibration.gpu, ("calibration", "gpu")))
    peak = gpu.memory.bandwidth.nominal * 1e9
    rows = kernel.calibration.rows
    moved = np.array([matmul_bytes(1, row.n, row.k, kernel.weight_bits, kernel.activation_bits) for row in rows])
    times = np.array([row.time_us * 1e-6 for row in rows])
    overhead, slope = fit_line(moved, times)
    if overhead < 0 or slope * peak < 1:
        raise ConfigError(
            f"{kernel.path}: calibration.rows: expected times that give an overhead >= 0 and an efficiency <= 1 at "
            f"{peak / 1e9:g} GB/s, got {overhead * 1e6:.3g} us and {1 / (slope * peak):.3g}"
        )
    return Calibration(
        overhead_s=overhead,
        bandwidth_efficiency=1.0 / (slope * peak),
        launch_s=min(overhead, gpu.launch_overhead.nominal * 1e-6),
        gpu=gpu.name,
        source=kernel.calibration.source,
        evidence=kernel.calibration.evidence,
        times=tuple(
            FittedTime(
                n=row.n,
                k=row.k,
                measured_s=float(times[i]),
                fitted_s=float(overhead + slope * moved[i]),
                left_out_s=_left_out(moved, times, i),
            )
            for i, row in enumerate(rows)
        ),
        within_l2=int(np.sum(moved <= gpu.l2.nominal * 1e6)),
    )


def matmul_bytes(m: float, n: int, k: int, weight_bits: float, activation_bits: float) -> float:
    """Bytes of M tokens times an (N, K) matrix: weights and activations in, outputs out, each once."""
    return n * k * weight_bits / 8 + m * k * activation_bits / 8 + m * n * OUTPUT_BYTES


def fit_line(x: Sequence[float] | Float64, y: Sequence[float] | Float64) -> tuple[float, float]:
    """Intercept and slope that minimise `sum(((intercept + slope x) / y - 1)^2)`; `y` > 0."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    scale = float(np.max(np.abs(x)))
    ones, lines = 1.0 / y, x / scale / y
    # The normal equations, with sums that no order of addition and no LAPACK changes.
    aa, ab, bb = math.fsum(ones * ones), math.fsum(ones * lines), math.fsum(lines * lines)
    a, b = math.fsum(ones), math.fsum(lines)
    determinant = aa * bb - ab * ab
    return (a * bb - b * ab) / determinant, (aa * b - ab * a) / determinant / scale


def _left_out(x: Float64, y: Float64, i: int) -> float:
    """What the line through all other points says at point `i`."""
    intercept, slope = fit_line(np.delete(x, i), np.delete(y, i))
    return intercept + slope * float(x[i])
