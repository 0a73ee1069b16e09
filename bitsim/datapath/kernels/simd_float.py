"""Float32 lanes as fixed-point numbers: powers of two, truncation, and the rounding of a sum.

A comparison with NaN is false. Conversions of lanes that the destination can't hold are poison: such lanes may be
computed, but their results must not be used.
"""

from typing import Any

from llvmlite import ir
from numba import types

from bitsim.datapath.kernels.simd import F32X16, I32X16, emit_splat, lane_operation, llvm_type

LANES = F32X16.lanes
_EXPONENT_FIELD = 0x7F800000
_EXPONENT_FIELD_64 = 0x7FF0000000000000
_TWICE_BIAS_64 = 2046 << 52
_TO_NEAREST = 1.5 * 2.0**52  # a float64 below 2^51 has no fraction left once this is added
_DOUBLES = ir.VectorType(ir.DoubleType(), LANES)
_WIDE_WORDS = ir.VectorType(ir.IntType(64), LANES)


def _constant(vector: Any, value: float) -> Any:
    return ir.Constant(vector, [value] * LANES)


def _bits_of(builder: Any, x: Any) -> Any:
    return builder.bitcast(x, llvm_type(I32X16))


@lane_operation
def power_of_two(typingctx: Any, x: Any) -> Any:
    """`power_of_two(x)`: 2^floor(log2|x|) of every float32 lane; 0 of zeros and subnormals, infinity of specials."""
    if x != F32X16:
        return None

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        field = builder.and_(_bits_of(builder, args[0]), _constant(llvm_type(I32X16), _EXPONENT_FIELD))
        return builder.bitcast(field, llvm_type(F32X16))

    return F32X16(F32X16), emit


@lane_operation
def power_quotient(typingctx: Any, exponent: Any, x: Any) -> Any:
    """`power_quotient(e, x)`: 2^e / x for lanes x that are powers of two, where quotient and x are normal float32."""
    if x != F32X16 or exponent != types.int64:
        return None

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        word = ir.IntType(32)
        twice_biased = builder.add(builder.trunc(args[0], word), ir.Constant(word, 254))
        dividend = emit_splat(builder, builder.shl(twice_biased, ir.Constant(word, 23)), LANES)
        quotient = builder.sub(dividend, _bits_of(builder, args[1]))
        return builder.bitcast(quotient, llvm_type(F32X16))

    return F32X16(types.int64, F32X16), emit


@lane_operation
def truncate(typingctx: Any, x: Any) -> Any:
    """`truncate(x)`: i32x16 of float32 lanes, toward zero; |x| < 2^31."""
    if x != F32X16:
        return None

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.fptosi(args[0], llvm_type(I32X16))

    return I32X16(F32X16), emit


def _either(comparison: str) -> Any:
    def typing_function(typingctx: Any, x: Any, y: Any) -> Any:
        if x != F32X16 or y != F32X16:
            return None

        def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.select(builder.fcmp_ordered(comparison, *args), *args)

        return F32X16(F32X16, F32X16), emit

    return typing_function


larger = lane_operation(_either(">"))  # larger(x, y): x where x > y, else y: NaN in y stays, NaN in x goes
smaller = lane_operation(_either("<"))  # smaller(x, y): likewise


@lane_operation
def lanes_outside(typingctx: Any, x: Any, low: Any, high: Any) -> Any:
    """`lanes_outside(x, low, high)`: int64 with bit l set unless low[l] <= x[l] <= high[l]."""
    if (x, low, high) != (F32X16,) * 3:
        return None

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x, low, high = args
        outside = builder.or_(builder.fcmp_unordered("<", x, low), builder.fcmp_unordered(">", x, high))
        return builder.zext(builder.bitcast(outside, ir.IntType(LANES)), ir.IntType(64))

    return types.int64(x, low, high), emit


@lane_operation
def round_sum(typingctx: Any, sums: Any, unit: Any, fraction_bits: Any, least_exponent: Any, nearest: Any) -> Any:
    """`round_sum(sums, unit, fraction_bits, least_exponent, nearest)`: the sum of all `sums`, times unit, rounded once.

    `sums` is a tuple of three i32x16, `unit` is f32x16 of powers of two. The result keeps `fraction_bits` bits behind
    the point of a significand in [1, 2), fewer below 2^least_exponent: to nearest even if the boolean `nearest`, else
    toward zero. Zero is +0. f32x16, infinity where float32 has no larger number. At most 30 fraction bits.
    """
    integers = (fraction_bits, least_exponent) == (types.int64,) * 2 and nearest == types.boolean
    if not integers or unit != F32X16 or sums != types.UniTuple(I32X16, 3):
        return None

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        sums, unit, fraction_bits, least_exponent, nearest = args
        # int32 sums and their product with a power of two are exact in float64.
        first, second, third = (builder.sitofp(builder.extract_value(sums, i), _DOUBLES) for i in range(3))
        total = builder.fadd(builder.fadd(first, second), third)
        x = builder.fmul(total, builder.fpext(unit, _DOUBLES))
        last_place = _emit_last_place(builder, x, fraction_bits, least_exponent)
        inverse = builder.sub(_constant(_WIDE_WORDS, _TWICE_BIAS_64), last_place)
        steps = builder.fmul(x, builder.bitcast(inverse, _DOUBLES))
        magic = _constant(_DOUBLES, _TO_NEAREST)
        to_nearest = builder.fsub(builder.fadd(steps, magic), magic)
        toward_zero = builder.sitofp(builder.fptosi(steps, llvm_type(I32X16)), _DOUBLES)
        rounded = builder.select(nearest, to_nearest, toward_zero)
        result = builder.fmul(rounded, builder.bitcast(last_place, _DOUBLES))
        return builder.fptrunc(result, llvm_type(F32X16))

    return F32X16(sums, F32X16, types.int64, types.int64, types.boolean), emit


def _emit_last_place(builder: Any, x: Any, fraction_bits: Any, least_exponent: Any) -> Any:
    """Float64 patterns of 2^(max(floor(log2|x|), least_exponent) - fraction_bits), as 64-bit lanes."""

    def field(exponent: Any) -> Any:
        biased = builder.shl(exponent, ir.Constant(exponent.type, 52))
        return emit_splat(builder, biased, LANES)

    exponent = builder.and_(builder.bitcast(x, _WIDE_WORDS), _constant(_WIDE_WORDS, _EXPONENT_FIELD_64))
    least = field(builder.add(least_exponent, ir.Constant(ir.IntType(64), 1023)))
    exponent = builder.select(builder.icmp_signed(">", exponent, least), exponent, least)
    return builder.sub(exponent, field(fraction_bits))
