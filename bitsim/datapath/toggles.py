"""How many register bits flip while an array computes: exact counts, from the operands alone.

Weight-stationary: the psum registers between the PEs of a column. Output-stationary: the accumulator in every PE.
Integer registers are two's complement of `acc_bits` and wrap; FP16 ones hold IEEE binary16, NaN as 0x7e00. What is
counted is defined at the kernels, `bitsim.datapath.kernels.psum_toggles` and `fp16_array`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitsim.datapath.kernels import fp16_array, psum_toggles
from bitsim.errors import OperandError

Int8 = NDArray[np.int8]
Bits16 = NDArray[np.uint16]
_MAX_M = 2**23
_MAX_K = 2**23


def psum_toggles_ws(x_q: Int8, w_ternary: Int8, rows: int, acc_bits: int) -> int:
    """Flipped psum-register bits of a weight-stationary array of `rows` rows, all K tiles and columns together.

    `x_q`: int8 (M, K); `w_ternary`: int8 (N, K) of -1, 0, 1; `acc_bits`: 2 to 32. Each K tile starts and ends with
    all registers at zero; the rows below the last used one hold weight 0 and repeat its sum.
    """
    _check_ternary(w_ternary)
    return psum_toggles_ws_int8(x_q, w_ternary, rows, acc_bits)


def psum_toggles_ws_int8(x_q: Int8, w_q: Int8, rows: int, acc_bits: int) -> int:
    """As `psum_toggles_ws` for any int8 weights `w_q`."""
    _check(x_q, w_q, acc_bits)
    _check_rows(rows)
    return psum_toggles.psum_toggles_ws(x_q, w_q, rows, acc_bits) if 0 not in (*x_q.shape, *w_q.shape) else 0


def acc_toggles_os(x_q: Int8, w_ternary: Int8, acc_bits: int) -> int:
    """Flipped accumulator bits of an output-stationary array; every accumulator starts at zero, draining not counted.

    `x_q`: int8 (M, K); `w_ternary`: int8 (N, K) of -1, 0, 1; `acc_bits`: 2 to 32.
    """
    _check_ternary(w_ternary)
    return acc_toggles_os_int8(x_q, w_ternary, acc_bits)


def acc_toggles_os_int8(x_q: Int8, w_q: Int8, acc_bits: int) -> int:
    """As `acc_toggles_os` for any int8 weights `w_q`."""
    _check(x_q, w_q, acc_bits)
    return psum_toggles.acc_toggles_os(x_q, w_q, acc_bits) if 0 not in (*x_q.shape, *w_q.shape) else 0


def fp16_psum_toggles_ws(a: Bits16, b: Bits16, rows: int) -> int:
    """As `psum_toggles_ws` for an FP16 array; `a`: uint16 (M, K), `b`: uint16 (N, K), patterns of binary16."""
    _check_operands(a, b, np.uint16)
    _check_rows(rows)
    return fp16_array.fp16_psum_toggles_ws(a, b, rows) if 0 not in (*a.shape, *b.shape) else 0


def fp16_acc_toggles_os(a: Bits16, b: Bits16) -> int:
    """As `acc_toggles_os` for an FP16 array; operands as in `fp16_psum_toggles_ws`."""
    _check_operands(a, b, np.uint16)
    return fp16_array.fp16_acc_toggles_os(a, b) if 0 not in (*a.shape, *b.shape) else 0


def _check(x_q: Int8, w: Int8, acc_bits: int) -> None:
    _check_operands(x_q, w, np.int8)
    if not 2 <= acc_bits <= 32:
        raise OperandError(f"acc_bits: expected 2 to 32, got {acc_bits}")


def _check_operands(x: NDArray[Any], w: NDArray[Any], dtype: type) -> None:
    for name, operand in (("activations", x), ("weights", w)):
        if operand.dtype != dtype or operand.ndim != 2:
            got = f"{operand.dtype} {operand.shape}"
            raise OperandError(f"{name}: expected a matrix of {np.dtype(dtype)}, got {got}")
    if w.shape[1] != x.shape[1]:
        raise OperandError(f"weights: expected (N, K={x.shape[1]}) to match the activations, got {w.shape}")
    if x.shape[0] > _MAX_M or x.shape[1] > _MAX_K:
        raise OperandError(f"activations: expected at most ({_MAX_M}, {_MAX_K}), got {x.shape}")


def _check_rows(rows: int) -> None:
    if rows < 1:
        raise OperandError(f"rows: expected at least 1, got {rows}")


def _check_ternary(w_ternary: Int8) -> None:
    if w_ternary.size and (w_ternary.min() < -1 or w_ternary.max() > 1):
        raise OperandError(f"w_ternary: expected -1, 0 or 1, got {w_ternary.min()} to {w_ternary.max()}")
