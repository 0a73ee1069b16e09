"""Numbers become codes of the operand formats of tensor cores, rounded to nearest, ties to even."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bitsim.datapath.formats import round_to_half
from bitsim.datapath.tensor_core.float_formats import FP16, Codes, FloatFormat, decode


def encode(values: NDArray[np.float32], fmt: FloatFormat) -> Codes:
    """`values` float32 of any shape as codes of `fmt`, rounded once.

    What is too large becomes infinity in 16-bit formats and the largest finite number in 8-bit ones, as NVIDIA's
    conversions do (PTX ISA: cvt.rn, cvt.rn.satfinite). NaN becomes the positive code of all ones.
    """
    if fmt == FP16:
        return np.where(np.isnan(values), np.uint16(fmt.max_code >> 1), round_to_half(values).view(np.uint16))
    magnitude, ties = np.abs(values).astype(np.float64), _ties(fmt)
    code = np.searchsorted(ties, magnitude)  # a tie goes down
    tied = (code < len(ties)) & (magnitude == ties[np.minimum(code, len(ties) - 1)])
    code += tied & (code % 2 == 1)
    code |= np.signbit(values).astype(np.int64) << (fmt.bits - 1)
    code[np.isnan(values)] = fmt.max_code >> 1
    return code.astype(fmt.dtype)


@lru_cache
def _ties(fmt: FloatFormat) -> NDArray[np.float64]:
    """Halfway from each code's number to the next; the code above the largest finite one is infinity's."""
    codes = np.arange(1 << (fmt.bits - 1), dtype=fmt.dtype)
    numbers = decode(codes, fmt).value.astype(np.float64)
    numbers = numbers[np.isfinite(numbers)]
    ties: NDArray[np.float64] = (numbers[1:] + numbers[:-1]) / 2
    if fmt.bits == 16:
        ties = np.append(ties, numbers[-1] + (numbers[-1] - numbers[-2]) / 2)
    return ties
