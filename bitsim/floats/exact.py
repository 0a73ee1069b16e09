"""Exact sums of float32, as integers."""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitsim._jit import kernel

_EXPONENTS = 254  # 2^0 to 2^253 in units of 2^-149


def exponent_sums(x: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """What the elements of `x` add up to, by exponent: int64 (254,), the sum is that of `y[e] * 2^(e - 149)`.

    `x`: finite, any shape, at most 2^39 elements. Exact, so that their order is no matter: significands are
    integers of 24 bits.
    """
    y = np.zeros(_EXPONENTS, np.int64)
    _add_by_exponent(np.ascontiguousarray(x).reshape(-1).view(np.uint32), y)
    return y


@kernel
def _add_by_exponent(bits: Any, y: Any) -> None:
    for i in range(bits.size):
        pattern = np.int64(bits[i])
        exponent = (pattern >> 23) & 255
        significand = (pattern & 0x7FFFFF) + (0x800000 if exponent else 0)
        y[max(exponent - 1, 0)] += -significand if pattern >> 31 else significand
