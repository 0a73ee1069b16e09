"""Law 2 on the toggle counters: the SIMD counts equal those of registers stepped one by one."""

from itertools import product
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsim.datapath.toggles import acc_toggles_os, acc_toggles_os_int8, psum_toggles_ws, psum_toggles_ws_int8
from bitsim.errors import OperandError


def naive_psum_toggles_ws(x: Any, w: Any, rows: int, acc_bits: int) -> int:
    mask = 2**acc_bits - 1
    toggles = 0
    for k0 in range(0, x.shape[1], rows):
        for column in w.tolist():
            registers = [0] * rows
            for vector in [*x.tolist(), None]:
                psum = 0
                for r in range(rows):
                    k = k0 + r
                    if vector is not None and k < len(vector):
                        psum = (psum + vector[k] * column[k]) & mask
                    toggles += (registers[r] ^ psum).bit_count()
                    registers[r] = psum
    return toggles


def naive_acc_toggles_os(x: Any, w: Any, acc_bits: int) -> int:
    mask = 2**acc_bits - 1
    toggles = 0
    for vector, column in product(x.tolist(), w.tolist()):
        acc = 0
        for a, b in zip(vector, column, strict=True):
            new = (acc + a * b) & mask
            toggles += (acc ^ new).bit_count()
            acc = new
    return toggles


def operands(seed: int, m: int, n: int, k: int, largest_weight: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, (m, k)).astype(np.int8)
    x[rng.random((m, k)) < 0.2] = -128
    w = rng.integers(-largest_weight, largest_weight + 1, (n, k)).astype(np.int8)
    if largest_weight > 1:
        w[rng.random((n, k)) < 0.2] = -128
    return x, w


cases = given(
    seed=st.integers(0, 2**32 - 1),
    m=st.integers(1, 9),
    n=st.integers(1, 19),
    k=st.integers(1, 40),
    rows=st.integers(1, 45),
    acc_bits=st.integers(2, 32),
)


@settings(deadline=None)
@cases
def test_ternary_counts_equal_stepped_registers(seed: int, m: int, n: int, k: int, rows: int, acc_bits: int) -> None:
    x, w = operands(seed, m, n, k, 1)
    assert psum_toggles_ws(x, w, rows, acc_bits) == naive_psum_toggles_ws(x, w, rows, acc_bits)
    assert acc_toggles_os(x, w, acc_bits) == naive_acc_toggles_os(x, w, acc_bits)


@settings(deadline=None)
@cases
def test_int8_counts_equal_stepped_registers(seed: int, m: int, n: int, k: int, rows: int, acc_bits: int) -> None:
    x, w = operands(seed, m, n, k, 127)
    assert psum_toggles_ws_int8(x, w, rows, acc_bits) == naive_psum_toggles_ws(x, w, rows, acc_bits)
    assert acc_toggles_os_int8(x, w, acc_bits) == naive_acc_toggles_os(x, w, acc_bits)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 7, 8, 12, 13, 100])
def test_every_lane_row_and_step_is_counted_once(rows: int) -> None:
    """A single weight and a single activation: one product in one place, passed on by the rows below it."""
    m, n, k = 6, 33, 13
    for m_at, n_at, k_at in product(range(m), (0, 15, 16, 32), range(k)):
        x, w = np.zeros((m, k), np.int8), np.zeros((n, k), np.int8)
        x[m_at, k_at], w[n_at, k_at] = 7, -1
        passed_on = rows - k_at % rows
        assert psum_toggles_ws(x, w, rows, 8) == 2 * passed_on * (-7 & 255).bit_count()
        assert acc_toggles_os(x, w, 8) == (-7 & 255).bit_count()


@pytest.mark.parametrize("acc_bits", [2, 8, 31, 32])
def test_all_pairs_of_a_weight_and_an_activation(acc_bits: int) -> None:
    x = np.arange(-128, 128).astype(np.int8).reshape(-1, 1)
    for w in (np.array([[-1], [0], [1]], np.int8), x[::17].copy()):
        assert psum_toggles_ws_int8(x, w, 1, acc_bits) == naive_psum_toggles_ws(x, w, 1, acc_bits)
        assert acc_toggles_os_int8(x, w, acc_bits) == naive_acc_toggles_os(x, w, acc_bits)


def test_reference_value_of_the_rtl() -> None:
    """8 x 8 array, M = 20000, ACC = 20: 11 405 812 psum toggles in Verilator (same generator, same draw order)."""
    rng = np.random.default_rng(0)
    m, rows, columns = 20000, 8, 8
    g = rng.standard_normal((m, rows))
    scale = np.abs(rng.standard_normal((64, 4096))).max(axis=1).mean()
    x = np.clip(np.rint(127 * g / scale), -128, 127).astype(np.int8)
    w = rng.standard_normal((rows, columns))
    w_ternary = np.clip(np.rint(w / np.abs(w).mean()), -1, 1).astype(np.int8)
    assert psum_toggles_ws(x, np.ascontiguousarray(w_ternary.T), rows, 20) == 11_405_812


def test_counts_of_many_toggles_do_not_wrap() -> None:
    """Every bit of every register flips at every step: more than 2^31 toggles in one register column."""
    m = 2**20
    x = np.zeros((m, 1), np.int8)
    x[::2] = -1  # all ones, then zero
    w = np.ones((1, 1), np.int8)
    assert psum_toggles_ws(x, w, 100, 32) == 100 * 32 * m
    assert psum_toggles_ws(np.repeat(x, 8, axis=1), np.array([[1, 0, 0, 0, 0, 0, 0, 0]], np.int8), 8, 32) == 8 * 32 * m


def test_operands_are_checked() -> None:
    x, w = np.zeros((2, 5), np.int8), np.zeros((3, 5), np.int8)
    with pytest.raises(OperandError, match="rows: expected at least 1, got 0"):
        psum_toggles_ws(x, w, 0, 20)
    for acc_bits in (1, 33):
        with pytest.raises(OperandError, match="acc_bits: expected 2 to 32"):
            acc_toggles_os(x, w, acc_bits)
    with pytest.raises(OperandError, match="expected -1, 0 or 1, got 0 to 2"):
        psum_toggles_ws(x, np.full((3, 5), 2, np.int8) * np.eye(3, 5, dtype=np.int8), 4, 20)
    with pytest.raises(OperandError, match=r"weights: expected \(N, K=5\)"):
        acc_toggles_os_int8(x, w[:, :4], 20)
    with pytest.raises(OperandError, match="activations: expected a matrix of int8, got int16"):
        acc_toggles_os(x.astype(np.int16), w, 20)
    assert psum_toggles_ws(x[:0], w, 4, 20) == 0


def test_a_team_of_threads_counts_the_same() -> None:
    x, w = operands(1, 50, 203, 149, 1)
    together = (psum_toggles_ws(x, w, 24, 13), acc_toggles_os(x, w, 13))
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        assert (psum_toggles_ws(x, w, 24, 13), acc_toggles_os(x, w, 13)) == together
    finally:
        numba.set_num_threads(before)
