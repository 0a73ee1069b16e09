"""The rows of a Result, one per operator and phase, and the sparsity of a model's linears."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from bitsim.events import Events, parsed
from bitsim.hw.chip import Chip
from bitsim.model.operators import Kind, Phase


@dataclass(slots=True, kw_only=True)
class OperatorRow:
    """All executions of one operator in one phase, added up.

    `cycles`: from start to end; `unit_cycles`: those in which its unit works; `least_cycles`: their best lower bound.
    `bound`: what it waits for; `plan`: tiles and loops of a matmul (of its longest executions, if they differ).

    `live_macs`: of an executed quantised linear, the products of non-zero activation codes that enter an output which
    is needed (all are, but for up_proj where the gate is computed first); None for all other operators.
    """

    phase: Phase
    name: str
    kind: Kind
    layer: int | None
    bitlinear: bool = False
    calls: int = 0
    macs: int = 0
    cycles: int = 0
    unit_cycles: int = 0
    least_cycles: int = 0
    live_macs: int | None = None
    bound: str = ""
    plan: str = ""
    events: Events = field(default_factory=Events)


def memory_bytes(events: Events, chip: Chip) -> dict[str, float]:
    """Bytes that each memory of the chip gives and takes: `dram_read_bytes`, `weights_write_bytes` and so on."""
    moved = {f"{name}_{way}_bytes": 0.0 for name in (*chip.memory.names, "dram") for way in ("read", "write")}
    for event, count in events.items():
        name = parsed(event)
        if name.unit in ("sram", "dram"):
            key = f"{name.place if name.unit == 'sram' else name.unit}_{name.action.partition('_')[0]}_bytes"
            moved[key] = moved.get(key, 0.0) + count / 8
    return moved


# The columns of arXiv 2411.04965 Table 2.
_COLUMNS = {
    "q_proj": "qkv",
    "k_proj": "qkv",
    "v_proj": "qkv",
    "o_proj": "out",
    "up_proj": "up",
    "gate_proj": "gate",
    "down_proj": "down",
}
SPARSITY_COLUMNS = (*dict.fromkeys(_COLUMNS.values()), "overall")


def sparsity(rows: Iterable[OperatorRow]) -> dict[str, float]:
    """The fraction of products that need not be formed, by kind of linear and `overall`; empty if nothing was executed.

    An input code of zero removes its products with all weights; where the gate is computed first, so does a gate of
    zero with those of its output of up_proj: `1 - (1 - in)(1 - gate)`. Means over tokens, weighted by parameters, which
    is how the columns of arXiv 2411.04965 Table 2 give its last one.
    """
    macs: dict[str, int] = {}
    live: dict[str, int] = {}
    for row in rows:
        if row.live_macs is None or row.kind != "linear":
            continue
        for column in (_COLUMNS[row.name.rpartition(".")[2]], "overall"):
            macs[column] = macs.get(column, 0) + row.macs
            live[column] = live.get(column, 0) + row.live_macs
    return {column: 1 - live[column] / macs[column] for column in SPARSITY_COLUMNS if column in macs}
