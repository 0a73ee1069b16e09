"""Law 2 on the FP16 array: outputs and toggles equal numpy's float16 scalars, one operation at a time."""

from itertools import product
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsim._jit import kernel
from bitsim.datapath.kernels.fp16_array import fp16_array_matmul
from bitsim.datapath.kernels.simd import load, store
from bitsim.datapath.kernels.simd_half import half_bits, round_half
from bitsim.datapath.toggles import fp16_acc_toggles_os, fp16_psum_toggles_ws
from bitsim.errors import OperandError

NAN = 0x7E00


@kernel
def round_all(values: Any, rounded: Any, bits: Any) -> None:
    for i in range(0, values.shape[0], 16):
        vector = round_half(load(values, i))
        store(rounded, i, vector)
        store(bits, i, half_bits(vector))


def pattern(value: np.float16) -> int:
    return NAN if np.isnan(value) else int(value.view(np.uint16))


def naive_psums(a: Any, b: Any) -> list[np.float16]:
    """The running sums of one tile of one column: float16 operands, one rounding per operation."""
    psums, p = [], np.float16(0.0)
    for x, w in zip(a, b, strict=True):
        p = np.float16(p + np.float16(x * w))
        psums.append(p)
    return psums


def naive_matmul(a: Any, b: Any, rows: int) -> Any:
    a, b = a.view(np.float16), b.view(np.float16)
    y = np.zeros((a.shape[0], b.shape[0]), np.float32)
    with np.errstate(all="ignore"):
        for m, n in product(range(a.shape[0]), range(b.shape[0])):
            c = np.float16(0.0)
            for k in range(0, a.shape[1], rows):
                c = np.float16(c + naive_psums(a[m, k : k + rows], b[n, k : k + rows])[-1])
            y[m, n] = c
    return y


def naive_psum_toggles_ws(a: Any, b: Any, rows: int) -> int:
    a, b = a.view(np.float16), b.view(np.float16)
    toggles = 0
    with np.errstate(all="ignore"):
        for k, n in product(range(0, a.shape[1], rows), range(b.shape[0])):
            registers = [0] * rows
            for m in range(a.shape[0] + 1):
                psums = [0]
                if m < a.shape[0]:
                    psums = [pattern(p) for p in naive_psums(a[m, k : k + rows], b[n, k : k + rows])]
                psums += [psums[-1]] * (rows - len(psums))
                toggles += sum((new ^ old).bit_count() for new, old in zip(psums, registers, strict=True))
                registers = psums
    return toggles


def naive_acc_toggles_os(a: Any, b: Any) -> int:
    a, b = a.view(np.float16), b.view(np.float16)
    toggles = 0
    with np.errstate(all="ignore"):
        for m, n in product(range(a.shape[0]), range(b.shape[0])):
            held = 0
            for p in naive_psums(a[m], b[n]):
                toggles += (pattern(p) ^ held).bit_count()
                held = pattern(p)
    return toggles


def operand(rng: Any, shape: tuple[int, int], kind: str) -> Any:
    """Patterns of binary16: `bits` takes any, infinities and NaN too; `small` is full of subnormal results."""
    if kind == "bits":
        return rng.integers(0, 2**16, shape).astype(np.uint16)
    scale = {"unit": 1.0, "small": 2.0**-11, "large": 180.0}[kind]
    return (rng.standard_normal(shape) * scale).astype(np.float16).view(np.uint16)


cases = given(
    seed=st.integers(0, 2**32 - 1),
    m=st.integers(1, 6),
    n=st.integers(1, 35),
    k=st.integers(1, 14),
    rows=st.integers(1, 16),
    kind=st.sampled_from(["unit", "small", "large", "bits"]),
)


@settings(deadline=None, max_examples=60)
@cases
def test_outputs_equal_float16_scalars(seed: int, m: int, n: int, k: int, rows: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    a, b = operand(rng, (m, k), kind), operand(rng, (n, k), kind)
    y, want = fp16_array_matmul(a, b, rows), naive_matmul(a, b, rows)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, want)  # NaN equals NaN here
    numbers = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(y[numbers]), np.signbit(want[numbers]))


@settings(deadline=None, max_examples=60)
@cases
def test_toggles_equal_stepped_registers(seed: int, m: int, n: int, k: int, rows: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    a, b = operand(rng, (m, k), kind), operand(rng, (n, k), kind)
    assert fp16_psum_toggles_ws(a, b, rows) == naive_psum_toggles_ws(a, b, rows)
    assert fp16_acc_toggles_os(a, b) == naive_acc_toggles_os(a, b)


def test_rounding_of_every_binary16_and_of_all_values_between() -> None:
    """Each binary16, the midpoint to the next one, and the float32 on both sides of either."""
    exact = np.arange(0x7C01, dtype=np.uint16).view(np.float16).astype(np.float32)
    upper = np.append(exact[1:-1], [65536.0, np.inf]).astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        middle = ((exact.astype(np.float64) + upper) / 2).astype(np.float32)
        points = np.concatenate([exact, middle])
        near = np.concatenate([points, np.nextafter(points, np.float32(np.inf)), np.nextafter(points, np.float32(-1))])
        values = np.concatenate([near, -near, np.array([np.nan, 1e-45, 3e38], np.float32)])
        values = np.resize(values, -(-values.size // 16) * 16)
        want = values.astype(np.float16)
    rounded, bits = np.empty_like(values), np.empty(values.size, np.int32)
    round_all(values, rounded, bits)
    np.testing.assert_array_equal(rounded, want.astype(np.float32))
    np.testing.assert_array_equal(bits, np.where(np.isnan(want), NAN, want.view(np.uint16)))


def test_all_products_of_a_few_exponents() -> None:
    """All 11-bit significands of one binade times some of another, at the edges of the range."""
    a = np.arange(0x3C00, 0x4000, dtype=np.uint16).reshape(-1, 1)
    b = np.array([0x0001, 0x03FF, 0x0400, 0x1555, 0x7BFF, 0xFBFF, 0x8001, 0x3C01], np.uint16).reshape(-1, 1)
    np.testing.assert_array_equal(fp16_array_matmul(a, b, 1), naive_matmul(a, b, 1))


def test_sums_round_after_every_addition() -> None:
    """2048 + 1 + 1: one by one each 1 is lost; as one tile of the two ones first, it isn't."""
    a = np.array([[2048, 1, 1, 0]], np.float16).view(np.uint16)
    b = np.ones((1, 4), np.float16).view(np.uint16)
    assert fp16_array_matmul(a, b, 4).tolist() == [[2048.0]]
    assert fp16_array_matmul(a[:, [0, 3, 1, 2]], b, 2).tolist() == [[2050.0]]


@pytest.mark.parametrize("rows", [1, 3, 5, 20])
def test_every_lane_row_and_step_is_counted_once(rows: int) -> None:
    m, n, k = 5, 33, 7
    for m_at, n_at, k_at in product(range(m), (0, 15, 16, 32), range(k)):
        a, b = np.zeros((m, k), np.uint16), np.zeros((n, k), np.uint16)
        a[m_at, k_at], b[n_at, k_at] = 0x3C00, 0x3C01
        assert fp16_psum_toggles_ws(a, b, rows) == 2 * (rows - k_at % rows) * (0x3C01).bit_count()
        assert fp16_acc_toggles_os(a, b) == (0x3C01).bit_count()
        y = fp16_array_matmul(a, b, rows)
        assert y[m_at, n_at] == np.uint16(0x3C01).view(np.float16)
        assert np.count_nonzero(y) == 1


def test_operands_are_checked() -> None:
    a = np.zeros((2, 3), np.uint16)
    with pytest.raises(OperandError, match="activations: expected a matrix of uint16, got float16"):
        fp16_psum_toggles_ws(a.view(np.float16), a, 4)
    with pytest.raises(OperandError, match="rows: expected at least 1"):
        fp16_psum_toggles_ws(a, a, 0)
    with pytest.raises(OperandError, match=r"weights: expected \(N, K=3\)"):
        fp16_acc_toggles_os(a, a[:, :2])
    assert fp16_acc_toggles_os(a[:0], a) == 0


def test_a_team_of_threads_counts_the_same() -> None:
    rng = np.random.default_rng(0)
    a, b = operand(rng, (50, 149), "unit"), operand(rng, (203, 149), "unit")
    together = (fp16_psum_toggles_ws(a, b, 24), fp16_acc_toggles_os(a, b), fp16_array_matmul(a, b, 24).tolist())
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        assert (
            fp16_psum_toggles_ws(a, b, 24),
            fp16_acc_toggles_os(a, b),
            fp16_array_matmul(a, b, 24).tolist(),
        ) == together
    finally:
        numba.set_num_threads(before)
