"""Which way the exact matmul goes: kernels where the machine multiplies bytes, the BLAS for many rows where not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bitsim.datapath import matmul
from bitsim.datapath.matmul import int8_matmul, ternary_matmul
from bitsim.datapath.packed import PackedTernary


@pytest.fixture
def in_floats(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Rows and largest product of every call that goes to the BLAS."""
    calls: list[tuple[int, int]] = []
    original: Callable[..., Any] = matmul._float32_matmul

    def counted(x_q: Any, w_q: Any, largest_product: int) -> Any:
        calls.append((len(x_q), largest_product))
        return original(x_q, w_q, largest_product)

    monkeypatch.setattr(matmul, "_float32_matmul", counted)
    return calls


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("rows", [1, 4, 5, 31, 32, 127, 128])
def test_many_rows_go_to_the_blas_only_without_native_products(
    rows: int, native: bool, in_floats: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matmul, "has_native_dpbusd", lambda: native)
    rng = np.random.default_rng(rows)
    x, w = rng.integers(-128, 128, (rows, 70)).astype(np.int8), rng.integers(-1, 2, (9, 70)).astype(np.int8)
    expected = x.astype(np.int64) @ w.T.astype(np.int64)
    np.testing.assert_array_equal(ternary_matmul(x, PackedTernary.from_codes(w)), expected)
    np.testing.assert_array_equal(int8_matmul(x, w), expected)
    assert in_floats == ([] if native or rows < 32 else [(rows, 128), (rows, 128 * 128)])
