"""Sums of several parts, each part with an amount of its own, so that none can be left out or taken twice."""

import pytest

from bitsim.cost import CONVENTIONS, Energy, OperatorCost, PriceList, price_operator
from bitsim.cost.area import Area, PartArea, chip_area, total_area
from bitsim.cost.energy import total_energy
from bitsim.cost.sram import buffer_of
from bitsim.errors import ConfigError, UnpricedEventError
from bitsim.events import Events
from bitsim.hw import Chip, load_chip
from bitsim.hw.gpu import gpu_names, load_gpu
from tests.chips import with_level


def chip() -> Chip:
    """Buffers of 8, 1024 and 32 kB: no two with the same prices."""
    found = load_chip("ternary-ws-64x64")
    for level, kilobytes in (("weights", 8), ("acts", 1024), ("psums", 32)):
        found = with_level(found, level, capacity=kilobytes)
    return found


def energy(events: dict[str, int], time_ns: float = 0.0) -> dict[str, Energy]:
    cost = OperatorCost(name="q", kind="linear", events=Events(events), time_ns=time_ns)
    return price_operator(cost, PriceList(chip()), CONVENTIONS["system"])


def test_leakage_is_that_of_all_buffers_together() -> None:
    """Low-leakage arrays at 7 nm, 0.05, 0.5 and 5 uW per kB: of 8, 1024 and 32 kB."""
    power = PriceList(chip()).leakage_mw()
    assert (power.low, power.nominal, power.high) == pytest.approx((0.0532, 0.532, 5.32))
    leaked = energy({}, time_ns=10.0)
    assert list(leaked) == ["sram leakage", "dram refresh", "dram standby"]
    assert leaked["sram leakage"].nominal == pytest.approx(5.32)
    assert leaked["sram leakage"].high == pytest.approx(53.2)


def test_leakage_names_the_constants_of_every_buffer() -> None:
    names = [name for name, _ in PriceList(chip()).leakage_mw().constants]
    assert names == [
        "sram-7nm: leakage.low_leakage.usual", "ternary-ws-64x64: memory.weights.capacity",
        "ternary-ws-64x64: memory.acts.capacity", "ternary-ws-64x64: memory.psums.capacity",
    ]  # fmt: skip


def test_a_bit_of_a_buffer_costs_its_share_of_an_access_to_a_bank() -> None:
    """CACTI 7 at 22 nm times 0.45 (7 nm) and 2 (silicon).

    Weights: 16 banks of 0.5 kB x 512 bit, eight ports each: 6.04794 pJ of 2 kB times 0.79. Activations: 16 banks of 64
    kB x 64 bit, writes between 2.81918 pJ at 32 kB and 5.10354 at 128. Sums: 64 banks of 0.5 kB x 64 bit, 0.603036 pJ
    of 2 kB times 0.79.
    """
    found = energy({"sram.weights.read_bits": 640, "sram.acts.write_bits": 64, "sram.psums.read_bits": 128})
    assert {part: e.nominal for part, e in found.items()} == {
        "sram weights": pytest.approx(640 / 512 * 0.9 * 0.79 * 6.04794),
        "sram acts": pytest.approx(0.9 * (2.81918 * 5.10354) ** 0.5),
        "sram psums": pytest.approx(2 * 0.9 * 0.79 * 0.603036),
    }


def test_events_of_one_component_add_up_at_each_end_of_their_range() -> None:
    """DRAM: 4.6, 8 or 14 pJ per bit, read or written."""
    found = energy({"dram.kv.read_bits": 10, "dram.kv.write_bits": 5})
    assert list(found) == ["dram kv"]
    assert [getattr(found["dram kv"], level) for level in ("low", "nominal", "high")] == pytest.approx([69, 120, 210])


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
        buffer_of(fpga, level)


@pytest.mark.parametrize("kilobytes", [0.49, 65537])
def test_capacities_just_outside_of_the_range_have_no_price(kilobytes: float) -> None:
    outside = PriceList(with_level(load_chip("ternary-ws-64x64"), "acts", capacity=kilobytes))
    for ask in (lambda: outside.price("sram.acts.read_bits"), outside.leakage_mw):
        with pytest.raises(ConfigError, match=r"64x64\.yaml: memory\.acts\.capacity: expected 0\.5 \.\. 65536 kB"):
            ask()


def test_a_width_outside_of_the_range_is_named() -> None:
    wide = with_level(load_chip("ternary-ws-64x64"), "acts", width_bits=4096)
    with pytest.raises(ConfigError, match=r"memory\.acts\.width_bits: expected 8 \.\. 2048 bit \(got 4096 bit\)"):
        PriceList(wide).price("sram.acts.read_bits")


def test_long_lists_of_prices_are_cut_and_counted() -> None:
    prices = PriceList(chip())
    alike = [event for event in prices.tech.prices if event.startswith("pe.")]
    with pytest.raises(UnpricedEventError, match=rf" and {len(alike) - 6} more$"):
        prices.must_price("pe.int4_acc17.mac", 1, "q")


def test_the_area_of_a_buffer_is_that_of_its_banks_and_none_outside_of_the_range() -> None:
    """CACTI 7 at 22 nm, 64 bits: 0.0267202 mm2 at 32 kB and 0.102584 at 128; 7 nm 0.45 times that."""
    (known,) = [p for p in chip_area(chip()) if p.component == "sram acts"]
    assert (known.part, known.count) == ("64 kB x 64 bit", 16)
    assert known.area is not None
    assert known.area.nominal == pytest.approx(16 * 0.45e6 * (0.0267202 * 0.102584) ** 0.5)
    (outside,) = [p for p in chip_area(with_level(chip(), "acts", capacity=0.4)) if p.component == "sram acts"]
    assert (outside.part, outside.count, outside.area) == ("0.4 kB", 1, None)
    assert "expected 0.5 .. 65536 kB" in outside.reason
