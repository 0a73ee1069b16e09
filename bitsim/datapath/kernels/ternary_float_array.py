"""Arrays of ternary PEs whose activations and sums are floats: psum + a, psum - a or psum, rounded once.

Sums are IEEE binary16 (`simd_half` says why float32 lanes that are rounded give it) or binary32, where lanes are what
they are: round to nearest even, subnormals kept, overflow to infinity. In a tile of `rows` k: p = +0, then p +- a for
each k in order; the column accumulator starts at +0 and adds the tiles' p in order, rounding likewise. A weight of 0
adds +0, whatever the activation: that leaves p as it is, since no sum is ever -0. NaN is counted as 0x7e00 or
0x7fc00000.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from bitsim._jit import inlined, kernel, parallel_kernel, team
from bitsim.datapath.kernels.pack import LANES, quad_lines
from bitsim.datapath.kernels.simd import F32X16, I32X16, hsum, lane_operation, llvm_type, load, popcount, splat, store
from bitsim.datapath.kernels.simd_half import half_bits, round_half

SINGLE_NAN = 0x7FC00000
_WORTH_A_TEAM = 2**17  # additions
_SIGN = np.int32(-(2**31))
Float32 = NDArray[np.float32]
Int8 = NDArray[np.int8]


def ternary_float_matmul(acts: Float32, w: Int8, rows: int, *, single: bool) -> Float32:
    """Outputs of the array; `acts`: float32 (M, K), values of the operands' format; `w`: int8 (N, K) of -1, 0, 1.

    `rows`: height of a tile of K; `single`: sums are binary32, else binary16. Returns float32 (M, N); which NaN stands
    for a NaN is not defined.
    """
    (m, k), n = acts.shape, w.shape[0]
    if 0 in (m, n, k):
        return np.zeros((m, n), np.float32)
    y = np.empty((m, LANES * -(-n // LANES)), np.float32)
    with team(m * n * k, _WORTH_A_TEAM):
        _all_values(_patterns(acts), _column_lines(w), y, rows, single)
    return np.ascontiguousarray(y[:, :n])


def ternary_float_toggles_ws(acts: Float32, w: Int8, rows: int, *, single: bool) -> int:
    """Toggled bits of the psum registers of a weight-stationary array of `rows` rows; operands as above.

    Register (r, n) holds p after r + 1 additions, for one row of `acts` after the other. Every tile starts and ends
    with +0. Rows that the last tile leaves unused pass the sum above them on.
    """
    with team(acts.size * w.shape[0], _WORTH_A_TEAM):
        return int(_ws_all(np.ascontiguousarray(_patterns(acts).T), _column_lines(w), rows, single))


def ternary_float_toggles_os(acts: Float32, w: Int8, *, single: bool) -> int:
    """Toggled bits of the accumulators of an output-stationary array: one tile of all K, draining not counted."""
    with team(acts.size * w.shape[0], _WORTH_A_TEAM):
        return int(_os_all(_patterns(acts), _column_lines(w), single))


def _patterns(acts: Float32) -> NDArray[np.int32]:
    return np.ascontiguousarray(acts, np.float32).view(np.int32)


def _column_lines(w: Int8) -> NDArray[np.int32]:
    """int8 (N, K) -> int32 (N/16, K, 16), 16 columns side by side; padding columns are 0 and stay at +0."""
    lines = np.empty((-(-w.shape[0] // LANES), w.shape[1], LANES), np.int32)
    quad_lines(w.astype(np.int32), lines)
    return lines


@lane_operation
def as_floats(typingctx: Any, x: Any) -> Any:
    """`as_floats(x)`: 32-bit patterns as the floats that they are."""
    if x != I32X16:
        return None

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.bitcast(args[0], llvm_type(F32X16))

    return F32X16(I32X16), emit


@lane_operation
def single_bits(typingctx: Any, x: Any) -> Any:
    """`single_bits(x)`: the patterns of floats; every NaN is 0x7fc00000."""
    if x != F32X16:
        return None

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        nan = ir.Constant(llvm_type(I32X16), [SINGLE_NAN] * LANES)
        bits = builder.bitcast(args[0], llvm_type(I32X16))
        return builder.select(builder.fcmp_unordered("uno", args[0], args[0]), nan, bits)

    return I32X16(F32X16), emit


@inlined
def _add(psum: Any, addend: Any, single: Any) -> Any:
    return psum + addend if single else round_half(psum + addend)


@inlined
def _selected(act: Any, codes: Any) -> Any:
    """The activation's pattern where the code is 1, with the other sign where it is -1, +0 where it is 0."""
    keep = splat(np.int32(0)) - (codes & splat(np.int32(1)))
    return as_floats((splat(act) ^ (codes & splat(_SIGN))) & keep)


@inlined
def _bits(psum: Any, single: Any) -> Any:
    return single_bits(psum) if single else half_bits(psum)


@parallel_kernel
def _all_values(a: Any, w: Any, y: Any, rows: int, single: bool) -> None:
    """a: int32 (M, K), patterns; w: int32 (B, K, 16), codes; y: float32 (M, 16 B), written.

    Four rows at a time are four independent chains; the last four may repeat the last row.
    """
    last = a.shape[0] - 1
    for block in numba.prange(w.shape[0]):
        for m in range(0, a.shape[0], 4):
            _values_tile(a, w[block], y, rows, (m, min(m + 1, last), min(m + 2, last), min(m + 3, last)), block, single)


@kernel
def _values_tile(a: Any, w: Any, y: Any, rows: int, m: Any, block: int, single: bool) -> None:
    zero = splat(np.float32(0.0))
    a_0, a_1, a_2, a_3 = a[m[0]], a[m[1]], a[m[2]], a[m[3]]
    acc = (zero, zero, zero, zero)
    for k0 in range(0, a.shape[1], rows):
        p = (zero, zero, zero, zero)
        for k in range(k0, min(k0 + rows, a.shape[1])):
            codes = load(w, LANES * k)
            p = (
                _add(p[0], _selected(a_0[k], codes), single),
                _add(p[1], _selected(a_1[k], codes), single),
                _add(p[2], _selected(a_2[k], codes), single),
                _add(p[3], _selected(a_3[k], codes), single),
            )
        acc = (
            _add(acc[0], p[0], single),
            _add(acc[1], p[1], single),
            _add(acc[2], p[2], single),
            _add(acc[3], p[3], single),
        )
    store(y, m[0] * y.shape[1] + LANES * block, acc[0])
    store(y, m[1] * y.shape[1] + LANES * block, acc[1])
    store(y, m[2] * y.shape[1] + LANES * block, acc[2])
    store(y, m[3] * y.shape[1] + LANES * block, acc[3])


@kernel
def _ws_tile(a: Any, w: Any, psums: Any, single: bool) -> Any:
    """One tile of one block: toggles of all its registers, and of the last one alone.

    a: int32 (R, M); w: int32 (R, 16); psums: float32 (M, 16), scratch.
    """
    zero = splat(np.int32(0))
    psums[:] = 0
    toggles, last = np.int64(0), np.int64(0)
    for r in range(a.shape[0]):
        codes, a_row = load(w, LANES * r), a[r]
        held, flips = zero, zero
        for m in range(a.shape[1]):
            psum = _add(load(psums, LANES * m), _selected(a_row[m], codes), single)
            store(psums, LANES * m, psum)
            bits = _bits(psum, single)
            flips += popcount(bits ^ held)
            held = bits
        last = hsum(flips + popcount(held))
        toggles += last
    return toggles, last


@parallel_kernel
def _ws_all(a: Any, w: Any, rows: int, single: bool) -> int:
    """a: int32 (K, M); w: int32 (B, K, 16)."""
    k_total, n_blocks = a.shape[0], w.shape[0]
    toggles = 0
    for item in numba.prange(n_blocks * ((k_total + rows - 1) // rows)):
        block = item % n_blocks
        first = item // n_blocks * rows
        end = min(first + rows, k_total)
        psums = np.empty((a.shape[1], LANES), np.float32)
        in_used, in_last = _ws_tile(a[first:end], w[block, first:end], psums, single)
        toggles += in_used + (rows - (end - first)) * in_last
    return toggles


@kernel
def _os_row(a: Any, w: Any, single: bool) -> Any:
    """Toggles of the accumulators of one row in one block. a: int32 (K,); w: int32 (K, 16)."""
    psum, held = splat(np.float32(0.0)), splat(np.int32(0))
    flips = held
    for k in range(a.shape[0]):
        psum = _add(psum, _selected(a[k], load(w, LANES * k)), single)
        bits = _bits(psum, single)
        flips += popcount(bits ^ held)
        held = bits
    return hsum(flips)


@parallel_kernel
def _os_all(a: Any, w: Any, single: bool) -> int:
    """a: int32 (M, K); w: int32 (B, K, 16)."""
    toggles = 0
    for block in numba.prange(w.shape[0]):
        for m in range(a.shape[0]):
            toggles += _os_row(a[m], w[block], single)
    return toggles
