"""Pricing as a matrix product: the same numbers as row by row, and draws that are what they are said to be."""

import math

import numpy as np
import pytest

import bitsim
from bitsim.cost import CONVENTIONS, Price
from bitsim.cost.energy import Amount
from bitsim.cost.matrix import Columns, at_levels, distinct_constants, key_of, totals
from bitsim.cost.shares import is_assumed, share_resting_on, shares
from bitsim.hw.constants import Constant

CHIPS = ("ternary-ws-64x64", "adder-tree-16x256", "int8-ws-64x64", "ternary-lut-g4-sram", "vitallm-v2")


def constant(low: float, nominal: float, high: float, source: str = "x", evidence: str = "assumed") -> Constant:
    return Constant(low=low, nominal=nominal, high=high, unit="pJ", source=source, evidence=evidence)  # type: ignore[arg-type]


A, B = constant(1, 2, 8, "a"), constant(10, 20, 30, "b", "measured")
FIXED = constant(3, 3, 3, "c")
# By math.exp, math.log and math.sqrt, at numpy's PCG64 seeded with 0 and the SHA-256 of A's numbers and texts.
DRAWN = ["0x1.96571b9620af7p+1", "0x1.fe386d8ed4e00p+0", "0x1.71d4bd6d39f7dp+0"]
# 5 a, 7 a b and b^-0.5 c
PRICES = (
    Price.of(A, "a").scaled(5.0),
    Price.of(A, "a").scaled(7.0).scaled(B, "b"),
    Price.of(FIXED, "c").scaled(B, "b", -0.5),
)


@pytest.mark.parametrize("chip", CHIPS)
def test_the_matrix_equals_the_sum_of_rows_at_every_level_and_in_every_convention(chip: str) -> None:
    result = bitsim.estimate("bitnet-125m", chip, prefill=16, decode=2)
    assert result.priced
    for convention in result.priced:
        amounts = result.amounts(convention)
        found = totals(np.array([a.count for a in amounts], dtype=float), at_levels([a.price for a in amounts]))
        rows = result.energy_range(convention)
        assert found.tolist() == pytest.approx([rows.low, rows.nominal, rows.high], rel=1e-12)


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_amounts_by_component_are_the_energies_of_the_breakdown(phase: str) -> None:
    result = bitsim.estimate("bitnet-125m", CHIPS[0], prefill=16, decode=2)
    for convention in CONVENTIONS:
        wanted: dict[str, float] = {}
        for _, part, energy in result.breakdown(convention, phase):
            wanted[part] = wanted.get(part, 0.0) + energy.high
        found = dict.fromkeys(wanted, 0.0)
        for amount in result.amounts(convention, phase):
            found[amount.component] += amount.energy.high
        assert found == pytest.approx(wanted, rel=1e-12)


def test_one_by_one_moves_each_constant_and_leaves_the_others_nominal() -> None:
    """Columns: nominal; a = 1, a = 8; b = 10, b = 30; c does not move."""
    columns = Columns.one_by_one(distinct_constants([("a", A), ("b", B)]))
    prices = columns.prices(PRICES)
    assert prices[0].tolist() == [10, 5, 40, 10, 10]
    assert prices[1].tolist() == [280, 140, 1120, 140, 420]
    assert prices[2].tolist() == pytest.approx([3 / math.sqrt(b) for b in (20, 20, 20, 10, 30)])
    assert totals(np.array([1.0, 2.0, 0.0]), prices).tolist() == [570, 285, 2280, 290, 850]
    # amounts may differ from column to column
    assert totals(np.array([[1.0, 0, 0, 0, 2], [0] * 5, [0] * 5]), prices).tolist() == [10, 0, 0, 0, 20]


def test_a_price_falls_with_a_constant_of_negative_exponent_and_its_ends_are_turned_round() -> None:
    assert at_levels(PRICES)[2].tolist() == pytest.approx([3 / math.sqrt(b) for b in (30, 20, 10)])


def test_draws_lie_within_their_range_and_have_the_triangles_quartiles() -> None:
    """Over log(value) from log 1 to log 8, mode at log 2: F(mode) = 1/3; the median is 8 / exp(log 8 sqrt(1/3))."""
    drawn = Columns.drawn(distinct_constants([("a", A)]), 20_000, 0).of(A)
    assert drawn is not None
    assert 1 <= drawn.min() < 1.1
    assert 7 < drawn.max() <= 8
    assert np.mean(drawn < 2) == pytest.approx(1 / 3, abs=0.01)
    width = math.log(8)
    median = math.exp(width - math.sqrt(0.5 * width * (width - math.log(2))))
    assert np.median(drawn) == pytest.approx(median, rel=0.02)


def test_a_constant_that_may_be_nothing_is_drawn_over_its_value() -> None:
    """From 0 to 12 with its mode at 4: F(mode) = 1/3, the mean is 16 / 3."""
    zero = constant(0, 4, 12)
    drawn = Columns.drawn(distinct_constants([("z", zero)]), 20_000, 1).of(zero)
    assert drawn is not None
    assert drawn.min() >= 0
    assert drawn.max() <= 12
    assert np.mean(drawn < 4) == pytest.approx(1 / 3, abs=0.01)
    assert drawn.mean() == pytest.approx(16 / 3, rel=0.02)


def test_a_constant_is_drawn_the_same_whoever_is_drawn_beside_it_and_otherwise_for_another_seed() -> None:
    alone, together, other = (
        Columns.drawn(distinct_constants(named), 5, seed).of(A)
        for named, seed in (([("a", A)], 3), ([("b", B), ("also", A), ("c", FIXED)], 3), ([("a", A)], 4))
    )
    assert alone is not None
    assert together is not None
    assert other is not None
    assert alone.tolist() == together.tolist() != other.tolist()


def test_the_numbers_of_a_draw_are_the_same_on_every_machine() -> None:
    drawn = Columns.drawn(distinct_constants([("a", A)]), 3, 0).of(A)
    assert drawn is not None
    assert [value.hex() for value in drawn.tolist()] == DRAWN


def test_constants_of_the_same_number_and_source_are_one_and_move_together() -> None:
    twin, other = constant(1, 2, 8, "a"), constant(1, 2, 8, "another")
    found = distinct_constants([("x", A), ("y", twin), ("z", other), ("x", A)])
    assert [(d.names, d.moves) for d in found.values()] == [(("x", "y"), True), (("z",), True)]
    assert not distinct_constants([("c", FIXED)])[key_of(FIXED)].moves
    prices = Columns.drawn(found, 50, 0).prices([Price.of(A, "x"), Price.of(twin, "y"), Price.of(other, "z")])
    assert prices[0].tolist() == prices[1].tolist() != prices[2].tolist()


def test_a_share_is_what_vanishes_with_a_constant() -> None:
    """2 x (3 a) and 1 x (5 a b + 4 c) at a = 2, b = 20, c = 3: 12 + 200 + 12 = 224."""
    both = Price.of(A, "a").scaled(5.0).scaled(B, "b") + Price.of(FIXED, "c").scaled(4.0)
    found = [
        Amount(item="one", component="x", count=2, price=Price.of(A, "a").scaled(3.0)),
        Amount(item="two", component="x", count=1, price=both.scaled(B, "it decided", 0.0)),
    ]
    assert shares(found) == pytest.approx({key_of(A): 212 / 224, key_of(B): 200 / 224, key_of(FIXED): 12 / 224})
    assert share_resting_on(found, is_assumed) == 1
    assert share_resting_on(found, lambda c: c.evidence == "measured") == pytest.approx(200 / 224)
    assert (shares([]), share_resting_on([], is_assumed)) == ({}, 0)
