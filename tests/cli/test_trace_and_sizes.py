"""`--trace FILE` and `bitsim datapath sizes`."""

import json
from pathlib import Path

import pytest

from bitsim import from_json, read_outcome
from tests.cli.test_commands import bitsim


@pytest.mark.parametrize(
    "words", [("run", "tiny-b158", "--prompt", "And", "--new-tokens", "2"), ("estimate", "tiny-b158", "--decode", "2")]
)
def test_a_trace_is_one_file_with_all_operators_and_its_inputs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    path = tmp_path / "new" / "trace.json"
    code, out, err = bitsim(capsys, *words, "--json", "--trace", str(path))
    assert (code, err) == (0, "")
    result, trace = from_json(out), json.loads(path.read_text())
    assert [file.name for file in path.parent.iterdir()] == ["trace.json"]
    assert trace["otherData"]["model"] == "tiny-b158"
    names = {event["args"]["operator"] for event in trace["traceEvents"] if "operator" in event.get("args", {})}
    assert names == {row["operator"] for row in result.records("operators")}


def test_what_a_trace_leaves_out_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    code, _, err = bitsim(capsys, "estimate", "bitnet-125m", "--prefill", "8", "--decode", "400", "--trace", str(path))
    assert code == 0
    assert "of 400 decode steps between the first and the last ones are not drawn" in err
    trace = json.loads(path.read_text())
    assert trace["otherData"]["left_out"] in err
    assert len(trace["traceEvents"]) <= 200_000


def test_a_trace_that_cannot_be_written_stops_before_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = bitsim(capsys, "estimate", "bitnet-125m", "--trace", "/dev/null/x.json")
    assert code == 2
    assert "--trace /dev/null" in err
    assert bitsim(capsys, "run", "tiny-b158", "--prompt", "a", "--trace", "/")[0] == 2


def test_sizes_of_arrays_as_table_json_and_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ("datapath", "sizes", "tiny-b158", "--sizes", "16,64", "--prefill", "8")
    code, out, err = bitsim(capsys, *words, "--out", str(tmp_path))
    assert (code, err) == (0, "")
    assert "16 x 16" in out
    assert "buffers, ports, clock and DRAM are those of ternary-ws-64x64" in out
    assert {path.name for path in tmp_path.iterdir()} == {f"sizes.{kind}" for kind in ("json", "csv", "png", "pdf")}
    points = from_json(bitsim(capsys, *words, "--json")[1]).records()
    assert points == read_outcome(tmp_path / "sizes.json").records()
    assert [(p["rows"], p["phase"]) for p in points] == [
        (16, "prefill"), (16, "decode"), (64, "prefill"), (64, "decode")
    ]  # fmt: skip
    assert bitsim(capsys, "datapath", "sizes", "tiny-b158", "--sizes", "8,x")[0] == 2
