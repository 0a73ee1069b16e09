"""Sums of several parts, each part with an amount of its own, so that none can be left out or taken twice."""

import pytest

from bitsim.cost import CONVENTIONS, Energy, OperatorCost, PriceList, price_operator
from bitsim.cost.area import Area, PartArea, chip_area, total_area
from bitsim.cost.energy import total_energy
from bitsim.cost.sram import sram_between
from bitsim.errors import ConfigError, UnpricedEventError
from bitsim.events import Events
from bitsim.hw import Chip, load_chip
from bitsim.hw.gpu import gpu_names, load_gpu
from tests.chips import with_level


def chip() -> Chip:
    """Buffers of 8, 1024 and 32 kB, which stand in 7nm's grid: no two with the same prices."""
    found = load_chip("ternary-ws-64x64")
    for level, kilobytes in (("weights", 8), ("acts", 1024), ("psums", 32)):
        found = with_level(found, level, capacity=kilobytes)
    return found


def energy(events: dict[str, int], time_ns: float = 0.0) -> dict[str, Energy]:
    cost = OperatorCost(name="q", kind="linear", events=Events(events), time_ns=time_ns)
    return price_operator(cost, PriceList(chip()), CONVENTIONS["system"])


def test_leakage_is_that_of_all_buffers_together() -> None:
    """CACTI 7: 2.03915 mW at 8 kB, 216.803 mW at 1024 kB, 7.43594 mW at 32 kB."""
    power = PriceList(chip()).leakage_mw()
    assert power.nominal == pytest.approx(2.03915 + 216.803 + 7.43594)
    assert (power.low, power.high) == (power.nominal, power.nominal)
    leaked = energy({}, time_ns=10.0)
    assert list(leaked) == ["sram leakage"]
    assert leaked["sram leakage"].nominal == pytest.approx(2262.7809)
    assert leaked["sram leakage"].high == pytest.approx(2262.7809)


def test_leakage_names_the_constants_of_every_buffer() -> None:
    names = [name for name, _ in PriceList(chip()).leakage_mw().constants]
    assert names == [
        "7nm: sram 8 kB.leakage", "ternary-ws-64x64: memory.weights.capacity",
        "7nm: sram 1024 kB.leakage", "ternary-ws-64x64: memory.acts.capacity",
        "7nm: sram 32 kB.leakage", "ternary-ws-64x64: memory.psums.capacity",
    ]  # fmt: skip


def test_a_bit_of_a_buffer_costs_its_share_of_a_wide_access() -> None:
    """7.5, 14 and 8.5 pJ for 64 bits."""
    found = energy({"sram.weights.read_bits": 640, "sram.acts.write_bits": 64, "sram.psums.read_bits": 128})
    assert {part: e.nominal for part, e in found.items()} == {
        "sram weights": pytest.approx(75.0),
        "sram acts": pytest.approx(14.0),
        "sram psums": pytest.approx(17.0),
    }


def test_events_of_one_component_add_up_at_each_end_of_their_range() -> None:
    """DRAM: 8, 13 or 14 pJ per bit, read or written."""
    found = energy({"dram.kv.read_bits": 10, "dram.kv.write_bits": 5})
    assert found == {"dram kv": Energy(low=120.0, nominal=195.0, high=210.0)}


def test_a_clocked_bit_has_the_layout_factor_on_all_of_its_range() -> None:
    price = PriceList(chip()).must_price("reg.clock", 1, "q")
    assert price.low == pytest.approx(1.5 * 0.000769243)
    assert price.nominal == pytest.approx(1.5 * 0.0013055)
    assert price.high == pytest.approx(1.5 * 0.00130562)
    assert [name for name, _ in price.constants] == ["7nm: prices.reg.clock", "7nm: layout_factor"]


def test_totals_add_every_end() -> None:
    parts = [
        Energy(low=1, nominal=2, high=4),
        Energy(low=8, nominal=16, high=32),
        Energy(low=64, nominal=128, high=256),
    ]
    assert total_energy(parts) == Energy(low=73, nominal=146, high=292)
    areas = [
        PartArea(component="c", part="a", count=1, area=Area(low=1, nominal=2, high=4)),
        PartArea(component="c", part="b", count=1, area=None, reason="none"),
        PartArea(component="c", part="c", count=1, area=Area(low=8, nominal=16, high=32)),
    ]
    assert total_area(areas) == Area(low=9, nominal=18, high=36)
    assert areas[0].record() == {
        "component": "c", "part": "a", "count": 1, "low_um2": 1, "nominal_um2": 2, "high_um2": 4, "reason": "",
    }  # fmt: skip
    assert areas[1].record()["nominal_um2"] is None


@pytest.mark.parametrize("name", gpu_names())
def test_a_model_may_fill_a_gpus_capacity_less_its_reserve(name: str) -> None:
    gpu = load_gpu(name)
    gigabytes = {"a100-40gb": 40, "a100-80gb": 80, "h100-sxm": 80, "rtx-4090": 24}[name]
    assert gpu.capacity_bytes == pytest.approx((gigabytes - 0.5) * 1e9)


def test_technologies_without_prices_say_so_for_events_and_for_buffers() -> None:
    fpga = load_chip("trinity-xc7a100t")
    with pytest.raises(UnpricedEventError, match=r"no prices: .*'reg\.clock' counted 1,234 times by layers\.0"):
        PriceList(fpga).must_price("reg.clock", 1234, "layers.0")
    level = fpga.memory.names[0]
    with pytest.raises(ConfigError, match=rf"no prices: .*\(memory level {level}\)"):
        sram_between(fpga, level)


@pytest.mark.parametrize("kilobytes", [7.9, 1025])
def test_capacities_just_outside_of_the_grid_have_no_price(kilobytes: float) -> None:
    with pytest.raises(ConfigError, match=r"memory\.acts: .* lies outside of .* kB: 8, 32, 1024"):
        sram_between(with_level(load_chip("ternary-ws-64x64"), "acts", capacity=kilobytes), "acts")


def test_a_width_without_a_grid_is_named() -> None:
    with pytest.raises(ConfigError, match=r"with 96-bit access .*at this width, kB: none"):
        sram_between(with_level(load_chip("ternary-ws-64x64"), "acts", width_bits=96), "acts")


def test_long_lists_of_prices_are_cut_and_counted() -> None:
    prices = PriceList(chip())
    alike = [event for event in prices.tech.prices if event.startswith("pe.")]
    with pytest.raises(UnpricedEventError, match=rf" and {len(alike) - 6} more$"):
        prices.must_price("pe.int4_acc17.mac", 1, "q")


def test_a_buffer_whose_sram_has_no_area_is_one_part_without_and_says_at_which_capacities() -> None:
    base = chip()
    rows = tuple(row.model_copy(update={"area": None} if row.capacity_kb == 32 else {}) for row in base.tech.sram)
    bare = base.with_technology(base.tech.model_copy(update={"sram": rows}))
    between = with_level(bare, "weights", capacity=16)
    for made, component, part, sizes in (
        (bare, "psums", "32 kB", "32 or 32"),
        (between, "weights", "16 kB", "8 or 32"),
    ):
        (found,) = [p for p in chip_area(made) if p.component == f"sram {component}"]
        assert (found.part, found.count, found.area) == (part, 1, None)
        assert found.reason == f"{made.tech.path}: sram: no area at {sizes} kB"
    (known,) = [p for p in chip_area(bare) if p.component == "sram acts"]
    assert (known.part, known.count) == ("1024 kB", 1)
    assert known.area == Area(low=pytest.approx(252968), nominal=pytest.approx(252968), high=pytest.approx(918000))
