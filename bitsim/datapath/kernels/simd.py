"""512-bit vectors as values inside numba kernels.

Numba's loop vectoriser never emits `vpdpbusd`, so the hot kernels say what they want: `load`, `store`, `splat`, the
operators `& | ^ + - * >>` lane by lane, `popcount`, `hsum`; `simd_dot` and `simd_half` add the multiplications. A
vector is an LLVM vector of 512 bits; on a narrower target LLVM splits it into the registers that there are.

Numba does not watch this file: after a change here delete the caches of the kernels that use it.
"""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

REGISTER_BITS = 512


class Vector(types.Type):
    """Numba type of a register full of `i` (integer, signless) or `f` (IEEE) lanes."""

    def __init__(self, kind: str, bits: int) -> None:
        self.kind = kind
        self.bits = bits
        self.lanes = REGISTER_BITS // bits
        super().__init__(name=f"{kind}{bits}x{self.lanes}")


I8X64 = Vector("i", 8)
I16X32 = Vector("i", 16)
I32X16 = Vector("i", 32)
I64X8 = Vector("i", 64)
F32X16 = Vector("f", 32)
_OF_DTYPE = {
    types.int8: I8X64,
    types.uint8: I8X64,
    types.int16: I16X32,
    types.uint16: I16X32,
    types.int32: I32X16,
    types.uint32: I32X16,
    types.int64: I64X8,
    types.uint64: I64X8,
    types.float32: F32X16,
}


def llvm_type(vector: Vector) -> Any:
    """The LLVM vector type of `vector`."""
    return ir.VectorType(ir.FloatType() if vector.kind == "f" else ir.IntType(vector.bits), vector.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, llvm_type(vector))


def lane_operation(typing_function: Callable[..., Any]) -> Any:
    """`numba.extending.intrinsic`, typed."""
    return intrinsic(typing_function)


# --- target -----------------------------------------------------------------------------------------------------------


def target_has(codegen: Any, *features: str) -> bool:
    """Whether the machine that `codegen` compiles for has all of `features` (LLVM's names).

    LLVM aborts the process on an instruction that its target lacks, so lowerings ask the target, not the host:
    NUMBA_CPU_NAME and NUMBA_CPU_FEATURES count. The answer is read from the very string that is part of numba's
    cache key, hence native code is never looked up where a feature is missing.
    """
    _triple, _cpu, flags = codegen.magic_tuple()
    return {f"+{feature}" for feature in features} <= set(flags.split(","))


# --- memory -----------------------------------------------------------------------------------------------------------


def element_pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any, pointee: Any) -> Any:
    """Pointer to element `offset` (an LLVM integer) of a C-contiguous array, as `pointee*`."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), pointee.as_pointer())


def _is_flat(array: Any) -> bool:
    return isinstance(array, types.Array) and array.layout == "C" and array.dtype in _OF_DTYPE


@lane_operation
def load(typingctx: Any, array: Any, offset: Any) -> Any:
    """`load(array, offset)`: one vector from flat element `offset` of a C-contiguous array; lanes as its dtype."""
    if not _is_flat(array):
        return None
    vector = _OF_DTYPE[array.dtype]

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = element_pointer(context, builder, sig.args[0], args[0], args[1], llvm_type(vector))
        return builder.load(pointer, align=vector.bits // 8)

    return vector(array, types.int64), emit


@lane_operation
def store(typingctx: Any, array: Any, offset: Any, value: Any) -> Any:
    """`store(array, offset, vector)`: write a vector at flat element `offset` of a C-contiguous array."""
    if not _is_flat(array) or value != _OF_DTYPE[array.dtype]:
        return None

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = element_pointer(context, builder, sig.args[0], args[0], args[1], llvm_type(value))
        builder.store(args[2], pointer, align=value.bits // 8)
        return context.get_dummy_value()

    return types.void(array, types.int64, value), emit


def emit_splat(builder: Any, scalar: Any, lanes: int) -> Any:
    """LLVM vector of `lanes` copies of `scalar`."""
    vector = ir.VectorType(scalar.type, lanes)
    index = ir.IntType(32)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(index, 0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(index, lanes), [0] * lanes))


@lane_operation
def splat(typingctx: Any, scalar: Any) -> Any:
    """`splat(scalar)`: all lanes equal; the scalar's type decides the lanes (`np.int32(0)`: 16 of 32 bits)."""
    vector = _OF_DTYPE.get(types.unliteral(scalar))
    if vector is None:
        return None

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return emit_splat(builder, args[0], vector.lanes)

    return vector(types.unliteral(scalar)), emit


def emit_splat_four(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    """LLVM i8x64 with the four bytes at `offset` of a byte array in every lane of 32 bits."""
    pointer = element_pointer(context, builder, array_type, array, offset, ir.IntType(32))
    quad = builder.load(pointer, align=1)
    return builder.bitcast(emit_splat(builder, quad, I32X16.lanes), llvm_type(I8X64))


# --- operators --------------------------------------------------------------------------------------------------------


def _register_operator(functions: tuple[Any, ...], instructions: dict[str, str]) -> None:
    """Give `functions` (an operator and its in-place form) a meaning on two equal vectors; kind -> instruction."""

    def generic(self: Any, args: Any, kws: Any) -> Any:
        x, y = args
        same = isinstance(x, Vector) and x == y and x.kind in instructions
        return signature(x, x, x) if same else None

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, instructions[sig.return_type.kind])(*args)

    for function in functions:
        infer_global(function)(type("VectorOperator", (AbstractTemplate,), {"generic": generic}))
        lower_builtin(function, Vector, Vector)(emit)


_register_operator((operator.and_, operator.iand), {"i": "and_"})
_register_operator((operator.or_, operator.ior), {"i": "or_"})
_register_operator((operator.xor, operator.ixor), {"i": "xor"})
_register_operator((operator.add, operator.iadd), {"i": "add", "f": "fadd"})
_register_operator((operator.sub, operator.isub), {"i": "sub", "f": "fsub"})
_register_operator((operator.mul, operator.imul), {"i": "mul", "f": "fmul"})


def emit_shift_right(builder: Any, vector: Any, count: Any) -> Any:
    """Logical shift of every lane of the LLVM `vector` by the LLVM integer `count`."""
    lane = vector.type.element
    resize = builder.trunc if lane.width < count.type.width else builder.zext
    count = count if lane.width == count.type.width else resize(count, lane)
    return builder.lshr(vector, emit_splat(builder, count, vector.type.count))


@infer_global(operator.rshift)
class _ShiftRight(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        x, count = args
        shifts = isinstance(x, Vector) and x.kind == "i" and isinstance(count, types.Integer)
        return signature(x, x, types.unliteral(count)) if shifts else None


@lower_builtin(operator.rshift, Vector, types.Integer)  # type: ignore[untyped-decorator]
def _shift_right(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return emit_shift_right(builder, *args)


# --- counting and sums ------------------------------------------------------------------------------------------------


def _call(builder: Any, name: str, result: Any, *args: Any) -> Any:
    function_type = ir.FunctionType(result, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, name), args)


@lane_operation
def popcount(typingctx: Any, x: Any) -> Any:
    """`popcount(x)`: set bits of every lane of a vector, or of an integer; the type stays that of `x`."""
    x = types.unliteral(x)
    if not isinstance(x, types.Integer) and not (isinstance(x, Vector) and x.kind == "i"):
        return None

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.ctpop(args[0]) if isinstance(x, types.Integer) else _vector_popcount(builder, args[0])

    return x(x), emit


def _vector_popcount(builder: Any, x: Any) -> Any:
    return _call(builder, f"llvm.ctpop.v{x.type.count}i{x.type.element.width}", x.type, x)


@lane_operation
def hsum(typingctx: Any, x: Any) -> Any:
    """`hsum(x)`: int64 sum of the lanes, each read as signed; lanes are widened first, so nothing wraps."""
    if not isinstance(x, Vector) or x.kind != "i":
        return None

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        wide = ir.VectorType(ir.IntType(64), x.lanes)
        lanes = args[0] if x.bits == 64 else builder.sext(args[0], wide)
        return _call(builder, f"llvm.vector.reduce.add.v{x.lanes}i64", ir.IntType(64), lanes)

    return types.int64(x), emit
