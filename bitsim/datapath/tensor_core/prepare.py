"""What `bitsim.mma` is asked for, checked: the operands and all rules that the answer depends on."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from bitsim.datapath.tensor_core.float_formats import ACC_FORMATS, OPERAND_FORMATS, FloatFormat, OperandFormat
from bitsim.errors import OperandError, UnknownNameError
from bitsim.hw.tensor_core import AccFormatName, FloatUnit, IntegerUnit, Output, TensorCore, load_tensor_core

Array = NDArray[Any]
Convention = Literal["mmasim", "leeds"]
Overflow = Literal["wrap", "saturate"]
INTEGER_RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int4": (-8, 7), "uint4": (0, 15)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The arguments of `bitsim.mma`, as given."""

    a: Array
    b: Array
    c: Array
    arch: str | Path | TensorCore = "ampere"
    a_format: str = "fp16"
    b_format: str | None = None
    acc_format: str | None = None
    scale_a: Array | None = None
    scale_b: Array | None = None
    convention: Convention = "mmasim"
    overflow: Overflow = "wrap"
    instruction_k: int | None = None
    clamp_k: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FloatMatmul:
    """Codes in; `block_length` products at a time by the rules of `unit` and `output`.

    `a`: (M, K), `b`: (K, N), `c`: (M, N); scales as `bitsim.mma` takes them, None unless the formats have some.
    """

    a: Array
    b: Array
    c: Array
    scale_a: Array | None
    scale_b: Array | None
    a_format: OperandFormat
    b_format: OperandFormat
    acc_format: FloatFormat
    unit: FloatUnit
    output: Output
    block_length: int
    convention: Convention


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegerMatmul:
    """Numbers in; the int32 accumulator wraps or saturates after every `clamp_k` products."""

    a: Array
    b: Array
    c: Array
    clamp_k: int
    overflow: Overflow


def prepare(request: Request) -> FloatMatmul | IntegerMatmul:
    """A checked request; raises what `bitsim.mma` raises."""
    core = load_tensor_core(request.arch)
    formats = request.a_format, request.b_format or request.a_format
    for name in formats:
        if name not in OPERAND_FORMATS and name not in INTEGER_RANGES:
            raise UnknownNameError("format", name, [*OPERAND_FORMATS, *INTEGER_RANGES])
    _check_shapes(request)
    float_unit, integer_unit = core.float_unit(*formats), core.integer_unit(*formats)
    if float_unit is not None:
        return _float(request, formats, float_unit, core)
    if integer_unit is not None:
        return _integer(request, formats, integer_unit)
    raise OperandError(f"{core.name} does not multiply {' x '.join(formats)}; it has {core.supported()}")


def _float(request: Request, formats: tuple[str, str], unit: FloatUnit, core: TensorCore) -> FloatMatmul:
    _one_of("overflow", request.overflow, ["wrap"], "floats")
    _one_of("convention", request.convention, ["mmasim", "leeds"], "floats")
    if request.clamp_k is not None:
        raise OperandError(f"clamp_k: expected nothing, only integers are clamped, got {request.clamp_k}")
    acc_name = request.acc_format or "fp32"
    _one_of("acc_format", acc_name, unit.outputs, f"{' x '.join(formats)} on {core.name}")
    acc_format, output = ACC_FORMATS[acc_name], unit.outputs[cast(AccFormatName, acc_name)]
    if request.convention == "leeds" and output.leeds_floor is None:
        raise OperandError(
            f"convention: leeds has no model of {formats[0]} to {acc_name} on {core.name}, expected mmasim"
        )
    a_format, b_format = (OPERAND_FORMATS[name] for name in formats)
    _check_codes("a", request.a, a_format.element)
    _check_codes("b", request.b, b_format.element)
    _check_codes("c", request.c, acc_format)
    instruction_k = _instruction_k(request, unit)
    m, n, k = request.a.shape[0], request.b.shape[1], request.a.shape[1]
    _check_scale("scale_a", request.scale_a, a_format, lambda blocks: (m, blocks), k)
    _check_scale("scale_b", request.scale_b, b_format, lambda blocks: (blocks, n), k)
    return FloatMatmul(
        a=request.a,
        b=request.b,
        c=request.c,
        scale_a=request.scale_a,
        scale_b=request.scale_b,
        a_format=a_format,
        b_format=b_format,
        acc_format=acc_format,
        unit=unit,
        output=output,
        block_length=unit.block(instruction_k),
        convention=request.convention,
    )


def _integer(request: Request, formats: tuple[str, str], unit: IntegerUnit) -> IntegerMatmul:
    _one_of("acc_format", request.acc_format or "int32", ["int32"], "integers")
    _one_of("convention", request.convention, ["mmasim"], "integers")
    _one_of("overflow", request.overflow, ["wrap", "saturate"], "integers")
    if request.scale_a is not None or request.scale_b is not None:
        raise OperandError("scale_a, scale_b: expected nothing, integers have no scales")
    for name, operand, fmt in zip("ab", (request.a, request.b), formats, strict=True):
        low, high = INTEGER_RANGES[fmt]
        _check_numbers(name, operand, np.dtype(np.int8 if low < 0 else np.uint8), low, high)
    _check_numbers("c", request.c, np.dtype(np.int32), -(2**31), 2**31 - 1)
    instruction_k = _instruction_k(request, unit)
    clamp_k = instruction_k if request.clamp_k is None else request.clamp_k
    if clamp_k < 1 or instruction_k % clamp_k:
        raise OperandError(f"clamp_k: expected a divisor of the instruction's K = {instruction_k}, got {clamp_k}")
    return IntegerMatmul(a=request.a, b=request.b, c=request.c, clamp_k=clamp_k, overflow=request.overflow)


def _check_shapes(request: Request) -> None:
    a, b, c = request.a, request.b, request.c
    for name, operand in (("a", a), ("b", b), ("c", c)):
        if not isinstance(operand, np.ndarray) or operand.ndim != 2:
            raise OperandError(f"{name}: expected a matrix, got {getattr(operand, 'shape', type(operand).__name__)}")
    if b.shape[0] != a.shape[1]:
        raise OperandError(f"b: expected (K={a.shape[1]}, N) to match a, got {b.shape}")
    if c.shape != (a.shape[0], b.shape[1]):
        raise OperandError(f"c: expected (M, N) = {(a.shape[0], b.shape[1])}, got {c.shape}")


def _instruction_k(request: Request, unit: FloatUnit | IntegerUnit) -> int:
    k, wanted = request.a.shape[1], request.instruction_k
    if wanted is not None and wanted not in unit.instruction_k:
        raise OperandError(f"instruction_k: expected one of {', '.join(map(str, unit.instruction_k))}, got {wanted}")
    for instruction_k in sorted(unit.instruction_k, reverse=True):
        if k > 0 and k % instruction_k == 0 and wanted in (None, instruction_k):
            return instruction_k
    least = wanted or min(unit.instruction_k)
    raise OperandError(f"a: expected K a multiple of the instruction's, {least}, got K = {k}")


def _one_of(name: str, value: str, choices: Collection[str], of: str) -> None:
    if value not in choices:
        raise OperandError(f"{name}: expected {' or '.join(choices)} for {of}, got {value!r}")


def _check_codes(name: str, codes: Array, fmt: FloatFormat) -> None:
    _check_numbers(name, codes, fmt.dtype, 0, fmt.max_code)


def _check_numbers(name: str, values: Array, dtype: np.dtype[Any], low: int, high: int) -> None:
    if values.dtype != dtype:
        raise OperandError(f"{name}: expected {dtype}, got {values.dtype}")
    info = np.iinfo(dtype)
    if (low, high) != (info.min, info.max) and (bad := (values < low) | (values > high)).any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise OperandError(f"{name}[{row}, {column}]: expected {low}..{high}, got {values[row, column]}")


def _check_scale(name: str, scale: Array | None, fmt: OperandFormat, shape: Any, k: int) -> None:
    if fmt.scale is None:
        if scale is not None:
            raise OperandError(f"{name}: expected nothing, {fmt.element.name} has no block scales here")
        return
    expected = shape(k // fmt.scale_block)
    if scale is None or scale.shape != expected or scale.dtype != np.uint8:
        got = "nothing" if scale is None else f"{scale.dtype} {scale.shape}"
        raise OperandError(f"{name}: expected uint8 {expected}, {fmt.scale.name} per {fmt.scale_block} of k, got {got}")
