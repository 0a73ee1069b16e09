"""Hypothesis strategies for arrays and their operands."""

from typing import Any

from hypothesis import strategies as st

from bitsim.datapath.registry import build_datapath
from bitsim.hw.datapaths import PEArraySpec
from bitsim.testing.operands import Takes, half_matmuls, matmuls, ternary_half_matmuls

ALL_PES = ("ternary", "int8", "fp16", "ternary_fp16", "ternary_bf16")
DATAFLOWS = ("weight_stationary", "output_stationary")


def array_spec(pe: str, dataflow: str, rows: int, cols: int, **fields: Any) -> PEArraySpec:
    """A `PEArraySpec` with the defaults of the shipped chips."""
    widths = {"ternary": 24, "int8": 32, "fp16": 16, "ternary_fp16": 16, "ternary_bf16": 32}
    values = {"kind": "pe_array", "pe": pe, "dataflow": dataflow, "rows": rows, "cols": cols}
    values |= {"acc_bits": widths[pe], "overflow": "wrap", "clock_gating": True}
    return PEArraySpec.model_validate(values | fields)


@st.composite
def array_specs(draw: st.DrawFn, pes: tuple[str, ...] = ALL_PES) -> PEArraySpec:
    """Generates small arrays of any kind, with accumulators narrow enough to overflow."""
    pe, dataflow = draw(st.sampled_from(pes)), draw(st.sampled_from(DATAFLOWS))
    fields: dict[str, Any] = {"clock_gating": draw(st.booleans()), "interval": draw(st.integers(1, 3))}
    if pe == "ternary_fp16":
        fields["acc_bits"] = draw(st.sampled_from((16, 32)))
    elif pe in ("ternary", "int8"):
        fields["acc_bits"] = draw(st.integers(9, 14)) if pe == "ternary" else draw(st.integers(17, 20))
        if dataflow == "weight_stationary":
            fields["column_acc_bits"] = fields["acc_bits"] + draw(st.integers(0, 3))
        fields["overflow"] = draw(st.sampled_from(("wrap", "saturate")))
    return array_spec(pe, dataflow, draw(st.integers(1, 6)), draw(st.integers(1, 6)), **fields)


def operands(spec: PEArraySpec, largest: int = 13) -> st.SearchStrategy[tuple[Any, Any]]:
    """Generates `x` (M, K) and `w` (N, K) for `spec`: every size from 1, extreme values often."""
    if spec.pe == "fp16":
        return half_matmuls(largest)
    if not spec.integer:
        return ternary_half_matmuls(largest)
    return matmuls(Takes.of(build_datapath(spec), largest=(largest, largest, largest)))
