"""The sums that a PE array outputs."""

from functools import lru_cache

import numpy as np

from bitsim.datapath.accumulation import WHOLE_ROW, Accumulation, Register, Summed, accumulate, finite
from bitsim.datapath.base import Array
from bitsim.datapath.formats import HALF_BITS, values_of
from bitsim.datapath.kernels.fp16_array import fp16_array_matmul
from bitsim.datapath.kernels.ternary_float_array import ternary_float_matmul
from bitsim.datapath.packed import PackedTernary
from bitsim.hw.datapaths.pe_array import PEArraySpec


@lru_cache(maxsize=64)
def accumulation(spec: PEArraySpec) -> Accumulation:
    """A weight-stationary column sums the rows and adds up the tiles below; output-stationary PEs sum all of K."""
    stationary = spec.dataflow == "weight_stationary"
    return Accumulation(
        group=spec.rows if stationary else WHOLE_ROW,
        inner=Register(name="psum", bits=spec.acc_bits),
        outer=Register(name="column", bits=spec.column_acc_bits) if stationary else None,
        overflow=spec.overflow,
    )


def array_sums(acts: Array, w: Array | PackedTernary, spec: PEArraySpec) -> Summed:
    """The outputs of the array for `acts` (M, K) and weights (N, K), with its accumulators' widths and overflows."""
    if spec.pe == "fp16":
        assert isinstance(w, np.ndarray)
        return fp16_sums(acts, w, spec.rows if spec.dataflow == "weight_stationary" else acts.shape[1])
    if not spec.integer:
        codes = w.codes() if isinstance(w, PackedTernary) else w
        rows = spec.rows if spec.dataflow == "weight_stationary" else acts.shape[1]
        values = values_of(spec.number_format, acts)
        return finite(ternary_float_matmul(values, codes, rows, single=spec.acc_bits > HALF_BITS), acts.shape[1])
    return accumulate(acts, w, accumulation(spec), largest_weight=1 if spec.pe == "ternary" else 128)


def fp16_sums(acts: Array, w: Array, rows: int) -> Summed:
    """The outputs of an FP16 array on binary16 patterns; `rows`: height of a tile of K.

    Outputs that are not finite are counted as overflows, at their last k.
    """
    return finite(fp16_array_matmul(acts, w, rows), acts.shape[1])
