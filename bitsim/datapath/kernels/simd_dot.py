"""The multiplier of the integer kernels: four products of bytes added to each 32-bit lane, as `vpdpbusd` does."""

from functools import cache
from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.core.registry import cpu_target

from bitsim.datapath.kernels.simd import I32X16, Vector, lane_operation, llvm_type, target_has

_FEATURES = ("avx512vnni", "avx512f")


@cache
def has_native_dpbusd() -> bool:
    """Whether kernels compiled by this process multiply with `vpdpbusd`."""
    return target_has(cpu_target.target_context.codegen(), *_FEATURES)


@lane_operation
def dpbusd(typingctx: Any, acc: Any, unsigned: Any, signed: Any) -> Any:
    """`dpbusd(acc, unsigned, signed)`: acc[l] + sum of unsigned[4l + i] * signed[4l + i], i = 0..3, modulo 2^32.

    `acc`: i32x16; `unsigned` and `signed`: integer vectors, read as bytes 0..255 and -128..127. Exact.
    """
    if acc != I32X16 or not all(isinstance(v, Vector) and v.kind == "i" for v in (unsigned, signed)):
        return None

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return emit_dpbusd(context, builder, *args)

    return I32X16(acc, unsigned, signed), emit


def emit_dpbusd(context: Any, builder: Any, acc: Any, unsigned: Any, signed: Any) -> Any:
    """LLVM value of `dpbusd`: the native instruction where the target has it, else the portable lowering."""
    if not target_has(context.codegen(), *_FEATURES):
        return _emit_portable(builder, acc, unsigned, signed)
    words = llvm_type(I32X16)
    function_type = ir.FunctionType(words, [words] * 3)
    vpdpbusd = cgutils.get_or_insert_function(builder.module, function_type, "llvm.x86.avx512.vpdpbusd.512")
    return builder.call(vpdpbusd, [acc, builder.bitcast(unsigned, words), builder.bitcast(signed, words)])


def _emit_portable(builder: Any, acc: Any, unsigned: Any, signed: Any) -> Any:
    """Even and odd bytes as 16-bit lanes, multiplied and added in pairs: the idiom that LLVM turns into `pmaddwd`.

    Not `llvm.vector.partial.reduce.add`: which lanes that one adds up is unspecified and differs between targets.
    """
    halves = ir.VectorType(ir.IntType(16), 32)
    u = builder.bitcast(unsigned, halves)
    s = builder.bitcast(signed, halves)
    low_byte = ir.Constant(halves, [255] * 32)
    eight = ir.Constant(halves, [8] * 32)
    even = builder.and_(u, low_byte), builder.ashr(builder.shl(s, eight), eight)
    odd = builder.lshr(u, eight), builder.ashr(s, eight)
    for x, y in (even, odd):
        acc = builder.add(acc, _emit_pair_products(builder, x, y))
    return acc


def _emit_pair_products(builder: Any, x: Any, y: Any) -> Any:
    """i32x16 of x[2l] * y[2l] + x[2l + 1] * y[2l + 1]; at most 2 * 255 * 128, so 32 bits suffice."""
    index = ir.VectorType(ir.IntType(32), 16)
    products = []
    for start in (0, 1):
        mask = ir.Constant(index, list(range(start, 32, 2)))
        lanes = (builder.sext(builder.shuffle_vector(v, v, mask), llvm_type(I32X16)) for v in (x, y))
        products.append(builder.mul(*lanes))
    return builder.add(*products)
