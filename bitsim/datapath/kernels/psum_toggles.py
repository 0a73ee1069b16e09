"""Hamming distances of the running-sum registers of integer arrays, four multiply-accumulates at a time.

`dpbusd` on weights of which only the first one, two, three or four of a quad are kept gives the sums after each of
four steps. Activations enter as x + 128, since `dpbusd` wants one unsigned operand; the excess depends on weights
only, so it is taken off the old sum beforehand. Sums are exact modulo 2^32, hence in any register of up to 32 bits.

Operands, made by `quad_operands`: `w`: int32 (B, Q, 16), a quad of int8 weights in each column's lane;
`x`: int32, a quad of activations in each element. Padding in k has weight 0, padding columns never toggle.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bitsim._jit import inlined, kernel, parallel_kernel, team
from bitsim.datapath.kernels.pack import LANES, quad_lines
from bitsim.datapath.kernels.simd import hsum, load, popcount, splat, store
from bitsim.datapath.kernels.simd_dot import dpbusd

_WORTH_A_TEAM = 2**19  # MACs
FOUR_TIMES_128 = np.int32(-0x7F7F7F80)  # 0x80808080


def psum_toggles_ws(x: NDArray[np.int8], w: NDArray[np.int8], rows: int, acc_bits: int) -> int:
    """Toggled bits of all psum registers of a weight-stationary array; x: int8 (M, K), w: int8 (N, K).

    K is cut into tiles of `rows`; in a tile register (r, n) holds, for one x after the other, the sum of the first
    r + 1 products in `acc_bits` (2 to 32) bits, two's complement. Every tile starts and ends with zero. Rows that
    the last tile leaves unused pass the sum above them on. M < 2^24.
    """
    depth = min(rows, x.shape[1])
    with team(x.size * w.shape[0], _WORTH_A_TEAM):
        x_quads, w_quads = quad_operands(tiles_to_quads(x, depth), tiles_to_quads(w, depth))
        return int(_ws_all(w_quads, np.ascontiguousarray(x_quads.T), rows, -(-depth // 4), register_mask(acc_bits)))


def acc_toggles_os(x: NDArray[np.int8], w: NDArray[np.int8], acc_bits: int) -> int:
    """Toggled bits of all accumulators of an output-stationary array; x: int8 (M, K), w: int8 (N, K).

    The accumulator of (m, n) starts at zero and adds the K products in order, in `acc_bits` (2 to 32) bits; clearing
    it afterwards is not counted. K < 2^26.
    """
    with team(x.size * w.shape[0], _WORTH_A_TEAM):
        x_quads, w_quads = quad_operands(tiles_to_quads(x, x.shape[1]), tiles_to_quads(w, w.shape[1]))
        return int(_os_all(w_quads, x_quads, register_mask(acc_bits)))


def register_mask(acc_bits: int) -> np.int32:
    """The bits of a register, of 32."""
    return np.uint32(2**acc_bits - 1).astype(np.int32)


def tiles_to_quads(operand: NDArray[np.int8], depth: int) -> NDArray[np.int8]:
    """int8 (R, K) -> int8 (R, 4Q): every tile of `depth` k is padded with zeros to whole quads."""
    count, k = operand.shape
    if k % 4 == 0 and (depth % 4 == 0 or depth == k):
        return np.ascontiguousarray(operand)
    tiles, width = -(-k // depth), 4 * -(-depth // 4)
    whole = np.zeros((count, tiles * depth), np.int8)
    whole[:, :k] = operand
    padded = np.zeros((count, tiles, width), np.int8)
    padded[:, :, :depth] = whole.reshape(count, tiles, depth)
    last = k - (tiles - 1) * depth
    return np.ascontiguousarray(padded.reshape(count, -1)[:, : (tiles - 1) * width + 4 * -(-last // 4)])


def quad_operands(x: NDArray[np.int8], w: NDArray[np.int8]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """`x` and `w` as the kernels take them, from int8 (M, 4Q) and (N, 4Q)."""
    lines = np.empty((-(-w.shape[0] // LANES), w.shape[1] // 4, LANES), np.int32)
    quad_lines(w.view(np.int32), lines)
    # Flipping the top bit adds 128 to a byte.
    return x.view(np.int32) ^ FOUR_TIMES_128, lines


@inlined
def _prefixes(quads: Any) -> Any:
    """Of the four weights in each lane the first one, two, three and all."""
    first = quads & splat(np.int32(0x000000FF))
    second = quads & splat(np.int32(0x0000FFFF))
    third = quads & splat(np.int32(0x00FFFFFF))
    return first, second, third, quads


@inlined
def _excesses(prefixes: Any) -> Any:
    """128 times the sum of the weights of each prefix."""
    zero, bias = splat(np.int32(0)), splat(FOUR_TIMES_128)
    return (
        dpbusd(zero, bias, prefixes[0]),
        dpbusd(zero, bias, prefixes[1]),
        dpbusd(zero, bias, prefixes[2]),
        dpbusd(zero, bias, prefixes[3]),
    )


@inlined
def _four_sums(acc: Any, x: Any, prefixes: Any, excesses: Any) -> Any:
    """The running sums after each of four steps from `acc`."""
    return (
        dpbusd(acc - excesses[0], x, prefixes[0]),
        dpbusd(acc - excesses[1], x, prefixes[1]),
        dpbusd(acc - excesses[2], x, prefixes[2]),
        dpbusd(acc - excesses[3], x, prefixes[3]),
    )


@inlined
def _flips(new: Any, old: Any, mask: Any) -> Any:
    """Differing bits of four registers, added lane by lane."""
    first = popcount((new[0] ^ old[0]) & mask) + popcount((new[1] ^ old[1]) & mask)
    second = popcount((new[2] ^ old[2]) & mask) + popcount((new[3] ^ old[3]) & mask)
    return first + second


@kernel
def _ws_tile(w: Any, x: Any, sums: Any, acc_mask: Any) -> Any:
    """One tile of one block of columns: toggles of its 4Q registers, and of the last one alone.

    w: int32 (Q, 16); x: int32 (Q, M); sums: int32 (M, 16), overwritten with the tile's result.
    """
    zero, mask = splat(np.int32(0)), splat(acc_mask)
    sums[:] = 0
    toggles = 0
    for q in range(w.shape[0]):
        prefixes = _prefixes(load(w, LANES * q))
        excesses = _excesses(prefixes)
        x_row = x[q]
        old = (zero, zero, zero, zero)
        flips = zero
        for m in range(x.shape[1]):
            new = _four_sums(load(sums, LANES * m), splat(x_row[m]), prefixes, excesses)
            flips += _flips(new, old, mask)
            store(sums, LANES * m, new[3])
            old = new
        toggles += hsum(flips + _flips((zero, zero, zero, zero), old, mask))
    last, flips = zero, zero
    for m in range(x.shape[1]):
        result = load(sums, LANES * m)
        flips += popcount((result ^ last) & mask)
        last = result
    return toggles, hsum(flips + popcount(last & mask))


@parallel_kernel
def _ws_all(w: Any, x: Any, rows: int, tile_quads: int, acc_mask: Any) -> int:
    """w: int32 (B, Q, 16), x: int32 (Q, M); tile-major, so that the x of a tile stay in the cache."""
    n_blocks, n_quads = w.shape[0], w.shape[1]
    toggles = 0
    for item in numba.prange(n_blocks * ((n_quads + tile_quads - 1) // tile_quads)):
        block = item % n_blocks
        first = item // n_blocks * tile_quads
        end = min(first + tile_quads, n_quads)
        sums = np.empty((x.shape[1], LANES), np.int32)
        in_quads, at_end = _ws_tile(w[block, first:end], x[first:end], sums, acc_mask)
        # Padding rows up to a whole quad repeat the last sum as unused rows do: the count may be too high or too low.
        toggles += in_quads + (rows - 4 * (end - first)) * at_end
    return toggles


@kernel
def _os_one_row(w: Any, x: Any, m: int, acc_mask: Any) -> Any:
    """Toggles of the accumulators of row m in one block; w: int32 (Q, 16), x: int32 (M, Q)."""
    acc, flips, mask = splat(np.int32(0)), splat(np.int32(0)), splat(acc_mask)
    x_row = x[m]
    for q in range(w.shape[0]):
        prefixes = _prefixes(load(w, LANES * q))
        new = _four_sums(acc, splat(x_row[q]), prefixes, _excesses(prefixes))
        flips += _flips(new, (acc, new[0], new[1], new[2]), mask)
        acc = new[3]
    return hsum(flips)


@kernel
def _os_four_rows(w: Any, x: Any, m: int, acc_mask: Any) -> Any:
    """As `_os_one_row` for rows m to m + 3, which share the preparation of the weights."""
    zero, mask = splat(np.int32(0)), splat(acc_mask)
    row_0, row_1, row_2, row_3 = x[m], x[m + 1], x[m + 2], x[m + 3]
    acc_0, acc_1, acc_2, acc_3 = zero, zero, zero, zero
    flips_0, flips_1, flips_2, flips_3 = zero, zero, zero, zero
    for q in range(w.shape[0]):
        prefixes = _prefixes(load(w, LANES * q))
        excesses = _excesses(prefixes)
        new = _four_sums(acc_0, splat(row_0[q]), prefixes, excesses)
        flips_0 += _flips(new, (acc_0, new[0], new[1], new[2]), mask)
        acc_0 = new[3]
        new = _four_sums(acc_1, splat(row_1[q]), prefixes, excesses)
        flips_1 += _flips(new, (acc_1, new[0], new[1], new[2]), mask)
        acc_1 = new[3]
        new = _four_sums(acc_2, splat(row_2[q]), prefixes, excesses)
        flips_2 += _flips(new, (acc_2, new[0], new[1], new[2]), mask)
        acc_2 = new[3]
        new = _four_sums(acc_3, splat(row_3[q]), prefixes, excesses)
        flips_3 += _flips(new, (acc_3, new[0], new[1], new[2]), mask)
        acc_3 = new[3]
    return hsum(flips_0) + hsum(flips_1) + hsum(flips_2) + hsum(flips_3)


@parallel_kernel
def _os_all(w: Any, x: Any, acc_mask: Any) -> int:
    """w: int32 (B, Q, 16), x: int32 (M, Q)."""
    m_total = x.shape[0]
    toggles = 0
    for block in numba.prange(w.shape[0]):
        for m in range(0, m_total - 3, 4):
            toggles += _os_four_rows(w[block], x, m, acc_mask)
        for m in range(m_total - m_total % 4, m_total):
            toggles += _os_one_row(w[block], x, m, acc_mask)
    return toggles
