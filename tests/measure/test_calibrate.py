"""`bitsim calibrate`: known parameters are found again; files and points that can't be used are refused."""

import csv
from pathlib import Path

import numpy as np
import pytest

from bitsim.errors import ConfigError
from bitsim.hw import load_chip
from bitsim.measure.calibrate import CalibrationError, calibrate
from bitsim.measure.points import PointsError, read_points
from bitsim.study import MatmulShape, estimate_matmuls
from tests.chips import amount

NAME = "adder-tree-16x256"
SHAPES = [
    (1, 1024, 1024), (1, 2560, 6912), (1, 6912, 2560), (1, 3200, 8640), (1, 4096, 512), (4, 2048, 2048), (1, 512, 512)
]  # fmt: skip


def times_of(
    efficiency: float, latency_s: float, shapes: list[tuple[int, int, int]] = SHAPES, name: str = NAME
) -> list[float]:
    """What the chip takes with these parameters, by `estimate_matmuls`."""
    chip = load_chip(name)
    dram = chip.memory.dram
    changed = dram.model_copy(update={"efficiency": amount(dram.efficiency, efficiency)})
    chip = chip.model_copy(update={"memory": chip.memory.model_copy(update={"dram": changed})})
    named = [MatmulShape(name="one", m=m, k=k, n=n) for m, k, n in shapes]
    return [estimate_matmuls([shape], chip).time_s + latency_s for shape in named]


def written(path: Path, times: list[float], shapes: list[tuple[int, int, int]] = SHAPES) -> Path:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["m", "k", "n", "time_s"])
        rows.writerows([*shape, repr(time)] for shape, time in zip(shapes, times, strict=True))
    return path


@pytest.mark.parametrize(("efficiency", "latency_us"), [(0.62, 35.0), (0.2, 4.0), (0.91, 0.7)])
def test_exact_times_give_their_parameters_back(tmp_path: Path, efficiency: float, latency_us: float) -> None:
    found = calibrate(written(tmp_path / "points.csv", times_of(efficiency, latency_us * 1e-6)), NAME)
    assert found.efficiency == pytest.approx(efficiency, rel=1e-3)
    assert found.latency_us == pytest.approx(latency_us, rel=1e-2)
    assert found.rms_pct < 0.05
    assert found.held_out_rms_pct < 0.1
    assert found.binds == ()


def test_noise_moves_parameters_within_their_standard_errors_and_shows_in_the_residuals(tmp_path: Path) -> None:
    shapes = SHAPES * 4
    noise = 1 + 0.02 * np.random.default_rng(5).standard_normal(len(shapes))
    times = [time * float(factor) for time, factor in zip(times_of(0.5, 2e-5, shapes), noise, strict=True)]
    found = calibrate(written(tmp_path / "points.csv", times, shapes), NAME)
    assert abs(found.efficiency - 0.5) < 3 * found.efficiency_error < 0.1
    assert abs(found.latency_us - 20) < 3 * found.latency_error_us < 10
    assert 1 < found.rms_pct < 3
    assert found.rms_pct < found.held_out_rms_pct < 4
    for residual, time in zip(found.records("residuals"), times, strict=True):
        assert residual["time_s"] == time
        assert residual["error_pct"] == pytest.approx(100 * (residual["predicted_s"] / time - 1))


def test_held_out_errors_are_those_of_fits_to_the_other_points(tmp_path: Path) -> None:
    times = times_of(0.5, 2e-5)
    times[2] *= 1.3
    whole = calibrate(written(tmp_path / "all.csv", times), NAME)
    others = [i for i in range(len(times)) if i != 2]
    rest = [times[i] for i in others], [SHAPES[i] for i in others]
    without = calibrate(written(tmp_path / "others.csv", *rest), NAME)
    left_out = times_of(without.efficiency, without.latency_us * 1e-6, [SHAPES[2]])[0]
    assert whole.residuals[2].held_out_s == pytest.approx(left_out, rel=5e-3)
    assert whole.residuals[2].predicted_s > left_out


@pytest.mark.parametrize(
    ("factor", "latency_us", "bound"),
    [(0.5, 0.0, "efficiency <= 1"), (100.0, 0.0, "efficiency >= 0.02"), (1.0, -6.0, "latency >= 0")],
)
def test_parameters_outside_of_their_bounds_are_not_given(
    tmp_path: Path, factor: float, latency_us: float, bound: str
) -> None:
    times = [time * factor + latency_us * 1e-6 for time in times_of(0.9, 4e-6)]
    found = calibrate(written(tmp_path / "points.csv", times), NAME)
    assert 0.02 <= found.efficiency <= 1
    assert found.latency_us >= 0
    assert any(text.startswith(bound) for text in found.binds)


def test_the_written_chip_takes_the_fitted_times(tmp_path: Path) -> None:
    found = calibrate(written(tmp_path / "points.csv", times_of(0.4, 1e-5)), NAME)
    path = tmp_path / "fitted.yaml"
    path.write_text(found.chip_yaml(path))
    chip = load_chip(path)
    assert (chip.like, chip.bitlinear) == (NAME, load_chip(NAME).bitlinear)
    for constant in (chip.memory.dram.efficiency, chip.host and chip.host.matmul_latency):
        assert constant is not None
        assert constant.evidence == "derived"
        assert found.measured.sha256 in constant.source
    for residual in found.residuals:
        m, k, n = residual.point.shape
        time = estimate_matmuls([MatmulShape(name="one", m=m, k=k, n=n)], chip).time_s
        assert time == pytest.approx(residual.predicted_s, rel=1e-4)
    again = tmp_path / "elsewhere" / "again.yaml"
    again.parent.mkdir()
    again.write_text(calibrate(tmp_path / "points.csv", path).chip_yaml(again))
    assert "like: ../fitted.yaml\n" in again.read_text()
    assert load_chip(again).memory.dram.bandwidth == chip.memory.dram.bandwidth
    with pytest.raises(ConfigError, match="expected a chip as its name or file describes it"):
        calibrate(tmp_path / "points.csv", chip.with_accumulators(16)).chip_yaml(again)


def test_a_users_chip_is_calibrated_wherever_it_lies_and_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that is called like a chip that comes with bitsim, which is not what the new file must be like."""
    (tmp_path / "chips").mkdir()
    mine, out = tmp_path / "chips" / f"{NAME}.yaml", tmp_path / "fitted" / "mine.yaml"
    out.parent.mkdir()
    mine.write_text(f"kind: chip\nlike: {NAME}\nclock: {{value: 0.5, unit: GHz, evidence: assumed, source: me}}\n")
    monkeypatch.chdir(tmp_path)
    points = written(tmp_path / "points.csv", times_of(0.5, 1e-5))
    found = calibrate(points, f"chips/{NAME}.yaml")
    out.write_text(found.chip_yaml("fitted/mine.yaml"))
    assert f"like: ../chips/{NAME}.yaml\n" in out.read_text()
    monkeypatch.chdir(tmp_path / "chips")
    fitted = load_chip("../fitted/mine.yaml")
    assert (fitted.clock.nominal, fitted.name) == (0.5, f"{NAME}-calibrated")
    assert fitted.memory.dram.efficiency.nominal == found.efficiency


def test_a_calibrated_chip_does_not_take_the_place_of_what_it_is_like(tmp_path: Path) -> None:
    points = written(tmp_path / "points.csv", times_of(0.5, 1e-5))
    base, mine = tmp_path / "base.yaml", tmp_path / f"{'x' * 100}.yaml"
    base.write_text(f"kind: chip\nlike: {NAME}\nbitlinear: {{acc_bits: 24}}\n")
    mine.write_text("kind: chip\nlike: base.yaml\n")
    found = calibrate(points, mine)
    for path in (base, mine):
        with pytest.raises(ConfigError, match=r"expected another file than those that .*x\.yaml is taken from"):
            found.chip_yaml(path)
    out = tmp_path / "out.yaml"
    out.write_text(found.chip_yaml(out))
    assert load_chip(out).name == f"{'x' * 89}-calibrated"


def test_too_few_points_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "points.csv", times_of(0.5, 0)[:2], SHAPES[:2])
    with pytest.raises(CalibrationError, match="expected at least 3 points to fit 2 parameters \\(got 2\\)"):
        calibrate(path, NAME)


def test_points_that_can_not_tell_the_parameters_apart_are_refused(tmp_path: Path) -> None:
    same = [(1, 2048, 2048)] * 4
    with pytest.raises(CalibrationError, match="can't be told apart"):
        calibrate(written(tmp_path / "same.csv", times_of(0.5, 1e-5, same), same), NAME)
    # An array of 64 x 64 takes 192 cycles for a tile of one token, and its weights come in 71.
    busy, name = [(1, 1024, 1024), (1, 2048, 2048), (1, 1024, 4096)], "ternary-ws-64x64"
    with pytest.raises(CalibrationError, match="no point waits for DRAM"):
        calibrate(written(tmp_path / "busy.csv", times_of(0.85, 1e-5, busy, name), busy), name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1: expected the columns m, k, n, time_s \\(got nothing\\)"),
        ("m,k,n\n1,2,3\n", ":1: expected the columns m, k, n, time_s \\(got m, k, n\\)"),
        ("m,k,n,time_s,gpu\n", ":1: expected the columns"),
        ("m,k,n,time_s\n1,2,3,1e-3\n1,2,3\n", ":3: expected 4 values \\(got 3\\)"),
        ("m,k,n,time_s\n1,2.5,3,1e-3\n", ":2: k: expected an integer >= 1 \\(got '2.5'\\)"),
        ("m,k,n,time_s\n1,2,0,1e-3\n", ":2: n: expected an integer >= 1 \\(got '0'\\)"),
        ("m,k,n,time_s\n1,2,3,0\n", ":2: time_s: expected seconds > 0 \\(got '0'\\)"),
        ("m,k,n,time_s\n1,2,3,-1\n", ":2: time_s: expected seconds > 0 \\(got '-1'\\)"),
        ("m,k,n,time_s\n1,2,3,nan\n", ":2: time_s: expected seconds > 0 \\(got 'nan'\\)"),
        ("time_s,m,k,n\n1 ms,1,2,3\n", ":2: time_s: expected seconds > 0 \\(got '1 ms'\\)"),
    ],
)
def test_malformed_files_are_refused_by_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(PointsError, match=message):
        read_points(path)


def test_columns_may_come_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("time_s, n ,m,k\n0.5,3,1,2\n\n0.25,6,4,5\n")
    points = read_points(path).points
    assert [(p.shape, p.time_s, p.line) for p in points] == [((1, 2, 3), 0.5, 2), ((4, 5, 6), 0.25, 4)]
    with pytest.raises(PointsError, match="readable CSV"):
        read_points(tmp_path / "none.csv")
