"""Everything that is no matmul: operations of the vector unit, and what they read and write."""

from bitsim.events import Events
from bitsim.hw.chip import ELEMENTARY, Chip
from bitsim.model.operators import Operator
from bitsim.schedule.homes import Homes


def vector_work(chip: Chip, op: Operator) -> tuple[Events, int]:
    """Elementary operations and lane cycles of the vector unit, which expands exp, rsqrt and div into adds and muls."""
    spec = chip.vector
    counts: dict[str, int] = {}
    lane_cycles = 0
    for name, number in op.vector.items():
        cost = spec.costs[name]
        lane_cycles += number * cost.cycles
        elementary = {name: 1} if name in ELEMENTARY else {"add": cost.add, "mul": cost.mul}
        for elementary_name, times in elementary.items():
            event = f"vec.{elementary_name}.{spec.format}"
            counts[event] = counts.get(event, 0) + number * times
    return Events(counts), lane_cycles


def vector_traffic(homes: Homes, op: Operator) -> Events:
    """Tensors read and written where they live, KV cache entries and embedding rows."""
    counts = {
        "dram.embedding.read_bits": op.dram_read_bits,
        "dram.kv.read_bits": op.kv_read_bits,
        "dram.kv.write_bits": op.kv_write_bits,
    }
    for tensors, direction in ((op.reads, "read"), (op.writes, "write")):
        for tensor in tensors:
            event = f"{homes.unit(tensor)}.{direction}_bits"
            counts[event] = counts.get(event, 0) + tensor.values * homes.bits(tensor)
    return Events(counts)
