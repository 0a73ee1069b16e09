"""The exact integer matmul kernels: Y[M, N] = X[M, K] · W[N, K]ᵀ on register tiles.

Weights enter as unsigned bytes (ternary w + 1, or int8 w + 128) because `dpbusd` wants one unsigned operand; the
excess, 1 or 128 times the row's sum of x, is subtracted when a tile is stored. Tiles that reach over the edge
repeat the last row or block, so that they compute and store the same values twice instead of needing a tail.
"""

from typing import Any

import numba
import numpy as np

from bitsim._jit import inlined, kernel, parallel_kernel
from bitsim.datapath.kernels.simd import load, splat, store
from bitsim.datapath.kernels.tiles import dot_tile, load_lines, prefetch_lines, store_tile, two_bit_fields, zero_tile


@inlined
def _next_1(start: Any, end: int) -> Any:
    return (min(start, end - 1),)


@inlined
def _next_3(start: Any, end: int) -> Any:
    last = end - 1
    return (min(start, last), min(start + 1, last), min(start + 2, last))


@inlined
def _next_4(start: Any, end: int) -> Any:
    last = end - 1
    return (min(start, last), min(start + 1, last), min(start + 2, last), min(start + 3, last))


@inlined
def _next_8(start: Any, end: int) -> Any:
    return _next_4(start, end) + _next_4(start + 4, end)


@kernel
def _packed_tile(packed: Any, x_q: Any, offsets: Any, y: Any, rows: Any, blocks: Any) -> None:
    """One tile straight from P16 weights: each line is loaded once and gives four quads of k."""
    tile = zero_tile(rows, blocks)
    for group in range(packed.shape[1]):
        prefetch_lines(packed, blocks, group)
        lines = load_lines(packed, blocks, group)
        for quad in range(4):
            tile = dot_tile(tile, two_bit_fields(lines, 2 * quad), x_q, rows, 16 * group + 4 * quad)
    store_tile(tile, offsets, y, rows, blocks)


@kernel
def _byte_tile(lines: Any, sources: Any, x_q: Any, offsets: Any, y: Any, rows: Any, blocks: Any) -> None:
    """One tile from byte lines: those of the blocks `sources`, which belong to the blocks `blocks` of y."""
    tile = zero_tile(rows, blocks)
    for quad in range(lines.shape[1]):
        tile = dot_tile(tile, load_lines(lines, sources, quad), x_q, rows, 4 * quad)
    store_tile(tile, offsets, y, rows, blocks)


@parallel_kernel
def matmul_few_rows(packed: Any, x_q: Any, offsets: Any, y: Any) -> None:
    """M <= 4, the decode case: tiles of 1 or 4 rows by 4 blocks, bound by the reading of the weights.

    packed: P16 (B, G, 64); x_q: int8 (M, 16 G); offsets: int32 (M,), row sums of x; y: int32 (M, 16 B), written.
    """
    n_blocks = packed.shape[0]
    for step in numba.prange((n_blocks + 3) // 4):
        blocks = _next_4(4 * np.int64(step), n_blocks)
        if x_q.shape[0] == 1:
            _packed_tile(packed, x_q, offsets, y, _next_1(0, 1), blocks)
        else:
            _packed_tile(packed, x_q, offsets, y, _next_4(0, x_q.shape[0]), blocks)


@parallel_kernel
def matmul_packed(packed: Any, x_q: Any, offsets: Any, y: Any) -> None:
    """Any M, best for a few dozen rows: tiles of 8 rows by 3 blocks, weights unpacked in registers each time.

    Operands as in `matmul_few_rows`.
    """
    m_total, n_blocks = x_q.shape[0], packed.shape[0]
    for step in numba.prange((n_blocks + 2) // 3):
        blocks = _next_3(3 * np.int64(step), n_blocks)
        for m in range(0, m_total, 8):
            if m_total - m > 4:
                _packed_tile(packed, x_q, offsets, y, _next_8(m, m_total), blocks)
            else:
                _packed_tile(packed, x_q, offsets, y, _next_4(m, m_total), blocks)


@kernel
def _all_rows(lines: Any, sources: Any, x_q: Any, offsets: Any, y: Any, blocks: Any) -> None:
    for m in range(0, x_q.shape[0], 8):
        _byte_tile(lines, sources, x_q, offsets, y, _next_8(m, x_q.shape[0]), blocks)


@kernel
def _unpack_lines(packed: Any, lines: Any) -> None:
    """P16 lines of one block -> its byte lines of codes 0, 1, 2."""
    code = splat(np.uint8(3))
    for group in range(packed.shape[0]):
        line = load(packed, 64 * group)
        for quad in range(4):
            store(lines, 256 * group + 64 * quad, (line >> (2 * quad)) & code)


@parallel_kernel
def matmul_unpacked(packed: Any, x_q: Any, offsets: Any, y: Any) -> None:
    """Many rows: three blocks are unpacked once, stay in the L2 cache and meet all rows in tiles of 8 by 3.

    Operands as in `matmul_few_rows`.
    """
    n_blocks = packed.shape[0]
    for step in numba.prange((n_blocks + 2) // 3):
        blocks = _next_3(3 * np.int64(step), n_blocks)
        lines = np.empty((3, 4 * packed.shape[1], 64), np.uint8)
        for i in range(3):
            _unpack_lines(packed[blocks[i]], lines[i])
        _all_rows(lines, (0, 1, 2), x_q, offsets, y, blocks)


@parallel_kernel
def matmul_bytes(w_lines: Any, x_q: Any, offsets: Any, y: Any) -> None:
    """int8 weights: w_lines uint8 (B, K/4, 64) byte lines of w + 128; offsets: 128 times the row sums of x."""
    n_blocks = w_lines.shape[0]
    for step in numba.prange((n_blocks + 2) // 3):
        blocks = _next_3(3 * np.int64(step), n_blocks)
        _all_rows(w_lines, blocks, x_q, offsets, y, blocks)
