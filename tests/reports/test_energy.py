"""The published energies of BitNet, recomputed from operators, events and prices."""

import pytest

from reports.comparison import prints_as
from reports.energy_2310_11453 import energy_rows, equivalence_rows, matmul_rows, ratio_rows, table_1_rows
from reports.energy_2504_12285 import model_rows


def test_34_of_36_cells_of_table_1_print_the_published_digits() -> None:
    rows = table_1_rows()
    assert len(rows) == 36
    missed = [row.item for row in rows if not prints_as(row.ours, float(row.published or 0), 2)]
    assert missed == ["6.7B W1 7nm ADD", "30B W1 7nm ADD"]
    assert [row.item for row in rows if row.label == "not reproducible"] == missed


def test_the_nine_ratios_agree_within_a_third_of_a_percent() -> None:
    rows = [row for row in ratio_rows() if row.published is not None]
    assert len(rows) == 9
    assert max(abs(row.residual_pct or 0) for row in rows) < 0.30
    same = [row for row in rows if prints_as(row.ours, float(row.published or 0), 1)]
    assert len(same) == 8


@pytest.mark.parametrize(
    ("item", "joules"), [("6.7B W16 7nm MUL", 1.1449), ("13B W32 45nm ADD", 5.8939), ("30B W1 7nm ADD", 0.1349)]
)
def test_cells_equal_an_independent_calculation_of_the_same_convention(item: str, joules: float) -> None:
    (row,) = [row for row in table_1_rows() if row.item == item]
    assert row.ours == pytest.approx(joules, abs=5e-5)


def test_71_4_is_a_per_mac_bound_and_real_hardware_keeps_less() -> None:
    bound, arithmetic, datapath, system = (row.ours for row in matmul_rows())
    assert bound == pytest.approx(0.5 / 0.007)
    assert bound > arithmetic > datapath > 1
    assert system > 1


def test_rows_carry_the_fields_that_machines_read() -> None:
    for row in energy_rows():
        record = row.record()
        assert list(record)[:8] == [
            "paper", "location", "item", "unit", "published", "ours", "residual_pct", "label",
        ]  # fmt: skip
        assert record["label"] in ("derived", "not reproducible", "measured")


def test_rows_that_rest_on_an_assumed_shape_say_so() -> None:
    notes = {row.item: row.note for row in ratio_rows()}
    assert "assumed shape: not published" in notes.pop("70B FP16 / BitNet 7nm")
    assert "assumed shape" in notes.pop("70B FP16 / BitNet 45nm")
    assert all("assumed shape" not in note and "FFN width 4 d" in note for note in notes.values())


def test_the_energy_half_of_the_equivalences_follows_from_the_same_convention() -> None:
    found = {row.item.split(",")[0]: row.ours for row in equivalence_rows()}
    assert found["BitNet 13B / FP16 2.7B energy 7nm"] == pytest.approx(0.09940 / 0.6657, rel=1e-3)
    assert found["BitNet 30B / FP16 6.7B energy 7nm"] == pytest.approx(0.1973 / 1.6835, rel=1e-3)
    assert found["BitNet 70B / FP16 13B energy 7nm"] == pytest.approx(0.4047 / 3.2747, rel=1e-3)


def test_the_six_energies_of_2504_12285_print_the_published_digits_from_shapes_alone() -> None:
    rows = model_rows()
    assert [row.label for row in rows] == ["derived"] * 6
    assert [f"{row.ours:.3f}" for row in rows] == ["0.258", "0.186", "0.347", "0.425", "0.649", "0.028"]
    assert [row.published for row in rows] == [0.258, 0.186, 0.347, 0.425, 0.649, 0.028]


def test_an_energy_of_2504_12285_by_hand() -> None:
    """Llama 3.2 1B at 0.16 and 0.34 pJ: a sum of K products takes K - 1 additions."""
    tokens, d, kv, ffn, layers = 512, 2048, 512, 8192, 16
    linears = [(d, d), (d, kv), (d, kv), (d, d), (d, ffn), (d, ffn), (ffn, d)]
    matmuls = [(tokens, k, n) for k, n in linears] + [(tokens, d, tokens), (tokens, tokens, d)]
    joules = layers * sum(m * n * (0.34 * k + 0.16 * (k - 1)) for m, k, n in matmuls) * 1e-12
    assert model_rows()[0].ours == pytest.approx(joules, rel=1e-9)
