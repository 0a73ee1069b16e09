"""Table 2 of a4.8: the columns add up to what is printed, one number contradicts the others."""

import pytest

from reports.a48 import claim_rows, executed_rows, table_rows


def test_overall_is_the_mean_of_the_columns_weighted_by_parameters():
    """(3 d^2 qkv + d^2 out + d f (up + gate + down)) / (4 d^2 + 3 d f), the 7B of a4.8 by hand."""
    rows = {row.item: row for row in table_rows()}
    d, f = 4096, 11008
    by_hand = (3 * d * d * 12.1 + d * d * 50.0 + d * f * (71.4 + 12.0 + 84.2)) / (4 * d * d + 3 * d * f)
    assert rows["7B a4.8 overall"].ours == pytest.approx(by_hand, rel=1e-12)
    overall = [row for row in rows.values() if row.item.endswith("overall")]
    assert len(overall) == 8
    assert max(abs(row.ours - row.published) for row in overall) <= 0.0701


def test_active_parameters_agree_but_for_the_7b_of_a48():
    active = {row.item: row.residual_pct for row in table_rows() if row.item.endswith("activated")}
    assert active.pop("7B a4.8 activated") == pytest.approx(5.7, abs=0.05)
    assert all(abs(residual) < 4 for residual in active.values())


def test_columns_of_trained_models_are_executed_beside_and_never_count_as_reproduced():
    rows = executed_rows()
    beside = [row for row in rows if row.published is not None]
    assert len(beside) == 12
    assert {row.label for row in beside} == {"not reproducible"}
    assert not any(row.reproduced for row in beside)
    tiny = {row.item.split(",")[0]: row.ours for row in beside}
    assert tiny["tiny-a48 out"] == pytest.approx(50.0, abs=1.0)  # TopK masks half of the tokens' values
    assert tiny["tiny-a48 overall"] > tiny["tiny-b158 overall"]


def test_claims_without_a_kernel_are_not_reproducible():
    rows = {row.item: row for row in claim_rows()}
    assert rows["memory of linears, LLaMA / a4.8"].ours == 10
    assert [row.ours for item, row in rows.items() if item.startswith("speed")] == [None, None]
    assert rows["memory of all weights, LLaMA / a4.8, 7B"].ours < 10
