"""Law 4: walking the tiles one by one moves the same, and takes the same time, as the closed form."""

from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.datapath.protocol import Datapath
from bitsim.datapath.registry import build_datapath
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.hw.memory import OPERANDS
from bitsim.model.operators import lone_linear
from bitsim.schedule.kernels.nest import ORDERS, extents
from bitsim.schedule.matmul import Matmul
from bitsim.schedule.place import Placement
from bitsim.schedule.plan import Loops, Plan, Schedule
from bitsim.schedule.traffic import traffic
from bitsim.schedule.transfers import Transfers
from bitsim.schedule.walker import Span, Walked, walk
from tests.datapath import zoo
from tests.datapath.strategies import array_spec
from tests.schedule.strategies import chip_with, chips, constant, matmuls, memories, memory, plans, small

Case = tuple[Chip, Datapath, Matmul, Plan, tuple[Transfers, ...]]


@st.composite
def cases(draw: st.DrawFn, chips: st.SearchStrategy[Chip] = chips()) -> Case:  # noqa: B008 (a strategy is immutable)
    """Generates a chip, a matmul and a plan for it."""
    chip = draw(chips)
    datapath = build_datapath(chip.bitlinear)
    schedule = Schedule(chip, datapath)
    matmul = draw(matmuls(chip, datapath, small(schedule.ranks)))
    return chip, datapath, matmul, draw(plans(matmul, schedule.ranks)), schedule.transfers(matmul)


def agree(case: Case, walked: Walked, pace: Fraction = Fraction(1)) -> None:
    chip, datapath, matmul, plan, transfers = case
    work = Schedule(chip, datapath).work(matmul, plan, transfers, pace)
    assert work.moved.tolist() == walked.work.moved.tolist()
    assert work.streams.tolist() == walked.work.streams.tolist()
    assert (work.cycles, work.busy) == (walked.work.cycles, walked.work.busy)
    assert work.used.tolist() == walked.work.used.tolist()
    assert traffic(transfers, chip.memory, work) == walked.events


@given(cases(), st.sampled_from((Fraction(1), Fraction(7, 9), Fraction(0))))
def test_law_4_the_closed_form_equals_walking_the_tiles(case: Case, pace: Fraction) -> None:
    agree(case, walk(*case, pace), pace)


@pytest.mark.parametrize(
    "specs", [zoo.adder_trees(), zoo.ternary_luts(), zoo.bit_serial_arrays(), zoo.rom_arrays(), zoo.sparse_arrays()]
)
@given(data=st.data())
def test_law_4_holds_for_other_datapaths(specs: st.SearchStrategy[Any], data: st.DataObject) -> None:
    case = data.draw(cases(st.builds(chip_with, memories(), specs)))
    agree(case, walk(*case))


@given(cases())
def test_buffers_never_hold_more_than_the_room_that_a_plan_asks_for(case: Case) -> None:
    _, _, matmul, plan, transfers = case
    peaks, dims = walk(*case).peaks, matmul.dims
    for rank in range(len(transfers) - 1, -1, -1):
        loops, needs = plan.loops[rank].within(dims), np.zeros((3, 2), np.int64)
        shape = np.array([*dims, matmul.repeat])
        extents((shape, np.array(loops.tile), ORDERS[loops.order], loops.keep, 1), needs)
        for operand, (stays, one), double in zip(OPERANDS, needs.tolist(), transfers[rank].overlaps, strict=True):
            assert peaks[rank, operand] <= stays + double * one
        dims = loops.tile


@given(cases())
def test_no_memory_works_longer_than_time_passes(case: Case) -> None:
    walked = walk(*case)
    assert max(walked.work.used) <= walked.work.cycles
    assert walked.work.busy <= walked.work.cycles
    dram = sum(bits for event, bits in walked.events.items() if event.startswith("dram."))
    peak = Fraction(repr(case[0].memory.dram.bandwidth.nominal)) * 8  # bits in a cycle of 1 ns
    assert walked.work.cycles >= dram // peak


@given(cases())
def test_spans_tell_what_is_busy_when(case: Case) -> None:
    spans: list[Span] = []
    walked = walk(*case, on_span=spans.append)
    assert max((span.end for span in spans), default=0) <= walked.work.cycles
    for unit, rank in {(span.unit, span.rank) for span in spans}:
        own = sorted((span.start, span.end) for span in spans if (span.unit, span.rank) == (unit, rank))
        assert all(end <= start for (_, end), (start, _) in pairwise(own))
    assert sum(span.end - span.start for span in spans if span.unit == "array") == walked.work.busy
    dram = [span for span in spans if span.unit == "dram"]
    assert sum(span.end - span.start for span in dram) == walked.work.used[-1]


def output_stationary(double: bool) -> Case:
    """Four tiles of 2 x 2 x 2 through a 2 x 2 array: 4 x 2 x 4, 8-bit activations, 2-bit weights, 8 bits a cycle."""
    levels = {f"l{i}": {"width_bits": 64, "double_buffered": double} for i in range(3)}
    chip = chip_with(
        memory(("weights", "acts", "psums"), **levels, dram={"bandwidth": constant(1, "GB/s")}),
        array_spec("ternary", "output_stationary", 2, 2, acc_bits=16),
    )
    datapath = build_datapath(chip.bitlinear)
    matmul = Matmul(
        m=4,
        k=2,
        n=4,
        repeat=1,
        weight_bits=Fraction(2),
        stored_bits=16,
        act_bits=8,
        stored_act_bits=8,
        sum_bits=16,
        weights_home="dram",
        acts_inside=False,
        outputs_inside=False,
        content="weights",
    )
    plan = Plan(loops=(Loops(tile=(2, 2, 2), order=1, keep=2),), searched=0)  # m n k, activations kept
    return chip, datapath, matmul, plan, Schedule(chip, datapath).transfers(matmul)


def test_stalls_of_four_tiles_by_hand() -> None:
    """By DRAM a tile of weights takes 1 cycle, one of activations 4, one of outputs 8; the array needs `call` cycles.

    Double buffers: weights and activations (5), a call alone with the next weights, a call with 8 of outputs and the
    next row's 5, then 8 and 1, then 8, and the last outputs' 8. Single ones: everything one after another.
    """
    case = output_stationary(double=True)
    call = case[1].cycles(2, 2, 2)
    assert call < 8
    assert walk(*case).work.cycles == 5 + max(call, 1) + (8 + 5) + (8 + 1) + 8 + 8
    assert walk(*output_stationary(double=False)).work.cycles == 4 * call + 5 + 1 + 5 + 1 + 4 * 8


def test_law_4_holds_for_a_datapath_that_a_host_drives_call_by_call() -> None:
    chip = load_chip("ternarycore-a7-100t")
    placement = Placement(chip)
    op = lone_linear(
        name="l",
        phase="decode",
        m=1,
        k=2048,
        n=1024,
        weight_bits=2 * 2048 * 1024,
    )
    matmul, plan, schedule = placement.schedule(op)
    assert schedule.calls is not None
    transfers = schedule.transfers(matmul)
    walked = walk(chip, placement.bitlinear, matmul, plan, transfers, calls=schedule.calls)
    assert walked.work.cycles == schedule.work(matmul, plan, transfers).cycles
    assert walked.work.cycles > walk(chip, placement.bitlinear, matmul, plan, transfers).work.cycles
