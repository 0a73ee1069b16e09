"""Register toggles of the PE arrays: Hamming distance between what a register held and what it holds next.

Operand registers have closed forms, because every register of a row (column) sees the same stream one cycle later.
Partial-sum registers see the running sums themselves, which only a kernel that forms them can count.
"""

import numpy as np

from bitsim.datapath.base import Array
from bitsim.datapath.formats import HALF_BITS, values_of
from bitsim.datapath.kernels.saturating import os_saturating_toggles, ws_saturating_toggles
from bitsim.datapath.kernels.simd_half import HALF_NAN
from bitsim.datapath.kernels.ternary_float_array import SINGLE_NAN, ternary_float_toggles_os, ternary_float_toggles_ws
from bitsim.datapath.kernels.weight_chain import chain_run, chain_toggles
from bitsim.datapath.pe_array.sums import array_sums
from bitsim.datapath.registers import stream_toggles
from bitsim.datapath.toggles import (
    acc_toggles_os,
    acc_toggles_os_int8,
    fp16_acc_toggles_os,
    fp16_psum_toggles_ws,
    psum_toggles_ws,
    psum_toggles_ws_int8,
)
from bitsim.hw.datapaths import PEArraySpec

_WORTH_A_TEAM = 2**20  # weights
_BLOCK_COLUMNS = 2048  # output columns at a time, to bound temporaries


def weight_toggles(patterns: Array, rows: int | None) -> int:
    """Weight-register toggles of one pass over all weights. `patterns`: uint16 (N, K) register contents.

    Weight-stationary (`rows` given): every tile of `rows` of K is shifted into a reset chain. Output-stationary
    (`rows` None): the toggles of one register per column through which K weights stream. A chain's pair of neighbours
    (r, r + 1) passes through the registers 0..r, so that it counts r + 1 times.
    """
    if rows is None:
        blocks = (patterns[i : i + _BLOCK_COLUMNS] for i in range(0, len(patterns), _BLOCK_COLUMNS))
        return sum(stream_toggles(block, 1) for block in blocks)
    return int((chain_toggles if patterns.size >= _WORTH_A_TEAM else chain_run)(patterns, rows))


def drain_toggles(sums: Array, rows: int, bits: int) -> int:
    """Toggles while the sums (M, N) of every tile of `rows` tokens are shifted out downwards, zeros following.

    The pair of sums (i - 1, i) of a column passes through rows i..rows-1, and so does sum 0 with the zero behind it.
    """
    m, n = sums.shape
    padded = np.zeros((-(-m // rows), rows, n), np.uint64)
    padded.reshape(-1, n)[:m] = sums.astype(np.int64).view(np.uint64) & np.uint64((1 << bits) - 1)
    above = np.zeros_like(padded)
    above[:, 1:] = padded[:, :-1]
    distance = np.bitwise_count(padded ^ above).sum(axis=(0, 2), dtype=np.int64)
    return int((distance * np.arange(rows, 0, -1)).sum())


def psum_toggles(acts: Array, w: Array, spec: PEArraySpec, *, saturated: bool, sums: Array | None) -> int:
    """Partial-sum register toggles of `acts` (M, K) on the columns `w` (n, K), drain included.

    `saturated`: some sum was out of range, so that the wrapping kernels do not apply where the array saturates. `sums`:
    the array's outputs (M, n) if they are known; output-stationary arrays shift them out.
    """
    clipped, given = saturated and spec.overflow == "saturate", acts
    single = spec.acc_bits > HALF_BITS
    if spec.takes_floats:
        acts = values_of(spec.number_format, acts)
    if spec.dataflow == "weight_stationary":
        if spec.takes_floats:
            return ternary_float_toggles_ws(acts, w, spec.rows, single=single)
        if spec.pe == "fp16":
            return fp16_psum_toggles_ws(acts, w, spec.rows)
        if clipped:
            return int(ws_saturating_toggles(acts, w, spec.rows, spec.acc_bits))
        count = psum_toggles_ws if spec.pe == "ternary" else psum_toggles_ws_int8
        return count(acts, w, spec.rows, spec.acc_bits)
    sums = array_sums(given, w, spec).y if sums is None else sums
    if not spec.integer:
        drained = drain_toggles(float_patterns(sums, single=single), spec.rows, spec.acc_bits)
    if spec.takes_floats:
        return ternary_float_toggles_os(acts, w, single=single) + drained
    if spec.pe == "fp16":
        return fp16_acc_toggles_os(acts, w) + drained
    drained = drain_toggles(sums, spec.rows, spec.acc_bits)
    if clipped:
        return int(os_saturating_toggles(acts, w, spec.acc_bits)) + drained
    running = acc_toggles_os if spec.pe == "ternary" else acc_toggles_os_int8
    return running(acts, w, spec.acc_bits) + drained


def float_patterns(sums: Array, *, single: bool) -> Array:
    """What registers of binary16, or of binary32, hold of sums (M, N), as unsigned integers."""
    if single:
        return np.where(np.isnan(sums), np.uint32(SINGLE_NAN), sums.astype(np.float32).view(np.uint32))
    return np.where(np.isnan(sums), np.uint16(HALF_NAN), sums.astype(np.float16).view(np.uint16))
