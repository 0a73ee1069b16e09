"""Area, power, TOPS and what follows from them, by hand on a chip of a few parts and a result of given rows."""

from typing import Any

import pytest

from bitsim.cost.area import chip_area
from bitsim.hw import Chip, load_chip
from bitsim.hw.constants import Constant
from bitsim.results import Result
from bitsim.results.figures_of_merit import is_on_chip, known_area
from tests.by_hand import chip, result, row
from tests.chips import amount

LAYOUT = 2.0  # the layout factor of `small`


def um2(value: float) -> Constant:
    return Constant(value=value, unit="um2", source="a test", evidence="assumed")


def small() -> Chip:
    """At 2 GHz, 64 x 64 ternary PEs of 10 um2, 32 x 32 FP16 ones of 40, 64 lanes of 100 + 200, all before layout."""
    base = chip()
    areas = {"pe.ternary_a8_acc24": 10.0, "pe.fp16_acc16": 40.0, "reg.bit": 1.0, "add.int32": 5.0, "add.fp16": 100.0,
             "mul.fp16": 200.0}  # fmt: skip
    tech = base.tech.model_copy(
        update={
            "layout_factor": amount(base.tech.layout_factor, LAYOUT),
            "areas": {part: um2(value) for part, value in areas.items()},
        }
    )
    return base.with_technology(tech)


def made(on: Chip | None = None) -> Result:
    """Two sequences of 3 prompt tokens and 1 new one. At 2 GHz the prefill takes 100 ns, the decode step 30 ns."""
    return result(
        row("prefill", "q", "linear", 0, bitlinear=True, macs=4096 * 30, cycles=120, bound="array",
            events={"add.int8": 1000, "dram.weights.read_bits": 800}),
        row("prefill", "qk", "qk", 0, macs=1024 * 5, cycles=80, bound="dram", events={"mul.fp16": 10}),
        row("decode", "q", "linear", 0, bitlinear=True, macs=4096, cycles=10, bound="dram",
            events={"add.int8": 100, "dram.weights.read_bits": 1600}),
        row("decode", "norm", "norm", 0, cycles=30, bound="vector unit"),
        row("decode", "head", "head", macs=2048, cycles=20, bound="dram",
            events={"dram.weights.read_bits": 160, "host.read_bits": 7}),
        prefill=3, decode=1, batch=2, on=on,
    )  # fmt: skip


def phases(of: Result) -> tuple[Any, Any]:
    prefill, decode = of.records("merit")
    return prefill, decode


def test_tokens_per_second_and_tops_are_those_of_the_phase() -> None:
    """Decode: 2 tokens in 30 ns; 2 x 6144 operations in 30 ns are 0.4096 T/s; 2 x 4096 x 2 GHz are 16.384."""
    prefill, decode = phases(made())
    assert (prefill["phase"], prefill["tokens"], prefill["time_s"]) == ("prefill", 6, pytest.approx(100e-9))
    assert prefill["tokens_per_s"] == pytest.approx(6e7)
    assert decode["tokens_per_s"] == pytest.approx(2 / 30e-9)
    assert prefill["macs"] == 4096 * 30 + 1024 * 5
    assert prefill["tops"] == pytest.approx(2 * 128_000 / 100e-9 / 1e12)
    assert decode["tops"] == pytest.approx(0.4096)
    assert (prefill["peak_tops"], decode["peak_tops"]) == (pytest.approx(16.384), pytest.approx(16.384))


def test_the_peak_is_that_of_the_larger_datapath_that_works() -> None:
    """QK^T alone runs on 32 x 32: 2 x 1024 x 2 GHz. Without matmuls there is none."""
    (only,) = result(row("prefill", "qk", "qk", 0, macs=1024, cycles=8, bound="dram"), decode=0).records("merit")
    assert only["peak_tops"] == pytest.approx(4.096)
    (none,) = result(row("prefill", "norm", "norm", 0, cycles=8, bound="vector unit"), decode=0).records("merit")
    assert (none["peak_tops"], none["tops"], none["tops_per_w_system"], none["tops_per_mm2"]) == (None, 0, 0, 0)


def test_power_is_energy_over_time_in_every_convention_and_on_the_chip_alone() -> None:
    """1000 x 0.007 and 10 x 0.34 pJ in 100 ns are 104 uW. DRAM takes 4.6 / 8 / 14 pJ per bit of 1760 in 30 ns.

    It has 8 GB, refreshed all the time, and at rest for 15 ns of the norm and 9 ns of the head, at 160 bits per ns.
    """
    prefill, decode = phases(made())
    assert prefill["average_power_arithmetic_nominal_w"] == pytest.approx((7 + 3.4) * 1e-12 / 100e-9)
    assert prefill["average_power_datapath_nominal_w"] == 0
    leakage = made().prices.leakage_mw()
    for level, pj, refresh, standby in (("low", 4.6, 7.7, 8.4), ("nominal", 8, 7.7, 44), ("high", 14, 15.4, 88)):
        inside = getattr(leakage, level) * 1e-3
        dram = 1760 * pj * 1e-12 / 30e-9 + 8 * (refresh + standby * 24 / 30) * 1e-3
        assert decode[f"average_power_on_chip_{level}_w"] == pytest.approx(inside)
        assert decode[f"average_power_system_{level}_w"] == pytest.approx(inside + dram)
    assert decode["energy_on_chip_per_token_j"] == pytest.approx(leakage.nominal * 1e-3 * 30e-9 / 2)
    outside = 1760 * 8e-12 + 8e-12 * (7.7 * 30 + 44 * 24)
    assert decode["energy_system_per_token_j"] == pytest.approx((leakage.nominal * 1e-3 * 30e-9 + outside) / 2)


def test_peak_power_is_that_of_the_hottest_operator_while_it_runs() -> None:
    """1600 bits in 5 ns, 160 in 10 ns: the linear, at 1600 x 8 pJ / 5 ns, leakage and refresh."""
    _, decode = phases(made())
    leakage = made().prices.leakage_mw().nominal * 1e-3
    assert decode["peak_power_operator"] == "q"
    assert decode["peak_power_system_w"] == pytest.approx(leakage + 1600 * 8e-12 / 5e-9 + 8 * 7.7e-3)
    assert decode["peak_power_on_chip_w"] == pytest.approx(leakage)


def test_tops_per_watt_counts_the_operators_that_the_energy_counts() -> None:
    """Arithmetic leaves out the head: 2 x 4096 operations for 100 x 0.007 pJ; the system has all 6144 products."""
    _, decode = phases(made())
    assert decode["tops_per_w_arithmetic"] == pytest.approx(2 * 4096 / 0.7e-12 / 1e12)
    joules = made().energy("system", "decode")
    assert decode["tops_per_w_system"] == pytest.approx(2 * 6144 / joules / 1e12)
    assert decode["tops_per_w_system"] == pytest.approx(decode["tops"] / decode["average_power_system_nominal_w"])
    assert decode["tops_per_w_datapath"] is None  # no joule, no ratio


def test_area_is_parts_by_count_and_what_has_none_is_named() -> None:
    """Ternary: 4096 (10 + 2) and 64 x 5; FP16: 1024 (40 + 16) and 32 x 100; lanes: 64 (100 + 200); all times two."""
    made_on = made(small())
    prefill, _ = phases(made_on)
    cells = 4096 * 12 + 64 * 5 + 1024 * 56 + 32 * 100 + 64 * 300
    sram = sum(part.area.nominal for part in made_on.areas if part.component.startswith("sram") and part.area)
    assert prefill["area_nominal_mm2"] == pytest.approx((LAYOUT * cells + sram) / 1e6)
    assert prefill["area_without"] == "64 max.fp16 of vector, 64 cvt.fp16 of vector"
    assert prefill["tops_per_mm2"] == pytest.approx(prefill["tops"] / prefill["area_nominal_mm2"])
    assert prefill["peak_tops_per_mm2"] == pytest.approx(16.384 / prefill["area_nominal_mm2"])
    areas = {(r["component"], r["part"]): r for r in made_on.records("areas")}
    assert areas["wide", "pe.fp16_acc16"]["nominal_um2"] == pytest.approx(LAYOUT * 1024 * 40)
    assert areas["vector", "max.fp16"]["nominal_um2"] is None


def test_without_the_area_of_a_datapath_there_is_no_tops_per_mm2() -> None:
    """A program on a CPU's core has none; the array beside it has."""
    core = load_chip("cpu-tl1").bitlinear
    prefill, _ = phases(made(small().model_copy(update={"bitlinear": core})))
    assert prefill["area_nominal_mm2"] > 0
    assert prefill["area_without"].startswith(f"1 {core.unit} of bitlinear, ")
    assert (prefill["tops_per_mm2"], prefill["peak_tops_per_mm2"]) == (None, None)


def test_where_nothing_on_the_chip_is_priced_and_nothing_has_an_area_the_rest_is_there() -> None:
    """On an FPGA DRAM alone has prices: it is in the system, and nothing is on the chip."""
    of = result(
        row("prefill", "q", "linear", 0, bitlinear=True, macs=4096, cycles=2, bound="array",
            events={"dram.weights.read_bits": 1000, "sram.acts.read_bits": 8}), decode=0,
        on=load_chip("tereffic-hbm"),
    )  # fmt: skip
    (record,) = of.records("merit")
    known = {name for name, value in record.items() if value is not None}
    assert known >= {"tokens_per_s", "tops", "peak_tops", "macs", "bound", "average_power_arithmetic_nominal_w"}
    assert record["area_nominal_mm2"] is None
    assert known_area(chip_area(load_chip("tereffic-hbm"))) is None
    assert all(record[f"average_power_on_chip_{level}_w"] is None for level in ("low", "nominal", "high"))
    price = of.prices.price("dram.weights.read_bits")
    assert price is not None
    assert record["average_power_system_nominal_w"] >= 1000 * price.nominal * 1e-12 / 10e-9  # 2 cycles at 0.2 GHz
    assert record["energy_system_without"].startswith("without sram.acts.read_bits (8)")
    assert (record["tops_per_w_system"], record["tops_per_w_on_chip"], record["tops_per_mm2"]) == (None, None, None)


def test_what_most_of_the_time_waits_for_is_named_with_its_share() -> None:
    """Prefill: 120 of 200 cycles; decode: 10 + 20 of 60 for DRAM, 30 for the vector unit, the first of equals."""
    prefill, decode = phases(made())
    assert (prefill["bound"], prefill["bound_share"]) == ("array", pytest.approx(0.6))
    assert (decode["bound"], decode["bound_share"]) == ("dram", pytest.approx(0.5))


def test_units_that_take_turns_have_their_common_parts_once() -> None:
    """A 64 x 64 FP16 array for linears and a 32 x 32 one for the rest are the larger one if they are the same units."""
    base = load_chip("fp16-ws-64x64").with_technology(small().tech)
    smaller = base.model_copy(update={"wide": base.wide.model_copy(update={"rows": 32, "cols": 32})})
    one = 4096 * 56 + 64 * 100
    for on, shared, expected in (
        (smaller, False, one + 1024 * 56 + 32 * 100),
        (smaller, True, one),
        (base, True, one),
        (base, False, 2 * one),
    ):
        parts = chip_area(on.model_copy(update={"units_shared": shared}))
        found = sum(part.area.nominal for part in parts if part.of_a_datapath and part.area)
        assert found == pytest.approx(LAYOUT * expected)


def test_what_only_the_wide_units_have_is_theirs() -> None:
    """Ternary and FP16 PEs share the registers that both have: 16 bits of an FP16 PE hold the 2 of a ternary one."""
    shared = small().model_copy(update={"units_shared": True})
    parts = {(part.component, part.part): part.count for part in chip_area(shared) if part.of_a_datapath}
    assert parts == {
        ("bitlinear", "pe.ternary_a8_acc24"): 4096, ("bitlinear", "reg.bit"): 8192, ("bitlinear", "add.int32"): 64,
        ("wide", "pe.fp16_acc16"): 1024, ("wide", "reg.bit"): 16 * 1024 - 8192, ("wide", "add.fp16"): 32,
    }  # fmt: skip


def test_dram_and_host_are_other_chips() -> None:
    names = ("dram weights", "host link", "sram acts", "sram leakage", "clock")
    assert [name for name in names if is_on_chip(name)] == ["sram acts", "sram leakage", "clock"]


def test_the_headline_names_the_last_phase_and_a_pair_its_new_tokens() -> None:
    both = made()
    _, decode = phases(both)
    headline, per_token = both.headline(), both.per_token()
    assert headline["decode_tokens_per_s"] == per_token["tokens_per_s"] == decode["tokens_per_s"]
    assert headline["area_nominal_mm2"] == per_token["area_nominal_mm2"] == decode["area_nominal_mm2"]
    assert headline["decode_tops_per_w_system"] == decode["tops_per_w_system"]
    only = result(row("prefill", "q", "linear", 0, macs=4096, cycles=2, bound="array"), decode=0)
    assert "prefill_tops" in only.headline()
    assert (only.per_token()["tops"], only.per_token()["area_nominal_mm2"]) == (None, headline["area_nominal_mm2"])
