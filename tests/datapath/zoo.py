"""All kinds of datapaths, as the law tests see them: one entry per kind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from bitsim.datapath.reference import (
    adder_tree,
    binary_lut,
    bit_serial,
    cpu_simd,
    pe_array,
    popcount,
    rom_array,
    sparse_array,
    tensor_core,
    ternary_lut,
)
from bitsim.datapath.reference.common import Outcome
from bitsim.hw.datapaths import (
    AdderTreeSpec,
    BinaryLutSpec,
    BitSerialSpec,
    CpuSimdSpec,
    DatapathDescription,
    PopcountSpec,
    RomArraySpec,
    SparseArraySpec,
    TensorCoreSpec,
    TernaryLutSpec,
)
from bitsim.testing.models import reference
from bitsim.testing.operands import Takes, half_matmuls, matmuls, ternary_half_matmuls
from tests.datapath.strategies import array_specs

Specs = st.SearchStrategy[Any]


def int64_matmul(x: Any, w: Any) -> Any:
    return reference().execute(x, w).y


def integers(datapath: Any, largest: int = 13) -> Specs:
    """Generates `x` (M, K) and `w` (N, K) in the datapath's ranges."""
    return matmuls(Takes.of(datapath, largest=(largest, largest, largest)))


def halves(datapath: Any, largest: int = 13) -> Specs:
    """Generates binary16 `x` (M, K) and `w` (N, K)."""
    return half_matmuls(largest)


def ternary_halves(datapath: Any, largest: int = 13) -> Specs:
    """Generates float32 `x` (M, K) and ternary `w` (N, K)."""
    return ternary_half_matmuls(largest)


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
    lanes = draw(st.integers(2, 32))
    levels = (lanes - 1).bit_length()
    return AdderTreeSpec(
        kind="adder_tree",
        lanes=lanes,
        interval=draw(st.integers(1, 3)),
        trees=draw(st.integers(1, 5)),
        pipeline=draw(st.integers(0, levels)),
        tokens=draw(st.integers(1, 4)),
        acc_bits=9 + levels + draw(st.integers(0, 3)),
        overflow=draw(st.sampled_from(("wrap", "saturate"))),
        clock_gating=draw(st.booleans()),
    )


@st.composite
def ternary_luts(draw: st.DrawFn) -> TernaryLutSpec:
    g, tables = draw(st.integers(2, 5)), draw(st.integers(1, 5))
    return TernaryLutSpec(
        kind="ternary_lut",
        g=g,
        table=draw(st.sampled_from(("half", "full"))),
        storage=draw(st.sampled_from(("registers", "sram"))),
        tables=tables,
        lanes=draw(st.integers(1, 5)),
        reuse=draw(st.integers(1, 4)),
        acc_bits=(128 * g * tables).bit_length() + 1 + draw(st.integers(0, 3)),
        overflow=draw(st.sampled_from(("wrap", "saturate"))),
        clock_gating=draw(st.booleans()),
    )


@st.composite
def float_luts(draw: st.DrawFn) -> TernaryLutSpec:
    return TernaryLutSpec(
        kind="ternary_lut",
        acts="fp16",
        g=draw(st.integers(2, 5)),
        table=draw(st.sampled_from(("half", "full"))),
        storage=draw(st.sampled_from(("registers", "sram"))),
        tables=draw(st.integers(1, 5)),
        lanes=draw(st.integers(1, 5)),
        reuse=draw(st.integers(1, 4)),
        acc_bits=draw(st.sampled_from((16, 32))),
        clock_gating=draw(st.booleans()),
    )


@st.composite
def bit_serial_arrays(draw: st.DrawFn) -> BitSerialSpec:
    lanes, act_bits = draw(st.integers(2, 128)), draw(st.sampled_from((4, 8)))
    return BitSerialSpec(
        kind="bit_serial",
        act_bits=act_bits,
        lanes=lanes,
        rows=draw(st.integers(1, 4)),
        cols=draw(st.integers(1, 5)),
        skip_zero_planes=draw(st.booleans()),
        weights=draw(st.sampled_from(("ternary", "binary"))),
        acc_bits=act_bits + (lanes - 1).bit_length() + 1 + draw(st.integers(0, 3)),
        overflow=draw(st.sampled_from(("wrap", "saturate"))),
    )


@st.composite
def popcount_arrays(draw: st.DrawFn) -> PopcountSpec:
    lanes = draw(st.integers(2, 64))
    return PopcountSpec(
        kind="popcount",
        operands=draw(st.sampled_from(("binary", "ternary"))),
        lanes=lanes,
        cols=draw(st.integers(1, 5)),
        tokens=draw(st.integers(1, 4)),
        acc_bits=(lanes - 1).bit_length() + 2 + draw(st.integers(0, 2)),
        overflow=draw(st.sampled_from(("wrap", "saturate"))),
    )


@st.composite
def binary_luts(draw: st.DrawFn, table_bits: tuple[int, ...]) -> BinaryLutSpec:
    tables, bits = draw(st.integers(1, 5)), draw(st.sampled_from(table_bits))
    return BinaryLutSpec(
        kind="binary_lut",
        tables=tables,
        lanes=draw(st.integers(1, 5)),
        table_bits=bits,
        acc_bits=bits + (tables - 1).bit_length() + 1 + draw(st.integers(0, 3)),
        overflow=draw(st.sampled_from(("wrap", "saturate"))),
        clock_gating=draw(st.booleans()),
    )


@st.composite
def cpu_kernels(draw: st.DrawFn, *kernels: str) -> CpuSimdSpec:
    """Generates CPU kernels that pad, so that they take operands of every size."""
    kernel = draw(st.sampled_from(kernels))
    issue = draw(st.sampled_from((0.5, 1.0, 3.0)))
    fields: dict[str, Any] = {"kind": "cpu_simd", "kernel": kernel, "pad": True, "threads": draw(st.integers(1, 3))}
    fields["instructions_per_cycle"] = {"value": issue, "unit": "ratio", "evidence": "assumed", "source": "a test"}
    if kernel == "tl1":
        fields["bmm"] = draw(st.sampled_from((32, 64)))
        fields["bm"] = fields["bmm"] * draw(st.integers(1, 2))
        fields["bk"] = 16 * draw(st.integers(1, 4))
    if kernel == "tl2":
        fields |= {"bmm": 32, "bm": 32 * draw(st.integers(1, 2)), "bk": draw(st.sampled_from((96, 192)))}
    return CpuSimdSpec.model_validate(fields)


@st.composite
def deep_integers(draw: st.DrawFn, datapath: Any, largest: int = 13) -> tuple[Any, Any]:
    """Generates small operands as `integers`, or few of a K at which the int16 lanes of I2_S wrap."""
    if draw(st.booleans()):
        return draw(integers(datapath, largest=largest))
    m, k, n = draw(st.integers(1, 2)), draw(st.integers(1000, 4400)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    low = draw(st.sampled_from((-128, 60, 120)))
    x = rng.integers(low, 128, (m, k)).astype(np.int8)
    x[: draw(st.integers(0, m))] = rng.integers(-9, 9, k)
    w = (rng.choice(draw(st.sampled_from(([1], [-1, 1]))), (n, k)) * (rng.random((n, k)) < 0.9)).astype(np.int8)
    return x, w


@st.composite
def sparse_arrays(draw: st.DrawFn) -> SparseArraySpec:
    lanes, depth = draw(st.integers(2, 8)), draw(st.integers(1, 5))
    return SparseArraySpec(
        kind="sparse_array",
        lanes=lanes,
        cols=draw(st.integers(1, 4)),
        depth=depth,
        lookahead=draw(st.integers(1, depth)),
        outputs=draw(st.integers(1, 3)),
        acc_bits=(128 * depth).bit_length() + 1 + (lanes - 1).bit_length() + draw(st.integers(0, 3)),
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


@st.composite
def halves_or_ternary(draw: st.DrawFn, datapath: Any, largest: int = 13) -> tuple[Any, Any]:
    """As `halves`, with ternary weights where the datapath takes no others."""
    x, w = draw(halves(datapath, largest))
    return x, np.sign(np.rint(w)).astype(np.int8) if datapath.spec.weights == "ternary" else w


@st.composite
def repeated_integers(draw: st.DrawFn, datapath: Any, largest: int = 13) -> tuple[Any, Any]:
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
                ("blackwell", "mxf4", "m16n8k64", (32,)),
                ("blackwell", "nvf4", "m16n8k64", (32,)),
                ("blackwell", "mxe4m3", "m16n8k32", (32,)),
            )
        )
    )
    fields = {"weights": draw(st.sampled_from(("ternary", "full"))), "acc_bits": draw(st.sampled_from(widths))}
    return tensor_core_spec(draw, arch, instruction, format=number_format, **fields)


ZOO = {
    "pe_array": Member("pe_array", array_specs(pes=("ternary", "int8")), pe_array.run),
    "pe_array_fp16": Member("pe_array", array_specs(pes=("fp16",)), pe_array.run, halves, exact=False),
    "pe_array_ternary_floats": Member(
        "pe_array", array_specs(pes=("ternary_fp16", "ternary_bf16")), pe_array.run, ternary_halves, exact=False
    ),
    "adder_tree": Member("adder_tree", adder_trees(), adder_tree.run),
    "ternary_lut": Member("ternary_lut", ternary_luts(), ternary_lut.run),
    "ternary_lut_floats": Member("ternary_lut", float_luts(), ternary_lut.run, ternary_halves, exact=False),
    "bit_serial": Member("bit_serial", bit_serial_arrays(), bit_serial.run),
    "popcount": Member("popcount", popcount_arrays(), popcount.run),
    "binary_lut": Member("binary_lut", binary_luts((10,)), binary_lut.run),
    "binary_lut_rounded": Member("binary_lut", binary_luts((4, 8, 9)), binary_lut.run, exact=False),
    "cpu_i2s": Member("cpu_simd", cpu_kernels("i2s_avx2", "i2s_neon"), cpu_simd.run, deep_integers, exact=False),
    "cpu_tables": Member("cpu_simd", cpu_kernels("tl1", "tl2"), cpu_simd.run),
    "sparse_array": Member("sparse_array", sparse_arrays(), sparse_array.run),
    "rom_array": Member("rom_array", rom_arrays(), rom_array.run),
    "tensor_core": Member("tensor_core", integer_tensor_cores(), tensor_core.run, repeated_integers),
    "tensor_core_float": Member("tensor_core", float_tensor_cores(), tensor_core.run, halves_or_ternary, exact=False),
}
EXACT = {name: member for name, member in ZOO.items() if member.exact}


def roomy(spec: DatapathDescription) -> Any:
    """`spec` with accumulators in which nothing overflows."""
    return type(spec).model_validate(spec.model_dump() | spec.accumulators(32))
