"""Register tiles for the matmul kernels: tuples of vectors, unrolled when the kernel is compiled.

A tile is `len(rows) x len(blocks)` accumulators of 16 columns each; `rows` and `blocks` are tuples of indices, and
as the length of a tuple belongs to its type, each tile size is compiled to its own straight-line code.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from bitsim.datapath.kernels.simd import (
    I8X64,
    I16X32,
    I32X16,
    element_pointer,
    emit_shift_right,
    emit_splat,
    emit_splat_four,
    lane_operation,
    llvm_type,
)
from bitsim.datapath.kernels.simd_dot import emit_dpbusd


def _pack_tuple(context: Any, builder: Any, tuple_type: Any, values: list[Any]) -> Any:
    return context.make_tuple(builder, tuple_type, values)


def _items(builder: Any, tuple_value: Any, count: int) -> list[Any]:
    return [builder.extract_value(tuple_value, i) for i in range(count)]


@lane_operation
def zero_tile(typingctx: Any, rows: Any, blocks: Any) -> Any:
    """`zero_tile(rows, blocks)`: accumulators at 0, row-major."""
    tile = types.UniTuple(I32X16, len(rows) * len(blocks))

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return ir.Constant(context.get_value_type(tile), None)

    return tile(rows, blocks), emit


@lane_operation
def load_lines(typingctx: Any, lines: Any, blocks: Any, index: Any) -> Any:
    """`load_lines(lines, blocks, index)`: lines[block, index] for every block; `lines`: uint8 (blocks, L, 64)."""
    result = types.UniTuple(I8X64, len(blocks))

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(sig.args[0])(context, builder, args[0])
        per_block = builder.extract_value(array.shape, 1)
        values = []
        for block in _items(builder, args[1], len(blocks)):
            line = builder.add(builder.mul(block, per_block), args[2])
            offset = builder.mul(line, ir.Constant(line.type, I8X64.lanes))
            pointer = element_pointer(context, builder, sig.args[0], args[0], offset, llvm_type(I8X64))
            values.append(builder.load(pointer, align=1))
        return _pack_tuple(context, builder, result, values)

    return result(lines, types.UniTuple(types.int64, len(blocks)), types.int64), emit


@lane_operation
def prefetch_lines(typingctx: Any, lines: Any, blocks: Any, index: Any) -> Any:
    """`prefetch_lines(lines, blocks, index)`: start to read lines[block + len(blocks), index] for every block.

    These are the lines of the next tile in memory order; past the end of `lines` nothing happens.
    """

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(sig.args[0])(context, builder, args[0])
        per_block = builder.extract_value(array.shape, 1)
        byte_pointer, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        function_type = ir.FunctionType(ir.VoidType(), [byte_pointer, word, word, word])
        prefetch = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
        for block in _items(builder, args[1], len(blocks)):
            next_block = builder.add(block, ir.Constant(block.type, len(blocks)))
            line = builder.add(builder.mul(next_block, per_block), args[2])
            offset = builder.mul(line, ir.Constant(line.type, I8X64.lanes))
            pointer = element_pointer(context, builder, sig.args[0], args[0], offset, ir.IntType(8))
            read_keep_data = [ir.Constant(word, flag) for flag in (0, 3, 1)]
            builder.call(prefetch, [pointer, *read_keep_data])
        return context.get_dummy_value()

    return types.void(lines, types.UniTuple(types.int64, len(blocks)), types.int64), emit


@lane_operation
def two_bit_fields(typingctx: Any, lines: Any, shift: Any) -> Any:
    """`two_bit_fields(lines, shift)`: (byte >> shift) & 3 of every byte of every line."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        three = ir.Constant(llvm_type(I8X64), [3] * I8X64.lanes)
        values = []
        for line in _items(builder, args[0], len(lines)):
            # x86 has no byte shift; what a 16-bit shift drags in from the upper byte is masked away.
            shifted = emit_shift_right(builder, builder.bitcast(line, llvm_type(I16X32)), args[1])
            values.append(builder.and_(builder.bitcast(shifted, llvm_type(I8X64)), three))
        return _pack_tuple(context, builder, lines, values)

    return lines(lines, types.int64), emit


@lane_operation
def dot_tile(typingctx: Any, tile: Any, lines: Any, x_q: Any, rows: Any, k: Any) -> Any:
    """`dot_tile(tile, lines, x_q, rows, k)`: add x_q[row, k : k + 4] times the four k of `lines`; the new tile.

    `x_q`: int8 (M, K); the bytes of `lines` count as unsigned.
    """

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(sig.args[2])(context, builder, args[2])
        row_length = builder.extract_value(array.shape, 1)
        weights = _items(builder, args[1], len(lines))
        values = _items(builder, args[0], len(tile))
        for i, row in enumerate(_items(builder, args[3], len(rows))):
            offset = builder.add(builder.mul(row, row_length), args[4])
            x = emit_splat_four(context, builder, sig.args[2], args[2], offset)
            for j, weight in enumerate(weights):
                at = i * len(weights) + j
                values[at] = emit_dpbusd(context, builder, values[at], weight, x)
        return _pack_tuple(context, builder, tile, values)

    return tile(tile, lines, x_q, types.UniTuple(types.int64, len(rows)), types.int64), emit


@lane_operation
def store_tile(typingctx: Any, tile: Any, offsets: Any, y: Any, rows: Any, blocks: Any) -> Any:
    """`store_tile(tile, offsets, y, rows, blocks)`: y[row, 16 * block + lane] = tile - offsets[row].

    `offsets`: int32 (M,), what the unsigned weight codes add too much; `y`: int32 (M, columns padded to 16).
    """

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(sig.args[2])(context, builder, args[2])
        row_length = builder.extract_value(array.shape, 1)
        values = iter(_items(builder, args[0], len(tile)))
        for row in _items(builder, args[3], len(rows)):
            excess = builder.load(element_pointer(context, builder, sig.args[1], args[1], row, ir.IntType(32)))
            for block in _items(builder, args[4], len(blocks)):
                column = builder.mul(block, ir.Constant(block.type, I32X16.lanes))
                at = builder.add(builder.mul(row, row_length), column)
                pointer = element_pointer(context, builder, sig.args[2], args[2], at, llvm_type(I32X16))
                exact = builder.sub(next(values), emit_splat(builder, excess, I32X16.lanes))
                builder.store(exact, pointer, align=4)
        return context.get_dummy_value()

    index = types.int64
    return types.void(tile, offsets, y, types.UniTuple(index, len(rows)), types.UniTuple(index, len(blocks))), emit
