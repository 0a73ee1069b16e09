"""The sums that a PE array outputs: the fast exact matmul where no sum can overflow, the stepwise kernel elsewhere."""

from dataclasses import dataclass

import numpy as np

from bitsim.datapath.base import Array
from bitsim.datapath.kernels.fp16_array import fp16_array_matmul
from bitsim.datapath.kernels.overflow import array_os_overflow, array_ws_overflow
from bitsim.datapath.matmul import int8_matmul, ternary_matmul
from bitsim.datapath.packed import PackedTernary
from bitsim.hw.chip import PEArraySpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Summed:
    """`y` (M, N); counts of overflows by event name; the first overflow's (m, k, n).

    An FP16 array counts the outputs that are not finite, at their last k.
    """

    y: Array
    overflows: dict[str, int]
    first: tuple[int, int, int] | None = None


def array_sums(acts: Array, w: Array | PackedTernary, spec: PEArraySpec) -> Summed:
    """The outputs of the array for `acts` (M, K) and weights (N, K), with its accumulators' widths and overflows."""
    stationary = spec.dataflow == "weight_stationary"
    if spec.pe == "fp16":
        assert isinstance(w, np.ndarray)
        return fp16_sums(acts, w, spec.rows if stationary else acts.shape[1])
    if cannot_overflow(acts, spec):
        return Summed(y=ternary_matmul(acts, w) if isinstance(w, PackedTernary) else int8_matmul(acts, w), overflows={})
    codes = w.codes() if isinstance(w, PackedTernary) else w
    saturate = spec.overflow == "saturate"
    if stationary:
        y, psum, column, first = array_ws_overflow(
            acts, codes, spec.rows, spec.acc_bits, spec.column_acc_bits, saturate
        )
    else:
        y, psum, first = array_os_overflow(acts, codes, spec.acc_bits, saturate)
        column = 0
    overflows = {"overflow.psum": int(psum), "overflow.column": int(column)}
    where = (int(first[0]), int(first[1]), int(first[2])) if first[0] >= 0 else None
    return Summed(y=y, overflows={name: n for name, n in overflows.items() if n}, first=where)


def fp16_sums(acts: Array, w: Array, rows: int) -> Summed:
    """The outputs of an FP16 array on binary16 patterns; `rows`: height of a tile of K."""
    y = fp16_array_matmul(acts, w, rows)
    lost = np.argwhere(~np.isfinite(y))
    if not len(lost):
        return Summed(y=y, overflows={})
    first = (int(lost[0, 0]), acts.shape[1] - 1, int(lost[0, 1]))
    return Summed(y=y, overflows={"overflow.output": len(lost)}, first=first)


def cannot_overflow(acts: Array, spec: PEArraySpec) -> bool:
    """Whether no sum can leave its register: |sum| <= sum of |x| times the largest |w|, at each stage."""
    largest = 1 if spec.pe == "ternary" else 128
    magnitude = np.abs(acts.astype(np.int16))
    k = acts.shape[1]
    in_row = int(magnitude.sum(axis=1, dtype=np.int64).max()) * largest
    if spec.dataflow == "output_stationary":
        return in_row < 1 << (spec.acc_bits - 1)
    tiles = np.add.reduceat(magnitude, np.arange(0, k, spec.rows), axis=1, dtype=np.int64)
    in_tile = int(tiles.max()) * largest
    return in_tile < 1 << (spec.acc_bits - 1) and in_row < 1 << (spec.column_acc_bits - 1)
