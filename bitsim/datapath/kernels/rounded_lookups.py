"""Lookups in mirrored tables whose entries are rounded, 16 outputs side by side, where no accumulator can overflow.

An entry e = +-a0 +-a1 +-a2 + a3 is formed where it is looked up: `dpbusd` adds twice the activations that have a plus,
and all of them are taken off. Rounded to nearest, upwards in the middle, and clamped, it is
min((e + 2^(d-1)) >> d, 2^(b-1) - 1) for entries of b = 10 - d bits, -2^(b-1) <= e / 2^d <= 2^(b-1); adding 2^(b-1)
makes the shift one of numbers that are not negative, and shows by bit b that the entry has to be clamped. What that
adds to a sum depends on weights alone, and so does the 1 that completes each negation: `corrections`.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bitsim._jit import kernel, parallel_kernel, team
from bitsim.datapath.kernels.group_toggles import chain_toggles
from bitsim.datapath.kernels.pack import LANES
from bitsim.datapath.kernels.psum_toggles import register_mask
from bitsim.datapath.kernels.simd import hsum, load, popcount, splat, store
from bitsim.datapath.kernels.simd_dot import dpbusd

_WORTH_A_TEAM = 2**16  # lookups
_MOST = 512  # the magnitude that no entry exceeds before it is rounded


def rounded_lookups(
    x: NDArray[np.int8], plus: NDArray[np.int32], negated: NDArray[np.uint8], side: int, dropped: int, acc_bits: int
) -> tuple[NDArray[np.int32], int]:
    """The accumulators after each token, int32 (M, N), and the flips of all their bits.

    x: int8 (M, T, 4), activations table by table; plus: int32 (N, 2, T), four bytes, 2 where an activation has a plus
    in the entry that is looked up, else 0; negated: uint8 (N, 2, T), 1 where a lookup is subtracted. Entries leave out
    `dropped` (at least 1) low bits. A cycle looks up `side` tables, T being a multiple of it, first for one plane, then
    for the other. The first sum of a token is taken, the others are added. Accumulators (up to 32 bits) start and end
    at 0.
    """
    (m, tables, _), n = x.shape, plus.shape[0]
    blocks = -(-n // LANES)
    lines, signs = (_side_by_side(values, blocks) for values in (plus, -negated.astype(np.int32)))
    bits = 10 - dropped
    subtracted = -signs.reshape(blocks, -1, side, 2, LANES).sum(axis=2)
    corrections = (subtracted - (side - 2 * subtracted) * (1 << (bits - 1))).astype(np.int32)
    offsets = (1 << (dropped - 1)) + _MOST - sum(x[:, :, i].astype(np.int32) for i in range(4))
    masks = np.where(np.arange(blocks * LANES) < n, register_mask(acc_bits), np.int32(0)).reshape(blocks, LANES)
    y, flips = np.empty((blocks, m, LANES), np.int32), np.zeros(blocks, np.int64)
    with team(m * n * 2 * tables, _WORTH_A_TEAM):
        quads = np.ascontiguousarray(x).view(np.int32)[..., 0]
        _all_blocks(lines, signs, corrections, quads, offsets, side, dropped, bits, masks, y, flips)
    return y.transpose(1, 0, 2).reshape(m, -1)[:, :n], int(flips.sum())


def _side_by_side(values: NDArray[np.int32], blocks: int) -> NDArray[np.int32]:
    """(N, 2, T) -> (B, T, 2, 16), zeros beyond N."""
    n, planes, tables = values.shape
    padded = np.zeros((blocks * LANES, planes, tables), np.int32)
    padded[:n] = values
    return np.ascontiguousarray(padded.reshape(blocks, LANES, planes, tables).transpose(0, 3, 2, 1))


@parallel_kernel
def _all_blocks(
    lines: Any,
    signs: Any,
    corrections: Any,
    x: Any,
    offsets: Any,
    side: int,
    dropped: int,
    bits: int,
    masks: Any,
    y: Any,
    flips: Any,
) -> None:
    """lines, signs: int32 (B, T, 2, 16); corrections: int32 (B, T / side, 2, 16); x, offsets: int32 (M, T);
    masks: int32 (B, 16), the bits of the accumulators, none where there is no output; flips: int64 (B,), added to."""
    m_total = x.shape[0]
    for block in numba.prange(lines.shape[0]):
        first = np.empty((m_total, LANES), np.int32)
        for m in range(m_total):
            flips[block] += _one_row(
                lines[block],
                signs[block],
                corrections[block],
                x[m],
                offsets[m],
                side,
                dropped,
                bits,
                masks[block],
                first[m],
                y[block, m],
            )
        flips[block] += chain_toggles(first, y[block], 1, masks[block])


@kernel
def _one_row(
    lines: Any,
    signs: Any,
    corrections: Any,
    x: Any,
    offsets: Any,
    side: int,
    dropped: int,
    bits: int,
    masks: Any,
    first: Any,
    last: Any,
) -> Any:
    """Flips of one token's accumulators between its sums; `first` and `last` are written."""
    acc, flips, mask = splat(np.int32(0)), splat(np.int32(0)), load(masks, 0)
    for group in range(corrections.shape[0]):
        plane_0, plane_1 = load(corrections, 2 * LANES * group), load(corrections, 2 * LANES * group + LANES)
        for t in range(group * side, (group + 1) * side):
            quad, offset, at = splat(x[t]), splat(offsets[t]), 2 * LANES * t
            entry = dpbusd(offset, load(lines, at), quad) >> dropped
            plane_0 += (entry - (entry >> bits)) ^ load(signs, at)
            entry = dpbusd(offset, load(lines, at + LANES), quad) >> dropped
            plane_1 += (entry - (entry >> bits)) ^ load(signs, at + LANES)
        middle = acc + plane_0
        if group == 0:
            store(first, 0, middle)
        else:
            flips += popcount((middle ^ acc) & mask)
        acc = middle + plane_1
        flips += popcount((acc ^ middle) & mask)
    store(last, 0, acc)
    return hsum(flips)
