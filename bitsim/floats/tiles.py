"""The two inner loops of a float32 matmul, written in LLVM: a tile of outputs, and 16 columns turned into a panel.

A panel holds 16 columns of W^T: value `16 k + j` is that of column j. A tile is R rows times V neighbouring panels. Its
accumulators are vectors of 16 columns; every output adds its products in ascending k, whatever R and V are.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from bitsim.floats.fused import emit_multiply_add, target_is_wide

LANES = 16  # columns of a panel
DEPTH = 256  # k of a panel, at most
PANEL = (DEPTH + 1) * LANES  # from panel to panel; the odd line keeps them out of each other's cache sets
_FLOATS = ir.VectorType(ir.FloatType(), LANES)
_WORDS = ir.VectorType(ir.IntType(32), LANES)
_INDEX = ir.IntType(64)
_INT32 = ir.IntType(32)


def lane_operation(typing_function: Callable[..., Any]) -> Any:
    """`numba.extending.intrinsic`, typed."""
    return intrinsic(typing_function)


def _tile_shape(codegen: Any, kind: str) -> tuple[int, int]:
    """Rows and panels whose accumulators fit the registers of the target."""
    if kind == "one":
        return 1, 8 if target_is_wide(codegen) else 4
    return (12, 2) if target_is_wide(codegen) else (6, 1)


def _flat(array_type: Any, *dtypes: Any) -> bool:
    return isinstance(array_type, types.Array) and array_type.layout == "C" and array_type.dtype in dtypes


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any, pointee: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), pointee.as_pointer())


def _int(value: int) -> Any:
    return ir.Constant(_INDEX, value)


def _splat(builder: Any, scalar: Any) -> Any:
    first = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), scalar, ir.Constant(_INT32, 0))
    return builder.shuffle_vector(first, first, ir.Constant(_WORDS, [0] * LANES))


def _shape_intrinsic(kind: str, axis: int) -> Any:
    @lane_operation
    def shape(typingctx: Any) -> Any:
        def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return _int(_tile_shape(context.codegen(), kind)[axis])

        return types.int64(), emit

    return shape


def _tile_intrinsic(kind: str, narrow: bool) -> Any:
    """`multiply(a, at, b, start, (line, panel), depth, y, to, stride)`: add `depth` products to a tile of `y`.

    `a[at + R k + r]` is row r's factor at k, `b[start + line k + panel v]` the first of 16 columns' factors, and
    `y[to + stride r + 16 v]` the first of their outputs.
    """

    @lane_operation
    def multiply(
        typingctx: Any, a: Any, at: Any, b: Any, start: Any, steps: Any, depth: Any, y: Any, to: Any, stride: Any
    ) -> Any:
        if not all(_flat(array, types.float32) for array in (a, b, y)):
            return None

        def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            a, at, b, start, steps, depth, y, to, stride = args
            line, panel = (builder.extract_value(steps, i) for i in range(2))
            rows, vectors = _tile_shape(context.codegen(), kind)
            vectors = 1 if narrow else vectors
            a_type, _, b_type, _, _, _, y_type, _, _ = sig.args
            a_base = _pointer(context, builder, a_type, a, at, ir.FloatType())
            b_base = _pointer(context, builder, b_type, b, start, ir.FloatType())
            tile = [(r, v) for r in range(rows) for v in range(vectors)]
            outputs = []
            for r, v in tile:
                offset = builder.add(builder.add(to, builder.mul(stride, _int(r))), _int(LANES * v))
                outputs.append(_pointer(context, builder, y_type, y, offset, _FLOATS))
            before, loop = builder.block, builder.append_basic_block("k")
            started = [builder.load(output, align=4) for output in outputs]
            builder.branch(loop)
            builder.position_at_end(loop)
            k = builder.phi(_INDEX)
            k.add_incoming(_int(0), before)
            sums = [builder.phi(_FLOATS) for _ in tile]
            for total, value in zip(sums, started, strict=True):
                total.add_incoming(value, before)
            columns = []
            for v in range(vectors):
                offset = builder.add(builder.mul(k, line), builder.mul(panel, _int(v)))
                place = builder.gep(b_base, [offset])
                columns.append(builder.load(builder.bitcast(place, _FLOATS.as_pointer()), align=4))
            first = builder.mul(k, _int(rows))
            factors = [
                _splat(builder, builder.load(builder.gep(a_base, [builder.add(first, _int(r))]))) for r in range(rows)
            ]
            added = [
                emit_multiply_add(context, builder, factors[r], columns[v], total)
                for (r, v), total in zip(tile, sums, strict=True)
            ]
            following = builder.add(k, _int(1))
            k.add_incoming(following, loop)
            for total, value in zip(sums, added, strict=True):
                total.add_incoming(value, loop)
            after = builder.append_basic_block("done")
            builder.cbranch(builder.icmp_signed("<", following, depth), loop, after)
            builder.position_at_end(after)
            for output, value in zip(outputs, added, strict=True):
                builder.store(value, output, align=4)
            return context.get_dummy_value()

        return types.void(a, at, b, start, steps, depth, y, to, stride), emit

    return multiply


tile_rows = _shape_intrinsic("full", 0)
tile_panels = _shape_intrinsic("full", 1)
row_panels = _shape_intrinsic("one", 1)
multiply_tile = _tile_intrinsic("full", narrow=False)
multiply_column = _tile_intrinsic("full", narrow=True)
multiply_row = _tile_intrinsic("one", narrow=False)
multiply_short_row = _tile_intrinsic("one", narrow=True)


def _emit_transposed(builder: Any, lines: list[Any]) -> list[Any]:
    """16 vectors of 16 words: word i of line j becomes word j of line i, in four rounds of exchanged blocks."""
    for step in (8, 4, 2, 1):
        turned = list(lines)
        for i in range(LANES):
            if i & step:
                continue
            upper, lower = lines[i], lines[i | step]
            keep = [j if not j & step else LANES + (j ^ step) for j in range(LANES)]
            give = [j | step if not j & step else LANES + j for j in range(LANES)]
            turned[i] = builder.shuffle_vector(upper, lower, ir.Constant(_WORDS, keep))
            turned[i | step] = builder.shuffle_vector(upper, lower, ir.Constant(_WORDS, give))
        lines = turned
    return lines


def _emit_prefetch(builder: Any, pointer: Any) -> Any:
    """Bring a line into the second cache: 32 rows at a time are more streams than the machine foresees."""
    arguments = [pointer.type, _INT32, _INT32, _INT32]
    function_type = ir.FunctionType(ir.VoidType(), arguments)
    prefetch = cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0")
    builder.call(prefetch, [pointer, *(ir.Constant(_INT32, c) for c in (0, 2, 1))])


def _emit_lines(context: Any, builder: Any, w_type: Any, w: Any, at: Any, stride: Any, ahead: Any = None) -> list[Any]:
    """16 rows of `w` from `w[at + stride j]` on as words of float32: vector k holds all rows' values at k.

    What lies `ahead` elements further is fetched into the second cache.
    """
    lines = []
    for j in range(LANES):
        offset = builder.add(at, builder.mul(stride, _int(j)))
        lines.append(builder.load(_pointer(context, builder, w_type, w, offset, _WORDS), align=1))
        if ahead is not None:
            _emit_prefetch(builder, _pointer(context, builder, w_type, w, builder.add(offset, ahead), ir.IntType(8)))
    turned = _emit_transposed(builder, lines)
    if w_type.dtype == types.float32:
        return turned
    # A word holds two bfloat16, the earlier one in its lower half.
    shift, high = (ir.Constant(_WORDS, [c] * LANES) for c in (16, 0xFFFF0000))
    return [v for pair in turned for v in (builder.shl(pair, shift), builder.and_(pair, high))]


@lane_operation
def pack_block(typingctx: Any, w: Any, at: Any, stride: Any, panels: Any, to: Any) -> Any:
    """`pack_block(w, at, stride, panels, to)`: 16 rows as lines of a panel, 16 k of float32 or 32 of bfloat16.

    Row j begins at `w[at + stride j]`; line k goes to `panels[to + 16 k]`. uint16 are patterns of bfloat16.
    """
    if not _flat(w, types.float32, types.uint16) or not _flat(panels, types.float32):
        return None

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        w, at, stride, panels, to = args
        for k, line in enumerate(_emit_lines(context, builder, sig.args[0], w, at, stride)):
            place = builder.add(to, _int(LANES * k))
            builder.store(line, _pointer(context, builder, sig.args[3], panels, place, _WORDS), align=4)
        return context.get_dummy_value()

    return types.void(w, at, stride, panels, to), emit


@lane_operation
def multiply_rows_of_weights(
    typingctx: Any, a: Any, at: Any, w: Any, start: Any, stride: Any, blocks: Any, y: Any, to: Any
) -> Any:
    """`multiply_rows_of_weights(a, at, w, start, stride, blocks, y, to)`: one row times 32 rows of `w`, from memory.

    Adds the products of the first 16 (float32) or 32 (bfloat16) times `blocks` >= 1 values of k to `y[to]` ..
    `y[to + 31]`; row j begins at `w[start + stride j]`. Two blocks of 16 rows, so that one's additions fill the time
    that the other waits for its own.
    """
    if not _flat(w, types.float32, types.uint16) or not all(_flat(array, types.float32) for array in (a, y)):
        return None

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        a, at, w, start, stride, blocks, y, to = args
        a_type, w_type, y_type = sig.args[0], sig.args[2], sig.args[6]
        length = LANES if w_type.dtype == types.float32 else 2 * LANES
        places = [_pointer(context, builder, y_type, y, builder.add(to, _int(LANES * i)), _FLOATS) for i in range(2)]
        started = [builder.load(place, align=4) for place in places]
        before, loop = builder.block, builder.append_basic_block("block")
        builder.branch(loop)
        builder.position_at_end(loop)
        block = builder.phi(_INDEX)
        block.add_incoming(_int(0), before)
        sums = [builder.phi(_FLOATS) for _ in places]
        for total, value in zip(sums, started, strict=True):
            total.add_incoming(value, before)
        k = builder.mul(block, _int(length))
        rows = [builder.add(builder.add(start, k), builder.mul(stride, _int(LANES * i))) for i in range(2)]
        ahead = builder.mul(stride, _int(2 * LANES))  # the rows that come next, where these are now
        columns = [_emit_lines(context, builder, w_type, w, row, stride, ahead) for row in rows]
        added: list[Any] = list(sums)
        for i in range(length):
            offset = builder.add(builder.add(at, k), _int(i))
            factor = _splat(builder, builder.load(_pointer(context, builder, a_type, a, offset, ir.FloatType())))
            values = [builder.bitcast(lines[i], _FLOATS) for lines in columns]
            added = [
                emit_multiply_add(context, builder, factor, value, total)
                for value, total in zip(values, added, strict=True)
            ]
        following = builder.add(block, _int(1))
        block.add_incoming(following, loop)
        for total, value in zip(sums, added, strict=True):
            total.add_incoming(value, loop)
        after = builder.append_basic_block("done")
        builder.cbranch(builder.icmp_signed("<", following, blocks), loop, after)
        builder.position_at_end(after)
        for place, value in zip(places, added, strict=True):
            builder.store(value, place, align=4)
        return context.get_dummy_value()

    return types.void(a, at, w, start, stride, blocks, y, to), emit


@lane_operation
def value_at(typingctx: Any, w: Any, at: Any) -> Any:
    """`value_at(w, at)`: one element as float32; uint16 are patterns of bfloat16."""
    if not _flat(w, types.float32, types.uint16):
        return None

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        half = sig.args[0].dtype == types.uint16
        pointee = ir.IntType(16) if half else ir.FloatType()
        value = builder.load(_pointer(context, builder, sig.args[0], args[0], args[1], pointee), align=1)
        if not half:
            return value
        return builder.bitcast(builder.shl(builder.zext(value, _INT32), ir.Constant(_INT32, 16)), ir.FloatType())

    return types.float32(w, at), emit
