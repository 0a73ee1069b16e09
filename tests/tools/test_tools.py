"""Every tool runs: those that need no torch here, the others in tests/peers."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from bitsim.hw import load_chip
from tools import derive_areas, derive_prices, measure_statistics

TOOLS = Path(measure_statistics.__file__).parent
RUN_HERE = {"derive_prices", "derive_areas", "measure_statistics"}
PARTS_OF_TOOLS = {"study_units", "derive_tensor_cores"}  # imported by those above
WITH_COSTS = {"derive_rules", "fits", "derive_sram", "derive_delays", "find_unpriced"}  # tests/hw, tests/cost
WITH_A_SYNTHESISER = {"gate_level", "synthesise_widths"}  # test_gate_level.py, all but what needs yosys and cells
WITH_LLAMA_CPP = {"record_llama_cpp"}  # its record is what tests/model/test_llama_cpp.py reads
HERE_TOO = {"mutants", "mutant_tree", "mutations", "imports"}  # test_mutants.py
FOR_DOCS = {"write_reference", "draw_readme", "follow_guide"}  # tests/docs
RUN_BY_MAKE = {"check_wheel", "smoke_versions"}  # `make wheel-check` and `make smoke-versions`, in .ci/run
WITH_TORCH = {
    "train_tiny",
    "record_tiny",
    "record_rotary",
    "export_tiny",
    "fake_quant",
    "tiny_decoder",
}  # tests/peers/test_tools.py


def test_every_tool_is_run_somewhere() -> None:
    found = {path.stem for path in TOOLS.glob("*.py")}
    known = RUN_HERE | HERE_TOO | PARTS_OF_TOOLS | FOR_DOCS | RUN_BY_MAKE | WITH_TORCH
    known |= WITH_COSTS | WITH_A_SYNTHESISER | WITH_LLAMA_CPP
    assert not found - known, f"say in {__file__} where {found - known} are run, and run them there"
    assert not known - found


@pytest.mark.parametrize("tool", [derive_prices, derive_areas])
def test_derivations_print_every_price_and_area(
    tool: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [tool.__name__])
    tool.main()
    printed = capsys.readouterr().out
    for expected in ("45nm", "7nm", "pe.int8_acc32"):
        assert expected in printed


def measured(monkeypatch: pytest.MonkeyPatch, out: Path, *words: str) -> Any:
    """What the tool writes for a prompt of few tokens."""
    monkeypatch.setattr(measure_statistics, "TOKENS", 4)
    monkeypatch.setattr(sys, "argv", ["measure_statistics", *words, "--out", str(out)])
    measure_statistics.main()
    return yaml.safe_load(out.read_text())


def only(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Measure on these chips alone, without variants."""
    monkeypatch.setattr(measure_statistics, "measured_chips", lambda: [load_chip(name) for name in names])


def test_one_chip_is_measured_without_touching_the_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shipped = yaml.safe_load(measure_statistics.STATISTICS.read_text())
    only(monkeypatch, "ternary-ws-64x64", "adder-tree-16x256", "vitallm-v1")
    found = measured(monkeypatch, tmp_path / "x.yaml", "tiny-b158", "--chip", "adder-tree-16x256")
    now, before = found["tiny-b158"]["rates"], shipped["tiny-b158"]["rates"]
    assert now["adder_tree"].keys() == before["adder_tree"].keys()
    assert now["adder_tree"] != before["adder_tree"]  # of 4 tokens
    assert {kind: rates for kind, rates in now.items() if kind != "adder_tree"} == {
        kind: rates for kind, rates in before.items() if kind != "adder_tree"
    }
    assert found["tiny-b158"]["weight_zeros"] == shipped["tiny-b158"]["weight_zeros"]
    assert {name: found[name] for name in shipped if name != "tiny-b158"} == {
        name: statistics for name, statistics in shipped.items() if name != "tiny-b158"
    }


def test_a_chip_that_shares_its_kind_with_an_earlier_one_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """trinity-xc7a100t has the ternary array's rates, and less memory than the model needs."""
    only(monkeypatch, "ternary-ws-64x64", "trinity-xc7a100t")
    measured(monkeypatch, tmp_path / "x.yaml", "tiny-b158", "--chip", "trinity-xc7a100t")
    assert (tmp_path / "x.yaml").read_bytes() == measure_statistics.STATISTICS.read_bytes()


def test_a_new_kind_is_added(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shipped = yaml.safe_load(measure_statistics.STATISTICS.read_text())
    del shipped["tiny-b158"]["rates"]["sparse_array"]
    (tmp_path / "without.yaml").write_text(measure_statistics.written(shipped))
    monkeypatch.setattr(measure_statistics, "STATISTICS", tmp_path / "without.yaml")
    only(monkeypatch, "ternary-ws-64x64", "sparse-array-16x256")
    found = measured(monkeypatch, tmp_path / "x.yaml", "tiny-b158", "--chip", "sparse-array-16x256")
    rates = found["tiny-b158"]["rates"]
    assert all(0 <= rate <= 1 for rate in rates.pop("sparse_array").values())
    assert rates == shipped["tiny-b158"]["rates"]
