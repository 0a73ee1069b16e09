"""The one fast exact integer matmul: `Y[M, N] = X[M, K] · W[N, K]ᵀ` in int32, equal to the int64 product.

With `vpdpbusd` the kernels of `bitsim.datapath.kernels.gemm` serve every M. Without it they serve a few rows, and
many rows go to the float32 kernel, in pieces of K short enough that every partial sum is an integer below 2^24.
"""

import numpy as np
from numpy.typing import NDArray

from bitsim._jit import team
from bitsim.datapath.kernels.gemm import matmul_bytes, matmul_few_rows, matmul_packed, matmul_unpacked
from bitsim.datapath.kernels.pack import LANES, quad_lines
from bitsim.datapath.kernels.simd_dot import has_native_dpbusd
from bitsim.datapath.packed import PackedTernary
from bitsim.errors import OperandError
from bitsim.floats.matmul import matmul

MAX_K_TERNARY = 2**23
MAX_K_INT8 = 2**17 - 1  # 2^17 products of -128 * -128 are 2^31
_FEW_ROWS = 4
_MANY_ROWS = 128
_FLOAT32_ROWS = 32
_FLOAT32_COLUMNS = 512
_FLOAT32_EXACT = 2**24
_WORTH_A_TEAM = 2**22  # MACs

Int8 = NDArray[np.int8]
Int32 = NDArray[np.int32]


def ternary_matmul(x_q: Int8, w: PackedTernary, threads: int | None = None) -> Int32:
    """`x_q` · Wᵀ, exact for every int8 input.

    `x_q`: int8 (M, K); `w`: N x K weights, K <= 2^23; returns int32 (M, N). `threads`: at most this many, None for
    numba's current number.
    """
    _check_int8("x_q", x_q)
    if x_q.shape[1] != w.k:
        raise OperandError(f"x_q: expected (M, K={w.k}) to match the weights, got {x_q.shape}")
    if w.k > MAX_K_TERNARY:
        raise OperandError(f"x_q: expected K <= {MAX_K_TERNARY}, so that sums fit int32, got {w.k}")
    _check_threads(threads)
    if 0 in (*x_q.shape, w.n):
        return np.zeros((x_q.shape[0], w.n), np.int32)
    m = x_q.shape[0]
    if not has_native_dpbusd() and m >= _FLOAT32_ROWS:
        return _float32_matmul(x_q, w.codes(), largest_product=128)
    multiply = matmul_few_rows if m <= _FEW_ROWS else matmul_packed if m < _MANY_ROWS else matmul_unpacked
    x = _padded_k(x_q, 16 * w.packed.shape[1])
    y = np.empty((m, LANES * w.packed.shape[0]), np.int32)
    with team(m * w.n * w.k, _WORTH_A_TEAM, threads):
        multiply(w.packed, x, x_q.sum(axis=1, dtype=np.int32), y)
    return np.ascontiguousarray(y[:, : w.n])


def int8_matmul(x_q: Int8, w_q: Int8, threads: int | None = None) -> Int32:
    """`x_q` · `w_q`ᵀ, exact for every int8 input.

    `x_q`: int8 (M, K); `w_q`: int8 (N, K); K < 2^17; returns int32 (M, N). `threads` as in `ternary_matmul`.
    """
    _check_int8("x_q", x_q)
    _check_int8("w_q", w_q)
    (m, k), n = x_q.shape, w_q.shape[0]
    if w_q.shape[1] != k:
        raise OperandError(f"w_q: expected (N, K={k}) to match x_q, got {w_q.shape}")
    if k > MAX_K_INT8:
        raise OperandError(f"x_q: expected K <= {MAX_K_INT8}, so that sums fit int32, got {k}")
    _check_threads(threads)
    if 0 in (m, n, k):
        return np.zeros((m, n), np.int32)
    if not has_native_dpbusd() and m >= _FLOAT32_ROWS:
        return _float32_matmul(x_q, w_q, largest_product=128 * 128)
    quads = -(-k // 4)
    y = np.empty((m, LANES * -(-n // LANES)), np.int32)
    lines = np.empty((-(-n // LANES), quads, LANES), np.int32)
    with team(m * n * k, _WORTH_A_TEAM, threads):
        quad_lines(_padded_k(w_q, 4 * quads).view(np.int32), lines)
        # Flipping the top bit adds 128 to a byte.
        matmul_bytes(
            lines.view(np.uint8) ^ np.uint8(128), _padded_k(x_q, 4 * quads), 128 * x_q.sum(axis=1, dtype=np.int32), y
        )
    return np.ascontiguousarray(y[:, :n])


def _check_int8(name: str, operand: Int8) -> None:
    if operand.dtype != np.int8 or operand.ndim != 2:
        raise OperandError(f"{name}: expected a matrix of int8, got {operand.dtype} {operand.shape}")


def _check_threads(threads: int | None) -> None:
    if threads is not None and threads < 1:
        raise OperandError(f"threads: expected at least 1, got {threads}")


def _padded_k(x_q: Int8, k: int) -> Int8:
    if x_q.shape[1] == k:
        return np.ascontiguousarray(x_q)
    padded = np.zeros((x_q.shape[0], k), np.int8)
    padded[:, : x_q.shape[1]] = x_q
    return padded


def _float32_matmul(x_q: Int8, w_q: Int8, largest_product: int) -> Int32:
    """Exact product in float32: no partial sum of `step` products leaves the integers that float32 holds."""
    y = np.zeros((x_q.shape[0], w_q.shape[0]), np.int32)
    step = _FLOAT32_EXACT // largest_product
    for k in range(0, x_q.shape[1], step):
        x = x_q[:, k : k + step].astype(np.float32)
        for n in range(0, w_q.shape[0], _FLOAT32_COLUMNS):
            w = w_q[n : n + _FLOAT32_COLUMNS, k : k + step].astype(np.float32)
            y[:, n : n + _FLOAT32_COLUMNS] += matmul(x[None], w[None])[0].astype(np.int32)
    return y
