"""Lookups in mirrored tables of binary sums: accumulators, their flips, overflows and the sums that they reach."""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from bitsim._jit import parallel_kernel, team
from bitsim.datapath.kernels.simd import popcount

NOWHERE = -1
_WORTH_A_TEAM = 2**16  # lookups


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookups:
    """`acc`: int64 (M, N), the accumulators after each token; flips of all their bits; overflows; the first one's
    (m, step, n) or None; the lowest and the highest sum that entered one."""

    acc: NDArray[np.int64]
    flips: int
    overflows: int
    first: tuple[int, int, int] | None
    low: int
    high: int


def binary_lookups(
    tables: NDArray[np.int16], codes: NDArray[np.uint8], side: int, acc_bits: int, saturate: bool
) -> Lookups:
    """`tables`: int16 (M, T, 8); `codes`: uint8 (N, 2, T) of a sign (bit 3) and a position relative to it.

    A cycle looks up `side` tables, T being a multiple of it, and adds their sum to an accumulator of `acc_bits` (2 to
    62), which wraps or is clamped. The first sum of a token is taken instead. Accumulators start and end at 0.
    """
    m, n = tables.shape[0], codes.shape[0]
    acc = np.empty((m, n), np.int64)
    counts = np.zeros((n, 4), np.int64)  # flips, overflows, lowest, highest sum
    first = np.full((n, 2), NOWHERE, np.int64)
    with team(m * codes.size, _WORTH_A_TEAM):
        _all_outputs(
            np.ascontiguousarray(tables), np.ascontiguousarray(codes), side, acc_bits, saturate, acc, counts, first
        )
    hits = [(int(at[0]), int(at[1]), i) for i, at in enumerate(first) if at[0] != NOWHERE]
    return Lookups(
        acc=acc,
        flips=int(counts[:, 0].sum()),
        overflows=int(counts[:, 1].sum()),
        first=min(hits) if hits else None,
        low=int(counts[:, 2].min()),
        high=int(counts[:, 3].max()),
    )


@parallel_kernel
def _all_outputs(
    tables: Any, codes: Any, side: int, acc_bits: int, saturate: bool, y: Any, counts: Any, first: Any
) -> None:
    high = (np.int64(1) << (acc_bits - 1)) - np.int64(1)
    low = -high - np.int64(1)
    mask = (np.int64(1) << acc_bits) - np.int64(1)
    for n in numba.prange(codes.shape[0]):
        acc, flips, overflows = np.int64(0), np.int64(0), np.int64(0)
        lowest, highest = np.int64(0), np.int64(0)
        for m in range(tables.shape[0]):
            for start in range(0, tables.shape[1], side):
                for plane in range(2):
                    total = acc if start + plane else np.int64(0)
                    for t in range(start, start + side):
                        code = codes[n, plane, t]
                        entry = np.int64(tables[m, t, code & 7])
                        total += -entry if code & 8 else entry
                    lowest, highest = min(lowest, total), max(highest, total)
                    if total < low or total > high:
                        overflows += np.int64(1)
                        if first[n, 0] == NOWHERE:
                            first[n, 0], first[n, 1] = m, start // side
                        clamped = low if total < low else high
                        total = clamped if saturate else ((total - low) & mask) + low
                    flips += popcount((total ^ acc) & mask)
                    acc = total
            y[m, n] = acc
        flips += popcount(acc & mask)
        counts[n, 0], counts[n, 1], counts[n, 2], counts[n, 3] = flips, overflows, lowest, highest
