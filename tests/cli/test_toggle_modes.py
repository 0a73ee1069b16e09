"""`--toggles`: every result says what was not counted, and of a sample its size and seed."""

import json
import re
from typing import Any

import pytest

from bitsim import from_json
from tests.cli.test_commands import bitsim

NOT_COUNTED = "toggles of registers that see running sums were not counted, so that their energy is missing: "
SAMPLE = re.compile(
    r"counted exactly on a sample of the output columns, at most 8 tiles of an operator, drawn by seed 7"
)


def result(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    code, out, err = bitsim(capsys, *words, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def run(capsys: pytest.CaptureFixture[str], chip: str, mode: str, model: str = "tiny-b158") -> Any:
    words = ("--chip", chip, "--prompt", "In", "--new-tokens", "1", "--toggles", mode, "--seed", "7")
    return result(capsys, "run", model, *words)


@pytest.mark.parametrize(
    ("chip", "kinds"),
    [
        ("ternary-ws-64x64", "head, linear, pv, qk"),
        ("cpu-tl1", "head, pv, qk"),
        ("int8-tensor-ampere", ""),
    ],
)
def test_off_names_the_operators_that_have_such_toggles(
    capsys: pytest.CaptureFixture[str], chip: str, kinds: str
) -> None:
    notes = [note for note in run(capsys, chip, "off")["notes"] if "not counted" in note]
    assert notes == ([NOT_COUNTED + kinds] if kinds else [])


def test_a_sample_states_its_size_and_its_seed(capsys: pytest.CaptureFixture[str]) -> None:
    """Of every linear with 4 tiles of 64 columns or less one tile, of the two with 11 tiles two."""
    done = run(capsys, "ternary-ws-64x64", "sample")
    assert (done["inputs"]["toggles"], done["inputs"]["seed"]) == ("sample", 7)
    (note,) = (note for note in done["notes"] if SAMPLE.search(note))
    layers_and_steps = 6 * 2
    counted, of = layers_and_steps * 64 * (5 + 2 * 2), layers_and_steps * (3 * 256 + 2 * 128 + 2 * 704)
    assert f"linear ({counted:,} of {of:,})" in note


def test_exact_toggles_need_no_note(capsys: pytest.CaptureFixture[str]) -> None:
    done = run(capsys, "ternary-ws-64x64", "exact")
    assert done["inputs"]["toggles"] == "exact"
    assert not [note for note in done["notes"] if "running sums" in note]


def test_an_evaluation_says_that_it_counts_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert result(capsys, "eval", "tiny-b158", "--bytes", "20")["inputs"]["toggles"] == "off"


@pytest.mark.parametrize("mode", ["exact", "sample", "off"])
def test_a_comparison_says_it_for_the_chips_that_have_them(capsys: pytest.CaptureFixture[str], mode: str) -> None:
    words = ("--chips", "int8-tensor-ampere,ternary-ws-64x64,cpu-tl2,adder-tree-16x256", "--bytes", "3")
    done = result(capsys, "datapath", "compare", *words, "--toggles", mode, "--seed", "7")
    assert (done["inputs"]["toggles"], done["inputs"]["seed"]) == (mode, 7)
    notes = [note for note in done["notes"] if "running sums" in note]
    if mode == "exact":
        assert notes == []
    elif mode == "off":
        assert notes == [f"ternary-ws-64x64, adder-tree-16x256: {NOT_COUNTED}linear"]
    else:
        columns = {row["chip"]: row["toggle_columns"] for row in from_json(json.dumps(done)).records("chips")}
        sampled = {chip for chip, text in columns.items() if " of " in text}
        assert sampled == {"ternary-ws-64x64", "adder-tree-16x256"}
        assert [("seed 7" in note, all(columns[chip] in note for chip in sampled)) for note in notes] == [(True, True)]
