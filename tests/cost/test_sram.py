"""SRAM: energies by hand from CACTI's table, leakage against published chips, laws over the whole range, its ends."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.cost.price import LEVELS
from bitsim.cost.sram import Buffer, buffer_of, levels_of, notes_on_sram
from bitsim.cost.sram_array import access_ns, array_price
from bitsim.errors import ConfigError
from bitsim.hw import load_chip, load_sram, sram_names
from bitsim.hw.constants import Constant
from bitsim.hw.memory import LevelSpec
from tests.chips import amount, with_level

NODES = ("65", "45", "28", "22", "16", "7")


def constant(value: float, unit: str) -> Constant:
    return Constant(low=value, nominal=value, high=value, unit=unit, source="a test", evidence="assumed")


def buffer(
    node: str,
    kilobytes: float,
    *,
    flavour: Any = "high_performance",
    clock_ghz: float = 1.0,
    volts: float = 0.0,
    celsius: float = 0.0,
    **level: Any,
) -> Buffer:
    spec = {"name": "m", "holds": ("acts",), "capacity": constant(kilobytes, "kB"), "width_bits": 64} | level
    return Buffer(
        level=LevelSpec.model_validate(spec),
        sram=load_sram(f"sram-{node}nm"),
        clock_ghz=clock_ghz,
        flavour=flavour,
        volts=constant(volts, "V") if volts else None,
        temperature=constant(celsius, "C") if celsius else None,
        name="c",
        file="c.yaml",
    )


@pytest.mark.parametrize(
    ("node", "kilobytes", "width", "read", "write"),
    [
        ("45", 8, 64, 10.6, 13.0), ("45", 512, 256, 250, 232),
        ("28", 32, 64, 10.8, 9.07), ("28", 512, 256, 117, 104),
        ("22", 2, 64, 1.21, 1.79), ("22", 2048, 64, 50.4, 45.5),
        ("16", 128, 64, 12.0, 8.17), ("16", 32, 256, 10.6, 18.5),
        ("7", 8, 64, 1.35, 1.52), ("7", 512, 256, 34.7, 36.2),
    ],
)  # fmt: skip
def test_at_a_point_of_the_grid_an_access_costs_twice_cacti(
    node: str, kilobytes: float, width: int, read: float, write: float
) -> None:
    """Twice CACTI 7, at 16 nm times 0.8 of 22 nm, at 7 nm times 0.45; low is half or less, high 2.25x or more."""
    found = buffer(node, kilobytes, width_bits=width, banks=1)
    for way, expected in (("read", read), ("write", write)):
        price = found.bit(way).scaled(width)  # type: ignore[arg-type]
        assert price.nominal == pytest.approx(expected, rel=0.01)
        assert price.low <= expected * 0.505
        assert price.high >= expected * 2.24


def test_the_weight_stream_of_vitallm_takes_less_than_the_chip() -> None:
    """512 bits per ns from a bank of 32 kB at 16 nm: 9.2756 pJ x 0.8 x 2 = 14.8 mW; the chip takes 65.97 mW."""
    assert 512 * buffer("16", 32, width_bits=512, banks=1).bit("read").nominal == pytest.approx(14.84, rel=1e-3)


@pytest.mark.parametrize(
    ("node", "flavour", "kilobytes", "published_mw", "level"),
    [
        ("28", "low_leakage", 500, 4.69, "high"),  # Slim-Llama, total at 25 MHz
        ("28", "high_performance", 500, 82.07, "nominal"),  # at 200 MHz
        ("16", "low_leakage", 120, 65.97, "high"),  # VitaLLM, total
        ("16", "high_performance", 120, 65.97, "high"),
        ("65", "low_leakage", 181.5, 278, "high"),  # Eyeriss v1, total
        ("65", "high_performance", 181.5, 278, "high"),
        ("65", "high_performance", 246, 574, "high"),  # Eyeriss v2, total
        ("22", "low_leakage", 1600, 49.4, "high"),  # Vega, peak
        ("22", "high_performance", 1600, 49.4, "nominal"),
        ("16", "low_leakage", 752, 33.7, "high"),  # Simba's chiplet at 0.42 V
        ("40", "low_leakage", 512, 0.108, "nominal"),  # Mr.Wolf, retentive sleep
        ("16", "low_leakage", 2176, 30, "high"),  # ALPhA-Vision, idle
    ],
)
def test_predicted_leakage_stays_below_the_published_power(
    node: str, flavour: str, kilobytes: float, published_mw: float, level: Any
) -> None:
    assert buffer(node, kilobytes, flavour=flavour).leakage().at(level) <= published_mw


def test_chips_of_many_megabytes_of_sram_leak_less_than_they_draw() -> None:
    """Groq (230 MB, about 300 W) at 14 nm, Cerebras CS-1 (18 GB, 20 kW) at 16 nm, GC200 (900 MB, 150 W) at 7 nm."""
    for node, megabytes, watts in (("14", 230, 300), ("16", 18 * 1024, 20_000), ("7", 900, 150)):
        one = buffer(node, 1024).leakage()
        assert one.high * megabytes * 1e-3 < watts


def test_leakage_of_a_published_chip_by_hand() -> None:
    """500 kB at 28 nm: 0.02, 0.2 and 3 uW per kB, or 1.8, 12.5 and 234."""
    for flavour, expected in (("low_leakage", (0.01, 0.1, 1.5)), ("high_performance", (0.9, 6.25, 117))):
        price = buffer("28", 500, flavour=flavour).leakage()
        assert (price.low, price.nominal, price.high) == pytest.approx(expected)


kilobytes = st.floats(0.5, 65536)
nodes = st.sampled_from(NODES)


@given(node=nodes, kb=st.floats(1, 65536), flavour=st.sampled_from(["low_leakage", "high_performance"]))
def test_law_splitting_a_memory_in_two_never_changes_its_leakage(node: str, kb: float, flavour: str) -> None:
    whole, half = (buffer(node, size, flavour=flavour).leakage() for size in (kb, kb / 2))
    for level in LEVELS:
        assert 2 * half.at(level) == pytest.approx(whole.at(level), rel=1e-12)


@given(node=nodes, kb=kilobytes, more=st.floats(1.01, 8), width=st.integers(8, 2048))
def test_law_a_larger_array_costs_no_less_and_is_no_smaller_or_faster(
    node: str, kb: float, more: float, width: int
) -> None:
    sram = load_sram(f"sram-{node}nm")
    for quantity in ("read_pj", "write_pj", "area_mm2", "fast_ns", "slow_ns"):
        small, large = (array_price(sram, quantity, size, width) for size in (kb, kb * more))  # type: ignore[arg-type]
        for level in LEVELS:
            assert small.at(level) <= large.at(level) * (1 + 1e-12), (quantity, level)


@given(node=nodes, kb=kilobytes, width=st.integers(8, 2047), more=st.integers(1, 512))
def test_law_a_wider_access_never_costs_less(node: str, kb: float, width: int, more: int) -> None:
    sram = load_sram(f"sram-{node}nm")
    for quantity in ("read_pj", "write_pj"):
        narrow, wide = (array_price(sram, quantity, kb, bits) for bits in (width, width + more))  # type: ignore[arg-type]
        for level in LEVELS:
            assert narrow.at(level) <= wide.at(level) * (1 + 1e-12), (quantity, level)


@given(node=nodes, kb=kilobytes, width=st.integers(8, 2048))
def test_law_every_price_is_a_range(node: str, kb: float, width: int) -> None:
    sram = load_sram(f"sram-{node}nm")
    for quantity in ("read_pj", "write_pj", "area_mm2"):
        price = array_price(sram, quantity, kb, width)  # type: ignore[arg-type]
        assert 0 < price.low < price.nominal < price.high


def test_between_two_capacities_and_widths_it_lies_between_their_logarithms() -> None:
    """45 nm, 64 bits: 14.9248 pJ at 32 kB and 32.9568 at 128; at 64 kB their geometric mean."""
    sram = load_sram("sram-45nm")
    middle = array_price(sram, "read_pj", 64, 64).nominal
    assert middle == pytest.approx(2 * (14.9248 * 32.9568) ** 0.5, rel=1e-5)
    corners = [array_price(sram, "write_pj", kb, bits).nominal for kb in (8, 32) for bits in (64, 128)]
    assert array_price(sram, "write_pj", 16, 8192**0.5).nominal == pytest.approx(
        (corners[0] * corners[1] * corners[2] * corners[3]) ** 0.25
    )


def test_beyond_the_grid_ranges_grow() -> None:
    """22 nm: 0.603036 pJ at 2 kB x 64 bit, 50.4217 at 8 MB; 6.04794 at 2 kB x 512 bit; 0.499244 at 2 kB x 32 bit."""
    sram = load_sram("sram-22nm")

    def energy(kb: float, width: int) -> tuple[float, float, float]:
        price = array_price(sram, "read_pj", kb, width)
        return price.low, price.nominal, price.high

    def times(pj: float, low: float, nominal: float, high: float) -> Any:
        return pytest.approx((pj * 0.77 * low, pj * 2 * nominal, pj * 4.5 * 1.3 * high), rel=1e-4)

    assert energy(0.5, 64) == times(0.603036, 0.44, 0.79, 1.0)
    assert energy(32768, 64) == times(50.4217, 1.74, 2.0, 2.3)
    assert energy(2, 8) == times(0.499244, 0.6**2, 0.78**2, 1.0)
    assert energy(8, 2048) == times(4 * 6.04794, 1.0, 1.3**2, 1.51**2)  # four of 2 kB x 512 bit
    area = array_price(sram, "area_mm2", 16384, 64).nominal
    assert area == pytest.approx(2 * array_price(sram, "area_mm2", 8192, 64).nominal)
    assert array_price(sram, "fast_ns", 0.5, 64).nominal == array_price(sram, "fast_ns", 2, 64).nominal


def test_banks_are_as_many_as_an_access_takes_to_fit_into_the_clock() -> None:
    """28 nm, 64 bits, ns: fast 0.51 at 128 kB, 0.95 at 512, 1.62 at 2048; slow 0.97 at 128, more than 1 at 256."""
    fast, slow = (buffer("28", 1024, flavour=flavour) for flavour in ("high_performance", "low_leakage"))
    assert (fast.banks.count, fast.banks.capacity_kb, fast.banks.fits) == (2, 512, True)
    assert (slow.banks.count, slow.banks.capacity_kb, slow.banks.fits) == (8, 128, True)
    assert fast.banks.access_ns == pytest.approx(0.9526, rel=1e-3)
    assert buffer("28", 1024, clock_ghz=0.5).banks.count == 1
    given_banks = buffer("28", 1024, banks=1).banks
    assert (given_banks.count, given_banks.fits) == (1, False)
    racing = buffer("28", 1024, clock_ghz=20).banks
    assert (racing.fits, racing.capacity_kb) == (False, 0.5)


def test_a_port_is_a_bank_or_more_and_small_banks_are_shared() -> None:
    def built(kb: float, **level: Any) -> tuple[int, float, int, int]:
        banks = buffer("7", kb, **level).banks
        return banks.count, banks.capacity_kb, banks.width_bits, banks.ports_each

    assert built(1024, ports=16) == (16, 64, 64, 1)
    assert built(32, ports=128) == (64, 0.5, 128, 2)
    assert built(20, ports=48) == (24, 20 / 24, 128, 2)
    assert built(128, ports=2, banks=8) == (8, 16, 64, 1)
    assert built(128, ports=8, banks=2) == (2, 64, 256, 4)
    assert built(128, ports=7, banks=2) == (2, 64, 256, 4)


def test_an_access_is_priced_at_the_bank_that_it_reaches() -> None:
    """Central access to 4 MB against one of 16 banks of 256 kB: CACTI says 2.9 to 4.4 times less."""
    for node in ("45", "22"):
        whole, banked = (buffer(node, 4096, banks=n, clock_ghz=0.1).bit("read").nominal for n in (1, 16))
        assert 2.9 <= whole / banked <= 4.4


def test_idle_banks_leak_less() -> None:
    """Eight banks, two ports: two are active, six keep a third or a hundredth."""
    active, kept, off = (
        buffer("22", 64, ports=2, banks=8, idle=idle).leakage() for idle in ("active", "retention", "off")
    )
    assert active.nominal == pytest.approx(64 * 12.5e-3)
    assert kept.nominal == pytest.approx(64 * 12.5e-3 * (0.25 + 0.75 * 0.333))
    assert off.nominal == pytest.approx(64 * 12.5e-3 * (0.25 + 0.75 * 0.01))
    assert buffer("22", 64, ports=8, banks=8, idle="off").leakage().nominal == active.nominal


def test_supply_scales_energy_by_its_square_and_leakage_by_the_published_slope() -> None:
    """0.42 of 0.8 V: leakage 0.525 x 10^-0.19 = 0.339, which with 1.8 less at 300 K is Simba's 5.3 times less."""
    usual, low = buffer("16", 64), buffer("16", 64, volts=0.42)
    assert low.bit("read").nominal / usual.bit("read").nominal == pytest.approx((0.42 / 0.8) ** 2)
    ratio = low.leakage().nominal / usual.leakage().nominal
    assert ratio == pytest.approx(0.525 * 10**-0.19, rel=1e-3)
    assert 1.8 / ratio == pytest.approx(5.3, rel=0.01)
    same = buffer("16", 64, volts=0.8)
    assert same.leakage().high == pytest.approx(usual.leakage().high)


def test_temperature_takes_leakage_from_one_end_to_the_other() -> None:
    def per_kb(celsius: float, flavour: str) -> tuple[float, ...]:
        price = buffer("22", 1000, celsius=celsius, flavour=flavour).leakage()
        return price.low, price.nominal, price.high

    assert per_kb(25, "low_leakage") == pytest.approx((0.066, 0.2, 0.211))
    assert per_kb(85, "low_leakage") == pytest.approx((0.92, 3.0, 4.2))
    assert per_kb(55, "low_leakage") == pytest.approx(((0.066 * 0.92) ** 0.5, 0.6**0.5, (0.211 * 4.2) ** 0.5))
    assert per_kb(77, "high_performance") == pytest.approx((3.2, 12.5, 138))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"kb": 0.4}, "memory.m.capacity: expected 0.5 .. 65536 kB (got 0.4 kB)"),
        ({"kb": 65537}, "memory.m.capacity: expected 0.5 .. 65536 kB (got 65537 kB); the range of"),
        ({"width_bits": 4}, "memory.m.width_bits: expected 8 .. 2048 bit (got 4 bit)"),
        ({"width_bits": 2049}, "memory.m.width_bits: expected 8 .. 2048 bit (got 2049 bit)"),
        ({"kb": 1, "ports": 128}, "(got 4096 bit: 64 ports of 64 bit share a bank)"),
        ({"banks": 256}, "memory.m.banks: expected 0.5 .. 65536 kB (got 0.25 kB per bank)"),
        ({"volts": 0.3}, "memory.m.supply: expected 0.36 .. 0.95 V (got 0.3 V)"),
        ({"volts": 1.0}, "memory.m.supply: expected 0.36 .. 0.95 V (got 1 V)"),
        ({"celsius": 80}, "memory.temperature: expected 25 .. 77 C (got 80 C) for memory.m, high_performance"),
        ({"celsius": 90, "flavour": "low_leakage"}, "memory.temperature: expected 25 .. 85 C (got 90 C)"),
        ({"celsius": 20, "flavour": "low_leakage"}, "memory.temperature: expected 25 .. 85 C (got 20 C)"),
    ],
)
def test_outside_of_the_range_an_error_says_which_and_what_ends_it(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        buffer("22", changes.pop("kb", 64), **changes).leakage()
    message = str(caught.value)
    assert message.startswith("c.yaml: ")
    assert text in message
    assert "ends below with" in message
    assert "above with" in message


def test_a_node_between_two_has_their_energy_and_the_envelope_of_their_leakage() -> None:
    small, middle, large = (load_sram(f"sram-{node}nm") for node in ("28", "40", "45"))
    for kb, width in ((2, 64), (100, 96), (4096, 512)):
        ends = [array_price(sram, "read_pj", kb, width) for sram in (small, middle, large)]
        assert ends[0].nominal < ends[1].nominal < ends[2].nominal
        assert ends[1].high / ends[1].nominal == pytest.approx(4.5 / 2 * 1.3 * 1.17, rel=1e-6)
    leakage = middle.leakage.high_performance.usual
    assert (leakage.low, leakage.nominal, leakage.high) == (1.8, 12.5, 960)
    assert leakage.evidence == "assumed"
    assert "does not interpolate" in leakage.source


def test_area_by_hand() -> None:
    """28 nm, four banks of 8 kB x 64 bit: CACTI 0.01017 mm2 each, silicon 1.3 times as much."""
    area = buffer("28", 32, banks=4).area()
    assert area.nominal == pytest.approx(4 * 1.3 * 0.01017, rel=1e-3)
    assert (area.low, area.high) == pytest.approx((4 * 0.77 * 0.01017, 4 * 2.6 * 0.01017), rel=1e-3)


@pytest.mark.parametrize(
    ("node", "low", "high"),
    [("45", 0.36, 0.92), ("28", 0.144, 0.36), ("22", 0.087, 0.22), ("16", 0.087, 0.15), ("7", 0.036, 0.08)],
)
def test_area_per_bit_lies_where_macros_and_cacti_do(node: str, low: float, high: float) -> None:
    for kb in (2, 8, 32, 128, 512, 2048, 8192):
        per_bit = array_price(load_sram(f"sram-{node}nm"), "area_mm2", kb, 64).nominal * 1e6 / (kb * 8192)
        assert low <= per_bit <= high


def test_every_constant_of_a_price_is_named() -> None:
    found = buffer_of(load_chip("ternary-ws-64x64"), "acts")
    names = [name for name, _ in found.bit("read").constants]
    assert names == [
        "sram-7nm: grid.read_pj 32 kB x 64 bit", "sram-7nm: grid.read_pj 128 kB x 64 bit", "sram-7nm: interpolation",
        "sram-7nm: node_energy", "sram-7nm: silicon", "ternary-ws-64x64: memory.acts.capacity",
    ]  # fmt: skip
    assert [name for name, _ in found.leakage().constants] == [
        f"sram-7nm: leakage.{found.flavour}.usual", "ternary-ws-64x64: memory.acts.capacity",
    ]  # fmt: skip


@pytest.mark.parametrize("name", sram_names())
def test_a_slow_array_is_slower(name: str) -> None:
    sram = load_sram(name)
    for kb in (0.5, 16, 8192, 65536):
        fast, slow = (access_ns(sram, flavour, kb, 64).nominal for flavour in ("high_performance", "low_leakage"))  # type: ignore[arg-type]
        assert fast < slow


def test_a_supply_of_the_chip_reaches_its_buffers() -> None:
    """7 nm, 0.7 V: at 0.6 V energy 0.735 times, leakage 0.857 x 10^-0.05, and an access takes longer."""
    base = load_chip("ternary-ws-64x64")
    usual, lower = (buffer_of(chip, "acts") for chip in (base, base.model_copy(update={"voltage": constant(0.6, "V")})))
    assert lower.bit("write").nominal / usual.bit("write").nominal == pytest.approx((0.6 / 0.7) ** 2)
    assert lower.leakage().nominal / usual.leakage().nominal == pytest.approx(0.6 / 0.7 * 10**-0.05, rel=1e-3)
    assert lower.banks.access_ns > 1.05 * usual.banks.access_ns
    assert "ternary-ws-64x64: voltage" in [name for name, _ in lower.leakage().constants]
    beyond = base.model_copy(update={"voltage": constant(0.86, "V")})
    with pytest.raises(ConfigError, match=r"memory\.acts\.supply: expected 0\.36 \.\. 0\.85 V \(got 0\.86 V\)"):
        buffer_of(beyond, "acts").bit("read")


def test_what_a_reader_must_know_is_said() -> None:
    chip = load_chip("ternary-ws-64x64")
    assert notes_on_sram(chip) == ()
    changed = with_level(chip, "acts", idle="off", banks=32)
    assert notes_on_sram(changed) == ("memory.acts: idle banks are off, that they lose their content is not modelled",)
    racing = chip.model_copy(update={"clock": amount(chip.clock, 8.0)})
    slow = [note for note in notes_on_sram(racing) if "memory.acts" in note]
    assert len(slow) == 1
    assert slow[0].startswith("memory.acts: a clock cycle of 0.125 ns is too short for an access of ")
    assert slow[0].endswith("ns to low_leakage SRAM of 2048 x 0.5 kB x 64 bit")
    open_ = chip.model_copy(update={"memory": chip.memory.model_copy(update={"flavour": None})})
    assert notes_on_sram(open_) == tuple(
        f"memory.{name}: no flavour given, high_performance SRAM is assumed" for name in chip.memory.names
    )
    assert notes_on_sram(load_chip("trinity-xc7a100t")) == ()


def test_levels_are_shown_with_what_they_cost() -> None:
    """128 kB at 0.05, 0.5 and 5 uW per kB; CACTI's 0.603036 pJ of 2 kB x 64 bit at 22 nm times 0.9 at 7 nm."""
    chip = load_chip("ternary-ws-64x64")
    rows = {row[0]: row for row in levels_of(chip)}
    assert list(rows) == ["weights", "acts", "psums"]
    assert rows["psums"][1:3] == ["low_leakage", "64 x 2 kB x 64 bit"]
    assert rows["psums"][4].split(" / ")[1] == "0.543"
    assert rows["psums"][6] == "0.0064 / 0.064 / 0.64"
    bad = {row[0]: row for row in levels_of(with_level(chip, "acts", width_bits=2))}["acts"]
    assert "expected 8 .. 2048 bit (got 2 bit)" in bad[1]
    assert levels_of(load_chip("trinity-xc7a100t")) == []
