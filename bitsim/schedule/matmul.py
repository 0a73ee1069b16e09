"""One matmul as the schedule sees it: shape, widths of what moves, and where its tensors live."""

from dataclasses import dataclass
from fractions import Fraction

from bitsim.datapath.protocol import Datapath
from bitsim.hw.memory import MemorySpec
from bitsim.model.operators import Operator

DRAM = "dram"
IN_DATAPATH = "datapath"
VALUE_BITS = 16  # the vector unit's FP16 values, and outputs behind the scale multipliers


@dataclass(frozen=True, slots=True, kw_only=True)
class Matmul:
    """`repeat` matmuls `Y[M, N] = X[M, K] W[N, K]^T` that follow each other.

    * `weight_bits`: per weight in the datapath's code, as buffers hold it; `stored_bits`: of all weights of all
      repetitions in DRAM, by their packing. `act_bits`, `sum_bits`: per activation and partial sum.
    * `weights_home`: where the weights are at rest: DRAM, a resident level, or the datapath.
    * `acts_inside`, `outputs_inside`: whether the tensors live on the chip, in the outermost level that holds
      activations, or in DRAM. `content`: what DRAM events call the weights: "weights" or "kv".
    """

    m: int
    k: int
    n: int
    repeat: int
    weight_bits: Fraction
    stored_bits: int
    act_bits: int
    sum_bits: int
    weights_home: str
    acts_inside: bool
    outputs_inside: bool
    content: str

    @property
    def weights_move(self) -> bool:
        """Whether the weights come from DRAM."""
        return self.weights_home == DRAM

    @property
    def dims(self) -> tuple[int, int, int]:
        return self.m, self.k, self.n


def share_of_acts(memory: MemorySpec) -> int:
    """Bits of the chip's home of activations: the outermost level that holds them, or its share if it holds more."""
    home = memory.chain("acts")[-1]
    return home.capacity_bits // len(home.holds)


def fits_inside(memory: MemorySpec, values: int, bits: int) -> bool:
    """Whether a tensor lives on the chip: it may take half of the home of activations, as its consumer's does."""
    return 2 * values * bits <= share_of_acts(memory)


def matmul_of(op: Operator, datapath: Datapath, memory: MemorySpec) -> Matmul:
    """The matmul of an operator on `datapath`. Tensors of attention are made and used up head by head."""
    coded = datapath.streams(1, op.k, op.n).weight_writes
    return Matmul(
        m=op.m,
        k=op.k,
        n=op.n,
        repeat=op.repeat,
        weight_bits=Fraction(coded, op.k * op.n),
        stored_bits=op.kv_read_bits if op.weight_format == "activation" else op.weight_bits,
        act_bits=datapath.act_bits,
        sum_bits=datapath.sum_bits,
        weights_home=_weights_home(op, datapath, memory),
        acts_inside=fits_inside(memory, op.m * op.k, datapath.act_bits),
        outputs_inside=fits_inside(memory, op.m * op.n, VALUE_BITS),
        content="kv" if op.weight_format == "activation" else "weights",
    )


def _weights_home(op: Operator, datapath: Datapath, memory: MemorySpec) -> str:
    if op.is_bitlinear and datapath.holds_weights:
        return IN_DATAPATH
    resident = [level.name for level in memory.chain("weights") if level.resident and op.weight_bits > 0]
    return resident[0] if resident else DRAM
