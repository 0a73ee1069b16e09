"""Floating-point tensor cores through the compiled kernels: codes become numbers and powers of two, and back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitsim.datapath.kernels.grouped_tensor_core import GroupedOperand, grouped_dot_adds
from bitsim.datapath.kernels.simd_float import LANES
from bitsim.datapath.kernels.tensor_core import NAN_SCALE, Operand, Rules, fast_scales, fused_dot_adds
from bitsim.datapath.tensor_core.float_formats import Codes, Decoded, FloatFormat, OperandFormat, decode
from bitsim.datapath.tensor_core.prepare import FloatMatmul
from bitsim.datapath.tensor_core.reference import BINARY32_LEAST_EXPONENT, ZERO_EXPONENT

Float32 = NDArray[np.float32]
_NO_FLOOR = -600  # below the exponents of all products and scales


def float_mma(matmul: FloatMatmul) -> Codes:
    """D, like `matmul.c`."""
    (m, n), rules, group = matmul.c.shape, _rules(matmul), matmul.unit.exact_group
    if 0 in (m, n):
        return matmul.c.copy()
    y = _in_lanes(decode(matmul.c.T, matmul.acc_format).value)
    scale_b = None if matmul.scale_b is None else matmul.scale_b.T
    rows = matmul.a, matmul.scale_a, matmul.a_format
    columns = matmul.b.T, scale_b, matmul.b_format
    if group > 1:
        a_groups, b_groups = (_grouped_operand(*operand, group, rules) for operand in (rows, columns))
        grouped_dot_adds(a_groups, GroupedOperand(*map(_in_lanes, b_groups)), y, n, group, rules)
    else:
        a, b = (_operand(*operand, rules) for operand in (rows, columns))
        fused_dot_adds(a, Operand(*map(_in_lanes, b)), y, n, rules)
    return _encode(y.transpose(1, 0, 2).reshape(m, -1)[:, :n], matmul.acc_format)


def _rules(matmul: FloatMatmul) -> Rules:
    acc_format, output = matmul.acc_format, matmul.output
    mmasim = matmul.convention == "mmasim"
    floor = None if mmasim else output.leeds_floor
    return Rules(
        block=matmul.block_length,
        alignment_bits=matmul.unit.alignment_bits,
        fraction_bits=output.fraction_bits,
        least_exponent=acc_format.least_exponent,
        nearest=output.rounding == "nearest_even",
        overflow_exponent=acc_format.bias + 1,
        zero_power=2.0**ZERO_EXPONENT if mmasim else 0.0,
        c_least_power=2.0 ** (acc_format.least_exponent if mmasim else BINARY32_LEAST_EXPONENT),
        floor=2.0**floor if floor is not None and floor > _NO_FLOOR else 0.0,
    )


def _operand(codes: Codes, scales: Codes | None, fmt: OperandFormat, rules: Rules) -> Operand:
    """codes: (R, K), scales: (R, K / scale block) or None; the rows of an operand, not in lanes."""
    numbers = decode(np.ascontiguousarray(codes), fmt.element)
    finite = np.isfinite(numbers.value)
    powers = np.ldexp(np.float32(1), np.where(finite, numbers.exponent, 0))
    powers[numbers.value == 0] = rules.zero_power
    has_specials = ~finite.reshape(codes.shape[0], -1, rules.block).all(axis=2)
    scale = _scale_per_group(codes, scales, fmt, rules.block)
    exponents = np.where(np.isnan(scale.value), np.int16(NAN_SCALE), scale.exponent)
    return Operand(numbers.value, powers, exponents, fast_scales(exponents, has_specials, rules))


def _grouped_operand(
    codes: Codes, scales: Codes | None, fmt: OperandFormat, group: int, rules: Rules
) -> GroupedOperand:
    """As `_operand`, for elements without specials."""
    numbers, scale = decode(np.ascontiguousarray(codes), fmt.element), _scale_per_group(codes, scales, fmt, group)
    powers = np.where(scale.value == 0, rules.zero_power, np.ldexp(1.0, scale.exponent))
    return GroupedOperand(numbers.value, scale.value.astype(np.float64), powers)


def _scale_per_group(codes: Codes, scales: Codes | None, fmt: OperandFormat, group: int) -> Decoded:
    """(R, K / group): the scale that each group of neighbours shares, 1 without scales."""
    groups = np.arange(codes.shape[1] // group)
    if scales is None or fmt.scale is None:
        shape = codes.shape[0], len(groups)
        return Decoded(value=np.ones(shape, np.float32), exponent=np.zeros(shape, np.int16))
    return decode(np.ascontiguousarray(scales[:, groups * group // fmt.scale_block]), fmt.scale)


def _in_lanes(rows: NDArray[Any]) -> NDArray[Any]:
    """(N, X) -> (N / 16, X, 16): 16 rows side by side, zeros in place of missing ones."""
    blocks = -(-rows.shape[0] // LANES)
    padded = np.zeros((blocks * LANES, rows.shape[1]), rows.dtype)
    padded[: rows.shape[0]] = rows
    return np.ascontiguousarray(padded.reshape(blocks, LANES, -1).transpose(0, 2, 1))


def _encode(values: Float32, acc_format: FloatFormat) -> Codes:
    """Codes of numbers that `acc_format` holds; every NaN is the code of all ones but the sign."""
    words = values.astype(f"float{acc_format.bits}").view(acc_format.dtype)
    return np.where(np.isnan(values), acc_format.dtype.type(acc_format.max_code >> 1), words)
