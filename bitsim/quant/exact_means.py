"""Means that do not depend on the order of summation, and LayerNorm on top of them.

A float32 or float64 sum depends on its order in the last bit, so that a shard summed on its own device could quantise
otherwise than the same values inside a larger array. Here every sum is the exact one, rounded once to float64 (a sum of
integers, or a plain float64 sum where that is exact); the quotient is rounded to float64, the result to float32.
"""

import numpy as np
import numpy.typing as npt

from bitsim.floats.exact import exponent_sums
from bitsim.floats.rows import square_sums

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

NORM_EPS = 1e-5
EXACT_SUM_BYTES = 40  # 2^31 values below 2^128, down to 2^-149: 308 bits and a sign
_FLOAT32_BITS, _FLOAT64_BITS = 24, 53
_UNITS = 2**149  # float32's are multiples of 2^-149


def mean(x: Float32) -> np.float32:
    """`f32(exact sum / size)` over all elements of `x` (rows, K), which are finite, size >= 1."""
    return mean_of_sum(exact_sum(x), x.size)


def row_means(x: Float32) -> Float64:
    """`exact sum / K` of each row of `x` (M, K), finite, K >= 1 -> float64 (M, 1)."""
    sums, exact = _plain_sums(x)
    for row in np.flatnonzero(~exact):
        sums[row] = exact_sum(x[row]) / _UNITS
    means: Float64 = sums[:, None] / x.shape[1]
    return means


def exact_sum(x: Float32) -> int:
    """The sum of all elements of `x`, finite, in units of 2^-149, of which every float32 is a multiple.

    Such sums can be added over shards in any order; 2^31 values need at most `EXACT_SUM_BYTES`.
    """
    return sum(part << shift for shift, part in enumerate(exponent_sums(x).tolist()))


def mean_of_sum(total: int, size: int) -> np.float32:
    """`mean` of `size` elements from their `exact_sum`: rounded to float64, divided, rounded to float32."""
    return np.float32(total / _UNITS / size)


def layer_norm(x: Float32, eps: float = NORM_EPS) -> Float32:
    """LayerNorm without gain and bias: `(x - E(x)) / sqrt(Var(x) + eps)` per row, float32 (M, K) -> float32 (M, K).

    In float64, rounded once to float32; squares are added as `floats.rows` says, so that a row's result depends on that
    row alone, wherever it stands. Var is the mean of squares (not K - 1). The paper gives no value for eps: 1e-5 is
    torch's. Source: arXiv 2310.11453 section 2.1 (LN before quantisation).
    """
    centred = np.ascontiguousarray(x).astype(np.float64) - row_means(x)
    normed: Float32 = (centred / np.sqrt(square_sums(centred) / x.shape[1] + eps)).astype(np.float32)
    return normed


def _plain_sums(x: Float32) -> tuple[Float64, Bool]:
    """The float64 sum of each row, and whether it is exact whatever its order.

    Values of at least 2^(low - 1) are multiples of 2^(low - 24), and K values below 2^high sum to less than K * 2^high:
    where these two are at most 53 bits apart, no addition can round.
    """
    magnitude = np.abs(x)
    largest = magnitude.max(axis=1)
    _, high = np.frexp(largest)
    _, low = np.frexp(np.where(magnitude == 0, np.float32(np.inf), magnitude).min(axis=1))
    growth = (x.shape[1] - 1).bit_length()
    exact = high + growth - (low - _FLOAT32_BITS) <= _FLOAT64_BITS
    return np.add.reduce(x, axis=1, dtype=np.float64), exact | (largest == 0)
