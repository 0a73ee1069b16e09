"""All kinds of datapaths, as the law tests see them: one entry per kind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from bitsim.datapath.reference import adder_tree, pe_array, tensor_core
from bitsim.datapath.reference.common import Outcome
from bitsim.hw.datapaths import AdderTreeSpec, DatapathDescription, TensorCoreSpec
from tests.datapath.strategies import array_specs

Specs = st.SearchStrategy[Any]


@st.composite
def integers(draw: st.DrawFn, datapath: Any, largest: int = 13) -> tuple[Any, Any]:
    """Generates `x` (M, K) and `w` (N, K) in the datapath's ranges: every size from 1, extreme values often."""
    m, k, n = (draw(st.integers(1, largest)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    (low, high), (least, most) = datapath.act_range, datapath.weight_range
    w = rng.integers(least, most + 1, (n, k)).astype(np.int8)
    if draw(st.booleans()):
        return rng.choice(np.array([low, low + 1, 0, high], np.int8), (m, k)), w
    return rng.integers(low, high + 1, (m, k)).astype(np.int8), w


@st.composite
def halves(draw: st.DrawFn, datapath: Any, largest: int = 13) -> tuple[Any, Any]:
    """Generates binary16 `x` (M, K) and `w` (N, K), sums beyond the largest finite number among them."""
    m, k, n = (draw(st.integers(1, largest)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = np.clip(rng.normal(0, draw(st.sampled_from((1e-4, 1.0, 50.0, 3e4))), (m, k)), -6e4, 6e4)
    return x.astype(np.float16), rng.normal(0, 1, (n, k)).astype(np.float16)


@dataclass(frozen=True)
class Member:
    """One kind of datapath, or a part of one that is tested apart.

    `specs`: generates small descriptions, accumulators narrow enough to overflow among them; `twin`: its oracle;
    `operands(datapath, largest=...)`: generates operands. Laws of exact datapaths are tested if `exact`.
    """

    kind: str
    specs: Specs
    twin: Callable[[Any, Any, Any], Outcome]
    operands: Callable[..., Specs] = integers
    exact: bool = True


@st.composite
def adder_trees(draw: st.DrawFn) -> AdderTreeSpec:
    levels = draw(st.integers(1, 5))
    return AdderTreeSpec(
        kind="adder_tree",
        lanes=2**levels,
        trees=draw(st.integers(1, 5)),
        pipeline=draw(st.integers(0, levels)),
        tokens=draw(st.integers(1, 4)),
        acc_bits=9 + levels + draw(st.integers(0, 3)),
        overflow=draw(st.sampled_from(("wrap", "saturate"))),
        clock_gating=draw(st.booleans()),
    )


@st.composite
def halves_or_ternary(draw: st.DrawFn, datapath: Any, largest: int = 13) -> tuple[Any, Any]:
    """As `halves`, with ternary weights where the datapath takes no others."""
    x, w = draw(halves(datapath, largest))
    return x, np.sign(np.rint(w)).astype(np.int8) if datapath.spec.weights == "ternary" else w


@st.composite
def deep_integers(draw: st.DrawFn, datapath: Any, largest: int = 13) -> tuple[Any, Any]:
    """As `integers`, of several instructions' depth; constant rows often, so that sums leave their range."""
    m, n, k = draw(st.integers(1, largest)), draw(st.integers(1, largest)), draw(st.integers(1, 12 * largest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    (low, high), (least, most) = datapath.act_range, datapath.weight_range
    if draw(st.booleans()):
        x, w = rng.choice(np.array([low, high], np.int8), (m, 1)), rng.choice(np.array([least, most], np.int8), (n, 1))
        return x.repeat(k, axis=1), w.repeat(k, axis=1)
    x, w = rng.integers(low, high + 1, (m, k)), rng.integers(least, most + 1, (n, k))
    return x.astype(np.int8), w.astype(np.int8)


def tensor_core_spec(draw: st.DrawFn, arch: str, instruction: str, **fields: Any) -> TensorCoreSpec:
    values = {"kind": "tensor_core", "arch": arch, "instruction": instruction}
    drawn = {"units": draw(st.integers(1, 3)), "row_tiles": draw(st.integers(1, 3))}
    drawn["unit_macs"] = draw(st.sampled_from((1, 64, 256)))
    return TensorCoreSpec.model_validate(values | drawn | fields)


@st.composite
def integer_tensor_cores(draw: st.DrawFn) -> TensorCoreSpec:
    """Generates small ones; accumulators from the least possible width on."""
    arch, instruction, k, bits = draw(
        st.sampled_from(
            (
                ("turing", "m8n8k16", 16, 8),
                ("hopper", "m16n8k32", 32, 8),
                ("turing", "m8n8k32", 32, 4),
                ("ada", "m16n8k64", 64, 4),
            )
        )
    )
    weights = draw(st.sampled_from(("ternary", "full")))
    least = (bits - 1) * (1 if weights == "ternary" else 2) + k.bit_length() + 1
    fields = {"acc_bits": least + draw(st.integers(0, 2)), "overflow": draw(st.sampled_from(("wrap", "saturate")))}
    return tensor_core_spec(draw, arch, instruction, format=f"int{bits}", weights=weights, **fields)


@st.composite
def float_tensor_cores(draw: st.DrawFn) -> TensorCoreSpec:
    arch, number_format, instruction, widths = draw(
        st.sampled_from(
            (
                ("volta", "fp16", "m8n8k4", (16, 32)),
                ("ampere", "fp16", "m16n8k8", (16, 32)),
                ("ampere", "bf16", "m16n8k16", (32,)),
                ("ada", "e4m3", "m16n8k32", (16, 32)),
                ("hopper", "fp16", "m16n8k8", (16, 32)),
                ("hopper", "fp16", "m16n8k16", (16, 32)),
                ("hopper", "e5m2", "m64n16k32", (16, 32)),
            )
        )
    )
    fields = {"weights": draw(st.sampled_from(("ternary", "full"))), "acc_bits": draw(st.sampled_from(widths))}
    return tensor_core_spec(draw, arch, instruction, format=number_format, **fields)


ZOO = {
    "pe_array": Member("pe_array", array_specs(pes=("ternary", "int8")), pe_array.run),
    "pe_array_fp16": Member("pe_array", array_specs(pes=("fp16",)), pe_array.run, halves, exact=False),
    "adder_tree": Member("adder_tree", adder_trees(), adder_tree.run),
    "tensor_core": Member("tensor_core", integer_tensor_cores(), tensor_core.run, deep_integers),
    "tensor_core_float": Member("tensor_core", float_tensor_cores(), tensor_core.run, halves_or_ternary, exact=False),
}
EXACT = {name: member for name, member in ZOO.items() if member.exact}


def roomy(spec: DatapathDescription) -> Any:
    """`spec` with accumulators in which nothing overflows."""
    return type(spec).model_validate(spec.model_dump() | spec.accumulators(32))
