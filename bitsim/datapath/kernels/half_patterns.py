"""float32 patterns to binary16 patterns in integer arithmetic, without branches, so that compilers vectorise it."""

from typing import Any

import numba
import numpy as np

from bitsim._jit import kernel, parallel_kernel

_PER_THREAD = 1 << 16
_INFINITY = np.uint32(0x7F800000)
_SMALLEST_NORMAL = np.uint32(0x38800000)  # 2^-14
_TOO_LARGE = np.uint32(0x47800000)  # 65536, what rounds there is infinite
_REBIASED = np.uint32((127 - 15) << 10)
_HIDDEN_ONE = np.uint32(1 << 23)


@kernel
def _half(bits: Any) -> Any:
    """Nearest even; `bits`: of a float32 that is not NaN."""
    one = np.uint32(1)
    magnitude = bits & np.uint32(0x7FFFFFFF)
    # Normal: add just under half of the last place kept, plus one if that place is odd; then cut 13 bits.
    rounded = magnitude + np.uint32(0xFFF) + ((magnitude >> np.uint32(13)) & one)
    normal = np.uint32(0x7C00) if rounded >= _TOO_LARGE else (rounded >> np.uint32(13)) - _REBIASED
    # Subnormal: whole multiples of 2^-24. A significand of 24 bits that is shifted by 25 is below half of one.
    shift = min(np.uint32(25), max(one, np.uint32(126) - (magnitude >> np.uint32(23))))
    significand = (magnitude & np.uint32(0x7FFFFF)) | _HIDDEN_ONE
    places = significand >> shift
    rest, tie = significand & ((one << shift) - one), one << (shift - one)
    places += np.uint32(rest > tie) | (np.uint32(rest == tie) & places)
    half = places if magnitude < _SMALLEST_NORMAL else normal
    return half | ((bits >> np.uint32(16)) & np.uint32(0x8000))


@kernel
def half_run(bits: Any, halves: Any) -> Any:
    """As `half_patterns`, on the calling thread: a few thousand numbers take less time than starting a team."""
    nans = np.uint32(0)
    for i in range(bits.size):
        halves[i] = np.uint16(_half(bits[i]))
        nans += np.uint32((bits[i] & np.uint32(0x7FFFFFFF)) > _INFINITY)
    return nans


@parallel_kernel
def half_patterns(bits: Any, halves: Any) -> Any:
    """bits: uint32 (S,) of float32 -> halves: uint16 (S,), written; returns the number of NaNs, not converted."""
    nans = np.int64(0)
    for block in numba.prange((bits.size + _PER_THREAD - 1) // _PER_THREAD):
        start, end = block * _PER_THREAD, min(bits.size, (block + 1) * _PER_THREAD)
        nans += np.int64(half_run(bits[start:end], halves[start:end]))
    return nans
