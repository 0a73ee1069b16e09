"""Law 1 and law 8 on the fast kernels: the exact matmul is the int64 matmul; unpack(pack(w)) is w."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsim.datapath import matmul
from bitsim.datapath.matmul import int8_matmul, ternary_matmul
from bitsim.datapath.packed import PackedTernary
from bitsim.errors import OperandError

SHAPES = [(1, 1, 1), (2, 3, 5), (3, 17, 16), (4, 64, 64), (5, 49, 33), (8, 48, 48), (13, 7, 129), (131, 97, 67)]
sizes = st.integers(1, 70)


def naive_matmul(x: Any, w: Any) -> Any:
    return x.astype(np.int64) @ w.astype(np.int64).T


def naive_hf_bytes(w_ternary: Any) -> Any:
    n, k = w_ternary.shape
    rows = -(-n // 4)
    packed = np.zeros((rows, k), np.uint8)
    for row in range(n):
        packed[row % rows] |= (w_ternary[row] + 1).astype(np.uint8) << (2 * (row // rows))
    return packed


def int8_values(rng: Any, shape: tuple[int, ...]) -> Any:
    """Random bytes, a third of them at the ends of the range."""
    x = rng.integers(-128, 128, shape).astype(np.int8)
    ends = rng.integers(0, 6, shape)
    return np.where(ends == 0, np.int8(-128), np.where(ends == 1, np.int8(127), x))


def ternary_values(rng: Any, shape: tuple[int, ...]) -> Any:
    return rng.integers(-1, 2, shape).astype(np.int8)


@settings(deadline=None)
@given(st.integers(1, 20), sizes, sizes, st.integers(0, 2**32 - 1))
def test_ternary_matmul_is_the_int64_matmul(m: int, n: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x_q, w = int8_values(rng, (m, k)), ternary_values(rng, (n, k))
    y = ternary_matmul(x_q, PackedTernary.from_codes(w))
    assert y.dtype == np.int32
    np.testing.assert_array_equal(y, naive_matmul(x_q, w))


@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_both_matmuls_on_awkward_shapes(m: int, n: int, k: int) -> None:
    rng = np.random.default_rng(m)
    x_q, w, w_q = int8_values(rng, (m, k)), ternary_values(rng, (n, k)), int8_values(rng, (n, k))
    np.testing.assert_array_equal(ternary_matmul(x_q, PackedTernary.from_codes(w), threads=1), naive_matmul(x_q, w))
    np.testing.assert_array_equal(int8_matmul(x_q, w_q), naive_matmul(x_q, w_q))


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5, 8, 9, 12, 13, 127, 128, 129])
def test_every_kernel_sees_every_weight_and_activation(m: int) -> None:
    """One weight, then one activation, differs from 0: exactly one column, then one row, of the output does too."""
    n, k = 53, 37
    for at in range(0, n * k, 29):
        w = np.zeros((n, k), np.int8)
        w.flat[at] = -1
        x_q = (np.arange(m * k) % 255 - 127).astype(np.int8).reshape(m, k)
        np.testing.assert_array_equal(ternary_matmul(x_q, PackedTernary.from_codes(w)), naive_matmul(x_q, w))
    w = (np.arange(n * k) * 7 % 3 - 1).astype(np.int8).reshape(n, k)
    for at in range(0, m * k, 1 + m * k // 50):
        x_q = np.zeros((m, k), np.int8)
        x_q.flat[at] = -128
        np.testing.assert_array_equal(ternary_matmul(x_q, PackedTernary.from_codes(w)), naive_matmul(x_q, w))


@pytest.mark.parametrize("m", [4, 70, 140])
def test_a_team_of_threads_computes_the_same(m: int) -> None:
    rng = np.random.default_rng(m)
    x_q, w, w_q = int8_values(rng, (m, 701)), ternary_values(rng, (1603, 701)), int8_values(rng, (1603, 701))
    np.testing.assert_array_equal(ternary_matmul(x_q, PackedTernary.from_codes(w)), naive_matmul(x_q, w))
    np.testing.assert_array_equal(int8_matmul(x_q, w_q), naive_matmul(x_q, w_q))


def test_all_pairs_of_a_weight_and_an_activation() -> None:
    x_q = np.arange(-128, 128).astype(np.int8).reshape(256, 1)
    w = np.array([[-1], [0], [1]], np.int8)
    np.testing.assert_array_equal(ternary_matmul(x_q, PackedTernary.from_codes(w)), naive_matmul(x_q, w))
    np.testing.assert_array_equal(int8_matmul(x_q, x_q), naive_matmul(x_q, x_q))


@pytest.mark.parametrize("m", [1, 6, 128])
@pytest.mark.parametrize("x_value", [-128, 127])
@pytest.mark.parametrize("w_value", [-1, 0, 1])
def test_extreme_sums_beyond_the_integers_of_float32(m: int, x_value: int, w_value: int) -> None:
    k = 140_001  # 127 * 140001 > 2^24
    x_q, w = np.full((m, k), x_value, np.int8), np.full((3, k), w_value, np.int8)
    x_q[:, 0] = 1
    np.testing.assert_array_equal(ternary_matmul(x_q, PackedTernary.from_codes(w)), naive_matmul(x_q, w))


@pytest.mark.parametrize("m", [1, 40])
def test_int8_matmul_reaches_the_end_of_int32(m: int) -> None:
    k = matmul.MAX_K_INT8
    x_q, w_q = np.full((m, k), -128, np.int8), np.full((2, k), -128, np.int8)
    assert int8_matmul(x_q, w_q).tolist() == [[k * 2**14] * 2] * m


def test_blas_path_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matmul, "has_native_dpbusd", lambda: False)
    rng = np.random.default_rng(5)
    for k in (1, 1024, 1025, 2**17 + 3):
        x_q, w = int8_values(rng, (33, k)), ternary_values(rng, (5, k))
        np.testing.assert_array_equal(ternary_matmul(x_q, PackedTernary.from_codes(w)), naive_matmul(x_q, w))
        ends = np.full((2, min(k, 5000)), -128, np.int8)
        x_q = np.full((33, min(k, 5000)), -128, np.int8)
        x_q[:, 0] = 127
        np.testing.assert_array_equal(int8_matmul(x_q, ends), naive_matmul(x_q, ends))


@settings(deadline=None)
@given(sizes, sizes, st.integers(0, 2**32 - 1))
def test_unpack_of_pack_is_the_weights(n: int, k: int, seed: int) -> None:
    w = ternary_values(np.random.default_rng(seed), (n, k))
    packed = PackedTernary.from_codes(w)
    np.testing.assert_array_equal(packed.codes(), w)
    chosen = np.arange(n)[:: -1 if n % 2 else 3]
    np.testing.assert_array_equal(packed.rows(chosen), w[chosen])
    assert packed.nbytes == -(-n // 16) * -(-k // 16) * 64
    from_hf = PackedTernary.from_hf_bytes(naive_hf_bytes(w), n)
    np.testing.assert_array_equal(from_hf.packed, packed.packed)


def test_layout_of_one_line() -> None:
    w = np.zeros((32, 32), np.int8)
    w[16 + 5, 16 + 4 * 2 + 3] = 1  # block 1, lane 5; group 1, quad 2, k 3 in it
    packed = PackedTernary.from_codes(w).packed
    zero = 0b01_01_01_01
    assert packed[1, 1, 4 * 5 + 3] == 0b01_10_01_01
    assert int((packed != zero).sum()) == 1


def test_operands_are_checked() -> None:
    w = PackedTernary.from_codes(np.zeros((3, 5), np.int8))
    with pytest.raises(OperandError, match=r"x_q: expected \(M, K=5\) to match the weights, got \(2, 4\)"):
        ternary_matmul(np.zeros((2, 4), np.int8), w)
    with pytest.raises(OperandError, match=r"x_q: expected a matrix of int8, got int32 \(2, 5\)"):
        ternary_matmul(np.zeros((2, 5), np.int32), w)
    with pytest.raises(OperandError, match="threads: expected at least 1, got 0"):
        ternary_matmul(np.zeros((2, 5), np.int8), w, threads=0)
    with pytest.raises(OperandError, match=r"w_q: expected \(N, K=5\)"):
        int8_matmul(np.zeros((2, 5), np.int8), np.zeros((3, 4), np.int8))
    with pytest.raises(OperandError, match="expected K <= 131071"):
        int8_matmul(np.zeros((1, 2**17), np.int8), np.zeros((1, 2**17), np.int8))
    with pytest.raises(OperandError, match="expected -1, 0 or 1, got 0 to 2"):
        PackedTernary.from_codes(np.array([[0, 2]], np.int8))
    with pytest.raises(OperandError, match="rows: expected indices 0 to 2, got 1 to 3"):
        w.rows(np.array([1, 3]))
    with pytest.raises(OperandError, match="got code 3"):
        PackedTernary.from_hf_bytes(np.array([[3]], np.uint8), 1)
    with pytest.raises(OperandError, match=r"expected uint8 \(2, K\) for N=5"):
        PackedTernary.from_hf_bytes(np.zeros((1, 4), np.uint8), 5)
    with pytest.raises(OperandError, match="packed weights: expected contiguous uint8"):
        PackedTernary(packed=w.packed, n=17, k=5)


def test_empty_operands_give_empty_or_zero_outputs() -> None:
    assert ternary_matmul(np.zeros((0, 5), np.int8), PackedTernary.from_codes(np.zeros((3, 5), np.int8))).shape == (
        0,
        3,
    )
    assert int8_matmul(np.zeros((2, 0), np.int8), np.zeros((3, 0), np.int8)).tolist() == [[0] * 3] * 2
