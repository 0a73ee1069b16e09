"""Values of packed ternary codes: equal to their plain twin, bit for bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.floats import plain
from bitsim.floats.ternary import scaled_rows
from bitsim.quant.packing import pack_hf


@given(st.sampled_from([(1, 1), (3, 5), (8, 12), (30, 64)]), st.data())
def test_scaled_rows_equal_their_twin(shape: tuple[int, int], data: st.DataObject) -> None:
    (n, k), rng = shape, np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    gn = data.draw(st.sampled_from([d for d in range(1, n + 1) if n % d == 0]))
    gk = data.draw(st.sampled_from([d for d in range(1, k + 1) if k % d == 0]))
    packed = pack_hf(rng.integers(-1, 2, shape).astype(np.int8))
    scales = rng.standard_normal((n // gn, k // gk)).astype(np.float32)
    scales.flat[0] = 0
    rows = rng.integers(0, n, rng.integers(1, 2 * n + 1))
    got = scaled_rows(packed, rows, scales, (gn, gk))
    want = plain.scaled_rows(packed, rows, scales, (gn, gk))
    assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("n", [1, 7, 1100])
def test_many_rows_on_several_threads_are_codes_times_scales(n: int) -> None:
    rng = np.random.default_rng(n)
    codes = rng.integers(-1, 2, (n, 512)).astype(np.int8)
    scales = rng.uniform(0, 1, (n, 4)).astype(np.float32)
    values = scaled_rows(pack_hf(codes), np.arange(n), scales, (1, 128))
    np.testing.assert_array_equal(values, codes * np.repeat(scales, 128, axis=1))
