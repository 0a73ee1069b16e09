"""Kernels are fitted to published times, and judged by times that the fit has not seen."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsim.errors import ConfigError
from bitsim.hw.gpu import Measured, load_gpu_kernel
from bitsim.serving.kernels import calibrate, calibrated, fit_line, matmul_bytes


def exact_line(x: list[Fraction], y: list[Fraction]) -> tuple[Fraction, Fraction]:
    """The normal equations of sum(((a + b x) / y - 1)^2), in fractions."""
    weights = [1 / (value * value) for value in y]
    s0, s1, s2 = (sum(w * at**p for w, at in zip(weights, x, strict=True)) for p in (0, 1, 2))
    t0, t1 = (sum(w * at**p * value for w, at, value in zip(weights, x, y, strict=True)) for p in (0, 1))
    determinant = s0 * s2 - s1 * s1
    return (t0 * s2 - t1 * s1) / determinant, (t1 * s0 - t0 * s1) / determinant


@settings(deadline=None)
@given(
    overhead=st.floats(1e-6, 2e-5),
    slope=st.floats(1e-13, 1e-11),
    moved=st.lists(st.integers(10**5, 10**9), min_size=3, max_size=12, unique=True),
)
def test_times_that_lie_on_a_line_give_its_overhead_and_slope(overhead: float, slope: float, moved: list[int]) -> None:
    x = np.array(moved, dtype=np.float64)
    if x.max() < 1.5 * x.min():
        return
    found = fit_line(x, overhead + slope * x)
    assert found == pytest.approx((overhead, slope), rel=1e-6)


@pytest.mark.parametrize("name", ["fp16", "w2a8"])
def test_fitted_and_left_out_times_equal_the_normal_equations_in_fractions(name: str) -> None:
    kernel, calibration = load_gpu_kernel(name), calibrated(name)
    assert isinstance(kernel.calibration, Measured)
    rows = kernel.calibration.rows
    activation, weight = Fraction(kernel.activation_bits, 8), Fraction(kernel.weight_bits, 8)
    x = [row.n * row.k * weight + row.k * activation + row.n * 2 for row in rows]
    y = [Fraction(str(row.time_us)) for row in rows]
    overhead, slope = exact_line(x, y)
    assert 1e6 * calibration.overhead_s == pytest.approx(float(overhead))
    assert calibration.bandwidth_efficiency == pytest.approx(float(1 / (slope * 1555_000)))
    for i, time in enumerate(calibration.times):
        a, b = exact_line(x[:i] + x[i + 1 :], y[:i] + y[i + 1 :])
        assert 1e6 * time.fitted_s == pytest.approx(float(overhead + slope * x[i]))
        assert 1e6 * time.left_out_s == pytest.approx(float(a + b * x[i]))
    errors = [abs(time.left_out_s / time.measured_s - 1) for time in calibration.times]
    assert calibration.left_out_error == pytest.approx(sum(errors) / len(errors))


def test_a_kernel_nobody_measured_borrows_and_says_that_it_is_assumed() -> None:
    borrowed, own = calibrated("w2a4"), calibrated("w2a8")
    assert (borrowed.overhead_s, borrowed.bandwidth_efficiency) == (own.overhead_s, own.bandwidth_efficiency)
    assert borrowed.evidence == "assumed"
    assert borrowed.times == ()


@pytest.mark.parametrize(
    ("overhead_us", "us_per_row", "got"),
    [(1.0, 1 / 4096, r"got 0\.999 us and 2\.7$"), (-5.0, 1 / 400, r"got -5\.01 us and 0\.264$")],
)
def test_times_faster_than_the_memory_and_negative_overheads_are_refused_with_the_numbers(
    overhead_us: float, us_per_row: float, got: str, tmp_path: Path
) -> None:
    """4096 activations, and 1026 bytes for a row of two-bit weights with its output: 1555 bytes take 1 ns.

    1 / 4096 us per row are 4202 bytes per ns, 2.7 times as fast, and 4096 bytes 0.001 us; 1 / 400 us: 410, and 0.01 us.
    """
    file = tmp_path / "fast.yaml"
    sizes = (4096, 8192, 16384)
    rows = "\n".join(f"    - {{n: {n}, k: 4096, time_us: {overhead_us + n * us_per_row}}}" for n in sizes)
    file.write_text(
        "kind: gpu_kernel\nname: fast\nlike: w2a8\n"
        f"calibration:\n  gpu: a100-40gb\n  source: s\n  evidence: assumed\n  rows:\n{rows}\n"
    )
    with pytest.raises(ConfigError, match=rf"fast\.yaml: calibration\.rows: .*efficiency <= 1 at 1555 GB/s, {got}"):
        calibrate(load_gpu_kernel(file))


def test_bytes_of_a_matmul_are_weights_activations_and_outputs() -> None:
    assert matmul_bytes(3, 16, 8, 2, 8) == 16 * 8 * 2 / 8 + 3 * 8 + 3 * 16 * 2


def test_times_of_matrices_that_fit_the_l2_are_counted() -> None:
    assert calibrated("w2a8").within_l2 == 8  # the largest is 16.4 MB of 41.9
    assert calibrated("fp16").within_l2 == 5  # all but 70.8, 65.5 and 131 MB
