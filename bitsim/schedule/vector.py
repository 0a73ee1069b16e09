"""Everything that is no matmul: operations of the vector unit, and what they read and write."""

from bitsim.events import Events
from bitsim.hw.chip import ELEMENTARY, Chip
from bitsim.model.operators import Operator
from bitsim.schedule.matmul import VALUE_BITS, fits_inside


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


def vector_traffic(chip: Chip, op: Operator) -> Events:
    """FP16 values read and written where their tensors live, KV cache entries and embedding rows."""
    size = (op.values_written or op.values_read) // op.pieces
    inside = fits_inside(chip.memory, size, VALUE_BITS)
    home = f"sram.{chip.memory.chain('acts')[-1].name}" if inside else "dram.acts"
    return Events(
        {
            f"{home}.read_bits": op.values_read * VALUE_BITS,
            f"{home}.write_bits": op.values_written * VALUE_BITS,
            "dram.embedding.read_bits": op.dram_read_bits,
            "dram.kv.read_bits": 0 if op.is_matmul else op.kv_read_bits,
            "dram.kv.write_bits": op.kv_write_bits,
        }
    )
