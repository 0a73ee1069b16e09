"""Bits between datapath and buffers, the vector unit, and what has to wait for DRAM."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.datapath.pe_array.datapath import PEArray
from bitsim.datapath.reference.common import Ledger
from bitsim.datapath.reference.pe_array import walk_streams
from bitsim.events import Events
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.hw.datapaths import PEArraySpec
from bitsim.model.operators import Operator, Tensor, lone_linear
from bitsim.schedule.homes import VALUE_BITS, Homes
from bitsim.schedule.matmul import matmul_of
from bitsim.schedule.place import Placement
from bitsim.schedule.plan import Loops, Plan, Schedule
from tests.datapath.strategies import array_specs
from tests.schedule.strategies import ONE_RANK, chip_with, memory

sizes = st.integers(1, 40)


@given(array_specs(), sizes, sizes, sizes, st.integers(1, 3))
def test_law_4_streams_of_one_tile_equal_walking_the_array(
    spec: PEArraySpec, m: int, k: int, n: int, repeat: int
) -> None:
    """One tile for all: the buffers' other side adds the weights once, the activations once, and no partial sums."""
    chip = chip_with(memory(ONE_RANK[0]), spec)
    path, op = PEArray(spec), lone_linear(name="l", phase="prefill", m=m, k=k, n=n, repeat=repeat)
    schedule = Schedule(chip, path)
    matmul = replace(matmul_of(op, path, Homes(memory=chip.memory, code_bits=path.act_bits)), acts_inside=True)
    work = schedule.work(
        matmul, Plan(loops=(Loops(tile=(m, k, n), order=0, keep=0),), searched=0), schedule.transfers(matmul)
    )
    ledger = Ledger()
    walk_streams(ledger, spec, path.tiling(m, k, n))
    names = ("weight_reads", "act_reads", "psum_reads", "psum_writes")
    assert work.streams.tolist() == [repeat * ledger.moved[name] for name in names]
    assert work.moved.tolist() == [[repeat * k * n, repeat * m * k, 0, 0, repeat * m * n]]


def test_the_vector_unit_expands_what_is_not_elementary_and_shares_its_lanes() -> None:
    chip = load_chip("ternary-ws-64x64")
    costs, lanes = chip.vector.costs, chip.vector.lanes
    ops = {"mul": 300, "max": 7, "exp": 11, "div": 5}
    placed = Placement(chip).place(Operator(name="softmax", kind="softmax", phase="decode", vector=ops))
    assert placed.events == Events(
        {
            "vec.mul.fp16": 300 + 11 * costs["exp"].mul + 5 * costs["div"].mul,
            "vec.add.fp16": 11 * costs["exp"].add + 5 * costs["div"].add,
            "vec.max.fp16": 7,
        }
    )
    busy = 300 + 7 + 11 * costs["exp"].cycles + 5 * costs["div"].cycles
    assert placed.unit_cycles == placed.cycles == -(-busy // lanes)
    assert costs["exp"].cycles > 1
    assert placed.bound == "vector"


def test_an_operator_waits_for_dram_exactly_as_long_as_its_bits_take() -> None:
    chip = load_chip("ternary-ws-64x64")
    op = Operator(name="kv", kind="kv", phase="decode", kv_read_bits=10**9)
    dram = chip.memory.dram
    per_cycle = Fraction(repr(dram.bandwidth.nominal)) * 8 * Fraction(repr(dram.efficiency.nominal))  # at 1 GHz
    placed = Placement(chip).place(op)
    assert placed.bound == "dram"
    assert placed.cycles == -(-(10**9) // per_cycle)


@pytest.mark.parametrize(("values", "home"), [(262_144, "sram.acts"), (262_145, "dram.acts")])
def test_tensors_live_on_the_chip_up_to_half_of_the_home_of_activations(values: int, home: str) -> None:
    """1024 kB are 524,288 values of 16 bits."""
    whole = (Tensor(name="x", values=values, alive=values),)
    op = Operator(name="n", kind="norm", phase="decode", reads=whole, writes=whole)
    bits = values * VALUE_BITS
    placed = Placement(load_chip("ternary-ws-64x64")).place(op)
    assert placed.events == Events({f"{home}.read_bits": bits, f"{home}.write_bits": bits})


def chained() -> Chip:
    """Weights, activations and sums come through a shared level."""
    return chip_with(
        memory(("weights", "acts", "psums", "weights acts psums")), load_chip("ternary-ws-64x64").bitlinear
    )


def test_every_level_on_the_way_reads_what_the_next_one_writes() -> None:
    op = lone_linear(name="l", phase="prefill", m=9, k=40, n=30, weight_bits=1920)
    events = Placement(chained()).place(op).events
    assert events["sram.l0.write_bits"] >= 40 * 30 * 2
    assert events["sram.l3.read_bits"] == sum(events[f"sram.l{i}.write_bits"] for i in (0, 1))
    assert events["dram.weights.read_bits"] >= 1920
