"""bitnet.cpp on an M2 Ultra: two sizes are fitted and say so, the others are predictions with their errors."""

import pytest

from reports.cpu import FITTED_ON, cpu_rows, energy_rows, laptop_row, speed_rows


def test_two_sizes_of_each_program_are_fitted_and_all_others_predicted():
    rows = speed_rows()
    assert len(rows) == 12 + 11  # llama.cpp has no 100B
    fitted = [row for row in rows if row.label == "fitted"]
    assert [row.item for row in fitted] == [f"{p} {s}" for p in ("llama.cpp", "bitnet.cpp") for s in FITTED_ON]
    assert all(abs(row.residual_pct) < 1e-9 and not row.reproduced for row in fitted)
    assert {row.label for row in rows} == {"fitted", "predicted"}


def test_predictions_by_an_independent_calculation():
    """7B of bitnet.cpp: the two equations of 700M and 70B, solved by hand.

    L a + B b = 1 / v with L = 24, 80; B = linears / 4 + 4 * 16000 * d bytes; v = 194.38, 8.67 tokens per second.
    """

    def size(d, f, layers):
        return layers * (4 * d * d + 3 * d * f) / 4 + 2 * 32000 * d

    small, large, seven = size(1536, 4096, 24), size(8192, 24576, 80), size(4096, 12032, 32)
    per_byte = (1 / 8.67 - 80 / 24 / 194.38) / (large - 80 / 24 * small)
    layer = (1 / 194.38 - small * per_byte) / 24
    (row,) = [row for row in speed_rows() if row.item == "bitnet.cpp 7B"]
    assert row.ours == pytest.approx(1 / (32 * layer + seven * per_byte), rel=1e-9)
    assert row.published == 52.36


def test_predicted_errors_stay_what_they_are_documented_as():
    """The worst predictions: 22.3 % of bitnet.cpp's speeds, 6.8 % of llama.cpp's, 11.7 % of energies."""
    for program, worst in (("bitnet.cpp", 22.4), ("llama.cpp", 6.9)):
        found = [abs(row.residual_pct) for row in speed_rows() if row.item.startswith(program)]
        assert worst - 0.2 < max(found) < worst
    assert 11 < max(abs(row.residual_pct) for row in energy_rows()) < 12


def test_the_laptop_has_a_lower_bound_only():
    row = laptop_row()
    assert row.label == "derived"
    assert row.ours == pytest.approx((2_084_044_800 / 4 + 2 * 128256 * 2560) / 102.4e9 * 1e3)
    assert row.ours < row.published
    assert row in cpu_rows()
