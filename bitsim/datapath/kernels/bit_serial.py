"""Hamming distances of the registers of bit-serial cells, 16 columns at a time.

A plane of a group is one word of bits per 32 lanes, and so are the positive and the negative weights of a column; the
sum of the products is the difference of two popcounts.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bitsim._jit import kernel, parallel_kernel
from bitsim.datapath.kernels.grouped_sums import clamp
from bitsim.datapath.kernels.pack import LANES
from bitsim.datapath.kernels.simd import hsum, load, popcount, splat, store
from bitsim.datapath.kernels.team import team

WORD = 32  # lanes per word
_WORTH_A_TEAM = 2**18  # MACs


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
    lines = np.zeros((-(-n // LANES), 2, groups, words, LANES), np.int32)
    for sign, bits in enumerate((positive, negative)):
        padded = np.zeros((groups, words, lines.shape[0] * LANES), np.int32)
        padded[:, :, :n] = bits
        lines[:, sign] = np.moveaxis(padded.reshape(groups, words, -1, LANES), 2, 0)
    flips = np.zeros((lines.shape[0], 2), np.int64)
    with team(m * groups * words * WORD * n, _WORTH_A_TEAM):
        _all_blocks(lines, np.ascontiguousarray(planes), live, rows, serial_bits, acc_bits, saturate, flips)
    total: NDArray[np.int64] = flips.sum(axis=0)
    return total


@parallel_kernel
def _all_blocks(
    lines: Any, planes: Any, live: Any, rows: int, serial_bits: int, acc_bits: int, saturate: bool, flips: Any
) -> None:
    """lines: int32 (B, 2, G, words, 16); flips: int64 (B, 2), added to."""
    for block in numba.prange(lines.shape[0]):
        _one_block(lines[block], planes, live, rows, serial_bits, acc_bits, saturate, flips[block])


@kernel
def _one_block(
    weights: Any, planes: Any, live: Any, rows: int, serial_bits: int, acc_bits: int, saturate: bool, flips: Any
) -> None:
    held, acc = np.zeros((rows, LANES), np.int32), np.zeros((rows, LANES), np.int32)
    mask = splat(np.int32((np.int64(1) << serial_bits) - 1))
    acc_mask = splat(np.int32((np.int64(1) << acc_bits) - 1))
    for m0 in range(0, planes.shape[0], rows):
        for group in range(planes.shape[1]):
            for m in range(m0, min(m0 + rows, planes.shape[0])):
                row = m - m0
                flips[0] += _group(
                    weights[0, group], weights[1, group], planes[m, group], live[m0 // rows, group], held[row], mask
                )
                old, total = load(acc, LANES * row), load(held, LANES * row)
                store(acc, LANES * row, old + total if group > 0 else total)
                if saturate:
                    clamp(acc[row], acc_bits)
                flips[1] += hsum(popcount((load(acc, LANES * row) ^ old) & acc_mask))
    for row in range(rows):
        flips[0] += hsum(popcount(load(held, LANES * row) & mask))
        flips[1] += hsum(popcount(load(acc, LANES * row) & acc_mask))


@kernel
def _group(positive: Any, negative: Any, planes: Any, live: Any, held: Any, mask: Any) -> Any:
    """The planes of one group in one row of 16 cells: `held` and the flips that it returns."""
    top = planes.shape[0] - 1
    old, total, flips = load(held, 0), splat(np.int32(0)), splat(np.int32(0))
    for i in range(top + 1):
        plane = top - i
        if (live >> plane) & 1:
            weight = np.int32(-(1 << plane) if plane == top else 1 << plane)
            for word in range(planes.shape[1]):
                bits = splat(planes[plane, word])
                ones = popcount(load(positive, LANES * word) & bits) - popcount(load(negative, LANES * word) & bits)
                total += ones * splat(weight)
            flips += popcount((total ^ old) & mask)
            old = total
    store(held, 0, old)
    return hsum(flips)
