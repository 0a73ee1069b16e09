"""Register toggles of weights that are shifted down a chain of registers, tile by tile of K."""

from typing import Any

import numba
import numpy as np

from bitsim._jit import kernel, parallel_kernel

_ROWS_OF_A_THREAD = 64
_PAIRS = 4096  # few enough for sums in 32 bits


@kernel
def _popcount(value: Any) -> Any:
    """Ones of a 16-bit pattern, as uint32."""
    v = np.uint32(value)
    v = v - ((v >> np.uint32(1)) & np.uint32(0x5555))
    v = (v & np.uint32(0x3333)) + ((v >> np.uint32(2)) & np.uint32(0x3333))
    v = (v + (v >> np.uint32(4))) & np.uint32(0x0F0F)
    return (v + (v >> np.uint32(8))) & np.uint32(0x1F)


@kernel
def _flips(values: Any, behind: Any) -> Any:
    """Differing bits of pairs of uint16 (S,), S <= 4096: all of them, and each pair's times its number from 1."""
    flips, weighted = np.uint32(0), np.uint32(0)
    for i in range(values.size):
        distance = _popcount(values[i] ^ behind[i])
        flips += distance
        weighted += np.uint32(i + 1) * distance
    return np.int64(flips), np.int64(weighted)


@kernel
def _tile_toggles(tile: Any) -> Any:
    """One column of one tile, uint16 (up to R,): the value of row i and the one behind it pass i + 1 registers."""
    last = tile.size - 1
    toggles = np.int64(tile.size) * np.int64(_popcount(tile[last]))
    for start in range(0, last, _PAIRS):
        end = min(start + _PAIRS, last)
        flips, weighted = _flips(tile[start:end], tile[start + 1 : end + 1])
        toggles += start * flips + weighted
    return toggles


@kernel
def chain_run(patterns: Any, rows: int) -> Any:
    """As `chain_toggles`, on the calling thread."""
    toggles = np.int64(0)
    for n in range(patterns.shape[0]):
        for k in range(0, patterns.shape[1], rows):
            toggles += _tile_toggles(patterns[n, k : min(k + rows, patterns.shape[1])])
    return toggles


@parallel_kernel
def chain_toggles(patterns: Any, rows: int) -> Any:
    """patterns: uint16 (N, K); every tile of `rows` of K enters a reset chain of `rows` registers."""
    n_total, toggles = patterns.shape[0], np.int64(0)
    for block in numba.prange((n_total + _ROWS_OF_A_THREAD - 1) // _ROWS_OF_A_THREAD):
        toggles += chain_run(patterns[_ROWS_OF_A_THREAD * block : _ROWS_OF_A_THREAD * (block + 1)], rows)
    return toggles
