"""4-bit floats with a real-valued exponent bias: the MinMax quantiser of a4.8, E2M1 and E1M2.

The paper's `Q(X) = g / 2^(M+b) * Round(2^(M+b) / g * X)` with `b = log2((2 - 2^-M) / max|X|) + 2^E - 1` prints
`g = 2^max(floor(log2|X|) + b, 1)`. As b is not an integer, that does not give a 4-bit grid; the floor belongs around
the sum, `g = 2^max(floor(log2|X| + b), 1)`, which is what this module computes. Then all values are integer multiples
of `max|X| / max_code`: E2M1 is +-{0, 1, 2, 3, 4, 6, 8, 12} / 12 and E1M2 is +-{0 .. 7} / 7 of the maximum, so that a
matmul of them is an integer matmul and one rescale.
"""

from dataclasses import dataclass

import numpy as np

from bitsim.quant.base import EPS, Float32, Int8, check_activations


@dataclass(frozen=True, slots=True, kw_only=True)
class Fp4Quantiser:
    """Per token: `v = f32(x * f32(max_code / max(absmax, 1e-5)))`, rounded to the grid of the format.

    `exponent_bits` + `mantissa_bits` = 3, one bit is the sign. Codes are the grid's integers, int8 (M, K), not the
    4-bit patterns (`pattern` gives those); steps, float32 (M, 1), multiply. Rounding is to nearest, ties to even
    mantissa; the papers say Round. The paper has no eps here; the clamp keeps a zero token from dividing by zero.
    Raises `OperandError` for other shapes and dtypes, NaN and infinities.
    Source: arXiv 2411.04965 eq. 8, floor corrected as the module says.
    """

    exponent_bits: int
    mantissa_bits: int

    @property
    def max_code(self) -> int:
        """12 for E2M1, 7 for E1M2: `(2^(M+1) - 1) * 2^(2^E - 2)`."""
        return self.grid[-1]

    @property
    def grid(self) -> tuple[int, ...]:
        """The non-negative codes, in the order of their 3-bit patterns."""
        fractions = 1 << self.mantissa_bits
        normal = [(fractions + f) << e for e in range((1 << self.exponent_bits) - 1) for f in range(fractions)]
        return (*range(fractions), *normal)

    def __call__(self, x: Float32) -> tuple[Int8, Float32]:
        check_activations(x)
        absmax = np.maximum(np.abs(x).max(axis=1, keepdims=True), EPS)
        level = np.float32(self.max_code)
        v = x * (level / absmax)
        exponent = np.maximum(np.frexp(v)[1] - 1 - self.mantissa_bits, 0)  # of the grid's spacing around v
        codes = np.ldexp(np.rint(np.ldexp(v, -exponent)), exponent)
        return codes.astype(np.int8), absmax / level

    def pattern(self, codes: Int8) -> Int8:
        """The 4-bit patterns (sign, exponent, mantissa) of `codes`, int8 of the same shape, values 0..15."""
        magnitudes = np.searchsorted(np.array(self.grid), np.abs(codes)).astype(np.int8)
        return magnitudes | (np.int8(8) * (codes < 0)).astype(np.int8)


E2M1 = Fp4Quantiser(exponent_bits=2, mantissa_bits=1)
E1M2 = Fp4Quantiser(exponent_bits=1, mantissa_bits=2)
