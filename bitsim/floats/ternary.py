"""float32 values of ternary codes with a grid of scales, formed row by row from 2-bit fields: each is code x scale.

Codes lie four rows to a byte, as transformers packs them: row `r` of N in the bits `2 (r // Q)` of byte row `r % Q`,
with Q = ceil(N / 4) and 1 added to each code.
"""

import numba
import numpy as np
import numpy.typing as npt

from bitsim._jit import parallel_kernel, team

Float32 = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]

_WORTH_A_TEAM = 2**19  # values


def scaled_rows(packed: UInt8, rows: Int64, scales: Float32, block: tuple[int, int]) -> Float32:
    """The rows with these numbers, float32 (R, K), of codes `packed` uint8 (Q, K).

    `scales`: (N / gn, K / gk), of blocks of `block` = (gn, gk) codes. Bit-exact with `plain.scaled_rows`.
    """
    values = np.empty((len(rows), packed.shape[1]), np.float32)
    with team(values.size, _WORTH_A_TEAM):
        _scaled_rows(packed, rows, scales, *block, values)
    return values


@parallel_kernel
def _scaled_rows(packed: UInt8, rows: Int64, scales: Float32, gn: int, gk: int, values: Float32) -> None:
    quarter = packed.shape[0]
    for i in numba.prange(len(rows)):
        row = rows[i]
        shift = np.uint8(2 * (row // quarter))
        mask, one, two = np.uint8(3 << shift), np.uint8(1 << shift), np.uint8(2 << shift)
        for group in range(scales.shape[1]):
            scale = scales[row // gn, group]
            less, none = np.float32(-1) * scale, np.float32(0) * scale
            # Slices and comparisons become vector instructions; indices from the outside and shifts do not.
            stored = packed[row % quarter, group * gk : (group + 1) * gk]
            formed = values[i, group * gk : (group + 1) * gk]
            for k in range(len(formed)):
                field = np.uint8(stored[k] & mask)
                formed[k] = scale if field == two else (none if field == one else less)
