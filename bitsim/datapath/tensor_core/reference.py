"""The slow twin of tensor-core arithmetic, one output at a time in exact rational numbers: the specification.

A block of products and the accumulator c, floating point ("fused dot-add"):

    significand * 2^exponent of every addend: products are exact and never normalised, subnormals neither
    largest = max of the exponents          zeros and a floor: by convention
    addend -> integer toward zero(significand * 2^(alignment_bits + exponent - largest))    signs apart, no sticky bit
    sum of the integers, exact -> * 2^(largest - alignment_bits), rounded once -> the next c

NaN, infinity * 0 and opposite infinities give the NaN of all ones; otherwise an infinity stays. A result of zero is +0.
Source: MMA-Sim (arXiv 2511.10909, github microsoft/MMA-Sim c785138) and Khattak and Mikaitis (arXiv 2512.07004), whose
conventions for the corners that no public hardware output decides are `mmasim` and `leeds`.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import product

import numpy as np

from bitsim.datapath.tensor_core.float_formats import FloatFormat
from bitsim.datapath.tensor_core.prepare import Array, Convention, FloatMatmul, IntegerMatmul
from bitsim.hw.tensor_core import Output

ZERO_EXPONENT = -126  # what MMA-Sim gives a zero of any format
BINARY32_LEAST_EXPONENT = -126
_NAN = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A decoded code: `significand * 2^exponent`, or a `special`: an infinity or NaN."""

    significand: Fraction = Fraction(0)
    exponent: int = 0
    special: float | None = None


def mma_reference(matmul: FloatMatmul | IntegerMatmul) -> Array:
    """The result of a checked request (`prepare`), like its `c`."""
    d = np.empty_like(matmul.c)
    columns = range(d.shape[1])
    for m, n in product(range(d.shape[0]), columns):
        a, b, c = matmul.a[m].tolist(), matmul.b[:, n].tolist(), int(matmul.c[m, n])
        if isinstance(matmul, IntegerMatmul):
            d[m, n] = _integer_dot(a, b, c, matmul)
        else:
            scale_a = [] if matmul.scale_a is None else matmul.scale_a[m].tolist()
            scale_b = [] if matmul.scale_b is None else matmul.scale_b[:, n].tolist()
            d[m, n] = _float_dot(_addends(a, b, scale_a, scale_b, matmul), c, matmul)
    return d


def unpack(code: int, fmt: FloatFormat) -> Number:
    """The number that `code` stands for."""
    code >>= fmt.unused_low_bits
    fraction = code & ((1 << fmt.fraction_bits) - 1)
    field = (code >> fmt.fraction_bits) & ((1 << fmt.exponent_bits) - 1)
    sign = -1 if fmt.signed and code >> (fmt.fraction_bits + fmt.exponent_bits) & 1 else 1
    if field == (1 << fmt.exponent_bits) - 1:
        if fmt.specials == "ieee":
            return Number(special=_NAN if fraction else sign * math.inf)
        if fmt.specials == "nan" and fraction == (1 << fmt.fraction_bits) - 1:
            return Number(special=_NAN)
    subnormal = field == 0 and fmt.subnormals
    significand = Fraction(fraction, 1 << fmt.fraction_bits) + (0 if subnormal else 1)
    return Number(significand=sign * significand, exponent=(1 if subnormal else field) - fmt.bias)


def _integer_dot(a: list[int], b: list[int], c: int, rules: IntegerMatmul) -> int:
    """The int32 accumulator after all products."""
    for first in range(0, len(a), rules.clamp_k):
        c += sum(x * y for x, y in zip(a[first : first + rules.clamp_k], b[first : first + rules.clamp_k], strict=True))
        c = max(-(2**31), min(c, 2**31 - 1)) if rules.overflow == "saturate" else (c + 2**31) % 2**32 - 2**31
    return c


def _float_dot(addends: list[Number], c: int, rules: FloatMatmul) -> int:
    """The accumulator, as a code, after all blocks."""
    per_block = rules.block_length // rules.unit.exact_group
    for first in range(0, len(addends), per_block):
        c = _fused_dot_add(addends[first : first + per_block], c, rules)
    return c


def _addends(a: list[int], b: list[int], scale_a: list[int], scale_b: list[int], rules: FloatMatmul) -> list[Number]:
    """One addend for every `exact_group` products, scaled; all arguments are codes."""
    group = rules.unit.exact_group
    element = partial(_operand, convention=rules.convention)
    addends = []
    for first in range(0, len(a), group):
        pairs = zip(a[first : first + group], b[first : first + group], strict=True)
        products = [_product(element(x, rules.a_format.element), element(y, rules.b_format.element)) for x, y in pairs]
        addend = products[0] if group == 1 else _exact_sum(products)
        for scales, fmt in ((scale_a, rules.a_format), (scale_b, rules.b_format)):
            if fmt.scale is not None:
                addend = _product(addend, element(scales[first // fmt.scale_block], fmt.scale))
        addends.append(addend)
    return addends


def _operand(code: int, fmt: FloatFormat, convention: Convention) -> Number:
    number = unpack(code, fmt)
    is_zero = number.special is None and number.significand == 0
    return Number(exponent=ZERO_EXPONENT) if is_zero and convention == "mmasim" else number


def _product(x: Number, y: Number) -> Number:
    if x.special is None and y.special is None:
        return Number(significand=x.significand * y.significand, exponent=x.exponent + y.exponent)
    x_value = x.special if x.special is not None else float(x.significand)
    y_value = y.special if y.special is not None else float(y.significand)
    return Number(special=x_value * y_value)


def _exact_sum(products: list[Number]) -> Number:
    """For formats without specials; the sum is the significand, at exponent 0."""
    return Number(significand=sum((p.significand * Fraction(2) ** p.exponent for p in products), Fraction(0)))


def _fused_dot_add(products: list[Number], c: int, rules: FloatMatmul) -> int:
    addends = [*products, _accumulator(c, rules)]
    specials = [x.special for x in addends if x.special is not None]
    if specials:
        return _encode_special(sum(specials), rules.acc_format)
    if rules.convention == "leeds":
        addends = [x for x in addends if x.significand != 0]
    exponents = [x.exponent for x in addends]
    if rules.convention == "leeds" and rules.output.leeds_floor is not None:
        exponents.append(rules.output.leeds_floor)
    largest, kept = max(exponents), rules.unit.alignment_bits
    # int() of a Fraction goes toward zero.
    total = sum(int(x.significand * Fraction(2) ** (kept + x.exponent - largest)) for x in addends)
    return _encode(total * Fraction(2) ** (largest - kept), rules.acc_format, rules.output)


def _accumulator(c: int, rules: FloatMatmul) -> Number:
    number = _operand(c, rules.acc_format, rules.convention)
    if rules.convention == "leeds" and number.special is None and number.significand != 0:
        # c is widened to binary32 first, so that subnormals of binary16 become normal.
        while abs(number.significand) < 1 and number.exponent > BINARY32_LEAST_EXPONENT:
            number = Number(significand=2 * number.significand, exponent=number.exponent - 1)
    return number


def _encode_special(value: float, fmt: FloatFormat) -> int:
    if math.isnan(value):
        return (1 << (fmt.bits - 1)) - 1
    infinity = ((1 << fmt.exponent_bits) - 1) << fmt.fraction_bits
    return infinity | (1 << (fmt.bits - 1) if value < 0 else 0)


def _encode(value: Fraction, fmt: FloatFormat, output: Output) -> int:
    """`value`, rounded to `output.fraction_bits`, as a code of `fmt`."""
    if value == 0:
        return 0
    # The denominator is a power of two, hence this is floor(log2|value|).
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    exponent = max(exponent, fmt.least_exponent)
    steps = value / Fraction(2) ** (exponent - output.fraction_bits)
    rounded = abs(round(steps) if output.rounding == "nearest_even" else int(steps))
    rounded <<= fmt.fraction_bits - output.fraction_bits
    if rounded == 0:
        return 0
    # A significand that was rounded up to 2 carries into the exponent by itself; subnormals have no leading 1.
    field = exponent + fmt.bias
    code = (field << fmt.fraction_bits) + rounded - (1 << fmt.fraction_bits)
    infinity = ((1 << fmt.exponent_bits) - 1) << fmt.fraction_bits
    return min(code, infinity) | (1 << (fmt.bits - 1) if value < 0 else 0)
