"""Every event and part that any allowed description has is priced; programs and FPGAs are unpriced by name."""

import pytest

from bitsim.cost.area import part_area
from bitsim.cost.logic import logic_price
from bitsim.hw import load_chip, load_technology
from tests.chips import chips_on_fpgas
from tools import find_unpriced


@pytest.mark.parametrize("name", ["7nm", "45nm", "28nm"])
def test_no_event_of_the_grid_is_without_a_price_and_no_part_without_an_area(name: str) -> None:
    technology = load_technology(name)
    assert find_unpriced.unpriced(technology) == []
    assert find_unpriced.without_area(technology) == []


def test_the_grid_reaches_the_ends_of_what_is_allowed() -> None:
    events = find_unpriced.emitted()
    for event in (
        "pe.ternary_a8_acc9.skip", "pe.ternary_a8_acc32.idle", "pe.int8_acc16.mac", "acc.add.int62",
        "tree.depth8.add_bits", "merge.depth7.add_bits", "popcount.depth2.add_bits", "popcount.depth12.add_bits",
        "serial.depth2.add_bits", "serial.popcount_depth8.add_bits", "lut.b4_t4.read", "lut.build.depth5.add_bits",
        "lut.sram.read_bits", "mma.blackwell_nvf4_acc32.mac", "mma.turing_int4_acc20.mac", "dequant.mxf4",
    ):  # fmt: skip
        assert event in events, event
    assert {"pe.ternary_a8_acc9", "pe.int8_acc17", "popcount.mask_add_bit", "add.int62"} <= find_unpriced.built().keys()


def test_programs_and_fpgas_stay_unpriced_by_name() -> None:
    assert logic_price(load_technology("7nm"), "simd.avx2.load") is None
    for name in chips_on_fpgas():
        technology = load_chip(name).tech
        assert logic_price(technology, "reg.clock") is None
        assert part_area(technology, "reg.bit") is None
        assert technology.unpriced
