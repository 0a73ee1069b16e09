"""Law 2 on narrow registers: results, overflow counts and the first overflow equal the obvious loops."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsim.datapath.kernels.overflow import WIDEST, array_ws_overflow


def naive_fit(value: int, bits: int, saturate: bool) -> tuple[int, bool]:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if low <= value <= high:
        return value, False
    return (min(max(value, low), high) if saturate else (value - low) % 2**bits + low), True


def naive_ws_overflow(x: Any, w: Any, rows: int, acc_bits: int, column_acc_bits: int, saturate: bool) -> Any:
    y = np.zeros((x.shape[0], w.shape[0]), np.int64)
    psum_overflows, column_overflows, places = 0, 0, [(10**9,) * 3]
    for (m, vector), (n, column) in product(enumerate(x.tolist()), enumerate(w.tolist())):
        acc = 0
        for k0 in range(0, len(vector), rows):
            psum = 0
            for k in range(k0, min(k0 + rows, len(vector))):
                psum, over = naive_fit(psum + vector[k] * column[k], acc_bits, saturate)
                psum_overflows += over
                places += [(m, k, n)] * over
            acc, over = naive_fit(acc + psum, column_acc_bits, saturate)
            column_overflows += over
            places += [(m, k0, n)] * over
        y[m, n] = acc
    first = min(places)
    return y, psum_overflows, column_overflows, list(first) if first[0] < 10**9 else [-1, -1, -1]


def check(x: Any, w: Any, rows: int, acc_bits: int, column_acc_bits: int, saturate: bool) -> None:
    y, psums, columns, first = array_ws_overflow(x, w, rows, acc_bits, column_acc_bits, saturate)
    want = naive_ws_overflow(x, w, rows, acc_bits, column_acc_bits, saturate)
    np.testing.assert_array_equal(y, want[0])
    assert (psums, columns, first.tolist()) == want[1:]
    assert y.dtype == first.dtype == np.int64
    y, overflows, _, first = array_ws_overflow(x, w, x.shape[1], acc_bits, WIDEST, saturate)
    want = naive_ws_overflow(x, w, x.shape[1], acc_bits, 62, saturate)
    np.testing.assert_array_equal(y, want[0])
    assert (overflows, first.tolist()) == (want[1], want[3])


@settings(deadline=None, max_examples=200)
@given(
    seed=st.integers(0, 2**32 - 1),
    m=st.integers(1, 5),
    n=st.integers(1, 19),
    k=st.integers(1, 40),
    rows=st.integers(1, 45),
    acc_bits=st.integers(2, 20),
    column_acc_bits=st.integers(2, 24),
    saturate=st.booleans(),
    largest=st.sampled_from([1, 7, 127]),
)
def test_narrow_registers_equal_the_obvious_loops(
    seed: int, m: int, n: int, k: int, rows: int, acc_bits: int, column_acc_bits: int, saturate: bool, largest: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-largest - 1, largest + 1, (m, k)).astype(np.int8)
    w = rng.integers(-largest - 1, largest + 1, (n, k)).astype(np.int8)
    check(x, w, rows, acc_bits, column_acc_bits, saturate)


@pytest.mark.parametrize("saturate", [False, True])
@pytest.mark.parametrize("acc_bits", [2, 3, 8, 15, 16])
def test_all_products_of_two_bytes(acc_bits: int, saturate: bool) -> None:
    x = np.arange(-128, 128).astype(np.int8).reshape(-1, 1)
    check(x, x[::5].copy(), 1, acc_bits, 9, saturate)


def test_the_first_overflow_is_ordered_by_m_then_k_then_n() -> None:
    x = np.array([[1, 1, 1, 1], [100, 100, 100, 100]], np.int8)
    w = np.array([[0, 0, 0, 1], [1, 1, 0, 0], [1, 1, 1, 1]], np.int8)
    assert array_ws_overflow(x, w, 4, 8, 20, False)[3].tolist() == [1, 1, 1]
    # The accumulator overflows only after the tile, but its place is the tile's first k.
    assert array_ws_overflow(x, w, 4, 8, 8, False)[3].tolist() == [1, 1, 1]
    assert array_ws_overflow(x, w, 2, 20, 8, False)[3].tolist() == [1, 0, 1]
    assert array_ws_overflow(x, w, 4, 20, 20, False)[3].tolist() == [-1, -1, -1]


def test_both_ends_of_the_range_are_inside() -> None:
    x, w = np.array([[127, 1]], np.int8), np.array([[1, 0], [1, 1], [-1, -1], [-1, -2]], np.int8)
    y, overflows, _, first = array_ws_overflow(x, w, 2, 8, WIDEST, False)
    assert y.tolist() == [[127, -128, -128, 127]]
    assert (overflows, first.tolist()) == (2, [0, 1, 1])
    assert array_ws_overflow(x, w, 2, 8, WIDEST, True)[0].tolist() == [[127, 127, -128, -128]]


def test_a_team_of_threads_counts_the_same() -> None:
    rng = np.random.default_rng(0)
    x, w = (rng.integers(-9, 10, shape).astype(np.int8) for shape in ((20, 70), (67, 70)))
    check(x, w, 16, 9, 10, False)
    check(x, w, 16, 9, 10, True)
