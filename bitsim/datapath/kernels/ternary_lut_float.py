"""Lookups in tables of FP16 sums, the adders behind them and the accumulators, for 16 tokens side by side.

Entries are given. In each step the entries that the codes of one output choose are added pair by pair, those without a
partner pass on, and the accumulator takes the first step's sum and adds those of the following ones; every addition is
rounded to binary16, or to binary32 if `single`. A negative code gives its entry with the other sign, code 0 gives +0.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bitsim._jit import inlined, kernel, parallel_kernel, team
from bitsim.datapath.kernels.pack import LANES
from bitsim.datapath.kernels.simd import load, popcount, splat, store
from bitsim.datapath.kernels.simd_half import half_bits, round_half
from bitsim.datapath.kernels.ternary_float_array import single_bits

_WORTH_A_TEAM = 2**16  # lookups
Float32 = NDArray[np.float32]


def float_lookups(entries: Float32, codes: NDArray[np.int16], *, single: bool) -> tuple[Float32, int]:
    """Sums float32 (M, N), and how many bits of the accumulators flip, which start and end at 0.

    `entries`: float32 (M, S, T, E), of E entries in each of T tables in S steps per token, binary16 values; `codes`:
    int16 (N, S, T), 0 or the entry's number from 1 on, with a sign. An accumulator takes one token after the other.
    """
    (m, steps, tables, count), n = entries.shape, codes.shape[0]
    lines = np.zeros((-(-m // LANES), LANES, steps, tables, count + 1), np.float32)
    lines.reshape(-1, steps, tables, count + 1)[:m, :, :, 1:] = entries
    lines = np.ascontiguousarray(lines.transpose(0, 2, 3, 4, 1))
    y = np.empty((n, len(lines), LANES), np.float32)
    flips, first, last = (np.empty((n, len(lines), LANES), np.int32) for _ in range(3))
    with team(m * n * steps * tables, _WORTH_A_TEAM):
        _all_outputs(lines, codes, single, y, flips, first, last)
    of_tokens = [one.reshape(n, -1)[:, :m] for one in (flips, first, last)]
    held = np.concatenate([np.zeros((n, 1), np.int32), of_tokens[2]], axis=1)
    entering = np.concatenate([of_tokens[1], np.zeros((n, 1), np.int32)], axis=1)
    between = int(np.bitwise_count((held ^ entering).view(np.uint32)).sum(dtype=np.int64))
    return np.ascontiguousarray(y.reshape(n, -1)[:, :m].T), int(of_tokens[0].sum(dtype=np.int64)) + between


@inlined
def _add(a: Any, b: Any, single: Any) -> Any:
    return a + b if single else round_half(a + b)


@parallel_kernel
def _all_outputs(lines: Any, codes: Any, single: bool, y: Any, flips: Any, first: Any, last: Any) -> None:
    """lines: float32 (B, S, T, E + 1, 16), entry 0 is +0; the others as they are returned, by blocks of tokens."""
    for n in numba.prange(codes.shape[0]):
        row = np.empty((codes.shape[2], LANES), np.float32)
        for block in range(lines.shape[0]):
            one = y[n, block], flips[n, block], first[n, block], last[n, block]
            _one_output(lines[block], codes[n], single, row, one)


@kernel
def _one_output(lines: Any, codes: Any, single: bool, row: Any, found: Any) -> None:
    """One output of 16 tokens; row: float32 (T, 16), scratch."""
    acc = splat(np.float32(0.0))
    flipped = held = splat(np.int32(0))
    for step in range(codes.shape[0]):
        for table in range(codes.shape[1]):
            code = codes[step, table]
            entry = load(lines[step, table], LANES * np.int64(abs(code)))
            store(row, LANES * table, entry * splat(np.float32(-1.0)) if code < 0 else entry)
        nodes = codes.shape[1]
        while nodes > 1:
            for pair in range(nodes // 2):
                total = _add(load(row, 2 * LANES * pair), load(row, LANES * (2 * pair + 1)), single)
                store(row, LANES * pair, total)
            if nodes % 2:
                store(row, LANES * (nodes // 2), load(row, LANES * (nodes - 1)))
            nodes = (nodes + 1) // 2
        acc = load(row, 0) if step == 0 else _add(acc, load(row, 0), single)
        bits = single_bits(acc) if single else half_bits(acc)
        if step == 0:
            store(found[2], 0, bits)
        else:
            flipped += popcount(bits ^ held)
        held = bits
    store(found[0], 0, acc)
    store(found[1], 0, flipped)
    store(found[3], 0, held)
