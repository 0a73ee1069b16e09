"""All kinds of datapaths, as the law tests see them: one entry per kind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from bitsim.datapath.reference import adder_tree, pe_array, rom_array, sparse_array
from bitsim.datapath.reference.common import Outcome
from bitsim.hw.datapaths import AdderTreeSpec, DatapathDescription, RomArraySpec, SparseArraySpec
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
def sparse_arrays(draw: st.DrawFn) -> SparseArraySpec:
    levels, depth = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    return SparseArraySpec(
        kind="sparse_array",
        lanes=2**levels,
        cols=draw(st.integers(1, 4)),
        depth=depth,
        lookahead=draw(st.integers(1, depth)),
        outputs=draw(st.integers(1, 3)),
        acc_bits=(128 * depth).bit_length() + 1 + levels + draw(st.integers(0, 3)),
        overflow=draw(st.sampled_from(("wrap", "saturate"))),
        weight_gating=draw(st.booleans()),
    )


@st.composite
def rom_arrays(draw: st.DrawFn) -> RomArraySpec:
    acc_bits = draw(st.integers(9, 12))
    return RomArraySpec(
        kind="rom_array",
        rows=draw(st.integers(1, 6)),
        cols=draw(st.integers(1, 5)),
        banks=draw(st.integers(1, 3)),
        wake_cycles=draw(st.integers(0, 3)),
        zero_gating=draw(st.booleans()),
        acc_bits=acc_bits,
        column_acc_bits=acc_bits + draw(st.integers(0, 2)),
        overflow=draw(st.sampled_from(("wrap", "saturate"))),
    )


ZOO = {
    "pe_array": Member("pe_array", array_specs(pes=("ternary", "int8")), pe_array.run),
    "pe_array_fp16": Member("pe_array", array_specs(pes=("fp16",)), pe_array.run, halves, exact=False),
    "adder_tree": Member("adder_tree", adder_trees(), adder_tree.run),
    "sparse_array": Member("sparse_array", sparse_arrays(), sparse_array.run),
    "rom_array": Member("rom_array", rom_arrays(), rom_array.run),
}
EXACT = {name: member for name, member in ZOO.items() if member.exact}


def roomy(spec: DatapathDescription) -> Any:
    """`spec` with accumulators in which nothing overflows."""
    return type(spec).model_validate(spec.model_dump() | spec.accumulators(32))
