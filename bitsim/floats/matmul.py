"""`Y = A · Wᵀ` in float32, in one order: every output starts at 0 and adds its products in ascending k, each by one
fused multiply-add.

Threads share columns, never k; blocks of rows, columns and k leave the order alone, because partial sums are kept in
float32, as they are. So an output depends on its row of A and its row of W and on nothing else: not on the machine, the
threads, or the rows that are computed beside it.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from bitsim._jit import inlined, kernel, parallel_kernel, team
from bitsim.floats.tiles import (
    DEPTH,
    LANES,
    PANEL,
    multiply_column,
    multiply_row,
    multiply_rows_of_weights,
    multiply_short_row,
    multiply_tile,
    pack_block,
    row_panels,
    tile_panels,
    tile_rows,
    value_at,
)

Float32 = npt.NDArray[np.float32]
Stored = npt.NDArray[np.float32] | npt.NDArray[np.uint16]

_TASK_PANELS = 8
_WORTH_A_TEAM = 2**20  # MACs


def matmul(a: Float32, w: Stored) -> Float32:
    """`a` float32 (S, M, K) times `w` (S, N, K), float32 or bfloat16 patterns as uint16 -> float32 (S, M, N).

    `w` may be a view: one whose N or K is contiguous is read in place. Bit-exact with `plain.matmul`. K = 0 gives 0.
    """
    (matrices, m, k), n = a.shape, w.shape[1]
    y = np.zeros((matrices, m, -(-n // LANES) * LANES), np.float32)
    if not y.size or not k:
        return y[..., :n]
    a = np.ascontiguousarray(a)
    rows = _tile_rows()
    tiles = np.ascontiguousarray(a[:, : m // rows * rows].reshape(matrices, -1, rows, k).swapaxes(2, 3))
    turned = w.swapaxes(1, 2)
    by_column = not w.flags.c_contiguous and turned.flags.c_contiguous and w.dtype == np.float32 and n % LANES == 0
    block = 4 * LANES // w.itemsize
    with team(matrices * m * n * k, _WORTH_A_TEAM):
        if by_column:
            multiply_columns(a, tiles, turned, y)
        else:
            multiply_rows(a, tiles, np.ascontiguousarray(w), y, k // block * block if m == 1 else 0)
    return np.ascontiguousarray(y[..., :n])


@kernel
def _tile_rows() -> Any:
    return tile_rows()


@inlined
def _multiply_panels(
    a: Any, tiles: Any, b: Any, start: int, steps: Any, count: int, y: Any, s: int, n: int, k: int, depth: int
) -> None:
    """Add k .. k + depth - 1 to all rows of matrix `s`, columns n .. n + 16 count - 1.

    `b[start + line k + panel i]` is the first of panel i's values at k, (line, panel) = `steps`.
    """
    _, m_size, k_size = a.shape
    stride = y.shape[2]
    rows, wide, long = tile_rows(), tile_panels(), row_panels()
    full = tiles.shape[1]
    for tile in range(full):
        at = ((s * full + tile) * k_size + k) * rows
        to = (s * m_size + tile * rows) * stride + n
        i = 0
        while i + wide <= count:
            multiply_tile(tiles, at, b, start + steps[1] * i, steps, depth, y, to + LANES * i, stride)
            i += wide
        while i < count:
            multiply_column(tiles, at, b, start + steps[1] * i, steps, depth, y, to + LANES * i, stride)
            i += 1
    for m in range(full * rows, m_size):
        at = (s * m_size + m) * k_size + k
        to = (s * m_size + m) * stride + n
        i = 0
        while i + long <= count:
            multiply_row(a, at, b, start + steps[1] * i, steps, depth, y, to + LANES * i, stride)
            i += long
        while i < count:
            multiply_short_row(a, at, b, start + steps[1] * i, steps, depth, y, to + LANES * i, stride)
            i += 1


@inlined
def _pack_rows(w: Any, s: int, n: int, k: int, depth: int, panels: Any, to: int) -> None:
    """The panel of rows n .. n + 15 of matrix `s` of `w` (S, N, K), zeros beyond N."""
    _, n_size, k_size = w.shape
    row = s * n_size + n
    columns = min(LANES, n_size - n)
    step = LANES * 4 // w.itemsize
    packed = 0
    if columns == LANES:
        while packed + step <= depth:
            pack_block(w, row * k_size + k + packed, k_size, panels, to + LANES * packed)
            packed += step
    for j in range(columns):
        for i in range(packed, depth):
            panels[to + LANES * i + j] = value_at(w, (row + j) * k_size + k + i)
    for j in range(columns, LANES):
        for i in range(depth):
            panels[to + LANES * i + j] = np.float32(0)


@parallel_kernel
def multiply_rows(a: Any, tiles: Any, w: Any, y: Any, streamed: int) -> None:
    """`a` (S, M, K), its full tiles (S, M / R, K, R), `w` (S, N, K) -> added to `y` (S, M, 16 ceil(N / 16)).

    The first `streamed` values of k, whole blocks of `pack_block`, are not packed but multiplied as they come; 0 unless
    M = 1, where nothing is read twice.
    """
    matrices, _, k_size = a.shape
    n_size = w.shape[1]
    tasks = (y.shape[2] // LANES + _TASK_PANELS - 1) // _TASK_PANELS
    for task in numba.prange(matrices * tasks):
        s, first = task // tasks, task % tasks * _TASK_PANELS
        count = min(_TASK_PANELS, y.shape[2] // LANES - first)
        blocks, done = streamed * w.itemsize // (4 * LANES), 0
        while blocks and done + 2 <= count and (first + done + 2) * LANES <= n_size:
            n = (first + done) * LANES
            row = (s * n_size + n) * k_size
            multiply_rows_of_weights(a, s * k_size, w, row, k_size, blocks, y, s * y.shape[2] + n)
            done += 2
        panels = np.empty(_TASK_PANELS * PANEL, np.float32)
        for part in range(2):  # what is left of the streamed panels, then the others
            low, high = (first, first + done) if part == 0 else (first + done, first + count)
            for k in range(streamed if part == 0 else 0, k_size if high > low else 0, DEPTH):
                depth = min(DEPTH, k_size - k)
                for panel in range(low, high):
                    _pack_rows(w, s, panel * LANES, k, depth, panels, (panel - low) * PANEL)
                _multiply_panels(a, tiles, panels, 0, (LANES, PANEL), high - low, y, s, low * LANES, k, depth)


@parallel_kernel
def multiply_columns(a: Any, tiles: Any, w: Any, y: Any) -> None:
    """As `multiply_rows`, with `w` (S, K, N), N a multiple of 16, read where it lies."""
    matrices, k_size, n_size = w.shape
    tasks = (n_size // LANES + _TASK_PANELS - 1) // _TASK_PANELS
    for task in numba.prange(matrices * tasks):
        s, first = task // tasks, task % tasks * _TASK_PANELS
        count = min(_TASK_PANELS, n_size // LANES - first)
        for k in range(0, k_size, DEPTH):
            start = (s * k_size + k) * n_size + first * LANES
            depth = min(DEPTH, k_size - k)
            _multiply_panels(a, tiles, w, start, (n_size, LANES), count, y, s, first * LANES, k, depth)
