"""exp and log of arrays, by the stated polynomials of `functions`."""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitsim._jit import kernel
from bitsim.floats.functions import exp, log

Float64 = npt.NDArray[np.float64]


def exponentials(x: Float64) -> Float64:
    """e^x of each value, within 1 ulp. x, y: float64 of one dimension."""
    y = np.empty_like(x)
    _exponentials(x, y)
    return y


def logarithms(x: Float64) -> Float64:
    """The natural logarithm of each value, positive and normal, within 1 ulp. x, y: float64 of one dimension."""
    y = np.empty_like(x)
    _logarithms(x, y)
    return y


@kernel
def _exponentials(x: Any, y: Any) -> None:
    for i in range(x.size):
        y[i] = exp(x[i])


@kernel
def _logarithms(x: Any, y: Any) -> None:
    for i in range(x.size):
        y[i] = log(x[i])
