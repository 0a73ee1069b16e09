"""Traffic and time of the first memory model."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.datapath.pe_array import PEArray
from bitsim.datapath.reference.common import Ledger
from bitsim.datapath.reference.pe_array import walk_streams
from bitsim.events import Events
from bitsim.hw import chip_names, load_chip
from bitsim.hw.datapaths import PEArraySpec
from bitsim.model.build_operators import forward_operators
from bitsim.model.checkpoint import load_model
from bitsim.model.operators import Operator
from bitsim.schedule.memory import VECTOR_BITS, buffer_traffic
from bitsim.schedule.place import Placement
from tests.datapath.strategies import array_specs

sizes = st.integers(1, 40)


@given(array_specs(), sizes, sizes, sizes, st.integers(1, 3))
def test_law_4_closed_form_traffic_equals_walking_the_tiles(
    spec: PEArraySpec, m: int, k: int, n: int, repeat: int
) -> None:
    op = Operator(name="linear", kind="linear", phase="prefill", m=m, k=k, n=n, repeat=repeat)
    ledger = Ledger()
    walk_streams(ledger, spec, PEArray(spec).tiling(m, k, n))
    walked = {f"sram.{name}s.{way}_bits": 0 for name in ("weight", "act", "psum") for way in ("read", "write")}
    walked |= {f"sram.{name.replace('_', 's.')[:-1]}_bits": bits for name, bits in ledger.moved.items()}
    walked["sram.acts.write_bits"] = m * n * VECTOR_BITS
    assert buffer_traffic(op, PEArray(spec)) == Events(walked) * repeat


@pytest.mark.parametrize("chip_name", chip_names())
@pytest.mark.parametrize("model_name", ["tiny-b158", "bitnet-1.3b", "llama-700m"])
def test_law_7_bytes_and_time_are_never_below_their_bounds(chip_name: str, model_name: str) -> None:
    chip, model = load_chip(chip_name), load_model(model_name)
    placement = Placement(chip)
    dram = chip.memory.dram
    for tokens, context in ((7, 7), (1, 90)):
        operators = forward_operators(model.config, phase="decode", tokens=tokens, context=context)
        held = placement.bitlinear.holds_weights
        compulsory = sum(op.weight_bits * (not held or not op.is_bitlinear) for op in operators)
        compulsory += sum(op.kv_read_bits + op.kv_write_bits + op.dram_read_bits for op in operators)
        placed = [placement.place(op) for op in operators]
        moved = sum(n for p in placed for name, n in p.events.items() if name.startswith("dram."))
        assert moved >= compulsory > 0
        time_ns = sum(p.cycles for p in placed) / chip.clock.nominal
        assert time_ns >= moved / 8 / dram.bandwidth.nominal
        assert all(p.cycles >= p.unit_cycles for p in placed)
        macs = sum(op.macs for op in operators)
        assert sum(p.unit_cycles for p in placed) >= macs / max(chip.bitlinear.macs_per_cycle, chip.wide.macs_per_cycle)


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
    per_cycle = Fraction(dram.bandwidth.nominal) * 8 * Fraction(dram.efficiency.nominal) / Fraction(chip.clock.nominal)
    placed = Placement(chip).place(op)
    assert placed.bound == "dram"
    assert placed.cycles == -(-(10**9) // per_cycle)
