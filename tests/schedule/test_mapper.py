"""The mapper against brute force, its errors, and law 9: more of anything never costs time."""

from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsim.datapath.registry import build_datapath
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.hw.constants import Constant
from bitsim.hw.memory import MemorySpec
from bitsim.model.operators import lone_linear
from bitsim.schedule import Goal, Objective, Placement, ScheduleError
from bitsim.schedule.homes import Homes
from bitsim.schedule.kernels.nest import ORDERS, extents
from bitsim.schedule.mapper import WORTH, Mapper
from bitsim.schedule.matmul import DRAM, Matmul, matmul_of
from bitsim.schedule.plan import Loops, Plan, Schedule, Tile
from bitsim.schedule.transfers import Transfers
from bitsim.schedule.walker import walk
from tests.datapath.strategies import array_spec, array_specs
from tests.schedule.strategies import (
    HIERARCHIES,
    ONE_RANK,
    Hierarchies,
    chip_with,
    constant,
    matmuls,
    memories,
    memory,
    plans,
    small,
)

OBJECTIVES: tuple[Objective, ...] = ("latency", "energy", "edp")


def goal(chip: Chip, objective: Objective) -> Goal:
    """DRAM bits cost much more than those of buffers, and writes more than reads."""
    return Goal(objective=objective, per_bit=dict.fromkeys(chip.memory.names, (1.0, 1.25)) | {DRAM: (64.0, 64.0)})


def fits(transfers: Transfers, loops: Loops, dims: Tile, repeat: int) -> bool:
    """Whether what stays, and one tile more in double buffers, has room in all levels of a rank."""
    needs = np.zeros((3, 2), np.int64)
    extents((np.array([*dims, repeat]), np.array(loops.tile), ORDERS[loops.order], loops.keep, 1), needs)
    bits = transfers.held @ needs[:, 0] + transfers.double * (transfers.held @ needs[:, 1])
    return bool((bits <= transfers.room).all())


def all_loops(transfers: Transfers, dims: Tile, repeat: int) -> list[Loops]:
    """All tiles, orders and kept operands that have room."""
    tiles = product(*(range(1, size + 1) for size in dims))
    every = (Loops(tile=t, order=o, keep=k) for t, o, k in product(tiles, range(6), range(8)))  # type: ignore[arg-type]
    return [loops for loops in every if fits(transfers, loops, dims, repeat)]


def follows(mapper: Mapper, matmul: Matmul, loops: Loops) -> bool:
    """Whether tiles are of whole units of the datapath, as far as these have room."""
    unit = mapper.unit(mapper.schedule.transfers(matmul)[0], matmul.dims)
    sizes = zip(loops.tile, unit, matmul.dims, strict=True)
    return all(tile % step == 0 or tile == size for tile, step, size in sizes)


def loops_of(mapper: Mapper, matmul: Matmul) -> list[Loops]:
    """All that the mapper may choose from for one rank of buffers; nothing, if not even a product has room."""
    (transfers,) = mapper.schedule.transfers(matmul)
    if not fits(transfers, Loops(tile=(1, 1, 1), order=0, keep=0), matmul.dims, matmul.repeat):
        return []
    every = all_loops(transfers, matmul.dims, matmul.repeat)
    unit = mapper.unit(transfers, matmul.dims)[1]
    breaks = mapper.schedule.datapath.exact  # otherwise tiles of K would change outputs
    return [loops for loops in every if breaks or loops.tile[1] % unit == 0 or loops.tile[1] == matmul.k]


def walked_score(mapper: Mapper, matmul: Matmul, plan: Plan) -> tuple[float, ...]:
    """The score of a plan, from walking it."""
    chip, path, objective = mapper.schedule.chip, mapper.schedule.datapath, mapper.goal.objective
    walked = walk(chip, path, matmul, plan, mapper.schedule.transfers(matmul))
    energy = 0.0
    for event, bits in walked.events.items():
        name, *_, what = event.removeprefix("sram.").split(".")
        energy += bits * mapper.goal.per_bit[name][what == "write_bits"]
    time = walked.work.cycles
    return {"latency": (time, energy), "energy": (energy, time), "edp": (energy * time, time)}[objective]


@st.composite
def mappers(draw: st.DrawFn, hierarchies: Hierarchies, objectives: tuple[Objective, ...] = OBJECTIVES) -> Mapper:
    """Generates mappers for chips with small arrays and, often, too little memory."""
    chip = chip_with(draw(memories(hierarchies)), draw(array_specs()))
    return Mapper(chip, build_datapath(chip.bitlinear), goal(chip, draw(st.sampled_from(objectives))))


@st.composite
def whole_bits(draw: st.DrawFn, mapper: Mapper, largest: int) -> Matmul:
    """Generates matmuls of whole bits per weight, so that no bits are rounded when they are counted."""
    matmul = draw(matmuls(mapper.schedule.chip, mapper.schedule.datapath, largest))
    return replace(matmul, stored_bits=draw(st.integers(1, 3)) * matmul.k * matmul.n * matmul.repeat)


def plan_or_none(mapper: Mapper, matmul: Matmul) -> Plan | None:
    try:
        return mapper.plan(matmul)
    except ScheduleError:
        return None


@given(data=st.data(), mapper=mappers(ONE_RANK))
def test_no_tiles_orders_and_kept_operands_beat_the_plan(data: st.DataObject, mapper: Mapper) -> None:
    matmul = data.draw(whole_bits(mapper, 4))
    plan = plan_or_none(mapper, matmul)
    every = [Plan(loops=(loops,), searched=0) for loops in loops_of(mapper, matmul)]
    assert bool(every) == (plan is not None)
    if plan is None:
        return
    assert plan.loops[0] in {one.loops[0] for one in every}
    best = min(walked_score(mapper, matmul, one) for one in every)
    whole = [walked_score(mapper, matmul, one) for one in every if follows(mapper, matmul, one.loops[0])]
    enough = min(whole)[0] <= (1 + WORTH) * best[0]
    assert walked_score(mapper, matmul, plan) == (min(whole) if enough else best)


@settings(max_examples=20)
@given(data=st.data(), mapper=mappers(HIERARCHIES))
def test_plans_of_all_ranks_have_room_and_are_the_same_every_time(data: st.DataObject, mapper: Mapper) -> None:
    matmul = data.draw(whole_bits(mapper, small(mapper.schedule.ranks)))
    plan = plan_or_none(mapper, matmul)
    if plan is None:
        return
    dims, repeat, transfers = matmul.dims, matmul.repeat, mapper.schedule.transfers(matmul)
    for loops, legs in zip(reversed(plan.loops), reversed(transfers), strict=True):
        assert fits(legs, loops, dims, repeat)
        dims, repeat = loops.tile, 1
    other = Mapper(mapper.schedule.chip, mapper.schedule.datapath, mapper.goal)
    other.plan(replace(matmul, n=matmul.n + 1))
    assert other.plan(matmul) == plan


def test_a_search_that_was_cut_says_so() -> None:
    chip = load_chip("ternary-ws-64x64")
    path = build_datapath(chip.bitlinear)

    def cut(m: int, k: int, n: int) -> str:
        op = lone_linear(name="l", phase="prefill", m=m, k=k, n=n, weight_bits=k * n)
        return Mapper(chip, path).plan(matmul_of(op, path, Homes(memory=chip.memory, code_bits=path.act_bits))).cut

    assert cut(16, 16, 16) == ""
    assert cut(1, 3200, 64) == ""
    assert cut(512, 3200, 64) == "one tile size for each number of tiles"
    assert cut(5000, 640000, 640000) == "at most 33 tile sizes; at most 35 tile sizes; at most 34 tile sizes"


def test_a_search_through_two_ranks_of_buffers_says_what_it_assumed() -> None:
    chip = chip_with(memory(HIERARCHIES[3]), array_spec("ternary", "output_stationary", 2, 2, acc_bits=16))
    op = lone_linear(name="l", phase="prefill", m=3, k=4, n=5, weight_bits=40)
    plan = Placement(chip).place(op).plan
    assert plan is not None
    assert plan.cut == "inner loops that are best for a full outer tile, of at most 16 tile sizes"


@pytest.mark.parametrize(("double", "needs"), [(True, "4.00 bytes with the next one"), (False, "2.00 bytes")])
def test_a_tile_that_fits_no_buffer_is_an_error_with_level_and_bytes(double: bool, needs: str) -> None:
    tight = {"l2": {"capacity": constant(1.5 / 1024, "kB"), "double_buffered": double}}
    chip = chip_with(memory(ONE_RANK[0], **tight), array_spec("ternary", "output_stationary", 2, 2, acc_bits=16))
    op = lone_linear(name="l", phase="prefill", m=3, k=4, n=5, weight_bits=40)
    with pytest.raises(ScheduleError) as caught:
        Placement(chip).place(op)
    assert str(caught.value) == (
        f"ternary-ws-64x64: memory.levels.l2: the smallest tile, 1 x 1 x 1 (M x K x N), needs {needs}, there are 1.50"
    )


def better(draw: st.DrawFn, memory: MemorySpec) -> MemorySpec:
    """A memory of which something is better: capacity, ports, width, bandwidth, latency or double buffers' rate."""
    which = draw(st.sampled_from((*memory.names, DRAM)))
    if which == DRAM:
        dram = memory.dram.model_copy(
            update=draw(
                st.sampled_from(
                    (
                        {"bandwidth": scaled(memory.dram.bandwidth, 1.5)},
                        {"latency": scaled(memory.dram.latency, 0.5)},
                    )
                )
            )
        )
        return memory.model_copy(update={"dram": dram})
    level = memory.level(which)
    changes = (
        {"ports": level.ports + 1},
        {"width_bits": level.width_bits + 1},
        {"capacity": scaled(level.capacity, 1.3)},
    )
    new = level.model_copy(update=draw(st.sampled_from(changes)))
    return memory.model_copy(update={"levels": tuple(new if one is level else one for one in memory.levels)})


def scaled(constant: Constant, factor: float) -> Constant:
    return constant.model_copy(update={name: getattr(constant, name) * factor for name in ("low", "nominal", "high")})


improved = st.composite(lambda draw, memory: better(draw, memory))


@given(data=st.data(), mapper=mappers(ONE_RANK, ("latency",)))
def test_law_9_a_better_memory_never_costs_time(data: st.DataObject, mapper: Mapper) -> None:
    matmul = data.draw(whole_bits(mapper, 13))
    plan = plan_or_none(mapper, matmul)
    if plan is None:
        return
    chip, path = mapper.schedule.chip, mapper.schedule.datapath
    other = Mapper(chip.model_copy(update={"memory": data.draw(improved(chip.memory))}), path, mapper.goal)
    after = other.score(matmul, other.plan(matmul), other.schedule.transfers(matmul))[0]
    before = mapper.score(matmul, plan, mapper.schedule.transfers(matmul))[0]
    assert after <= (1 + WORTH) * before  # which a tile of the grain may take longer, now that it has room


@given(data=st.data(), mapper=mappers(HIERARCHIES))
def test_law_9_the_same_plan_never_takes_longer_on_a_better_memory(data: st.DataObject, mapper: Mapper) -> None:
    schedule = mapper.schedule
    matmul = data.draw(whole_bits(mapper, 13))
    plan = data.draw(plans(matmul, schedule.ranks))
    other = Schedule(
        schedule.chip.model_copy(update={"memory": data.draw(improved(schedule.chip.memory))}), schedule.datapath
    )
    before, after = (s.work(matmul, plan, s.transfers(matmul)) for s in (schedule, other))
    assert after.cycles <= before.cycles
    assert after.moved.tolist() == before.moved.tolist()


@given(data=st.data(), mapper=mappers(ONE_RANK))
def test_law_9_more_bits_never_cost_less(data: st.DataObject, mapper: Mapper) -> None:
    matmul = data.draw(whole_bits(mapper, 13))
    more = data.draw(
        st.sampled_from(
            (
                {"act_bits": matmul.act_bits + 1},
                {"sum_bits": matmul.sum_bits + 3},
                {"weight_bits": matmul.weight_bits + Fraction(1, 3)},
                {"stored_bits": matmul.stored_bits + 1},
            )
        )
    )
    wider = replace(matmul, **more)
    plan = plan_or_none(mapper, wider)
    if plan is None:
        return
    scores = [mapper.score(one, mapper.plan(one), mapper.schedule.transfers(one))[0] for one in (matmul, wider)]
    assert scores[0] <= scores[1] * (1 + 1e-12)
