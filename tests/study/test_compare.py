"""One layer stack on several datapaths: the same sums, priced and sized, and what is missing said."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from bitsim.cost import CONVENTIONS
from bitsim.datapath.pe_array import PEArray
from bitsim.datapath.template import CountedDatapath
from bitsim.errors import ConfigError, OperandError, OutputMismatchError
from bitsim.hw import load_chip
from bitsim.model.checkpoint import load_model
from bitsim.study import compare
from bitsim.study.compare import Comparison, compare_datapaths, recorded
from bitsim.study.compare_figure import comparison_figure

CHIPS = ["ternary-ws-64x64", "adder-tree-16x256", "fp16-ws-64x64"]


@cache
def compared() -> Comparison:
    return compare_datapaths("tiny-b158", node="7nm", chips=CHIPS, limit=5, toggles="off")


def small(chips: list[Any]) -> Comparison:
    return compare_datapaths("tiny-b158", node="7nm", chips=chips, limit=2, toggles="off")


def test_recorded_sums_are_those_of_the_stored_codes() -> None:
    calls, tokens = recorded(load_model("tiny-b158"), 3)
    assert tokens == 3
    assert len({call.op.name for call in calls}) == len(calls)
    for call in calls[:7]:
        assert (call.y == call.x_q.astype(np.int64) @ call.weight.codes().astype(np.int64).T).all()


def test_exact_datapaths_agree_and_a_rounding_one_says_so() -> None:
    array, tree, fp16 = compared().rows
    assert (array.outputs, tree.outputs, fp16.outputs) == ("identical", "identical", "rounded")
    assert array.differing == tree.differing == 0 < fp16.differing
    assert array.macs == tree.macs == fp16.macs == 5 * load_model("tiny-b158").config.linear_weights


def test_parts_sum_to_the_totals_in_every_convention_and_in_area() -> None:
    comparison = compared()
    for record in comparison.records():
        for name in CONVENTIONS:
            parts = [e for e in comparison.energies() if (e["chip"], e["convention"]) == (record["chip"], name)]
            for level in ("low", "nominal", "high"):
                total = record[f"energy_{name}_{level}_pj"]
                assert sum(part[f"{level}_pj"] for part in parts) == pytest.approx(total, rel=1e-12)
        mine = [a for a in comparison.areas() if (a["chip"], a["component"]) == (record["chip"], "bitlinear")]
        assert sum(a["nominal_um2"] for a in mine) == pytest.approx(record["area_datapath_nominal_um2"], rel=1e-12)
        counted = {e["event"]: e["count"] for e in comparison.events() if e["chip"] == record["chip"]}
        assert counted["reg.clock"] > 0


def test_an_exact_datapath_with_other_sums_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    right = PEArray.sums

    def wrong(self: PEArray, acts: Any, weights: Any) -> Any:
        summed = right(self, acts, weights)
        summed.y[1, 2] += 1
        return summed

    monkeypatch.setattr(PEArray, "sums", wrong)
    with pytest.raises(OutputMismatchError, match=r"ternary-ws-64x64: layers\.0\..*token 1, output 2, got"):
        small(["ternary-ws-64x64"])


def test_overflows_and_refused_operands_are_rows_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = load_chip("ternary-os-64x64").with_accumulators(9)
    (row,) = small([narrow]).rows
    assert row.outputs == "overflowed"
    assert row.differing > 0
    assert any("no area" in note for note in row.notes)  # no PE of 9 bits was synthesised
    assert row.record()["area_datapath_nominal_um2"] is None
    assert row.record()["energy_datapath_nominal_pj"] is None

    def refuse(self: Any, x: Any) -> Any:
        raise OperandError("x: too wide")

    monkeypatch.setattr(CountedDatapath, "act_operand", refuse)
    comparison = small(["adder-tree-16x256"])
    record = comparison.records()[0]
    assert (record["outputs"], record["cycles"], record["utilisation"]) == ("refused", None, None)
    assert "x: too wide" in record["notes"]
    assert comparison_figure(comparison)["compare.pdf"].startswith(b"%PDF")


def test_outputs_that_are_not_needed_may_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, tokens = recorded(load_model("tiny-b158"), 2)
    needed = [replace(call, live=np.arange(call.y.size).reshape(call.y.shape) % 3 == 0) for call in calls[:2]]
    monkeypatch.setattr(compare, "recorded", lambda model, limit: (needed, tokens))
    row = small(["sparse-array-16x256"]).rows[0]
    assert (row.outputs, row.differing) == ("identical", 0)
    assert row.macs == sum(call.y.size * call.op.k for call in calls[:2])


def test_the_figure_is_png_and_pdf_and_repeatable() -> None:
    figures = comparison_figure(compared())
    assert figures["compare.png"].startswith(b"\x89PNG")
    assert figures["compare.pdf"].startswith(b"%PDF")
    assert comparison_figure(compared()) == figures


def test_a_model_without_quantised_linears_has_nothing_to_compare() -> None:
    with pytest.raises(ConfigError, match="tiny-fp16: expected a quantised byte-level model"):
        compare_datapaths("tiny-fp16", node="7nm")
