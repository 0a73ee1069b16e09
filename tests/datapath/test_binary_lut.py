"""Mirrored tables of binary sums: the identities that they rest on, and what rounding their entries does."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bitsim
from bitsim.datapath.binary_lut import BinaryLut
from bitsim.datapath.outcomes import Deviation
from bitsim.datapath.reference.binary_lut import Table, code_of
from bitsim.datapath.reference.common import Ledger
from bitsim.errors import OperandError
from bitsim.hw import load_chip
from bitsim.hw.datapaths import BinaryLutSpec
from tests.datapath.zoo import binary_luts, int64_matmul, integers, roomy

ROUNDED = (4, 7, 8, 9)


def lut(**fields: Any) -> BinaryLut:
    return BinaryLut(BinaryLutSpec(kind="binary_lut", **({"tables": 1, "lanes": 4, "acc_bits": 24} | fields)))


@pytest.mark.parametrize("acts", [(-128,) * 4, (127,) * 4, (3, -5, 7, -128), (-128, 127, 127, 127)])
def test_exhaustive_all_81_patterns_of_weights_of_one_table(acts: tuple[int, ...]) -> None:
    w = np.array(list(product((-1, 0, 1), repeat=4)), np.int8)
    x = np.array([acts], np.int8)
    np.testing.assert_array_equal(lut().execute(x, w).y, int64_matmul(x, w))


def test_exhaustive_a_mirrored_table_serves_all_16_codes() -> None:
    acts = [3, -50, 127, -128]
    table = Table(lut().spec, Ledger())
    table.build(acts)
    for code in range(16):
        signs = [-1 if code >> b & 1 else 1 for b in range(4)]
        assert table.look_up(code) == sum(s * a for s, a in zip(signs, acts, strict=True))


def test_the_planes_of_a_weight_are_signs_whose_mean_it_is() -> None:
    for weight in (-1, 0, 1):
        assert sum(1 - 2 * code_of([weight], plane) for plane in (0, 1)) == 2 * weight


@given(data=st.data())
def test_rounded_entries_cost_at_most_a_step_per_table(data: st.DataObject) -> None:
    """Clamped entries, whose sum rounds to 512, are off by less than a step; outputs halve two lookups per table."""
    spec = data.draw(binary_luts(ROUNDED))
    datapath = BinaryLut(roomy(spec))
    x, w = data.draw(integers(datapath, largest=40))
    done, exact = datapath.execute(x, w), int64_matmul(x, w)
    assert not datapath.exact
    step, tables = 2**spec.dropped_bits, -(-x.shape[1] // 4)
    assert np.abs(done.y - exact).max() <= step * tables
    assert done.deviation == Deviation.between(done.y, exact)


@pytest.mark.parametrize("bits", ROUNDED)
def test_rounded_tables_are_exact_for_sums_that_need_no_rounding(bits: int) -> None:
    """Entries of multiples of the step: all activations are, and no entry is clamped."""
    step = 2 ** (10 - bits)
    rng = np.random.default_rng(bits)
    x = (step * rng.integers(-64 // step, 64 // step, (5, 21))).astype(np.int8)
    w = rng.integers(-1, 2, (6, 21)).astype(np.int8)
    np.testing.assert_array_equal(lut(table_bits=bits).execute(x, w).y, int64_matmul(x, w))


def test_fewer_bits_deviate_more() -> None:
    rng = np.random.default_rng(1)
    x, w = rng.integers(-127, 128, (20, 256)).astype(np.int8), rng.integers(-1, 2, (30, 256)).astype(np.int8)
    found = [lut(table_bits=bits).execute(x, w, toggles="off").deviation for bits in (9, 8, 7, 6, 5, 4)]
    errors = [deviation.rms_relative for deviation in found if deviation]
    assert len(errors) == 6
    assert 0 < errors[0] < errors[1] < 0.02
    assert errors == sorted(errors)
    assert lut(table_bits=10).execute(x, w).deviation is None


@given(data=st.data())
def test_bounds_of_rounded_tables_are_reached_and_never_left(data: st.DataObject) -> None:
    spec = data.draw(binary_luts(ROUNDED))
    datapath, k = BinaryLut(spec), data.draw(st.integers(1, 70))
    low, ones = np.full((1, k), -128, np.int8), np.ones((1, k), np.int8)
    bound = datapath.bounds(k)["acc"]
    assert datapath.seen(low, ones)["acc"].low == bound.low
    assert datapath.seen(low, -ones)["acc"].high == bound.high
    x, w = data.draw(integers(datapath, largest=30))
    seen = datapath.seen(x, w)["acc"]
    assert datapath.bounds(x.shape[1])["acc"].low <= seen.low <= seen.high <= datapath.bounds(x.shape[1])["acc"].high


def test_operands_out_of_range_name_the_first_offender() -> None:
    x, w = np.zeros((2, 5), np.int16), np.zeros((3, 5), np.int8)
    x[1, 3] = 128
    with pytest.raises(OperandError, match=r"^x\[1, 3\]: expected -128\.\.127, got 128$"):
        lut(table_bits=8).execute(x, w)
    w[2, 1] = -2
    with pytest.raises(OperandError, match=r"^w\[2, 1\]: expected -1\.\.1, got -2$"):
        lut(table_bits=8).execute(np.zeros((2, 5), np.int8), w)


def test_a_run_reports_how_far_int8_tables_are_off() -> None:
    exact, rounded = (bitsim.run("tiny-b158", name, prompt="In") for name in ("binary-lut-b4", "binary-lut-b4-int8"))
    assert not any("not exact" in note or "BitLinear sums" in note for note in exact.notes)
    notes = "\n".join(rounded.notes)
    assert f"{BinaryLut(load_chip('binary-lut-b4-int8').bitlinear)!r} is not exact: it rounds the entries" in notes
    assert "BitLinear sums: linear: " in notes
    assert exact.logits is not None
    assert rounded.logits is not None
    assert 0 < np.abs(exact.logits - rounded.logits).max() < 2


def test_an_evaluation_reports_how_far_int8_tables_are_off() -> None:
    names = ("binary-lut-b4", "binary-lut-b4-int8")
    exact, rounded = (bitsim.evaluate("tiny-b158", name, limit=40).score for name in names)
    assert (exact.wrong_sums, exact.largest_sum_error, exact.rms_sum_error) == (0, 0, 0)
    assert rounded.wrong_sums > 1000
    assert 0.001 < rounded.rms_sum_error < 0.05
    assert abs(exact.bits_per_byte - rounded.bits_per_byte) < 0.2
