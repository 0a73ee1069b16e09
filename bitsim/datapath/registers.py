"""Flips of registers: Hamming distances between what a register held and what it holds next."""

import numpy as np

from bitsim.datapath.base import Array


def ones(patterns: Array) -> int:
    """Bits that are 1 in all of the unsigned `patterns`."""
    return int(np.bitwise_count(patterns).sum(dtype=np.int64))


def stream_toggles(bits: Array, axis: int) -> int:
    """Toggles of one register through which `bits` (unsigned) stream along `axis`, from 0 and back to 0."""
    if bits.shape[axis] == 1:
        return 2 * ones(bits)
    stream = np.moveaxis(bits, axis, 0)
    return ones(stream[0]) + ones(stream[-1]) + ones(stream[1:] ^ stream[:-1])
