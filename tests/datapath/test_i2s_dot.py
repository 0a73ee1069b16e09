"""bitnet.cpp's I2_S matmul: equal to its twin, to the compiled kernel, and to the exact product until it wraps."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.datapath.i2s_dot import VARIANTS, can_wrap, i2s_matmul
from bitsim.datapath.packed import PackedTernary
from bitsim.datapath.reference import i2s
from bitsim.errors import OperandError, UnknownNameError

BOTH = pytest.mark.parametrize("variant", sorted(VARIANTS))


def exact(x: Any, w: Any) -> Any:
    return x.astype(np.int64) @ w.astype(np.int64).T


@st.composite
def operands(draw: st.DrawFn, variant: str) -> tuple[Any, Any]:
    """Generates `x_q` (M, K) and codes (N, K): K up to two groups and a part; near-constant ones wrap."""
    block = VARIANTS[variant].block
    m, n, blocks = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 70))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    k = block * blocks
    low, high = draw(st.sampled_from([(-128, 128), (-8, 8), (120, 128), (-128, -120), (60, 68), (0, 128)]))
    x = rng.integers(low, high, (m, k)).astype(np.int8)
    if draw(st.booleans()):
        x[0] = rng.integers(-10, 10, k)
    nonzero = draw(st.sampled_from([0.1, 0.6, 1.0]))
    sign = draw(st.sampled_from([[1], [-1], [-1, 1]]))
    return x, (rng.choice(sign, (n, k)) * (rng.random((n, k)) < nonzero)).astype(np.int8)


@BOTH
@given(data=st.data())
def test_equals_the_twin(variant: str, data: st.DataObject) -> None:
    x, w = data.draw(operands(variant))
    wanted, wraps = i2s.i2s_matmul(x, w, variant)
    for weights in (w, PackedTernary.from_codes(w)):
        got = i2s_matmul(x, weights, variant)
        assert got.y.dtype == np.int32
        np.testing.assert_array_equal(got.y, wanted)
        assert got.wrapped == len(wraps)
        assert got.first == (min(wraps) if wraps else None)


@BOTH
@given(data=st.data())
def test_is_exact_unless_a_lane_wraps_and_then_off_by_multiples_of_2_to_the_16(
    variant: str, data: st.DataObject
) -> None:
    x, w = data.draw(operands(variant))
    got = i2s_matmul(x, w, variant)
    error = got.y - exact(x, w)
    assert not (error % 2**16).any()
    if not got.wrapped:
        assert not error.any()
    assert got.wrapped == 0 or can_wrap(x, variant).any()


@BOTH
@pytest.mark.parametrize("blocks", [1, 16, 17, 31, 32, 33, 64, 65])
def test_exact_within_the_published_bound(variant: str, blocks: int) -> None:
    """8 products per block and lane of at most 2 max|q|: safe while they fit int16, and can wrap from the next q on."""
    largest = 32767 // (8 * min(blocks, 32) * 2)
    w = np.ones((1, blocks * VARIANTS[variant].block), np.int8)
    inside = np.full(w.shape, min(largest, 127), np.int8)
    assert not can_wrap(inside, variant).any()
    assert not can_wrap(-inside, variant).any()
    np.testing.assert_array_equal(i2s_matmul(inside, w, variant).y, exact(inside, w))
    if largest < 127:
        outside = inside + np.int8(1)
        assert can_wrap(outside, variant).all()
        got = i2s_matmul(outside, w, variant)
        assert got.wrapped == VARIANTS[variant].lanes * max(1, blocks // 32)
        assert got.first == (0, 0, 0)


@given(data=st.data())
def test_weights_that_wrap_exist_where_it_says_so(data: st.DataObject) -> None:
    x, _ = data.draw(operands("avx2"))
    x = x[:1]
    worst = np.where([[1], [-1]] * x > 0, 1, -1).astype(np.int8)
    assert can_wrap(x)[0] == (i2s_matmul(x, worst).wrapped > 0)


def test_measured_value_of_the_compiled_kernel() -> None:
    """K = 4096, all weights +1, all q = 127: the kernel returns -8192 for 1,040,384 (measured, microsoft/BitNet)."""
    x, w = np.full((1, 4096), 127, np.int8), np.ones((1, 4096), np.int8)
    got = i2s_matmul(x, w)
    assert got.y[0, 0] + 127 * 4096 == -8192
    assert (got.wrapped, got.first) == (16, (0, 0, 0))


@pytest.mark.parametrize("case", ["a", "b"])
def test_golden_sums_of_the_compiled_kernel(golden: Any, case: str) -> None:
    vectors = np.load(golden / "gguf" / "i2s_vectors.npz")
    q, codes = vectors[f"{case}.q"][None], vectors[f"{case}.tern"]
    raw = i2s_matmul(q, codes).y[0] + q.sum(dtype=np.int64)
    np.testing.assert_array_equal(raw, vectors[f"{case}.rawdot"])


def test_the_first_wrap_is_ordered_by_m_then_k_then_n() -> None:
    x = np.zeros((3, 3 * 4096), np.int8)
    x[1, 4096:] = 127
    w = np.zeros((3, 3 * 4096), np.int8)
    w[0, 8192:], w[1:, 4096:] = 1, 1
    got = i2s_matmul(x, w)
    assert (got.wrapped, got.first) == (5 * 16, (1, 4096, 1))


@BOTH
def test_a_team_of_threads_gives_the_same(variant: str) -> None:
    rng = np.random.default_rng(2)
    x, w = np.full((9, 4096), 127, np.int8), rng.integers(-1, 2, (40, 4096)).astype(np.int8)
    wanted, wraps = i2s.i2s_matmul(x[:1], w, variant)
    got = i2s_matmul(x, w, variant)
    np.testing.assert_array_equal(got.y, np.repeat(wanted, 9, axis=0))
    assert got.wrapped == 9 * len(wraps)


def test_unsuitable_operands_are_refused() -> None:
    x, w = np.zeros((1, 128), np.int8), np.zeros((1, 128), np.int8)
    with pytest.raises(OperandError, match=r"K = 100: expected a multiple of 128, the block of bitnet\.cpp's avx2"):
        i2s_matmul(x[:, :100], w[:, :100])
    with pytest.raises(OperandError, match="K = 96: expected a multiple of 64"):
        can_wrap(x[:, :96], "neon")
    with pytest.raises(OperandError, match=r"x_q: expected int8 \(M, K=128\), got int8 \(1, 64\)"):
        i2s_matmul(x[:, :64], w)
    with pytest.raises(OperandError, match="expected -1, 0 or 1"):
        i2s_matmul(x, w + np.int8(2))
    with pytest.raises(UnknownNameError, match="neon"):
        i2s_matmul(x, w, "neo")
