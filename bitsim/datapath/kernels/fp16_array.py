"""Arrays of FP16 multiply-accumulate PEs: every product and every sum is rounded to IEEE binary16.

Round to nearest even, subnormals kept, overflow to infinity. In a tile of `rows` k: p = +0, then p = f16(p + f16(a b))
for each k in order; the column accumulator starts at +0 and adds the tiles' p in order, rounding likewise. Lanes are
float32 that hold binary16 values (`simd_half` says why that is exact).
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bitsim._jit import inlined, kernel, parallel_kernel, team
from bitsim.datapath.kernels.pack import LANES, quad_lines
from bitsim.datapath.kernels.simd import hsum, load, popcount, splat, store
from bitsim.datapath.kernels.simd_half import half_bits, round_half

_WORTH_A_TEAM = 2**17  # MACs
Bits16 = NDArray[np.uint16]
Float32 = NDArray[np.float32]


def fp16_array_matmul(a: Bits16, b: Bits16, rows: int) -> Float32:
    """Outputs of the array; a: uint16 (M, K) and b: uint16 (N, K), patterns of binary16; K tiles of `rows`.

    Returns float32 (M, N) of binary16 values; which NaN stands for a NaN is not defined.
    """
    (m, k), n = a.shape, b.shape[0]
    if 0 in (m, n, k):
        return np.zeros((m, n), np.float32)
    y = np.empty((m, LANES * -(-n // LANES)), np.float32)
    with team(m * n * k, _WORTH_A_TEAM):
        _all_values(_values(a), _column_lines(b), y, rows)
    return np.ascontiguousarray(y[:, :n])


def fp16_psum_toggles_ws(a: Bits16, b: Bits16, rows: int) -> int:
    """Toggled bits of the 16-bit psum registers of a weight-stationary array of `rows` rows; operands as above.

    Register (r, n) holds p after r + 1 products, for one row of `a` after the other. Every tile starts and ends with
    +0. Rows that the last tile leaves unused pass the sum above them on. A NaN is counted as 0x7e00. M < 2^27.
    """
    with team(a.size * b.shape[0], _WORTH_A_TEAM):
        return int(_ws_all(np.ascontiguousarray(_values(a).T), _column_lines(b), _column_mask(b.shape[0]), rows))


def fp16_acc_toggles_os(a: Bits16, b: Bits16) -> int:
    """Toggled bits of the 16-bit accumulators of an output-stationary array: one tile of all K, draining not counted.

    Operands and NaN as in `fp16_psum_toggles_ws`; K < 2^27.
    """
    with team(a.size * b.shape[0], _WORTH_A_TEAM):
        return int(_os_all(_values(a), _column_lines(b), _column_mask(b.shape[0])))


def _values(bits: Bits16) -> Float32:
    return np.ascontiguousarray(bits).view(np.float16).astype(np.float32)


def _column_lines(b: Bits16) -> Float32:
    """uint16 (N, K) -> float32 (N/16, K, 16), 16 columns side by side; padding columns are 0."""
    lines = np.empty((-(-b.shape[0] // LANES), b.shape[1], LANES), np.int32)
    quad_lines(_values(b).view(np.int32), lines)
    return lines.view(np.float32)


def _column_mask(n: int) -> NDArray[np.int32]:
    """int32 (N/16, 16): all bits set in the lanes of columns. Padding columns toggle too: infinity * 0 is a NaN."""
    return np.where(np.arange(LANES * -(-n // LANES)) < n, np.int32(-1), np.int32(0)).reshape(-1, LANES)


@inlined
def _mac(psum: Any, a: Any, b: Any) -> Any:
    return round_half(psum + round_half(a * b))


@kernel
def _values_tile(a: Any, b: Any, y: Any, rows: int, m: Any, blocks: Any) -> None:
    """Four rows `m` by two blocks: eight independent chains, enough to hide the latency of one."""
    zero = splat(np.float32(0.0))
    a_0, a_1, a_2, a_3 = a[m[0]], a[m[1]], a[m[2]], a[m[3]]
    b_0, b_1 = b[blocks[0]], b[blocks[1]]
    acc = (zero, zero, zero, zero, zero, zero, zero, zero)
    for k0 in range(0, a.shape[1], rows):
        p = (zero, zero, zero, zero, zero, zero, zero, zero)
        for k in range(k0, min(k0 + rows, a.shape[1])):
            u, v = load(b_0, LANES * k), load(b_1, LANES * k)
            x_0, x_1, x_2, x_3 = splat(a_0[k]), splat(a_1[k]), splat(a_2[k]), splat(a_3[k])
            top = (_mac(p[0], x_0, u), _mac(p[1], x_0, v), _mac(p[2], x_1, u), _mac(p[3], x_1, v))
            bottom = (_mac(p[4], x_2, u), _mac(p[5], x_2, v), _mac(p[6], x_3, u), _mac(p[7], x_3, v))
            p = top + bottom
        acc = _add_eight(acc, p)
    _store_pair(y, m[0], blocks, acc[0], acc[1])
    _store_pair(y, m[1], blocks, acc[2], acc[3])
    _store_pair(y, m[2], blocks, acc[4], acc[5])
    _store_pair(y, m[3], blocks, acc[6], acc[7])


@inlined
def _store_pair(y: Any, m: Any, blocks: Any, left: Any, right: Any) -> None:
    store(y, m * y.shape[1] + LANES * blocks[0], left)
    store(y, m * y.shape[1] + LANES * blocks[1], right)


@inlined
def _add_eight(x: Any, y: Any) -> Any:
    return (
        round_half(x[0] + y[0]),
        round_half(x[1] + y[1]),
        round_half(x[2] + y[2]),
        round_half(x[3] + y[3]),
        round_half(x[4] + y[4]),
        round_half(x[5] + y[5]),
        round_half(x[6] + y[6]),
        round_half(x[7] + y[7]),
    )


@parallel_kernel
def _all_values(a: Any, b: Any, y: Any, rows: int) -> None:
    """a: float32 (M, K); b: float32 (B, K, 16); y: float32 (M, 16 B), written. Edges repeat the last row or block."""
    last_m, last_block = a.shape[0] - 1, b.shape[0] - 1
    for step in numba.prange((b.shape[0] + 1) // 2):
        block = 2 * np.int64(step)
        for m in range(0, a.shape[0], 4):
            four = (m, min(m + 1, last_m), min(m + 2, last_m), min(m + 3, last_m))
            _values_tile(a, b, y, rows, four, (block, min(block + 1, last_block)))


@kernel
def _ws_tile(a: Any, b: Any, columns: Any, psums: Any) -> Any:
    """One tile of one block: toggles of all its registers, and of the last one alone.

    a: float32 (R, M); b: float32 (R, 16); columns: int32 (16,), the lanes to count; psums: float32 (M, 16), scratch.
    """
    zero = splat(np.int32(0))
    psums[:] = 0
    toggles = 0
    for r in range(a.shape[0]):
        weights, a_row = load(b, LANES * r), a[r]
        held, flips = zero, zero
        for m in range(a.shape[1]):
            psum = _mac(load(psums, LANES * m), splat(a_row[m]), weights)
            store(psums, LANES * m, psum)
            bits = half_bits(psum)
            flips += popcount(bits ^ held)
            held = bits
        last = hsum((flips + popcount(held)) & load(columns, 0))
        toggles += last
    return toggles, last


@parallel_kernel
def _ws_all(a: Any, b: Any, columns: Any, rows: int) -> int:
    """a: float32 (K, M); b: float32 (B, K, 16); columns: int32 (B, 16)."""
    k_total, n_blocks = a.shape[0], b.shape[0]
    toggles = 0
    for item in numba.prange(n_blocks * ((k_total + rows - 1) // rows)):
        block = item % n_blocks
        first = item // n_blocks * rows
        end = min(first + rows, k_total)
        psums = np.empty((a.shape[1], LANES), np.float32)
        in_used, in_last = _ws_tile(a[first:end], b[block, first:end], columns[block], psums)
        toggles += in_used + (rows - (end - first)) * in_last
    return toggles


@kernel
def _os_four_rows(a: Any, b: Any, columns: Any, m: Any) -> Any:
    """Toggles of the accumulators of four rows in one block, row by row; b: float32 (K, 16), columns: int32 (16,)."""
    start, zero = splat(np.float32(0.0)), splat(np.int32(0))
    a_0, a_1, a_2, a_3 = a[m[0]], a[m[1]], a[m[2]], a[m[3]]
    acc = (start, start, start, start)
    held = flips = (zero, zero, zero, zero)
    for k in range(a.shape[1]):
        u = load(b, LANES * k)
        x = (splat(a_0[k]), splat(a_1[k]), splat(a_2[k]), splat(a_3[k]))
        acc = (_mac(acc[0], x[0], u), _mac(acc[1], x[1], u), _mac(acc[2], x[2], u), _mac(acc[3], x[3], u))
        bits = (half_bits(acc[0]), half_bits(acc[1]), half_bits(acc[2]), half_bits(acc[3]))
        flips = (
            flips[0] + popcount(bits[0] ^ held[0]),
            flips[1] + popcount(bits[1] ^ held[1]),
            flips[2] + popcount(bits[2] ^ held[2]),
            flips[3] + popcount(bits[3] ^ held[3]),
        )
        held = bits
    counted = load(columns, 0)
    return hsum(flips[0] & counted), hsum(flips[1] & counted), hsum(flips[2] & counted), hsum(flips[3] & counted)


@parallel_kernel
def _os_all(a: Any, b: Any, columns: Any) -> int:
    """a: float32 (M, K); b: float32 (B, K, 16); columns: int32 (B, 16)."""
    last_m = a.shape[0] - 1
    toggles = 0
    for block in numba.prange(b.shape[0]):
        for m in range(0, a.shape[0], 4):
            four = (m, min(m + 1, last_m), min(m + 2, last_m), min(m + 3, last_m))
            counts = _os_four_rows(a, b[block], columns[block], four)
            for i in range(min(4, a.shape[0] - m)):
                toggles += counts[i]
    return toggles
