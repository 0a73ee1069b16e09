"""The number formats of floating-point tensor cores, as data, and their decoding.

A code is an unsigned integer: [sign] exponent fraction. Its value is significand * 2^exponent, with 1 <= |significand|
< 2, or, for the smallest exponent field, |significand| < 1 at the same exponent as the field above: subnormals stay as
they are written. Sources: IEEE 754; OCP 8-bit and Microscaling (MX) formats 1.0; NVIDIA PTX ISA (tf32, ue4m3).
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitsim.hw.tensor_core import SCALE_BLOCKS

Codes = NDArray[Any]  # unsigned integers


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatFormat:
    """One format.

    * `bits`: of a code; a shorter one than its word fills the low bits.
    * `specials`: `ieee`: the largest exponent field means infinity (fraction 0) or NaN; `nan`: the code of all ones is
      NaN, there is no infinity; `none`: every code is a number.
    * `signed`: whether the bit above the exponent is a sign; if not, it is ignored.
    * `subnormals`: whether the exponent field 0 means subnormals and zero; if not, it is one more exponent.
    * `unused_low_bits`: bits below the fraction that are dropped.
    """

    name: str
    bits: int
    exponent_bits: int
    fraction_bits: int
    bias: int
    specials: Literal["ieee", "nan", "none"]
    signed: bool = True
    subnormals: bool = True
    unused_low_bits: int = 0

    @property
    def dtype(self) -> np.dtype[Any]:
        """The unsigned integer that holds a code."""
        return np.dtype(f"uint{max(8, self.bits)}")

    @property
    def max_code(self) -> int:
        """The largest code."""
        return (1 << self.bits) - 1

    @property
    def least_exponent(self) -> int:
        """The exponent of subnormals, and of the smallest normal number."""
        return 1 - self.bias


FP32 = FloatFormat(name="fp32", bits=32, exponent_bits=8, fraction_bits=23, bias=2**7 - 1, specials="ieee")
FP16 = FloatFormat(name="fp16", bits=16, exponent_bits=5, fraction_bits=10, bias=2**4 - 1, specials="ieee")
BF16 = FloatFormat(name="bf16", bits=16, exponent_bits=8, fraction_bits=7, bias=2**7 - 1, specials="ieee")
TF32 = FloatFormat(
    name="tf32", bits=32, exponent_bits=8, fraction_bits=10, bias=2**7 - 1, specials="ieee", unused_low_bits=13
)
E4M3 = FloatFormat(name="e4m3", bits=8, exponent_bits=4, fraction_bits=3, bias=2**3 - 1, specials="nan")
E5M2 = FloatFormat(name="e5m2", bits=8, exponent_bits=5, fraction_bits=2, bias=2**4 - 1, specials="ieee")
E2M1 = FloatFormat(name="e2m1", bits=4, exponent_bits=2, fraction_bits=1, bias=2**1 - 1, specials="none")
UE8M0 = FloatFormat(
    name="ue8m0",
    bits=8,
    exponent_bits=8,
    fraction_bits=0,
    bias=2**7 - 1,
    specials="nan",
    signed=False,
    subnormals=False,
)
UE4M3 = replace(E4M3, name="ue4m3", signed=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperandFormat:
    """What a and b are made of: elements and, for block-scaled formats, one scale for `scale_block` neighbours in k."""

    element: FloatFormat
    scale: FloatFormat | None = None
    scale_block: int = 0


OPERAND_FORMATS = {
    "fp16": OperandFormat(element=FP16),
    "bf16": OperandFormat(element=BF16),
    "tf32": OperandFormat(element=TF32),
    "e4m3": OperandFormat(element=E4M3),
    "e5m2": OperandFormat(element=E5M2),
    "e2m1": OperandFormat(element=E2M1),
    "mxe4m3": OperandFormat(element=E4M3, scale=UE8M0, scale_block=SCALE_BLOCKS["mxe4m3"]),
    "mxe5m2": OperandFormat(element=E5M2, scale=UE8M0, scale_block=SCALE_BLOCKS["mxe5m2"]),
    "mxe2m1": OperandFormat(element=E2M1, scale=UE8M0, scale_block=SCALE_BLOCKS["mxe2m1"]),
    "mxf4": OperandFormat(element=E2M1, scale=UE8M0, scale_block=SCALE_BLOCKS["mxf4"]),
    "nvf4": OperandFormat(element=E2M1, scale=UE4M3, scale_block=SCALE_BLOCKS["nvf4"]),
}
ACC_FORMATS = {"fp32": FP32, "fp16": FP16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """Codes as numbers, all arrays of one shape.

    * `value`: float32, exact; infinities and NaN as such.
    * `exponent`: int16, that of the significand; zeros and subnormals have the least exponent of the format.
    """

    value: NDArray[np.float32]
    exponent: NDArray[np.int16]


def decode(codes: Codes, fmt: FloatFormat) -> Decoded:
    """The numbers that `codes` stand for."""
    if fmt.bits > 16:
        return _decode(codes, fmt)
    table = _table(fmt)
    return Decoded(value=table.value[codes], exponent=table.exponent[codes])


@lru_cache
def _table(fmt: FloatFormat) -> Decoded:
    return _decode(np.arange(fmt.max_code + 1, dtype=fmt.dtype), fmt)


def _decode(codes: Codes, fmt: FloatFormat) -> Decoded:
    word = codes.astype(np.int64) >> fmt.unused_low_bits
    fraction = word & ((1 << fmt.fraction_bits) - 1)
    field = (word >> fmt.fraction_bits) & ((1 << fmt.exponent_bits) - 1)
    normal = (field > 0) | (not fmt.subnormals)
    exponent = field + (~normal) - fmt.bias
    significand = fraction + (normal << fmt.fraction_bits)
    value = np.ldexp(significand.astype(np.float64), (exponent - fmt.fraction_bits).astype(np.int32))
    top = field == (1 << fmt.exponent_bits) - 1
    if fmt.specials == "ieee":
        value[top] = np.where(fraction[top] == 0, np.inf, np.nan)
    elif fmt.specials == "nan":
        value[top & (fraction == (1 << fmt.fraction_bits) - 1)] = np.nan
    if fmt.signed:
        value = np.where((word >> (fmt.fraction_bits + fmt.exponent_bits)) & 1, -value, value)
    return Decoded(value=value.astype(np.float32), exponent=exponent.astype(np.int16))
