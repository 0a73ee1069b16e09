"""Place one operator on a chip: who does it, how long it takes, what it moves, what bounds it, how far off it is."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction

from bitsim.datapath.base import Datapath, scale_events
from bitsim.datapath.registry import build_datapath
from bitsim.errors import OperandError
from bitsim.events import Events
from bitsim.hw.chip import Chip
from bitsim.model.operators import Operator
from bitsim.schedule.mapper import Goal, Mapper
from bitsim.schedule.matmul import DRAM, Matmul, matmul_of
from bitsim.schedule.plan import Plan
from bitsim.schedule.traffic import traffic
from bitsim.schedule.transfers import bits_per_cycle
from bitsim.schedule.vector import vector_traffic, vector_work

ASSUMPTIONS = (
    "schedule: operators run one after another; loading, working and storing overlap within an operator, tile by tile",
    "schedule: a tensor lives on the chip if it takes at most half of the home of activations, else in DRAM; attention "
    "is worked off head by head",
    "schedule: scale multipliers at the array's edges keep up with it and take no cycles of their own",
    "schedule: DRAM bits are all useful, its efficiency stands for what access patterns cost",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One operator on a chip.

    * `events`: scales, vector unit and traffic; `array_events`: the data-independent events of its datapath, which a
      run replaces by those of the execution.
    * `unit`: what does the work ("array" or "vector"); `unit_cycles`: how long it is busy; `cycles`: from start to end.
    * `occupied`: cycles that the unit and each memory would need if nothing else took time; `bounds`: the least that
      any schedule needs of them.
    * `plan`: of a matmul; `blocks`: the tokens of its calls of the datapath.
    """

    events: Events
    array_events: Events
    unit: str
    unit_cycles: int
    cycles: int
    occupied: Mapping[str, int]
    bounds: Mapping[str, int]
    plan: Plan | None = None
    blocks: tuple[int, ...] = ()
    matmul: Matmul | None = field(default=None, repr=False)

    @property
    def bound(self) -> str:
        """What the operator waits for."""
        return max(self.occupied, key=lambda name: self.occupied[name])

    @property
    def least_cycles(self) -> int:
        """The best lower bound."""
        return max(self.bounds.values())

    @property
    def gap(self) -> float:
        """How far the time lies above the best lower bound: 0.1 is 10 %."""
        return self.cycles / self.least_cycles - 1 if self.least_cycles else 0.0


@contextmanager
def naming(op: Operator) -> Iterator[None]:
    """Put the operator's name in front of what its datapath says against operands or shapes."""
    try:
        yield
    except OperandError as error:
        raise OperandError(f"{op.name}: {error}") from error


class Placement:
    """The operators' places on one chip; `goal`: what its mappers choose for."""

    def __init__(self, chip: Chip, goal: Goal | None = None) -> None:
        self.chip = chip
        self.bitlinear: Datapath = build_datapath(chip.bitlinear)
        self.wide: Datapath = build_datapath(chip.wide)
        self._mappers = {id(path): Mapper(chip, path, goal) for path in (self.bitlinear, self.wide)}
        self._rates = {name: bits_per_cycle(chip, name) for name in (*chip.memory.names, DRAM)}

    def datapath(self, op: Operator) -> Datapath:
        """The datapath that computes a matmul operator."""
        return self.bitlinear if op.is_bitlinear else self.wide

    def place(self, op: Operator) -> Placed:
        with naming(op):
            return self._matmul(op, Fraction(1)) if op.is_matmul else self._vector(op)

    def paced(self, op: Operator, placed: Placed, busy: int) -> Placed:
        """`placed` with a datapath that was busy for `busy` cycles on the operands at hand, evenly over all tiles."""
        if busy == placed.unit_cycles:
            return placed
        return self._matmul(op, Fraction(busy, placed.unit_cycles))

    def _vector(self, op: Operator) -> Placed:
        work, busy = vector_work(self.chip, op)
        events = vector_traffic(self.chip, op)
        occupied = {"vector": busy} | self._occupied(events)
        return Placed(
            events=events + work,
            array_events=Events(),
            unit="vector",
            unit_cycles=busy,
            cycles=max(occupied.values()),
            occupied=occupied,
            bounds=occupied,
        )

    def _matmul(self, op: Operator, pace: Fraction) -> Placed:
        datapath, mapper = self.datapath(op), self._mappers[id(self.datapath(op))]
        matmul = matmul_of(op, datapath, self.chip.memory)
        plan = mapper.plan(representative(matmul, op))
        transfers = mapper.schedule.transfers(matmul)
        work = mapper.schedule.work(matmul, plan, transfers, pace)
        moved = traffic(transfers, self.chip.memory, work)
        blocks = tuple(plan.blocks(matmul.m))
        spec = self.chip.bitlinear if op.is_bitlinear else self.chip.wide
        peak = -(-op.macs // spec.macs_per_cycle)
        return Placed(
            events=moved + scale_events(op),
            array_events=total_of(datapath, blocks, op),
            unit="array",
            unit_cycles=work.busy,
            cycles=work.cycles,
            occupied={"array": work.busy} | self._occupied(moved),
            bounds={"array": min(peak, work.busy)} | self._occupied(self._compulsory(matmul, datapath, moved)),
            plan=plan,
            blocks=blocks,
            matmul=matmul,
        )

    def _occupied(self, events: Events) -> dict[str, int]:
        """Cycles of the DRAM and of each on-chip memory for these bits alone."""
        bits: dict[str, int] = {}
        for event, count in events.items():
            parts = event.split(".")
            if parts[0] in ("sram", DRAM):
                memory = DRAM if parts[0] == DRAM else parts[1]
                bits[memory] = bits.get(memory, 0) + count
        return {memory: -int(-count // self._rates[memory]) for memory, count in bits.items()}

    def _compulsory(self, matmul: Matmul, datapath: Datapath, moved: Events) -> Events:
        """The least traffic of any schedule: each operand once between chip and DRAM, and what one whole call reads.

        Buffers are bounded by what the datapath reads from them and writes to them, whatever fills them.
        """
        memory, repeat = self.chip.memory, matmul.repeat
        least = {f"dram.{matmul.content}.read_bits": matmul.stored_bits if matmul.weights_move else 0}
        least["dram.acts.read_bits"] = 0 if matmul.acts_inside else matmul.m * matmul.k * matmul.act_bits * repeat
        whole = datapath.streams(*matmul.dims)
        for operand, direction, bits in (
            ("weights", "read", whole.weight_reads),
            ("acts", "read", whole.act_reads),
            ("psums", "read", whole.psum_reads),
            ("psums", "write", whole.psum_writes),
        ):
            event = f"sram.{memory.chain(operand)[0].name}.{direction}_bits"  # type: ignore[arg-type]
            least[event] = least.get(event, 0) + bits * repeat
        return Events({event: min(bits, moved[event]) for event, bits in least.items()})


def total_of(datapath: Datapath, blocks: tuple[int, ...], op: Operator) -> Events:
    """The data-independent events of the calls that an operator makes."""
    events = Events()
    for size, calls in Counter(blocks).items():
        events += datapath.count(size, op.k, op.n) * (calls * op.repeat)
    return events


def representative(matmul: Matmul, op: Operator) -> Matmul:
    """The matmul that a plan is searched for: in a decode step, attention over the next power of two of positions.

    Contexts grow token by token; those of one power of two share a plan, whose tiles are cut to size.
    """
    if op.weight_format != "activation" or op.phase != "decode":
        return matmul
    context = matmul.n if op.kind == "qk" else matmul.k
    longer = 1 << (context - 1).bit_length()
    stored = matmul.stored_bits * longer // context
    if op.kind == "qk":
        return replace(matmul, n=longer, stored_bits=stored)
    return replace(matmul, k=longer, stored_bits=stored)
