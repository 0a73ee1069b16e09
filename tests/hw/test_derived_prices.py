"""The numbers in the technology files follow from the measured tables, where those are at hand."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from bitsim.datapath.adder_tree import AdderTree
from bitsim.datapath.binary_lut import BinaryLut
from bitsim.datapath.popcount import Popcount
from bitsim.datapath.ternary_lut import TernaryLut
from bitsim.hw import load_technology, technology_names
from bitsim.hw.datapaths import AdderTreeSpec, BinaryLutSpec, PopcountSpec, TernaryLutSpec
from tests.hw.measured_tables import load_tool, measured_tables, needs_tables

pytestmark = needs_tables


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    return measured_tables()


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return load_tool("derive_prices")


@pytest.fixture(scope="module")
def toggles(tool: ModuleType) -> dict[int, float]:
    counted: dict[int, float] = tool.register_toggles()
    return counted


@pytest.mark.parametrize("name", technology_names())
def test_studies(name: str, tables: dict[str, Any], tool: ModuleType, toggles: dict[int, float]) -> None:
    prices = load_technology(name).prices
    derived = tool.derive(tables, tool.LIBRARIES[name], toggles)
    arithmetic = {event for event in prices if event.split(".")[0] in ("add", "mul")}
    assert derived.keys() == prices.keys() - arithmetic
    for event, expected in derived.items():
        constant = prices[event]
        if constant.value is None:
            assert (constant.low, constant.nominal, constant.high) == pytest.approx(expected, rel=1e-5), event
        else:
            assert constant.value == pytest.approx(expected[1], rel=1e-5), event


@pytest.mark.parametrize("name", technology_names())
def test_registers_and_gates_rebuild_the_measured_total(
    name: str, tables: dict[str, Any], tool: ModuleType, toggles: dict[int, float]
) -> None:
    library = tool.LIBRARIES[name]
    derived = tool.derive(tables, library, toggles)
    for ratio in tool.rebuilt(tables, library, toggles, derived).values():
        assert ratio == pytest.approx(1, abs=0.01)


def gaussian(rng: np.random.Generator, shape: tuple[int, int]) -> Any:
    """Activations as both studies draw them: quantised so that their standard deviation is a quarter of the range."""
    return np.clip(np.rint(rng.normal(0, 127 / 4, shape)), -128, 127).astype(np.int8)


@pytest.mark.parametrize("name", technology_names())
def test_events_times_prices_rebuild_the_synthesised_adder_trees(name: str, tables: dict[str, Any], tool: Any) -> None:
    """16 lanes, no operand registers, one sum after the other: each level of the range within 15 % of its study."""
    prices, library = load_technology(name).prices, tool.LIBRARIES[name]
    study_a = tables["pe_costs"]["units"]["tdot16_a8_acc24"][library]
    study_b = tables["pe_costs_study_b"]["units"]["tree16"][library]
    rng = np.random.default_rng(0)
    x, w = gaussian(rng, (1000, 16)), rng.choice(np.array([-1, 0, 1], np.int8), (1, 16))
    for acc_bits, level, measured in (
        (20, "nominal", study_b["fJ_glitch"] / 1e3),
        (24, "high", 16 * study_a["pJ_mac_ud"]),
        (24, "low", min(16 * study_a["pJ_mac_zd"], study_b["fJ_zero"] / 1e3)),
    ):
        spec = AdderTreeSpec(kind="adder_tree", lanes=16, trees=1, acc_bits=acc_bits)
        events = AdderTree(spec).execute(x, w).events
        counts = {"reg.clock": 1000 * acc_bits, "reg.psum.toggle": events["reg.psum.toggle"]}
        counts["tree.depth5.add_bits"] = events["tree.depth5.add_bits"]
        rebuilt = sum(count * getattr(prices[event], level) for event, count in counts.items()) / 1000
        assert rebuilt == pytest.approx(measured, rel=0.15), level


@pytest.mark.parametrize("g", [2, 3, 4, 5])
@pytest.mark.parametrize("name", technology_names())
def test_events_times_prices_rebuild_the_synthesised_lookups(
    name: str, g: int, tables: dict[str, Any], tool: ModuleType
) -> None:
    """One lookup per cycle into an accumulator of 24 bits; the table is held (low) or changes every cycle (high).

    Study A's registers are taken as it measured them: ours are priced from study B, whose clock and flip-flops cost up
    to twice as much at 7 nm.
    """
    prices = load_technology(name).prices
    rng = np.random.default_rng(0)
    x, w = gaussian(rng, (1000, g)), rng.choice(np.array([-1, 0, 1], np.int8), (1, g))
    events = TernaryLut(lut_spec(g)).execute(x, w).events
    for stimulus, run, level in (("TS", "zd", "low"), ("OS", "ud", "high")):
        unit = tables["pe_costs"]["units"][f"lutread_t_g{g}_{stimulus}"][tool.LIBRARIES[name]]
        logic = (f"lut.g{g}_half.read", "tree.depth1.add_bits")
        rebuilt = sum(events[event] * getattr(prices[event], level) for event in logic) / 1000
        rebuilt += unit["reg_clk_pJ_cycle"]
        assert rebuilt == pytest.approx(g * unit[f"pJ_mac_{run}"], rel=0.15), stimulus


@pytest.mark.parametrize("g", [2, 3])
@pytest.mark.parametrize("name", technology_names())
def test_events_times_prices_rebuild_the_synthesised_table_builders(
    name: str, g: int, tables: dict[str, Any], tool: ModuleType
) -> None:
    """A new half table every cycle; one price per bit for both g, so that one of them may be off by a quarter."""
    unit = tables["pe_costs"]["units"][f"precompute_t_g{g}"][tool.LIBRARIES[name]]
    if unit is None:
        pytest.skip(f"g = {g} was not synthesised to {tool.LIBRARIES[name]}")
    prices = load_technology(name).prices
    events = (
        TernaryLut(lut_spec(g)).execute(gaussian(np.random.default_rng(0), (1000, g)), np.ones((1, g), np.int8)).events
    )
    for level, run in (("low", "zd"), ("high", "ud")):
        logic = events["lut.build.add_bits"] * getattr(prices["lut.build.add_bits"], level) / 1000
        assert logic + unit["reg_clk_pJ_cycle"] == pytest.approx(unit[f"pJ_mac_{run}"], rel=0.25), level


def lut_spec(g: int) -> TernaryLutSpec:
    """One half table in registers and one lane, as study A synthesised them."""
    return TernaryLutSpec(kind="ternary_lut", g=g, table="half", storage="registers", tables=1, lanes=1, acc_bits=24)


@pytest.mark.parametrize("name", technology_names())
def test_events_times_prices_rebuild_the_synthesised_popcounts(name: str, tables: dict[str, Any], tool: Any) -> None:
    """Random bits, no operand registers, one accumulator: each level of the range within 15 % of its study."""
    prices, library = load_technology(name).prices, tool.LIBRARIES[name]
    study_a = tables["pe_costs"]["units"]["xnor64_acc16"][library]
    study_b = tables["pe_costs_study_b"]["units"]["xnor32"][library]
    rng, cycles = np.random.default_rng(0), 1000
    zero = min((study_a["pJ_mac_zd"], 64), (study_b["fJ_zero"] / 1e3 / 32, 32))
    for lanes, level, measured in (
        (32, "nominal", study_b["fJ_glitch"] / 1e3),
        (64, "high", 64 * study_a["pJ_mac_ud"]),
        (zero[1], "low", zero[0] * zero[1]),
    ):
        x, w = (rng.choice(np.array([-1, 1], np.int8), (1, cycles * lanes)) for _ in range(2))
        spec = PopcountSpec(kind="popcount", operands="binary", lanes=lanes, cols=1, acc_bits=16)
        events = Popcount(spec).execute(x, w).events
        counts = {"reg.clock": cycles * 16, "reg.psum.toggle": events["reg.psum.toggle"]}
        counts |= {event: n for event, n in events.items() if event.startswith("popcount.")}
        rebuilt = sum(count * getattr(prices[event], level) for event, count in counts.items()) / cycles
        assert rebuilt == pytest.approx(measured, rel=0.15), level


@pytest.mark.parametrize("name", technology_names())
def test_events_times_prices_rebuild_the_synthesised_binary_lookup(
    name: str, tables: dict[str, Any], tool: ModuleType
) -> None:
    """One lookup per cycle into an accumulator of 24 bits; the table is held (low) or changes every cycle (high)."""
    prices = load_technology(name).prices
    spec = BinaryLutSpec(kind="binary_lut", tables=1, lanes=1, acc_bits=24)
    rng = np.random.default_rng(0)
    x, w = gaussian(rng, (500, 4)), rng.choice(np.array([-1, 0, 1], np.int8), (1, 4))
    events = BinaryLut(spec).execute(x, w).events  # two planes, so 1000 lookups
    for stimulus, run, level in (("TS", "zd", "low"), ("OS", "ud", "high")):
        unit = tables["pe_costs"]["units"][f"lutread_b_g4_{stimulus}"][tool.LIBRARIES[name]]
        logic = ("lut.b4_t10.read", "tree.depth1.add_bits")
        rebuilt = sum(events[event] * getattr(prices[event], level) for event in logic) / 1000
        assert rebuilt + unit["reg_clk_pJ_cycle"] == pytest.approx(4 * unit[f"pJ_mac_{run}"], rel=0.15), stimulus


@pytest.mark.parametrize("name", technology_names())
def test_table_2_of_2310_11453(name: str, tables: dict[str, Any]) -> None:
    table = tables["op_energy_literature_pJ"]["bitnet_2310_11453_table2"][f"nm{name.removesuffix('nm')}"]
    prices = load_technology(name).prices
    for number_format, operations in table.items():
        for operation, energy in operations.items():
            assert prices[f"{operation}.{number_format}"].value == energy


def test_sram_45nm_is_cacti(tables: dict[str, Any]) -> None:
    grid = {
        row["size_KB"]: (row["read_pJ"], row["write_pJ"], row["leak_mW"])
        for row in tables["sram_cacti7"]["grid"]
        if (row["cell"], row["node_nm"], row["width_b"]) == ("itrs-hp", 45, 64)
    }
    shipped = load_technology("45nm").sram
    assert {row.capacity_kb: (row.read.value, row.write.value, row.leakage.value) for row in shipped} == grid


def test_sram_7nm_is_jouppi_with_22nm_leakage(tables: dict[str, Any]) -> None:
    access = {row["size_KB"]: row["pJ"] for row in tables["sram_literature"] if row["node_nm"] == 7}
    leakage = {
        row["size_KB"]: row["leak_mW"]
        for row in tables["sram_cacti7"]["grid"]
        if (row["cell"], row["node_nm"], row["width_b"]) == ("itrs-lop", 22, 64)
    }
    shipped = load_technology("7nm").sram
    assert {row.capacity_kb: row.read.value for row in shipped} == access
    assert {row.capacity_kb: row.write.value for row in shipped} == access
    assert [row.leakage.value for row in shipped] == [leakage[row.capacity_kb] for row in shipped]


def test_dram_is_lpddr4(tables: dict[str, Any]) -> None:
    from bitsim.hw import load_chip

    listed = tables["dram_pJ_per_bit"]["types"]["LPDDR4"]
    energy = load_chip("ternary-ws-64x64").memory.dram.energy
    assert (energy.low, energy.nominal, energy.high) == (listed["low"], listed["mid"], listed["high"])
