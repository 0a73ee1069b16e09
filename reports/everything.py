"""Every published number that bitsim takes up, in one table: the reports' rows, paper by paper, with their labels."""

from collections.abc import Callable, Mapping
from typing import Any

from reports.a48 import claim_rows, executed_rows, table_rows
from reports.comparison import Row
from reports.cpu import cpu_rows
from reports.energy_2310_11453 import energy_rows, inputs
from reports.latency_2402_17764 import latency_rows
from reports.memory_2402_17764 import memory_rows
from reports.report import Progress, Report, comparison_report
from reports.throughput_2402_17764 import throughput_rows

PARTS: Mapping[str, Callable[[], list[Row]]] = {
    "energy": energy_rows,
    "memory": memory_rows,
    "latency": latency_rows,
    "throughput": throughput_rows,
    "sparsity": lambda: table_rows() + executed_rows(),
    "a4.8": claim_rows,
    "cpu": cpu_rows,
}


def all_report(on_step: Progress) -> Report:
    """`bitsim reproduce all`; the figures are those of the single reports."""
    rows: list[Row] = []
    counts: dict[str, Any] = {}
    for step, (name, part) in enumerate(PARTS.items(), start=1):
        found = part()
        rows, counts[name] = rows + found, len(found)
        on_step(step, len(PARTS))
    return comparison_report("all published numbers", rows, inputs() | {"rows": counts}, {})
