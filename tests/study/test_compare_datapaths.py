"""One layer stack on several datapaths: the same sums, priced and sized, and what is missing said."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from bitsim.cost import CONVENTIONS
from bitsim.datapath.pe_array.datapath import PEArray
from bitsim.datapath.template import CountedDatapath
from bitsim.errors import ConfigError, OperandError, OutputMismatchError
from bitsim.figures.datapaths import comparison_figure
from bitsim.hw import load_chip
from bitsim.model.checkpoint import load_model
from bitsim.study.compare_datapaths import DatapathComparison, compare_datapaths
from bitsim.study.recorded import recorded
from bitsim.study.taken import narrowed

CHIPS = ["ternary-ws-64x64", "adder-tree-16x256", "fp16-ws-64x64"]


@cache
def compared() -> DatapathComparison:
    return compare_datapaths("tiny-b158", node="7nm", chips=CHIPS, limit=5, toggles="off")


def small(chips: list[Any]) -> DatapathComparison:
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
    assert array.deviation.wrong == tree.deviation.wrong == 0 < fp16.deviation.wrong
    assert array.macs == tree.macs == fp16.macs == 5 * load_model("tiny-b158").config.linear_weights


def test_parts_sum_to_the_totals_in_every_convention_and_in_area() -> None:
    comparison = compared()
    for record in comparison.records():
        for name in CONVENTIONS:
            parts = [
                e for e in comparison.records("energies") if (e["chip"], e["convention"]) == (record["chip"], name)
            ]
            for level in ("low", "nominal", "high"):
                total = record[f"energy_{name}_{level}_pj"]
                assert sum(part[f"{level}_pj"] for part in parts) == pytest.approx(total, rel=1e-12)
        mine = [a for a in comparison.records("areas") if (a["chip"], a["component"]) == (record["chip"], "bitlinear")]
        assert sum(a["nominal_um2"] for a in mine) == pytest.approx(record["area_datapath_nominal_um2"], rel=1e-12)
        counted = {e["event"]: e["count"] for e in comparison.records("events") if e["chip"] == record["chip"]}
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
    assert row.deviation is not None
    assert row.deviation.wrong > 0
    # No PE of 9 bits was synthesised: a rule gives both.
    wide = small(["ternary-os-64x64"]).rows[0].record()
    for of in ("area_datapath_nominal_um2", "energy_datapath_nominal_pj"):
        assert 0 < row.record()[of] < wide[of]
    assert row.record()["energy_datapath_without"] is None

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
    monkeypatch.setattr("bitsim.study.compare_datapaths.recorded", lambda model, limit: (needed, tokens))
    row = small(["sparse-array-16x256"]).rows[0]
    assert (row.outputs, row.deviation.wrong) == ("identical", 0)
    assert row.macs == sum(call.y.size * call.op.k for call in calls[:2])


@pytest.mark.parametrize(
    ("model", "chip", "operands"),
    [
        ("tiny-b158", "popcount-w1a1", "x: sign, 0 as 1; w: sign, 0 as 1"),
        ("tiny-b158", "popcount-ternary", "x: sign"),
        ("tiny-b158", "bit-serial-binary", "w: sign, 0 as 1"),
        ("tiny-b1", "bit-serial-binary", "model"),
    ],
)
def test_narrow_datapaths_get_operands_that_they_take_and_say_so(model: str, chip: str, operands: str) -> None:
    row = compare_datapaths(model, node="7nm", chips=[chip], limit=2, toggles="off").rows[0]
    assert (row.outputs, row.operands) == ("identical", operands)
    assert row.macs == 2 * load_model(model).config.linear_weights
    assert any("not the model's operands" in note for note in row.notes) == (operands != "model")


@pytest.mark.parametrize(
    ("legal", "zero", "expected"),
    [
        ((-1, 1), False, [-1, -1, 1, 1, 1]),
        ((-1, 1), True, [-1, -1, 0, 1, 1]),
        ((-8, 7), True, [-8, -1, 0, 0, 7]),
        ((-128, 127), True, [-128, -9, 0, 1, 127]),
    ],
)
def test_narrowed_operands_are_legal_and_keep_their_order(
    legal: tuple[int, int], zero: bool, expected: list[int]
) -> None:
    values = np.array([[-128, -9, 0, 1, 127]], np.int8)
    made, rule = narrowed(values, legal, zero=zero)
    np.testing.assert_array_equal(made, [expected])
    assert made.dtype == np.int8
    assert bool(rule) == (legal != (-128, 127))
    again, rule = narrowed(made, legal, zero=zero)
    assert again is made
    assert rule == ""


@pytest.mark.parametrize("values", [[-9, 0, 7], [-8, 0, 8], [-9, 8, 1]])
def test_one_value_outside_of_what_is_legal_narrows_them_all(values: list[int]) -> None:
    """Four bits: the upper ones of eight, so that -9 becomes -1 and 8 becomes 0."""
    made, rule = narrowed(np.array([values], np.int8), (-8, 7), zero=True)
    np.testing.assert_array_equal(made, [[value // 16 for value in values]])
    assert rule == "upper 4 of 8 bits"


def test_the_figure_is_png_and_pdf_and_repeatable() -> None:
    figures = comparison_figure(compared())
    assert figures["compare.png"].startswith(b"\x89PNG")
    assert figures["compare.pdf"].startswith(b"%PDF")
    assert comparison_figure(compared()) == figures


def test_a_model_without_quantised_linears_has_nothing_to_compare() -> None:
    with pytest.raises(ConfigError, match="tiny-fp16: expected a quantised byte-level model"):
        compare_datapaths("tiny-fp16", node="7nm")
