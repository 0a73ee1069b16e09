"""exp, log, sine and cosine in float64, from additions, multiplications, divisions and bit patterns only.

libm and numpy choose an implementation by CPU, and results differ in the last bit. These are the same everywhere; each
says how far it is from the exact value (tests/floats). Scalars in and out; kernels inline them. Reductions and
coefficients of log, sine and cosine are those of FreeBSD's msun (e_log.c, e_rem_pio2.c, k_sin.c, k_cos.c; Sun
Microsystems 1993); exp is the Taylor series.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from bitsim._jit import inlined, kernel

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_TO_INTEGER = np.float64(1.5 * 2.0**52)  # a float64 below 2^51 has no fraction left once this is added
LOG2_E = np.float64(1.44269504088896338700e00)
LN2_HIGH = np.float64(6.93147180369123816490e-01)  # 32 bits: its products with exponents are exact
LN2_LOW = np.float64(1.90821492927058770002e-10)
EXP_LARGEST, EXP_SMALLEST = np.float64(709.0), np.float64(-708.0)
EXP = tuple(np.float64(1 / math.factorial(n)) for n in range(14))
LOG = tuple(
    np.float64(c)
    for c in (
        6.666666666666735130e-01,
        3.999999999940941908e-01,
        2.857142874366239149e-01,
        2.222219843214978396e-01,
        1.818357216161805012e-01,
        1.531383769920937332e-01,
        1.479819860511658591e-01,
    )
)
SIN = tuple(
    np.float64(c)
    for c in (
        -1.66666666666666324348e-01,
        8.33333333332248946124e-03,
        -1.98412698298579493134e-04,
        2.75573137070700676789e-06,
        -2.50507602534068634195e-08,
        1.58969099521155010221e-10,
    )
)
COS = tuple(
    np.float64(c)
    for c in (
        4.16666666666666019037e-02,
        -1.38888888888741095749e-03,
        2.48015872894767294178e-05,
        -2.75573143513906633035e-07,
        2.08757232129817482790e-09,
        -1.13596475577881948265e-11,
    )
)
TWO_OVER_PI = np.float64(6.36619772367581382433e-01)
HALF_PI = (
    np.float64(1.57079632673412561417e00),
    np.float64(6.07710050630396597660e-11),
    np.float64(2.02226624879595063154e-21),
)
ANGLES_BELOW = 2.0**20
_ONE, _TWO, _HALF, _ZERO = np.float64(1), np.float64(2), np.float64(0.5), np.float64(0)
_TO_INTEGER_BITS, _SQRT_HALF_BITS = np.int64(0x4338000000000000), np.int64(0x3FE6A09E667F3BCD)
_BIAS, _FRACTION_BITS = np.int64(1023), np.int64(52)


@inlined
def exp(x: Any) -> Any:
    """e^x within 1 ulp for -708 <= x <= 709; 0 below, infinity above, NaN of NaN."""
    held = x if x > EXP_SMALLEST else EXP_SMALLEST
    held = held if held < EXP_LARGEST else EXP_LARGEST
    shifted = held * LOG2_E + _TO_INTEGER
    n = shifted - _TO_INTEGER
    r = (held - n * LN2_HIGH) - n * LN2_LOW
    y = EXP[13]
    y = y * r + EXP[12]
    y = y * r + EXP[11]
    y = y * r + EXP[10]
    y = y * r + EXP[9]
    y = y * r + EXP[8]
    y = y * r + EXP[7]
    y = y * r + EXP[6]
    y = y * r + EXP[5]
    y = y * r + EXP[4]
    y = y * r + EXP[3]
    y = y * r + EXP[2]
    y = r + r * r * y
    # The last bits of `shifted` are n.
    biased = np.float64(shifted).view(np.int64) - _TO_INTEGER_BITS + _BIAS
    power = np.int64(biased << _FRACTION_BITS).view(np.float64)
    y = (y + _ONE) * power
    y = np.float64(np.inf) if x > EXP_LARGEST else y
    y = _ZERO if x < EXP_SMALLEST else y
    return y if x == x else x


@inlined
def log(x: Any) -> Any:
    """The natural logarithm within 1 ulp, of positive normal numbers."""
    bits = np.float64(x).view(np.int64)
    exponent = (bits - _SQRT_HALF_BITS) >> _FRACTION_BITS
    k = np.float64(exponent)
    f = np.int64(bits - (exponent << _FRACTION_BITS)).view(np.float64) - _ONE  # of a number in [sqrt 1/2, sqrt 2)
    s = f / (_TWO + f)
    z = s * s
    r = LOG[6]
    r = r * z + LOG[5]
    r = r * z + LOG[4]
    r = r * z + LOG[3]
    r = r * z + LOG[2]
    r = r * z + LOG[1]
    r = (r * z + LOG[0]) * z
    half_square = _HALF * f * f
    return k * LN2_HIGH - ((half_square - (s * (half_square + r) + k * LN2_LOW)) - f)


@inlined
def cos_sin(x: Any) -> Any:
    """Cosine and sine of 0 <= x < 2^20, each with an absolute error below 2^-52."""
    shifted = x * TWO_OVER_PI + _TO_INTEGER
    n = shifted - _TO_INTEGER
    r = ((x - n * HALF_PI[0]) - n * HALF_PI[1]) - n * HALF_PI[2]
    z = r * r
    s = SIN[5]
    s = s * z + SIN[4]
    s = s * z + SIN[3]
    s = s * z + SIN[2]
    s = s * z + SIN[1]
    s = s * z + SIN[0]
    sine = r + r * z * s
    c = COS[5]
    c = c * z + COS[4]
    c = c * z + COS[3]
    c = c * z + COS[2]
    c = c * z + COS[1]
    c = c * z + COS[0]
    cosine = _ONE - (_HALF * z - z * z * c)
    quarter = np.int64(n) & np.int64(3)
    odd = quarter & np.int64(1) == 1
    first, second = (sine, cosine) if odd else (cosine, sine)
    first = -first if quarter == 1 or quarter == 2 else first
    second = -second if quarter >= 2 else second
    return first, second


@kernel
def _cosines_and_sines(angles: Any, cosines: Any, sines: Any) -> None:
    for i in range(angles.size):
        cosine, sine = cos_sin(np.float64(angles[i]))
        cosines[i], sines[i] = np.float32(cosine), np.float32(sine)


def cosines_and_sines(angles: Float32) -> tuple[Float32, Float32]:
    """float32 cosines and sines of float32 `angles`, 0 <= angle < 2^20, rounded from float64."""
    flat = np.ascontiguousarray(angles).reshape(-1)
    cosines, sines = np.empty_like(flat), np.empty_like(flat)
    _cosines_and_sines(flat, cosines, sines)
    return cosines.reshape(angles.shape), sines.reshape(angles.shape)
