"""One matmul as the schedule sees it: shape, widths of what moves, and where its tensors live."""

from dataclasses import dataclass
from fractions import Fraction

from bitsim.datapath.protocol import Datapath
from bitsim.hw.memory import MemorySpec
from bitsim.model.operators import Operator
from bitsim.schedule.homes import Homes

DRAM = "dram"
IN_DATAPATH = "datapath"


@dataclass(frozen=True, slots=True, kw_only=True)
class Matmul:
    """`repeat` matmuls `Y[M, N] = X[M, K] W[N, K]^T` that follow each other.

    * `weight_bits`: per weight in the datapath's code, as buffers hold it; `stored_bits`: of all weights of all
      repetitions in DRAM, by their packing. `act_bits`, `sum_bits`: per activation and partial sum;
      `stored_act_bits`: per activation where the tensor lives.
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
    stored_act_bits: int
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


def matmul_of(op: Operator, datapath: Datapath, homes: Homes) -> Matmul:
    """The matmul of an operator on `datapath`, between the homes of what it reads and writes."""
    (acts,), (outputs,) = op.reads, op.writes
    coded = datapath.streams(1, op.k, op.n).weight_writes
    return Matmul(
        m=op.m,
        k=op.k,
        n=op.n,
        repeat=op.repeat,
        weight_bits=Fraction(coded, op.k * op.n),
        stored_bits=op.kv_read_bits if op.weight_format == "activation" else op.weight_bits,
        act_bits=datapath.act_bits,
        stored_act_bits=homes.bits(acts),
        sum_bits=datapath.sum_bits,
        weights_home=_weights_home(op, datapath, homes.memory),
        acts_inside=homes.inside(acts),
        outputs_inside=homes.inside(outputs),
        content="kv" if op.weight_format == "activation" else "weights",
    )


def _weights_home(op: Operator, datapath: Datapath, memory: MemorySpec) -> str:
    if op.is_bitlinear and datapath.holds_weights:
        return IN_DATAPATH
    resident = [level.name for level in memory.chain("weights") if level.resident and op.weight_bits > 0]
    return resident[0] if resident else DRAM
