"""`bitsim serve` and `bitsim reproduce memory` at the command line."""

import csv
from pathlib import Path

import pytest

from bitsim import from_json
from bitsim.cli.main import main


def test_serve_writes_json_csv_png_and_pdf(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["serve", "bitnet-b158-3b", "--batch", "4", "--json", "--out", str(tmp_path)])
    text = capsys.readouterr().out
    printed = from_json(text)
    assert printed.headline()["batch"] == 4
    assert (tmp_path / "serve.json").read_text() == text
    assert (tmp_path / "serve.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "serve.pdf").read_bytes().startswith(b"%PDF")
    rows = list(csv.DictReader((tmp_path / "sweep.csv").read_text().splitlines()))
    assert [int(row["batch"]) for row in rows] == [entry["batch"] for entry in printed.records("sweep")]


def test_serve_prints_what_limits_it_and_every_part_of_memory(capsys: pytest.CaptureFixture[str]) -> None:
    main(["serve", "bitnet-b158-70b", "--chip", "a100-80gb", "--devices", "2", "--prompt", "512"])
    out = capsys.readouterr().out
    for text in (
        "largest batch",
        "limited by",
        "kv cache",
        "workspace",
        "reserved by the device",
        "board power x time",
    ):
        assert text in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["llama-70b"], "does not fit 1 x a100-80gb"),
        (["llama-7b", "--chip", "a100"], "unknown GPU, CPU or chip 'a100'; did you mean"),
        (["llama-7b", "--devices", "0"], "devices: expected an integer >= 1, got 0"),
        (["llama-7b", "--kv-bits", "5"], "kv_bits: expected one of 16, 8, 4, 3"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["serve", *arguments])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_reproduce_memory_writes_rows_with_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["reproduce", "memory", "--json", "--out", str(tmp_path)])
    rows = from_json(capsys.readouterr().out).records()
    assert all(row["label"] in ("predicted", "fitted", "not reproducible") for row in rows)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        f"memory.{kind}" for kind in ("csv", "json", "pdf", "png")
    ]


def test_serve_on_a_cpu_and_on_a_chip_says_what_it_knows_of_energy(capsys: pytest.CaptureFixture[str]) -> None:
    for chip, energy in (("intel-i7-13800h", "not known"), ("ternary-ws-64x64", "(system convention)")):
        main(["serve", "bitnet-b158-700m", "--chip", chip, "--prompt", "8", "--new-tokens", "4", "--batch", "2"])
        out = capsys.readouterr().out
        assert energy in out
        assert f"on 1 x {chip}" in out
