"""Number formats of the PE arrays: widths, legal operands and the bit patterns that registers hold."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitsim.datapath.base import Array, as_matrix
from bitsim.datapath.kernels.half_patterns import half_patterns, half_run
from bitsim.errors import OperandError
from bitsim.quant.packing import bf16_to_f32, f32_to_bf16

HALF_BITS = 16  # of binary16; wider sums of floats are binary32
_WORTH_A_KERNEL = 2**12
_WORTH_A_TEAM = 2**21


@dataclass(frozen=True, slots=True, kw_only=True)
class PEFormat:
    """One kind of PE; one that does not multiply has ternary weights."""

    name: str
    act_bits: int
    weight_bits: int
    multiplies: bool


PE_FORMATS = {
    "ternary": PEFormat(name="ternary", act_bits=8, weight_bits=2, multiplies=False),
    "int8": PEFormat(name="int8", act_bits=8, weight_bits=8, multiplies=True),
    "fp16": PEFormat(name="fp16", act_bits=16, weight_bits=16, multiplies=True),
    "ternary_fp16": PEFormat(name="ternary_fp16", act_bits=16, weight_bits=2, multiplies=False),
    "ternary_bf16": PEFormat(name="ternary_bf16", act_bits=16, weight_bits=2, multiplies=False),
}


def integer_operand(name: str, values: Array, low: int, high: int, *, zero: bool = True) -> Array:
    """`values` as int8 (rows, K); raises `OperandError` naming the first value outside `low..high`.

    `zero`: whether 0 is legal; without it `low..high` must be -1..1.
    """
    array = as_matrix(name, values)
    if array.dtype.kind not in "iu":
        raise OperandError(f"{name}: expected integers (int8), got {array.dtype}")
    if array.dtype != np.int8 or (low, high) != (-128, 127):
        bad = (array < low) | (array > high)
        if not zero:
            bad |= array == 0
        if bad.any():
            row, k = (int(i) for i in np.argwhere(bad)[0])
            legal = f"{low}..{high}" if zero else f"{low} or {high}"
            raise OperandError(f"{name}[{row}, {k}]: expected {legal}, got {array[row, k]}")
    return array.astype(np.int8, copy=False)


def fp16_operand(name: str, values: Array) -> Array:
    """`values` rounded (to nearest, ties to even) to binary16, as uint16 bit patterns (rows, K)."""
    array = as_matrix(name, values)
    if array.dtype.kind not in "iuf":
        raise OperandError(f"{name}: expected numbers, got {array.dtype}")
    return round_to_half(array).view(np.uint16)


def float_operand(number_format: str, values: Array) -> Array:
    """Activations rounded (to nearest, ties to even) to `fp16` or `bf16`, as uint16 bit patterns (rows, K)."""
    if number_format == "fp16":
        return fp16_operand("x", values)
    array = as_matrix("x", values)
    if array.dtype.kind not in "iuf":
        raise OperandError(f"x: expected numbers, got {array.dtype}")
    return f32_to_bf16(array.astype(np.float32))


def values_of(number_format: str, patterns: Array) -> npt.NDArray[np.float32]:
    """What patterns of `fp16` or `bf16` stand for."""
    if number_format == "fp16":
        return np.ascontiguousarray(patterns).view(np.float16).astype(np.float32)
    return bf16_to_f32(patterns)


def round_to_half(values: Array) -> npt.NDArray[np.float16]:
    """Numbers rounded to binary16: to nearest, ties to even, beyond its range to infinity."""
    if values.dtype == np.float32 and values.size >= _WORTH_A_KERNEL:
        patterns = np.empty(values.shape, dtype=np.uint16)
        bits = np.ascontiguousarray(values).reshape(-1).view(np.uint32)
        nans = (half_patterns if values.size >= _WORTH_A_TEAM else half_run)(bits, patterns.reshape(-1))
        if not nans:
            return patterns.view(np.float16)
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float16)


def weight_patterns(pe: str, w: Array) -> Array:
    """The bits that weight registers hold: `w` int8 (N, K) or binary16 patterns -> uint16 (N, K).

    Ternary codes are 00 for 0, 01 for +1 and 11 for -1: bit 0 enables the adder, bit 1 subtracts.
    """
    if pe == "fp16":
        return w.view(np.uint16)
    return (w.view(np.uint8) & np.uint8(255 if pe == "int8" else 3)).astype(np.uint16)
