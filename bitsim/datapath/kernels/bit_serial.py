"""Hamming distances of the registers of bit-serial cells, 16 columns at a time.

A plane of a group is one word of bits per 32 lanes, and so are the positive and the negative weights of a column; the
sum of the products is the difference of two popcounts.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bitsim._jit import kernel, parallel_kernel, team
from bitsim.datapath.kernels.grouped_sums import clamp
from bitsim.datapath.kernels.pack import LANES
from bitsim.datapath.kernels.simd import hsum, load, popcount, splat, store

WORD = 32  # lanes per word
_WORTH_A_TEAM = 2**18  # MACs
_UNCOUNTED = 2**20  # groups of 8 planes whose flips, 32 bits each at most, fit a lane


def serial_toggles(
    planes: NDArray[np.int32],
    live: NDArray[np.int64],
    positive: NDArray[np.int32],
    negative: NDArray[np.int32],
    rows: int,
    serial_bits: int,
    acc_bits: int,
    saturate: bool,
) -> NDArray[np.int64]:
    """Toggled bits of the registers in which all cells put planes together, and of their accumulators.

    planes: int32 (M, G, P, words), plane p of the lanes of a group as bits; live: int64 (ceil(M / rows), G), bit p set
    where a block of `rows` tokens works on plane p; positive, negative: int32 (G, words, N), bits of the weights +1
    and -1. The planes come from P - 1, which counts -2^(P - 1), downwards; the first one of a group replaces what the
    register of (m mod rows, n) held, the others are added to it. Then the accumulator of (m mod rows, n), 2 to 32 bits,
    clamped at its ends if `saturate`, takes the sum of the first group and adds those of the others. All registers
    start and end at 0.
    """
    m, groups, _, words = planes.shape
    n = positive.shape[2]
    lines = np.zeros((-(-n // LANES), groups, words, 2, LANES), np.int32)
    for sign, bits in enumerate((positive, negative)):
        padded = np.zeros((groups, words, lines.shape[0] * LANES), np.int32)
        padded[:, :, :n] = bits
        lines[:, :, :, sign] = np.moveaxis(padded.reshape(groups, words, -1, LANES), 2, 0)
    flips = np.zeros((lines.shape[0], 2), np.int64)
    with team(m * groups * words * WORD * n, _WORTH_A_TEAM):
        _all_blocks(lines, np.ascontiguousarray(planes), live, rows, serial_bits, acc_bits, saturate, flips)
    total: NDArray[np.int64] = flips.sum(axis=0)
    return total


def bit_planes(lanes: NDArray[np.uint8], act_bits: int) -> NDArray[np.int32]:
    """`lanes`: uint8 (M, G, L) -> int32 (M, G, act_bits, words), bit p of 32 lanes to a word, the first one lowest."""
    m, groups, width = lanes.shape
    planes = np.zeros((m, groups, act_bits, -(-width // WORD)), np.int32)
    _take_bits(np.ascontiguousarray(lanes), planes)
    return planes


@kernel
def _take_bits(lanes: Any, planes: Any) -> None:
    for m in range(lanes.shape[0]):
        for group in range(lanes.shape[1]):
            for word in range(planes.shape[3]):
                first = word * WORD
                for plane in range(planes.shape[2]):
                    bits = np.uint32(0)
                    for i in range(min(WORD, lanes.shape[2] - first)):
                        bits |= np.uint32((lanes[m, group, first + i] >> np.uint8(plane)) & 1) << np.uint32(i)
                    planes[m, group, plane, word] = bits


@parallel_kernel
def _all_blocks(
    lines: Any, planes: Any, live: Any, rows: int, serial_bits: int, acc_bits: int, saturate: bool, flips: Any
) -> None:
    """lines: int32 (B, G, words, 2, 16); flips: int64 (B, 2), added to."""
    for block in numba.prange(lines.shape[0]):
        _one_block(lines[block], planes, live, rows, serial_bits, acc_bits, saturate, flips[block])


@kernel
def _one_block(
    weights: Any, planes: Any, live: Any, rows: int, serial_bits: int, acc_bits: int, saturate: bool, flips: Any
) -> None:
    """weights: int32 (G, words, 2, 16); flips: int64 (2,), added to."""
    m_total, groups, act_bits, words = planes.shape
    held, acc = np.zeros((rows, LANES), np.int32), np.zeros((rows, LANES), np.int32)
    mask = splat(np.int32((np.int64(1) << serial_bits) - 1))
    acc_mask = splat(np.int32((np.int64(1) << acc_bits) - 1))
    zero, top = splat(np.int32(0)), act_bits - 1
    flat = planes.reshape(planes.size)
    serial, sums, uncounted = zero, zero, 0
    for m0 in range(0, m_total, rows):
        for group in range(groups):
            working, lines = live[m0 // rows, group], 2 * LANES * words * group
            for m in range(m0, min(m0 + rows, m_total)):
                at = LANES * (m - m0)
                old, total = load(held, at), zero
                first = ((m * groups + group) * act_bits) * words
                for plane in range(top, -1, -1):
                    if (working >> plane) & 1:
                        ones = zero
                        for word in range(words):
                            bits, line = splat(flat[first + plane * words + word]), lines + 2 * LANES * word
                            ones += popcount(load(weights, line) & bits)
                            ones -= popcount(load(weights, line + LANES) & bits)
                        total += ones * splat(np.int32(-(1 << plane) if plane == top else 1 << plane))
                        serial += popcount((total ^ old) & mask)
                        old = total
                store(held, at, old)
                before = load(acc, at)
                store(acc, at, before + old if group > 0 else old)
                if saturate:
                    clamp(acc[m - m0], acc_bits)
                sums += popcount((load(acc, at) ^ before) & acc_mask)
                uncounted += 1
                if uncounted == _UNCOUNTED:
                    flips[0] += hsum(serial)
                    flips[1] += hsum(sums)
                    serial, sums, uncounted = zero, zero, 0
    flips[0] += hsum(serial)
    flips[1] += hsum(sums)
    for row in range(rows):
        flips[0] += hsum(popcount(load(held, LANES * row) & mask))
        flips[1] += hsum(popcount(load(acc, LANES * row) & acc_mask))
