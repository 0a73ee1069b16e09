"""`bitsim validate` and `bitsim calibrate` as their users see them."""

import csv
from pathlib import Path

import pytest

from bitsim import from_json
from bitsim.hw import load_chip
from tests.cli.test_commands import bitsim
from tests.measure.test_calibrate import NAME, times_of, written


def test_validate_prints_every_design_and_writes_figures(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = bitsim(capsys, "validate", "--out", str(tmp_path))
    assert (code, err) == (0, "")
    text = (tmp_path / "validation.json").read_text()
    records = from_json(text).records()
    assert len(records) > 10
    for record in records:
        assert record["chip"] in out
    with (tmp_path / "validation.csv").open() as file:
        assert [row["key"] for row in csv.DictReader(file)] == [record["key"] for record in records]
    assert (tmp_path / "validation.png").stat().st_size > 10_000
    assert (tmp_path / "validation.pdf").stat().st_size > 5_000
    assert bitsim(capsys, "validate", "--json")[1] == text


def test_calibrate_prints_parameters_and_writes_a_chip(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    points, out = written(tmp_path / "points.csv", times_of(0.6, 2e-5)), tmp_path / "chips" / "mine.yaml"
    code, text, err = bitsim(capsys, "calibrate", str(points), "--chip", NAME, "--out", str(out))
    assert (code, err) == (0, "")
    for expected in ("DRAM efficiency", "latency per matmul", "held-out error %", "leave one out"):
        assert expected in text
    data = from_json(bitsim(capsys, "calibrate", str(points), "--chip", NAME, "--json")[1]).headline()
    assert data["dram_efficiency"] == pytest.approx(0.6, rel=1e-3)
    assert load_chip(out).memory.dram.efficiency.nominal == data["dram_efficiency"]
    points.write_text("m,k,n,time_s\n1,2,x,1\n")
    code, _, err = bitsim(capsys, "calibrate", str(points))
    assert (code, err) == (2, f"bitsim: error: {points}:2: n: expected an integer >= 1 (got 'x')\n")


def test_calibrate_takes_points_or_the_machine_and_not_both_or_neither(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ((), ("points.csv", "--machine")):
        code, _, err = bitsim(capsys, "calibrate", *words)
        assert code == 2
        assert "expected either a CSV or --machine" in err
