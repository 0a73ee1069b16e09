"""Float rows times stored bfloat16."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitsim.datapath.kernels.bf16_rows import STEP, bf16_matmul
from bitsim.quant.packing import bf16_to_f32, f32_to_bf16


def naive(a: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The stated order of summation, one float32 rounding per operation."""
    y = np.zeros((len(a), len(w)), np.float32)
    for m, n in np.ndindex(y.shape):
        lanes = np.zeros(STEP, np.float32)
        for k in range(0, a.shape[1], STEP):
            lanes += a[m, k : k + STEP] * w[n, k : k + STEP]
        for lane in lanes:
            y[m, n] += lane
    return y


@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_rows_equal_the_stated_order_bit_for_bit(m: int, steps: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(m, steps * STEP)).astype(np.float32)
    bits = f32_to_bf16(rng.normal(size=(n, steps * STEP)).astype(np.float32))
    y = np.empty((m, n), np.float32)
    bf16_matmul(a, bits, y)
    np.testing.assert_array_equal(y, naive(a, bf16_to_f32(bits)))


def test_many_rows_are_split_over_threads_without_gaps() -> None:
    rng = np.random.default_rng(2)
    a = rng.integers(-8, 9, (2, STEP)).astype(np.float32)
    w = rng.integers(-8, 9, (1000, STEP)).astype(np.float32)
    y = np.full((2, 1000), np.nan, np.float32)
    bf16_matmul(a, f32_to_bf16(w), y)
    np.testing.assert_array_equal(y, a @ w.T)
