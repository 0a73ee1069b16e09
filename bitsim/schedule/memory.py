"""Which bits move where for one operator: the replaceable memory model.

`StreamingMemory` is the first model, the simplest that bounds a batch-1 decode from below:

* weights come from DRAM once per pass over the model, into the weight buffer, and from there to the array; those that a
  datapath holds for good (ROM) do not move;
* activations and partial sums stay in their on-chip buffers, whatever their size;
* the KV cache lives in DRAM: a step writes its keys and values and reads all of them.
"""

from typing import Protocol

from bitsim.datapath.base import Datapath
from bitsim.events import Events
from bitsim.model.operators import Operator

VECTOR_BITS = 16  # the vector unit's FP16 operands in the activation buffer


class MemoryModel(Protocol):
    """Says what an operator moves between DRAM, buffers and units."""

    name: str
    assumptions: tuple[str, ...]

    def traffic(self, op: Operator, datapath: Datapath | None) -> Events:
        """SRAM and DRAM bits of one operator, all repetitions; `datapath`: what computes it, if it is a matmul."""
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

    def traffic(self, op: Operator, datapath: Datapath | None) -> Events:
        held = op.is_bitlinear and datapath is not None and datapath.holds_weights
        counts = {
            "dram.weights.read_bits": 0 if held else op.weight_bits,
            "dram.embedding.read_bits": op.dram_read_bits,
            "dram.kv.read_bits": op.kv_read_bits,
            "dram.kv.write_bits": op.kv_write_bits,
            "sram.acts.read_bits": op.values_read * VECTOR_BITS,
            "sram.acts.write_bits": op.values_written * VECTOR_BITS,
        }
        return Events(counts) if datapath is None else Events(counts) + buffer_traffic(op, datapath)


def buffer_traffic(op: Operator, datapath: Datapath) -> Events:
    """Buffer traffic of a matmul on `datapath`, from what it streams; the vector unit writes the outputs."""
    moved = datapath.streams(op.m, op.k, op.n)
    counts = {
        "sram.weights.write_bits": moved.weight_writes,
        "sram.weights.read_bits": moved.weight_reads,
        "sram.acts.read_bits": moved.act_reads,
        "sram.acts.write_bits": op.m * op.n * VECTOR_BITS,
        "sram.psums.write_bits": moved.psum_writes,
        "sram.psums.read_bits": moved.psum_reads,
    }
    return Events(counts) * op.repeat
