"""From any byte layout to the 2-bit packing that the simulator computes with, in pieces of a few megabytes."""

from collections.abc import Callable

import numpy as np

from bitsim.quant.packing import Int8, UInt8

_BLOCK_CODES = 1 << 20


def pack_hf_rows(rows: Callable[[int, int], Int8], n: int, k: int) -> UInt8:
    """The bytes of `pack_hf`, uint8 (ceil(N/4), K), of a matrix that is produced a few rows at a time.

    `rows(low, high)`: ternary codes int8 (high - low, K) of these rows, already checked. Every row is asked for once.
    """
    quarter = -(-n // 4)
    packed = np.zeros((quarter, k), dtype=np.uint8)
    step = max(1, _BLOCK_CODES // k)
    for low in range(0, quarter, step):
        high = min(low + step, quarter)
        for i in range(4):
            first, last = i * quarter + low, min(i * quarter + high, n)
            if first < last:
                stored = (rows(first, last) + np.int8(1)).view(np.uint8)
                packed[low : low + last - first] |= stored << np.uint8(2 * i)
    return packed
