"""Place one operator on a chip: who does it, how long it takes, what it moves, what bounds it, how far off it is."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction

from bitsim.datapath.base import scale_events
from bitsim.datapath.protocol import Datapath
from bitsim.datapath.registry import build_datapath
from bitsim.datapath.tiled import count_tiles
from bitsim.datapath.tiles import Tiles
from bitsim.errors import ConfigError, OperandError
from bitsim.events import Events, parsed
from bitsim.hw.chip import Chip
from bitsim.model.operators import Operator
from bitsim.schedule.dequantise import dequantisation
from bitsim.schedule.homes import VALUE_BITS, Homes
from bitsim.schedule.host import HOST, Calls, launch_cycles, step_exchange, worked_on
from bitsim.schedule.mapper import CountError, Goal, Mapper, plain_goal
from bitsim.schedule.matmul import DRAM, Matmul, matmul_of
from bitsim.schedule.plan import Plan, Schedule
from bitsim.schedule.traffic import traffic
from bitsim.schedule.transfers import STEPS, bits_per_cycle
from bitsim.schedule.vector import vector_traffic, vector_work

ASSUMPTIONS = (
    "schedule: operators run one after another; loading, working and storing overlap within an operator, tile by tile",
    "schedule: a tensor lives on the chip if it takes at most half of the home of activations, else in DRAM; attention "
    "is worked off head by head",
    "schedule: scale multipliers at the array's edges keep up with it and take no cycles of their own",
    "schedule: DRAM bits are all useful, its efficiency stands for what access patterns cost",
    "schedule: a prompt's attention is worked off in blocks of tokens, each of which attends all positions up to its "
    "last token's; their size is the best of a few, and of all tokens at once, for the block in the middle",
    "schedule: attention over as many positions as lie between the same powers of two shares tiles and loops",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """One operator on a chip.

    * `events`: scales, vector unit and traffic; `array_events`: the data-independent events of its datapath, which a
      run replaces by those of the execution.
    * `unit`: what does the work ("array", "vector" or "host"); `unit_cycles`: how long it is busy; `cycles`: from start
      to end.
    * `needs`: work of the unit (cycles of the array, lane cycles of the vector unit), cycles of the host, and bits that
      each memory moves; `least`: the least of these in any schedule, with the MACs of a matmul under "peak". `rates`:
      how much of each is done in a cycle.
    * `plan`: of a matmul; `tiles`: its calls of the datapath; `call_cycles`: what these take on operands without zeros.
    """

    events: Events
    array_events: Events
    unit: str
    unit_cycles: int
    cycles: int
    needs: Mapping[str, int]
    least: Mapping[str, int]
    rates: Mapping[str, Fraction]
    plan: Plan | None = None
    tiles: Tiles | None = None
    call_cycles: int = 0

    @property
    def occupied(self) -> dict[str, int]:
        """Cycles that the unit and each memory would need if nothing else took time."""
        return {name: -int(-amount // self.rates[name]) for name, amount in self.needs.items()}

    @property
    def bounds(self) -> dict[str, int]:
        """Lower bounds of the cycles: the peak rate of the datapath, and compulsory traffic of each memory."""
        return {name: -int(-amount // self.rates[name]) for name, amount in self.least.items()}

    @property
    def bound(self) -> str:
        """What the operator waits for."""
        occupied = self.occupied
        return max(occupied, key=lambda name: occupied[name])

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
    except (OperandError, CountError) as error:
        named = str(error).startswith(f"{op.name}: ")
        raise type(error)(str(error) if named else f"{op.name}: {error}") from error


class Placement:
    """The operators' places on one chip; `goal`: what its mappers choose for."""

    def __init__(self, chip: Chip, goal: Goal | None = None) -> None:
        self.chip = chip
        self.bitlinear: Datapath = build_datapath(chip.bitlinear)
        self.wide: Datapath = build_datapath(chip.wide)
        self.homes = Homes(memory=chip.memory, code_bits=self.bitlinear.act_bits, wide_bits=self.wide.act_bits)
        calls = None if chip.host is None or chip.host.calls is None else Calls(chip, chip.host.calls)
        self.goal = plain_goal(chip) if goal is None else goal
        self._places: dict[tuple[object, ...], Placed] = {}
        self._mappers = {
            id(self.bitlinear): Mapper(chip, self.bitlinear, self.goal, calls),
            id(self.wide): Mapper(chip, self.wide, self.goal),
        }
        self.launch = launch_cycles(chip)
        self._rates = {name: bits_per_cycle(chip, name) for name in (*chip.memory.names, DRAM)}
        self._rates |= {"array": Fraction(1), HOST: Fraction(1), "vector": Fraction(chip.vector.lanes)}

    def datapath(self, op: Operator) -> Datapath:
        """The datapath that computes a matmul operator."""
        return self.bitlinear if op.is_bitlinear else self.wide

    def schedule(self, op: Operator) -> tuple[Matmul, Plan, Schedule]:
        """A matmul operator as its mapper sees it, the plan that it has, and what evaluates plans."""
        self._check_operands(op)
        mapper = self._mappers[id(self.datapath(op))]
        matmul = matmul_of(op, self.datapath(op), self.homes)
        return matmul, mapper.plan(representative(matmul, op)), mapper.schedule

    def _check_operands(self, op: Operator) -> None:
        """Raise `ConfigError` for a matmul of floats where the wide datapath sums integers, or the other way round."""
        integers = self.chip.wide.wide_bits is not None
        if not op.is_bitlinear and op.is_wide_integer != integers:
            taken, given = ("integers", "floats") if integers else ("floats", "integers")
            raise ConfigError(
                f"{op.name}: {self.chip.name}: wide multiplies {taken}, these operands are {given} (choose "
                f"{'a chip whose wide datapath is FP16' if integers else 'a chip with an integer wide datapath'})"
            )

    def place(self, op: Operator) -> Placed:
        """Operators that differ in name and layer only share their place."""
        key = (op.kind, op.phase, *op.shape)
        if key not in self._places:
            with naming(op):
                if (worked := worked_on(self.chip, op)) is not None:
                    self._places[key] = self._hosted(op, *worked)
                else:
                    self._places[key] = self._matmul(op) if op.is_matmul else self._vector(op)
        return self._places[key]

    def rank(self, placed: Iterable[Placed], times: int) -> tuple[float, ...]:
        """What `times` repetitions of these places are worth under the goal: less is better."""
        cycles = energy = 0.0
        for place in placed:
            cycles += place.cycles * times
            for event, count in place.events.items():
                name = parsed(event)
                if name.unit in ("sram", DRAM):
                    read, written = self.goal.per_bit[DRAM if name.unit == DRAM else name.place]
                    energy += (read if name.action == "read_bits" else written) * count * times
        return self.goal.rank(cycles, energy)

    def cut_plans(self) -> list[tuple[str, float]]:
        """Of each place whose plan comes from a cut search: what was left out, and the gap to the best bound."""
        plans = [(placed.plan, placed.gap) for placed in self._places.values()]
        return [(plan.cut, gap) for plan, gap in plans if plan is not None and plan.cut]

    def exchange(self, op: Operator) -> tuple[Operator, Placed] | None:
        """What a step exchanges with the host at `op`, its embedding or its head, as an operator of its own."""
        exchanged = step_exchange(self.chip, op)
        if exchanged is None:
            return None
        events, cycles = exchanged
        placed = Placed(
            events=events,
            array_events=Events(),
            unit=HOST,
            unit_cycles=cycles,
            cycles=cycles,
            needs={HOST: cycles},
            least={HOST: cycles},
            rates=self._rates,
        )
        return Operator(name=HOST, kind="host", phase=op.phase), placed

    def paced(self, op: Operator, placed: Placed, busy: int) -> Placed:
        """`placed` with calls that took `busy` cycles on the operands at hand: all tiles take so much less or more."""
        return placed if busy == placed.call_cycles else self._matmul(op, Fraction(busy, placed.call_cycles), busy)

    def _vector(self, op: Operator) -> Placed:
        work, lane_cycles = vector_work(self.chip, op)
        moved = vector_traffic(self.homes, op)
        needs = {"vector": lane_cycles} | bits_by_memory(moved)
        busy = -(-lane_cycles // self.chip.vector.lanes)
        return Placed(
            events=moved + work,
            array_events=Events(),
            unit="vector",
            unit_cycles=busy,
            cycles=max(-int(-amount // self._rates[name]) for name, amount in needs.items()),
            needs=needs,
            least=needs,
            rates=self._rates,
        )

    def on_host(self, op: Operator) -> bool:
        """Whether the host computes it, in place of the chip."""
        return worked_on(self.chip, op) is not None

    def _hosted(self, op: Operator, values: int, steps: int) -> Placed:
        """What the host computes takes `steps` of its time, or as long as the memories that hold its tensors need."""
        weights = {f"{DRAM}.weights.read_bits": op.weight_bits if op.is_matmul else 0}
        moved = vector_traffic(self.homes, op) + Events(weights)
        needs, rates = {HOST: steps} | bits_by_memory(moved), self._rates | {HOST: Fraction(STEPS)}
        return Placed(
            events=moved + Events({"host.worked_values": values}),
            array_events=Events(),
            unit=HOST,
            unit_cycles=-(-steps // STEPS),
            cycles=max(-int(-amount // rates[name]) for name, amount in needs.items()),
            needs=needs,
            least=needs,
            rates=rates,
        )

    def _matmul(self, op: Operator, pace: Fraction = Fraction(1), busy: int | None = None) -> Placed:
        """`busy`: what the calls took on the operands at hand; `pace`: that as a share of what is planned."""
        datapath, (matmul, plan, schedule) = self.datapath(op), self.schedule(op)
        transfers = schedule.transfers(matmul)
        work = schedule.work(matmul, plan, transfers, pace)
        moved = traffic(transfers, self.chip.memory, work)
        tiles = plan.tiles(matmul.dims, datapath.holds)
        busy = work.busy if busy is None else busy
        peak = (self.chip.bitlinear if op.is_bitlinear else self.chip.wide).macs_per_cycle
        macs = min(op.macs, math.floor(busy * peak))  # skipping can beat the peak rate
        driven, driving, least = self._driven(matmul, tiles, schedule.calls)
        return Placed(
            events=moved + scale_events(op) + dequantisation(op, datapath, transfers, work) + driven,
            array_events=count_tiles(datapath, tiles) * op.repeat,
            unit="array",
            unit_cycles=busy,
            cycles=self.launch + work.cycles,
            needs={"array": busy} | bits_by_memory(moved) | driving,
            least={"peak": macs} | bits_by_memory(self._compulsory(matmul, datapath, moved)) | least,
            rates=self._rates | {"peak": Fraction(peak)},
            plan=plan,
            tiles=tiles,
            call_cycles=work.busy if pace == 1 else 0,
        )

    def _driven(
        self, matmul: Matmul, tiles: Tiles, calls: Calls | None
    ) -> tuple[Events, dict[str, int], dict[str, int]]:
        """What the host adds to a matmul: events, the cycles that it needs, and the least of any schedule."""
        if calls is None:
            launch = {HOST: self.launch} if self.launch else {}
            return Events(), launch, launch
        cycles, events = calls.of(matmul, [tiles.sizes(d) for d in range(len(matmul.dims))])
        least = calls.least(*matmul.dims) * matmul.repeat
        return events, {HOST: self.launch + cycles}, {HOST: self.launch + least}

    def _compulsory(self, matmul: Matmul, datapath: Datapath, moved: Events) -> Events:
        """The least traffic of any schedule: each operand once between chip and DRAM, and what one whole call reads.

        Buffers are bounded by what the datapath reads from them and writes to them, whatever fills them.
        """
        memory, repeat = self.chip.memory, matmul.repeat
        least = {f"dram.{matmul.content}.read_bits": matmul.stored_bits if matmul.weights_home == DRAM else 0}
        least["dram.acts.read_bits"] = (
            0 if matmul.acts_inside else matmul.m * matmul.k * matmul.stored_act_bits * repeat
        )
        least["dram.acts.write_bits"] = 0 if matmul.outputs_inside else matmul.m * matmul.n * VALUE_BITS * repeat
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


def bits_by_memory(events: Events) -> dict[str, int]:
    """Bits that the DRAM and each on-chip memory move."""
    bits: dict[str, int] = {}
    for event, count in events.items():
        name = parsed(event)
        if name.unit in ("sram", DRAM):
            memory = DRAM if name.unit == DRAM else name.place
            bits[memory] = bits.get(memory, 0) + count
    return bits


def representative(matmul: Matmul, op: Operator) -> Matmul:
    """The matmul that a plan is searched for: attention over the next power of two of positions, but for whole prompts.

    Contexts grow token by token, or block by block; those of one power of two share a plan: its tiles are cut to size.
    """
    if op.weight_format != "activation" or not (op.phase == "decode" or op.in_blocks):
        return matmul
    context = matmul.n if op.kind == "qk" else matmul.k
    longer = 1 << (context - 1).bit_length()
    stored = matmul.stored_bits * longer // context
    if op.kind == "qk":
        return replace(matmul, n=longer, stored_bits=stored)
    return replace(matmul, k=longer, stored_bits=stored)
