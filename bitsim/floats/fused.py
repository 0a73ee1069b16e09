"""The one operation of every float32 matmul: a fused multiply-add, `a * b + c` rounded once.

IEEE 754 defines its result exactly, so that it is the same on every machine. Where the target has the instruction it is
used; elsewhere float64 gives the same bits: the product of two float32 is exact in float64, the sum is rounded to odd
(an inexact sum gets an odd last bit), and rounding that to float32 is as good as rounding the exact sum, because
float64 has more than two bits to spare (S. Boldo, G. Melquiond, "Emulation of FMA and correctly rounded sums: proved
algorithms using rounding to odd", IEEE Trans. Computers 57, 2008).
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils

_ALWAYS = ("aarch64", "arm64")


def target_fuses(codegen: Any) -> bool:
    """Whether the machine that `codegen` compiles for multiplies and adds in one instruction."""
    triple, _cpu, features = codegen.magic_tuple()
    return triple.startswith(_ALWAYS) or "+fma" in features.split(",")


def target_is_wide(codegen: Any) -> bool:
    """Whether it has 32 registers of 512 bits."""
    return "+avx512f" in codegen.magic_tuple()[2].split(",")


def emit_multiply_add(context: Any, builder: Any, a: Any, b: Any, c: Any) -> Any:
    """LLVM vector of the fused `a * b + c` of three equal vectors of float32."""
    if not target_fuses(context.codegen()):
        return _emit_by_float64(builder, a, b, c)
    name = f"llvm.fma.v{a.type.count}f32"
    fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(a.type, [a.type] * 3), name)
    return builder.call(fma, [a, b, c])


def _emit_by_float64(builder: Any, a: Any, b: Any, c: Any) -> Any:
    lanes = a.type.count
    doubles, words = ir.VectorType(ir.DoubleType(), lanes), ir.VectorType(ir.IntType(64), lanes)
    one, zero = ir.Constant(words, [1] * lanes), ir.Constant(doubles, [0.0] * lanes)
    wide_a, wide_b, addend = (builder.fpext(x, doubles) for x in (a, b, c))
    product = builder.fmul(wide_a, wide_b)
    total = builder.fadd(product, addend)
    # What the addition lost (Knuth's two-sum); NaN where an operand is not finite, which compares false below.
    back = builder.fsub(total, product)
    lost = builder.fadd(
        builder.fsub(product, builder.fsub(total, back)),
        builder.fsub(addend, back),
    )
    inexact = builder.or_(builder.fcmp_ordered("<", lost, zero), builder.fcmp_ordered(">", lost, zero))
    bits = builder.bitcast(total, words)
    even = builder.icmp_unsigned("==", builder.and_(bits, one), ir.Constant(words, [0] * lanes))
    # Patterns grow with the magnitude: away from zero if the lost part has the sign of the total.
    away = builder.icmp_unsigned("==", builder.fcmp_ordered("<", lost, zero), builder.fcmp_ordered("<", total, zero))
    step = builder.select(away, one, ir.Constant(words, [-1] * lanes))
    odd = builder.select(builder.and_(inexact, even), builder.add(bits, step), bits)
    return builder.fptrunc(builder.bitcast(odd, doubles), a.type)
