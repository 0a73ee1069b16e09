"""The three conventions: what an energy number includes, and what it leaves out."""

from dataclasses import dataclass
from typing import Literal

from bitsim.events import Ledger
from bitsim.model.operators import Kind

ConventionName = Literal["arithmetic", "datapath", "system"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """`ledgers` are priced, on operators of `kinds` only (None: on all); `powers`: and what flows without events."""

    name: ConventionName
    ledgers: tuple[Ledger, ...]
    kinds: frozenset[Kind] | None
    powers: bool
    includes: str
    not_counted: tuple[str, ...]

    def counts(self, kind: Kind) -> bool:
        """Whether operators of `kind` have energy in this convention."""
        return self.kinds is None or kind in self.kinds


CONVENTIONS: dict[str, Convention] = {
    "arithmetic": Convention(
        name="arithmetic",
        ledgers=("arithmetic",),
        kinds=frozenset({"linear", "qk", "pv"}),
        powers=False,
        includes="the papers' own: additions and multiplications of linears and attention matmuls",
        not_counted=(
            "embedding, head, norms, softmax, quantisation (but its scale multiplications)",
            "accumulator width beyond the format, registers, clocks, SRAM, DRAM, leakage",
        ),
    ),
    "datapath": Convention(
        name="datapath",
        ledgers=("datapath",),
        kinds=frozenset({"linear", "qk", "pv", "head"}),
        powers=False,
        includes="all matmuls with true accumulator widths, registers, clocks and scale multipliers",
        not_counted=(
            "the vector unit, SRAM, DRAM, leakage",
            "registers that delay operands at the edges of an array, wires and clock tree beyond the layout factor",
        ),
    ),
    "system": Convention(
        name="system",
        ledgers=("datapath", "system"),
        kinds=None,
        powers=True,
        includes="the datapath plus vector unit, SRAM and its leakage, DRAM, its refresh and standby",
        not_counted=(
            "leakage of logic (no source), DRAM before the first and after the last operator",
            "traffic of norm weights and weight scales, the host (its link only if the chip prices it), power delivery",
        ),
    ),
}
