"""`bitsim reproduce memory`: Table 1 and Figure 2 of arXiv 2402.17764.

Packed linears, FP16 embedding and head follow from shapes. What a runtime adds (workspace, KV cache of an unstated
context, allocator) is one number per runtime, bytes per hidden unit, that the 700M row of each sets; all others are
predicted with it.
"""

from functools import cache
from typing import Any

from bitsim.model.zoo import zoo_config
from bitsim.serving.memory import needs_of
from reports.comparison import Row, published
from reports.report import Progress, Report, comparison_report
from reports.systems import equivalence_rows, ratio_rows, size_rows
from reports.systems_figure import draw_sizes

PARAMETERS = {
    "llama": ("runtime bytes per hidden unit, FP16",),
    "bitnet": ("runtime bytes per hidden unit, W2A8",),
}


@cache
def numbers() -> dict[str, Any]:
    return published("2402.17764")


def from_shapes_gb(model: str) -> float:
    """Packed linears, FP16 embedding and head."""
    needs = needs_of(zoo_config(model), 16, prompt=1, positions=1)
    return (needs.linears + needs.embedding) * 1e-9


@cache
def runtime_gb_per_hidden(kind: str) -> float:
    """What the row that fits says a runtime adds, per hidden unit."""
    table = numbers()["memory"]
    (model,) = [name for name in table["fits"] if name.startswith(kind)]
    return (float(table["rows"][model]) - from_shapes_gb(model)) / zoo_config(model).hidden_size


def memory_gb(model: str) -> float:
    """Shapes and the runtime's share."""
    return from_shapes_gb(model) + runtime_gb_per_hidden(model.split("-")[0]) * zoo_config(model).hidden_size


def note(model: str) -> str:
    return f"linears, embedding and head alone {from_shapes_gb(model):.3g} GB"


def memory_rows() -> list[Row]:
    """Everything that `bitsim reproduce memory` prints."""
    return (
        size_rows(numbers(), "memory", memory_gb, PARAMETERS, note)
        + ratio_rows(numbers(), "memory", memory_gb, PARAMETERS)
        + equivalence_rows(numbers(), "memory", memory_gb, PARAMETERS)
    )


def memory_report(on_step: Progress) -> Report:
    """`bitsim reproduce memory`."""
    rows = memory_rows()
    on_step(1, 1)
    fitted = {kind: f"{1e6 * runtime_gb_per_hidden(kind):.1f} kB per hidden unit" for kind in PARAMETERS}
    return comparison_report(
        "memory of 2402.17764, decimal GB", rows, {"fitted parameters": fitted}, draw_sizes(rows, "memory", "GB")
    )
