"""Floating-point tensor cores through the compiled kernels: codes become numbers and powers of two, and back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitsim.datapath.kernels.grouped_tensor_core import GroupedOperand, grouped_dot_adds
from bitsim.datapath.kernels.tensor_core import NAN_SCALE, Operand, Rules, fast_scales, fused_dot_adds
from bitsim.datapath.tensor_core.float_formats import Codes, Decoded, FloatFormat, OperandFormat, decode
from bitsim.datapath.tensor_core.prepare import FloatMatmul
from bitsim.datapath.tensor_core.reference import BINARY32_LEAST_EXPONENT, ZERO_EXPONENT

Float32 = NDArray[np.float32]
_LANES = 16
_NO_FLOOR = -600  # below the exponents of all products and scales


def float_mma(matmul: FloatMatmul) -> Codes:
    """D, like `matmul.c`."""
    (m, n), rules, group = matmul.c.shape, _rules(matmul), matmul.unit.exact_group
    if 0 in (m, n):
        return matmul.c.copy()
    y = _in_lanes(decode(matmul.c.T, matmul.acc_format).value)
    b, scale_b = matmul.b.T, None if matmul.scale_b is None else matmul.scale_b.T
    if group > 1:
        a_groups = _grouped_operand(matmul.a, matmul.scale_a, matmul.a_format, group, rules)
        b_groups = _grouped_operand(b, scale_b, matmul.b_format, group, rules)
        grouped_dot_adds(a_groups, GroupedOperand(*map(_in_lanes, b_groups)), y, n, group, rules)
    else:
        a_rows = _operand(matmul.a, matmul.scale_a, matmul.a_format, rules)
        b_rows = _operand(b, scale_b, matmul.b_format, rules)
        fused_dot_adds(a_rows, Operand(*map(_in_lanes, b_rows)), y, n, rules)
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
    numbers = decode(codes, fmt.element)
    finite = np.isfinite(numbers.value)
    powers = np.ldexp(np.float32(1), np.where(finite, numbers.exponent, 0))
    powers[numbers.value == 0] = rules.zero_power
    by_block = (codes.shape[0], codes.shape[1] // rules.block, rules.block)
    has_specials = ~finite.reshape(by_block).all(axis=2)
    scale_exponents = np.zeros(by_block[:2], np.int16)
    if scales is not None and fmt.scale is not None:
        block_scales = _per_group(decode(scales, fmt.scale), rules.block, fmt.scale_block)
        scale_exponents = np.where(np.isnan(block_scales.value), np.int16(NAN_SCALE), block_scales.exponent)
    return Operand(numbers.value, powers, scale_exponents, fast_scales(scale_exponents, has_specials, rules))


def _grouped_operand(
    codes: Codes, scales: Codes | None, fmt: OperandFormat, group: int, rules: Rules
) -> GroupedOperand:
    """As `_operand`, for groups of elements without specials that share a scale."""
    assert scales is not None
    assert fmt.scale is not None
    scale = _per_group(decode(scales, fmt.scale), group, fmt.scale_block)
    powers = np.where(scale.value == 0, rules.zero_power, np.ldexp(1.0, scale.exponent))
    return GroupedOperand(decode(codes, fmt.element).value, scale.value.astype(np.float64), powers)


def _per_group(scales: Decoded, group: int, scale_block: int) -> Decoded:
    """(R, K / scale_block) -> (R, K / group): the scale of each group of neighbours."""
    groups = np.arange(scales.value.shape[1] * scale_block // group) * group // scale_block
    return Decoded(value=scales.value[:, groups], exponent=scales.exponent[:, groups])


def _in_lanes(rows: NDArray[Any]) -> NDArray[Any]:
    """(N, X) -> (N / 16, X, 16): 16 rows side by side, zeros in place of missing ones."""
    blocks = -(-rows.shape[0] // _LANES)
    padded = np.zeros((blocks * _LANES, rows.shape[1]), rows.dtype)
    padded[: rows.shape[0]] = rows
    return np.ascontiguousarray(padded.reshape(blocks, _LANES, -1).transpose(0, 2, 1))


def _encode(values: Float32, acc_format: FloatFormat) -> Codes:
    """Codes of numbers that `acc_format` holds; every NaN is the code of all ones but the sign."""
    words = values.astype(f"float{acc_format.bits}").view(acc_format.dtype)
    return np.where(np.isnan(values), acc_format.dtype.type(acc_format.max_code >> 1), words)
