"""The fit of a calibration on times that are straight lines of the slowness, so that nothing has to be scheduled."""

import numpy as np
import pytest

from bitsim.hw import chip_names, load_chip
from bitsim.measure.calibrate import Calibration, CalibrationError, _best, _slopes, _Times
from bitsim.measure.points import MeasuredPoints
from tests.chips import amount

BASE = np.array([1e-3, 2.5e-3, 4e-4, 7e-3])  # seconds at efficiency 1
LATENCY = 3e-4


def straight(base: np.ndarray = BASE) -> _Times:
    return _Times(lambda efficiency: base / efficiency)


@pytest.mark.parametrize("slowness", [1.0, 1.0004, 1.7, 12.345, 49.99, 50.0])
def test_the_least_squares_are_found_to_a_millionth_everywhere_and_at_both_ends(slowness: float) -> None:
    times = BASE * slowness + LATENCY
    u, latency = _best(straight(), times, np.ones(4, bool))
    assert u == pytest.approx(slowness, rel=3e-6)
    assert latency == pytest.approx(LATENCY, rel=1e-3)
    assert 1.0 <= u <= 50.0 * (1 + 1e-12)


def test_points_that_are_left_out_do_not_move_the_fit() -> None:
    times = BASE * 1.7 + LATENCY
    times[2] *= 5
    u, latency = _best(straight(), times, np.array([True, True, False, True]))
    assert (u, latency) == (pytest.approx(1.7, rel=3e-6), pytest.approx(LATENCY, rel=1e-3))
    assert _best(straight(), times, np.ones(4, bool))[0] != pytest.approx(1.7, rel=1e-2)


def test_no_latency_is_below_zero() -> None:
    u, latency = _best(straight(), BASE * 1.7 - 1e-4, np.ones(4, bool))
    assert latency == 0
    assert u < 1.7


@pytest.mark.parametrize("slowness", [1.0, 1.7, 49.9])
def test_slopes_are_those_of_relative_times_with_the_logarithm_and_with_the_latency(slowness: float) -> None:
    """d(base u) / d ln u = base u, to the 0.5 % that a step of 1 % takes; one point may not depend on u at all."""
    base = BASE * np.array([1, 0, 1, 1])
    times = base * slowness + LATENCY
    found = _slopes(straight(base), times, slowness, "points.csv")
    np.testing.assert_allclose(found[:, 0], base * slowness / times, rtol=6e-3)
    np.testing.assert_array_equal(found[:, 1], 1 / times)


def test_parameters_without_an_effect_of_their_own_are_refused() -> None:
    with pytest.raises(CalibrationError, match=r"points\.csv: no point waits for DRAM"):
        _slopes(straight(0 * BASE), np.full(4, LATENCY), 1.5, "points.csv")
    same = np.full(4, 1e-3)
    with pytest.raises(CalibrationError, match="efficiency and latency can't be told apart"):
        _slopes(straight(same), same * 1.5 + LATENCY, 1.5, "points.csv")


@pytest.mark.parametrize(("latency_us", "before"), [(None, None), (3.0, 3.0)])
def test_what_a_chip_said_before_stands_beside_what_was_fitted(latency_us: float | None, before: float | None) -> None:
    """A host without a latency, and one with 3 us; a chip without a host says nothing either."""
    chip = next(chip for chip in map(load_chip, chip_names()) if chip.host is not None)
    assert chip.host is not None
    latency = None if latency_us is None else amount(chip.clock, latency_us)
    hosted = chip.model_copy(update={"host": chip.host.model_copy(update={"matmul_latency": latency})})
    for on, said in ((hosted, before), (chip.model_copy(update={"host": None}), None)):
        found = Calibration(
            inputs={}, notes=(), chip=on, measured=MeasuredPoints(path="p", sha256="0", points=()), efficiency=0.6,
            latency_us=25.0, efficiency_error=0.01, latency_error_us=0.5, residuals=(), binds=(),
        )  # fmt: skip
        efficiency, fitted = found.records("parameters")
        assert (efficiency["fitted"], efficiency["before"]) == (0.6, on.memory.dram.efficiency.nominal)
        assert (fitted["fitted"], fitted["standard_error"], fitted["before"]) == (25.0, 0.5, said)
