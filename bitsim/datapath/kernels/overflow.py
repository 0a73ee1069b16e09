"""Running sums of integer arrays in registers that are too narrow: results, overflows and the first of them."""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bitsim._jit import kernel, parallel_kernel, team

WIDEST = 62  # bits; the sum of two such registers still fits int64
NOWHERE = np.iinfo(np.int64).max
_WORTH_A_TEAM = 2**15  # MACs

Int8 = NDArray[np.int8]
Int64 = NDArray[np.int64]


def array_ws_overflow(
    x: Int8, w: Int8, rows: int, acc_bits: int, column_acc_bits: int, saturate: bool
) -> tuple[Int64, int, int, Int64]:
    """Weight-stationary array with psums of `acc_bits` and a column accumulator of `column_acc_bits` (2 to 62).

    x: int8 (M, K); w: int8 (N, K). In each tile of `rows` k the products are added in order to a psum that starts
    at zero; then the psum is added to the column's accumulator. A sum outside of a register's two's complement range
    is one overflow, and is clamped to the range (`saturate`) or wraps.
    Returns y: int64 (M, N), the overflows of psums, those of the accumulators, and the first: int64 (m, k, n) in
    that order of significance, or -1s; an overflow of an accumulator counts as at the first k of its tile.
    """
    m_total, n_total = x.shape[0], w.shape[0]
    y = np.zeros((m_total, n_total), np.int64)
    counts = np.zeros((m_total, 2), np.int64)
    first = np.full((m_total, 2), NOWHERE, np.int64)
    x, w_t = np.ascontiguousarray(x), np.ascontiguousarray(w.T)
    with team(x.size * n_total, _WORTH_A_TEAM):
        _all_rows(x, w_t, rows, acc_bits, column_acc_bits, saturate, y, counts, first)
    psum_overflows, column_overflows = counts.sum(axis=0)
    return y, int(psum_overflows), int(column_overflows), _first_of_all(first)


def _first_of_all(first: Int64) -> Int64:
    """first: int64 (M, 2) of (k, n) per row -> (m, k, n) of the first row that has one, or -1s."""
    hit = np.flatnonzero(first[:, 0] != NOWHERE)
    return np.array([hit[0], *first[hit[0]]] if hit.size else [-1, -1, -1], np.int64)


@parallel_kernel
def _all_rows(
    x: Any, w_t: Any, rows: int, acc_bits: int, column_acc_bits: int, saturate: bool, y: Any, counts: Any, first: Any
) -> None:
    """x: int8 (M, K); w_t: int8 (K, N); y: int64 (M, N) of zeros, counts and first: int64 (M, 2), all written."""
    for m in numba.prange(x.shape[0]):
        psum, product = np.empty(w_t.shape[1], np.int64), np.empty(w_t.shape[1], np.int64)
        for k0 in range(0, x.shape[1], rows):
            psum[:] = 0
            for k in range(k0, min(k0 + rows, x.shape[1])):
                _multiply(product, w_t[k], np.int64(x[m, k]))
                counts[m, 0] += _add(psum, product, acc_bits, saturate, first[m], k)
            counts[m, 1] += _add(y[m], psum, column_acc_bits, saturate, first[m], k0)


@kernel
def _multiply(product: Any, w_row: Any, x: Any) -> None:
    for n in range(product.shape[0]):
        product[n] = w_row[n] * x


@kernel
def _add(register: Any, addend: Any, bits: int, saturate: bool, first: Any, k: int) -> Any:
    """register += addend in `bits` bits, lane by lane; keeps the first overflow in `first` and returns their number."""
    high = (np.int64(1) << np.int64(bits - 1)) - 1
    low = -high - 1
    overflows = np.int64(0)
    for n in range(register.shape[0]):
        total = register[n] + addend[n]
        overflows += np.int64(total > high) | np.int64(total < low)
    if overflows > 0 and k <= first[0]:
        _note_first(register, addend, low, high, first, k)
    if saturate:
        for n in range(register.shape[0]):
            register[n] = min(max(register[n] + addend[n], low), high)
    else:
        unused = np.int64(64 - bits)
        for n in range(register.shape[0]):
            register[n] = ((register[n] + addend[n]) << unused) >> unused
    return overflows


@kernel
def _note_first(register: Any, addend: Any, low: Any, high: Any, first: Any, k: int) -> None:
    for n in range(register.shape[0]):
        total = register[n] + addend[n]
        if (total > high or total < low) and (k < first[0] or n < first[1]):
            first[0], first[1] = k, n
            return
