"""What is special about computing ROM: weights that do not move, banks that sleep, words that are not read."""

from dataclasses import replace
from typing import Any

import numpy as np

from bitsim.datapath.rom_array import RomArray
from bitsim.hw import load_chip
from bitsim.hw.datapaths import RomArraySpec
from bitsim.model.operators import lone_linear
from bitsim.schedule.place import Placement


def rom(**changes: Any) -> RomArray:
    fields = {"rows": 8, "cols": 4, "banks": 2, "wake_cycles": 3, "acc_bits": 16} | changes
    return RomArray(RomArraySpec.model_validate({"kind": "rom_array", **fields}))


def operands(m: int, k: int, n: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(2)
    x = rng.integers(-9, 10, (m, k)) * (rng.random((m, k)) < 0.5)
    return x.astype(np.int8), rng.integers(-1, 2, (n, k)).astype(np.int8)


def test_words_of_zero_activations_are_not_read_and_take_their_cycle() -> None:
    x, w = operands(5, 40, 11)
    gated, always = (rom(zero_gating=gating).execute(x, w) for gating in (True, False))
    assert gated.cycles == always.cycles == rom().cycles(5, 40, 11)
    assert gated.events["rom.read_bits"] == 2 * 11 * np.count_nonzero(x)
    assert always.events["rom.read_bits"] == 2 * 11 * x.size
    saved = x.size - np.count_nonzero(x)
    unit = rom().spec.unit
    for value, event in ((1, f"pe.{unit}.add"), (-1, f"pe.{unit}.sub"), (0, "gate.closed")):
        assert gated.events[event] == ((x != 0).sum(axis=0) @ (w == value).sum(axis=0))
        assert always.events[event] == 5 * (w == value).sum()
    assert always.events["reg.psum.toggle"] == gated.events["reg.psum.toggle"]
    assert always.events["reg.act.toggle"] > gated.events["reg.act.toggle"] > 0
    assert saved > 0


def test_a_bank_wakes_once_and_is_awake_in_its_own_round_only() -> None:
    """K = 40 in slices of 8: rounds of 2, 2 and 1 banks; three tiles of outputs."""
    events, m = rom().count(5, 40, 11), 5
    rounds = [(2, 3 + 1 + m * (8 + 2)), (2, 3 + 1 + m * (8 + 2)), (1, 3 + 1 + m * (8 + 1))]
    assert events["rom.wakes"] == 3 * 5
    assert events["rom.awake_bank_cycles"] == 3 * sum(banks * cycles for banks, cycles in rounds)
    assert rom().cycles(5, 40, 11) == 3 * sum(cycles for _, cycles in rounds)
    kept_awake = 5 * rom(banks=5).cycles(5, 40, 11)
    assert events["rom.awake_bank_cycles"] < kept_awake


def test_more_banks_take_fewer_cycles_and_the_same_sums() -> None:
    x, w = operands(3, 40, 11)
    few, many = rom(banks=1).execute(x, w), rom(banks=5).execute(x, w)
    assert many.cycles < few.cycles
    np.testing.assert_array_equal(many.y, few.y)
    unequal = {"rom.awake_bank_cycles"}
    assert {e: n for e, n in many.events.items() if e not in unequal} == {
        e: n for e, n in few.events.items() if e not in unequal
    }


def test_weights_in_rom_come_from_nowhere_and_other_weights_from_dram() -> None:
    linear = lone_linear(name="q", phase="decode", m=1, k=64, n=8, weight_bits=1024)
    placement = Placement(load_chip("rom-2048x1024"))
    assert linear.is_bitlinear
    events = placement.place(linear).events
    assert [event for event in events if "weights" in event] == []
    head = replace(linear, kind="head", weight_format="fp16")
    assert not head.is_bitlinear
    assert placement.place(head).events["dram.weights.read_bits"] == 1024
    streamed = Placement(load_chip("ternary-ws-64x64")).place(linear).events
    assert streamed["dram.weights.read_bits"] == 1024
