"""IEEE binary16 arithmetic on float32 lanes that hold binary16 values: compute in float32, then round.

Rounding once more is innocuous: the product of two binary16 numbers is exact in float32 (22 of 24 significant bits),
and for a sum 24 >= 2 * 11 + 2 bits in between give the same result as rounding the exact sum at once (Figueroa 1995);
sums in the subnormal range of binary16 are exact.
"""

from typing import Any

from llvmlite import ir

from bitsim.datapath.kernels.simd import F32X16, I32X16, lane_operation, llvm_type, target_has

LANES = F32X16.lanes
HALF_NAN = 0x7E00  # whichever NaN an operation gives, registers are taken to hold this one
_SMALLEST_NORMAL = 0x38800000  # float32 pattern of 2^-14
_INFINITY = 0x7F800000


@lane_operation
def round_half(typingctx: Any, x: Any) -> Any:
    """`round_half(x)`: every float32 lane rounded to binary16, nearest even, subnormals kept, overflow to infinity."""
    if x != F32X16:
        return None

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if target_has(context.codegen(), "f16c"):
            return builder.fpext(_truncate(builder, args[0]), llvm_type(F32X16))
        return _emit_portable_round(builder, args[0])

    return F32X16(F32X16), emit


@lane_operation
def half_bits(typingctx: Any, x: Any) -> Any:
    """`half_bits(x)`: i32x16 of the binary16 patterns of lanes that `round_half` has rounded; every NaN is 0x7e00."""
    if x != F32X16:
        return None

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if target_has(context.codegen(), "f16c"):
            patterns = builder.bitcast(_truncate(builder, args[0]), ir.VectorType(ir.IntType(16), LANES))
            bits = builder.zext(patterns, llvm_type(I32X16))
        else:
            bits = _emit_portable_bits(builder, args[0])
        return builder.select(builder.fcmp_unordered("uno", args[0], args[0]), _words(HALF_NAN), bits)

    return I32X16(F32X16), emit


def _truncate(builder: Any, x: Any) -> Any:
    return builder.fptrunc(x, ir.VectorType(ir.HalfType(), LANES))


def _words(value: int) -> Any:
    return ir.Constant(llvm_type(I32X16), [value] * LANES)


def _floats(value: float) -> Any:
    return ir.Constant(llvm_type(F32X16), [value] * LANES)


def _magnitude(builder: Any, x: Any) -> tuple[Any, Any]:
    """The float32 patterns of x, and of its absolute value."""
    bits = builder.bitcast(x, llvm_type(I32X16))
    return bits, builder.and_(bits, _words(0x7FFFFFFF))


def _emit_portable_round(builder: Any, x: Any) -> Any:
    bits, magnitude = _magnitude(builder, x)
    # Normal: add just under half of the last place kept, plus one if that place is odd; then cut 13 bits.
    odd = builder.and_(builder.lshr(magnitude, _words(13)), _words(1))
    rounded = builder.add(builder.add(magnitude, _words(0xFFF)), odd)
    rounded = builder.and_(rounded, _words(0xFFFFE000))
    too_large = builder.icmp_unsigned(">=", rounded, _words(0x47800000))  # 65536
    rounded = builder.select(too_large, _words(_INFINITY), rounded)
    # Subnormal: at 0.5 the last place of float32 is 2^-24, that of binary16's subnormals.
    shifted = builder.fadd(builder.bitcast(magnitude, llvm_type(F32X16)), _floats(0.5))
    subnormal = builder.bitcast(builder.fsub(shifted, _floats(0.5)), llvm_type(I32X16))
    is_subnormal = builder.icmp_unsigned("<", magnitude, _words(_SMALLEST_NORMAL))
    rounded = builder.select(is_subnormal, subnormal, rounded)
    is_nan = builder.icmp_unsigned(">", magnitude, _words(_INFINITY))
    rounded = builder.select(is_nan, _words(0x7FC00000), rounded)
    sign = builder.xor(bits, magnitude)
    return builder.bitcast(builder.or_(rounded, sign), llvm_type(F32X16))


def _emit_portable_bits(builder: Any, x: Any) -> Any:
    bits, magnitude = _magnitude(builder, x)
    # Exponent bias 127 becomes 15, 23 fraction bits become 10.
    normal = builder.sub(builder.lshr(magnitude, _words(13)), _words((127 - 15) << 10))
    is_infinite = builder.icmp_unsigned("==", magnitude, _words(_INFINITY))
    normal = builder.select(is_infinite, _words(0x7C00), normal)
    in_last_places = builder.fmul(builder.bitcast(magnitude, llvm_type(F32X16)), _floats(2.0**24))
    is_subnormal = builder.icmp_unsigned("<", magnitude, _words(_SMALLEST_NORMAL))
    # The conversion of a large lane is poison, so such lanes are zeroed before it.
    in_last_places = builder.select(is_subnormal, in_last_places, _floats(0.0))
    half = builder.select(is_subnormal, builder.fptosi(in_last_places, llvm_type(I32X16)), normal)
    sign = builder.lshr(builder.xor(bits, magnitude), _words(16))
    return builder.or_(half, sign)
