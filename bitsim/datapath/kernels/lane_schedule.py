"""Lanes that look for activations that are not zero: how long they take, and what their registers see."""

from typing import Any

import numpy as np

from bitsim._jit import kernel
from bitsim.datapath.kernels.simd import popcount


@kernel
def look_ahead(x: Any, depth: int, lookahead: int, steps: Any, first: Any) -> None:
    """x: int8 (M, K); steps: int64 (M, slices), cycles until a lane has seen its slice of `depth`; first: bool (M, K),
    False on entry, activations that are taken in the first of them. See `bitsim.datapath.lane_schedule`."""
    for m in range(x.shape[0]):
        row, taken_first = x[m], first[m]
        for s in range(steps.shape[1]):
            k = min(s * depth, row.shape[0])
            end = min(k + depth, row.shape[0])
            cycles = 0
            while k < end:
                stop = min(k + lookahead, end)
                while k < stop and row[k] == 0:
                    k += 1
                if k < stop:
                    taken_first[k] = cycles == 0
                    k += 1
                cycles += 1
            steps[m, s] = cycles


@kernel
def slice_toggles(x: Any, passes: Any, lanes: int, depth: int) -> Any:
    """Toggled bits of the registers for slices and picks of a tile; all start and end at 0.

    x: uint8 (M, K); passes: int64 (M,), how often each token passes. In a pass all slices of an interval enter their
    `lanes` x `depth` registers, zeros beyond K, and the activations among them that are not 0 the lanes' picks.
    """
    held, picks = np.zeros(lanes * depth, np.uint8), np.zeros(lanes, np.uint8)
    flips = np.int64(0)
    for m in range(x.shape[0]):
        if passes[m] > 0:
            flips += _pass(x[m], held, picks, depth)
        if passes[m] > 1:  # a token finds what itself left, each time
            flips += (passes[m] - 1) * _pass(x[m], held, picks, depth)
    for value in held:
        flips += np.int64(popcount(value))
    for value in picks:
        flips += np.int64(popcount(value))
    return flips


@kernel
def _pass(row: Any, held: Any, picks: Any, depth: int) -> Any:
    flips = np.int64(0)
    for k0 in range(0, row.shape[0], held.shape[0]):
        here = min(held.shape[0], row.shape[0] - k0)
        for i in range(here):
            flips += np.int64(popcount(np.uint8(held[i] ^ row[k0 + i])))
            held[i] = row[k0 + i]
        for i in range(here, held.shape[0]):
            flips += np.int64(popcount(held[i]))
            held[i] = 0
        for i in range(here):
            if held[i]:
                flips += np.int64(popcount(np.uint8(picks[i // depth] ^ held[i])))
                picks[i // depth] = held[i]
    return flips
