"""Which bits move where for one operator: the replaceable memory model.

`StreamingMemory` is the first model, the simplest that bounds a batch-1 decode from below:

* weights come from DRAM once per pass over the model, into the weight buffer, and from there to the array;
* activations and partial sums stay in their on-chip buffers, whatever their size;
* the KV cache lives in DRAM: a step writes its keys and values and reads all of them.
"""

from typing import Protocol

from bitsim.datapath.formats import PE_FORMATS
from bitsim.datapath.geometry import Tiling
from bitsim.events import Events
from bitsim.hw.chip import Chip, PEArraySpec
from bitsim.model.operators import Operator

VECTOR_BITS = 16  # the vector unit's FP16 operands in the activation buffer


class MemoryModel(Protocol):
    """Says what an operator moves between DRAM, buffers and units."""

    name: str
    assumptions: tuple[str, ...]

    def traffic(self, op: Operator, chip: Chip) -> Events:
        """SRAM and DRAM bits of one operator, all repetitions."""
        ...


class StreamingMemory:
    """Weights once per pass from DRAM, activations and psums in SRAM, KV cache in DRAM."""

    name: str = "streaming"
    assumptions: tuple[str, ...] = (
        "memory: activations and partial sums always fit their buffers",
        "memory: every pass reads all weights from DRAM once, nothing is kept between passes",
        "timing: scale multipliers at the array's edges keep up with it and take no cycles of their own",
        "memory: operators run one after another; DRAM transfers overlap with the same operator's compute",
    )

    def traffic(self, op: Operator, chip: Chip) -> Events:
        counts = {
            "dram.weights.read_bits": op.weight_bits,
            "dram.embedding.read_bits": op.dram_read_bits,
            "dram.kv.read_bits": op.kv_read_bits,
            "dram.kv.write_bits": op.kv_write_bits,
            "sram.acts.read_bits": op.values_read * VECTOR_BITS,
            "sram.acts.write_bits": op.values_written * VECTOR_BITS,
        }
        if not op.is_matmul:
            return Events(counts)
        return Events(counts) + array_traffic(op, chip.bitlinear if op.is_bitlinear else chip.wide)


def array_traffic(op: Operator, spec: PEArraySpec) -> Events:
    """Buffer traffic of a matmul on a PE array, from its tiling.

    Activations are read once per tile of N, weights once per tile of M; weight-stationary arrays write the column
    accumulators once per tile of K and read them back for every tile but the first. The finished sums are read once
    more by the vector unit, which writes the outputs.
    """
    fmt = PE_FORMATS[spec.pe]
    tiling = Tiling(dataflow=spec.dataflow, rows=spec.rows, cols=spec.cols, m=op.m, k=op.k, n=op.n)
    sum_bits = spec.column_acc_bits if tiling.weight_stationary and spec.pe != "fp16" else spec.acc_bits
    weights = op.k * op.n * fmt.weight_bits
    sums = op.m * op.n * sum_bits * tiling.k_tiles
    return (
        Events(
            {
                "sram.weights.write_bits": weights,
                "sram.weights.read_bits": weights * tiling.m_tiles,
                "sram.acts.read_bits": op.m * op.k * fmt.act_bits * tiling.n_tiles,
                "sram.acts.write_bits": op.m * op.n * VECTOR_BITS,
                "sram.psums.write_bits": sums,
                "sram.psums.read_bits": sums,
            }
        )
        * op.repeat
    )
