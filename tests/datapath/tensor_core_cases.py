"""Hypothesis strategies for `bitsim.mma`, and its slow twin with the same arguments."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

import bitsim
from bitsim.datapath.tensor_core.float_formats import ACC_FORMATS, OPERAND_FORMATS, FloatFormat, decode
from bitsim.datapath.tensor_core.prepare import INTEGER_RANGES, Request, prepare
from bitsim.datapath.tensor_core.reference import mma_reference
from bitsim.hw.tensor_core import TensorCore, load_tensor_core, tensor_core_names


def twin(a: Any, b: Any, c: Any, arch: Any = "ampere", a_format: str = "fp16", **options: Any) -> Any:
    """`bitsim.mma` by the specification."""
    return mma_reference(prepare(Request(a=a, b=b, c=c, arch=arch, a_format=a_format, **options)))


BOTH = {"twin": twin, "kernel": bitsim.mma}


def changed(arch: str, a_format: str, output: dict[str, Any] | None = None, **changes: Any) -> TensorCore:
    """An architecture with other parameters for one format; what no hardware has is possible here."""
    core = load_tensor_core(arch)
    unit = core.float_unit(a_format, a_format)
    assert unit is not None
    outputs = {name: out.model_copy(update=output or {}) for name, out in unit.outputs.items()}
    return core.model_copy(update={"floating": (unit.model_copy(update={"outputs": outputs} | changes),)})


def random_codes(rng: np.random.Generator, fmt: FloatFormat, shape: tuple[int, ...]) -> Any:
    """Codes of one of four kinds: any bits, any numbers, small exponents or exponents side by side; some are zeros."""
    codes = rng.integers(0, fmt.max_code, shape, dtype=np.int64, endpoint=True)
    kind = rng.choice(["any bits", "numbers", "smallest", "near"])
    if kind in ("smallest", "near"):
        above = fmt.fraction_bits + fmt.unused_low_bits
        first = 0 if kind == "smallest" else int(rng.integers(0, 1 << fmt.exponent_bits))
        fields = np.minimum(first + rng.integers(0, rng.integers(1, 8), shape), (1 << fmt.exponent_bits) - 1)
        codes &= ~(((1 << fmt.exponent_bits) - 1) << above)
        codes |= fields << above
    if kind != "any bits":
        special = ~np.isfinite(decode(codes.astype(fmt.dtype), fmt).value)
        codes[special & (rng.random(shape) < 0.99)] = 1 << fmt.fraction_bits
    codes[rng.random(shape) < rng.choice([0, 0.1, 0.6])] = 0
    return codes.astype(fmt.dtype)


@st.composite
def float_requests(draw: st.DrawFn, conventions: tuple[str, ...] = ("mmasim", "leeds")) -> dict[str, Any]:
    """Generates arguments of `bitsim.mma` for every architecture and floating-point format, specials included."""
    core = load_tensor_core(draw(st.sampled_from(tensor_core_names())))
    unit = draw(st.sampled_from(core.floating))
    names = [draw(st.sampled_from(unit.formats)) for _ in "ab"]
    acc_name = draw(st.sampled_from(sorted(unit.outputs)))
    convention = draw(st.sampled_from(conventions)) if unit.outputs[acc_name].leeds_floor is not None else "mmasim"
    instruction_k = draw(st.sampled_from(unit.instruction_k))
    m, n, k = draw(st.integers(1, 3)), draw(st.integers(1, 18)), instruction_k * draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    a_format, b_format = (OPERAND_FORMATS[name] for name in names)
    request: dict[str, Any] = {"arch": core.name, "a_format": names[0], "b_format": names[1], "acc_format": acc_name}
    request |= {"convention": convention, "instruction_k": instruction_k}
    request["a"] = random_codes(rng, a_format.element, (m, k))
    request["b"] = random_codes(rng, b_format.element, (k, n))
    request["c"] = random_codes(rng, ACC_FORMATS[acc_name], (m, n))
    if a_format.scale is not None and b_format.scale is not None:
        request["scale_a"] = random_codes(rng, a_format.scale, (m, k // a_format.scale_block))
        request["scale_b"] = random_codes(rng, b_format.scale, (k // b_format.scale_block, n))
    return request


@st.composite
def integer_requests(draw: st.DrawFn) -> dict[str, Any]:
    """Generates arguments of `bitsim.mma` for every architecture and integer format, sums that overflow included."""
    core = load_tensor_core(draw(st.sampled_from([name for name in tensor_core_names() if name != "volta"])))
    unit = draw(st.sampled_from(core.integer))
    names = [draw(st.sampled_from(unit.formats)) for _ in "ab"]
    instruction_k = draw(st.sampled_from(unit.instruction_k))
    m, n, k = draw(st.integers(1, 4)), draw(st.integers(1, 18)), instruction_k * draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    request: dict[str, Any] = {"arch": core.name, "a_format": names[0], "b_format": names[1]}
    request |= {"overflow": draw(st.sampled_from(["wrap", "saturate"])), "instruction_k": instruction_k}
    request["clamp_k"] = draw(st.sampled_from([None, 4, 16]))
    for operand, name, shape in (("a", names[0], (m, k)), ("b", names[1], (k, n))):
        low, high = INTEGER_RANGES[name]
        values = rng.integers(low, high, shape, endpoint=True)
        if draw(st.booleans()):
            values = rng.choice([low, high], shape)
        request[operand] = values.astype(np.int8 if low < 0 else np.uint8)
    edge = rng.choice([-(2**31), 0, 2**31 - 1], (m, n))
    request["c"] = np.clip(edge + rng.integers(-(2**16), 2**16, (m, n)), -(2**31), 2**31 - 1).astype(np.int32)
    return request
