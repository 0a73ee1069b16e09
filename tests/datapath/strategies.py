"""Hypothesis strategies for arrays and their operands."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from bitsim.hw.datapaths import PEArraySpec

DATAFLOWS = ("weight_stationary", "output_stationary")


def array_spec(pe: str, dataflow: str, rows: int, cols: int, **fields: Any) -> PEArraySpec:
    """A `PEArraySpec` with the defaults of the shipped chips."""
    widths = {"ternary": 24, "int8": 32, "fp16": 16}
    values = {"kind": "pe_array", "pe": pe, "dataflow": dataflow, "rows": rows, "cols": cols}
    values |= {"acc_bits": widths[pe], "overflow": "wrap", "clock_gating": True}
    return PEArraySpec.model_validate(values | fields)


@st.composite
def array_specs(draw: st.DrawFn, pes: tuple[str, ...] = ("ternary", "int8", "fp16")) -> PEArraySpec:
    """Generates small arrays of any kind, with accumulators narrow enough to overflow."""
    pe, dataflow = draw(st.sampled_from(pes)), draw(st.sampled_from(DATAFLOWS))
    fields: dict[str, Any] = {"clock_gating": draw(st.booleans())}
    if pe != "fp16":
        fields["acc_bits"] = draw(st.integers(9, 14)) if pe == "ternary" else draw(st.integers(17, 20))
        if dataflow == "weight_stationary":
            fields["column_acc_bits"] = fields["acc_bits"] + draw(st.integers(0, 3))
        fields["overflow"] = draw(st.sampled_from(("wrap", "saturate")))
    return array_spec(pe, dataflow, draw(st.integers(1, 6)), draw(st.integers(1, 6)), **fields)


@st.composite
def operands(draw: st.DrawFn, spec: PEArraySpec, largest: int = 13) -> tuple[Any, Any]:
    """Generates `x` (M, K) and `w` (N, K) for `spec`: every size from 1, extreme values often."""
    m, k, n = (draw(st.integers(1, largest)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if spec.pe == "fp16":
        scale = draw(st.sampled_from((1e-4, 1.0, 50.0, 3e4)))
        x = np.clip(rng.normal(0, scale, (m, k)), -6e4, 6e4)
        return x.astype(np.float16), rng.normal(0, 1, (n, k)).astype(np.float16)
    if draw(st.booleans()):
        x = rng.choice(np.array([-128, -127, 0, 127], np.int8), (m, k))
    else:
        x = rng.integers(-128, 128, (m, k)).astype(np.int8)
    if spec.pe == "ternary":
        return x, rng.integers(-1, 2, (n, k)).astype(np.int8)
    return x, rng.integers(-128, 128, (n, k)).astype(np.int8)
