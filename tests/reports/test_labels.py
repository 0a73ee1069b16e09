"""Every row has a label, and a label is worth what it says."""

from typing import Any

import pytest

from reports.comparison import Row, RowError, labels_summary, notes, prints_as, worst_residual

SHARED: dict[str, Any] = {"paper": "p", "location": "l", "unit": "J"}


def row(label: Any, published: float | None, ours: float | None, **more: Any) -> Row:
    more = {"item": f"{label} {ours}"} | more
    if label in ("fitted", "predicted"):
        more = {"parameters": ("overhead",)} | more
    return Row(**SHARED, label=label, published=published, ours=ours, **more)


def test_residual_is_relative_to_the_published_number() -> None:
    assert row("derived", 2.0, 2.5).residual_pct == pytest.approx(25.0)
    assert row("derived", None, 2.5).residual_pct is None
    assert row("not reproducible", 2.0, None, note="why").residual_pct is None


def test_fitted_input_and_irreproducible_rows_never_count_as_reproduced() -> None:
    assert not row("fitted", 2.0, 2.0).reproduced
    assert not row("input", 2.0, 2.0).reproduced
    assert not row("not reproducible", 2.0, 2.0, note="why").reproduced
    assert not row("derived", None, 2.0).reproduced
    assert row("derived", 2.0, 2.0).reproduced
    assert row("predicted", 2.0, 2.0).reproduced


def test_reproduced_means_within_five_percent_or_the_uncertainty_of_the_published_number() -> None:
    assert row("derived", 100.0, 104.9).reproduced
    assert not row("derived", 100.0, 105.1).reproduced
    assert row("derived", 0.02, 0.0238, uncertainty=0.005).reproduced
    assert not row("derived", 0.02, 0.0258, uncertainty=0.005).reproduced


@pytest.mark.parametrize(
    ("label", "more", "message"),
    [
        ("fitted", {"parameters": ()}, "expected the fitted parameters"),
        ("predicted", {"parameters": ()}, "expected the fitted parameters"),
        ("derived", {"parameters": ("overhead",)}, "expected no parameters"),
        ("not reproducible", {}, "expected a note that says why"),
        ("derived", {"ours": None}, "expected a number of ours"),
        ("input", {"ours": 3.0}, "expected 2.0, as published"),
    ],
)
def test_a_row_whose_label_lacks_what_it_demands_is_refused(label: Any, more: dict[str, Any], message: str) -> None:
    with pytest.raises(RowError, match=message):
        row(label, 2.0, more.pop("ours", 2.0), **more)


def test_the_summary_counts_labels_and_names_the_worst_residual_of_each() -> None:
    rows = [
        row("derived", 100.0, 101.0),
        row("derived", 100.0, 90.0),
        row("predicted", 100.0, 103.0),
        row("fitted", 100.0, 100.0),
        row("input", 7.0, 7.0),
        row("not reproducible", 1.0, None, note="why"),
        row("measured", None, 5.0),
    ]
    assert labels_summary(rows).splitlines() == [
        "published rows: 2 derived, 1 predicted, 1 fitted, 1 input, 1 not reproducible",
        "reproduced: 2 of the 3 derived or predicted rows lie within 5 % or the uncertainty of the published number",
        "worst residual, derived: -10.00 % (derived 90.0)",
        "worst residual, predicted: +3.00 % (predicted 103.0)",
        "worst residual, fitted: +0.00 % (fitted 100.0)",
    ]


def test_records_name_label_parameters_and_whether_the_row_is_reproduced() -> None:
    record = row("predicted", 2.0, 2.0, parameters=("a", "b")).record()
    assert (record["label"], record["parameters"], record["reproduced"]) == ("predicted", "a; b", True)


def test_notes_are_joined_and_empty_ones_left_out() -> None:
    assert notes("a", "", "b") == "a; b"
    assert notes("", "") == ""


def test_a_number_prints_as_another_if_it_rounds_to_its_digits() -> None:
    assert prints_as(2.449, 2.4, 1)
    assert not prints_as(2.451, 2.4, 1)


def test_the_worst_residual_is_the_furthest_above_or_below_of_rows_that_have_both_numbers() -> None:
    rows = [row("derived", 100.0, 103.0), row("derived", 100.0, 95.0), row("derived", None, 1.0)]
    assert worst_residual(rows) is rows[1]
    assert worst_residual(rows[2:]) is None
