"""DRAM beside its bits: refreshed all the time, at rest while none moves. 8 GB at 17.064 GB/s, 136.512 bits per ns."""

import pytest

import bitsim
from bitsim.cost import CONVENTIONS, OperatorCost, PriceList, price_operator
from bitsim.events import Events
from bitsim.hw import Chip, load_chip

CHIP = load_chip("ternary-ws-64x64")


def without(*keys: str) -> Chip:
    dram = CHIP.memory.dram.model_copy(update=dict.fromkeys(keys))
    return CHIP.model_copy(update={"memory": CHIP.memory.model_copy(update={"dram": dram})})


def energy(bits: int, time_ns: float, chip: Chip = CHIP, level: str = "nominal") -> dict[str, float]:
    events = Events({"dram.weights.read_bits": bits // 2, "dram.kv.write_bits": bits - bits // 2})
    cost = OperatorCost(name="q", kind="linear", events=events, time_ns=time_ns)
    parts = price_operator(cost, PriceList(chip), CONVENTIONS["system"])
    return {name: getattr(part, level) for name, part in parts.items() if name.startswith("dram ")}


def test_refresh_flows_all_the_time_and_standby_while_no_bit_moves() -> None:
    """7.7 and 44 mW per GB; in 100 ns 13651.2 bits would fit, half of them take half of it."""
    found = energy(6826, 100.0)
    assert found["dram refresh"] == pytest.approx(8 * 7.7 * 100)
    assert found["dram standby"] == pytest.approx(8 * 44 * (100 - 6826 / 136.512))
    assert energy(0, 100.0)["dram standby"] == pytest.approx(8 * 44 * 100)
    assert energy(13652, 100.0)["dram standby"] == 0  # more than fit: never negative


@pytest.mark.parametrize(("level", "refresh", "standby"), [("low", 7.7, 8.4), ("high", 15.4, 88)])
def test_each_end_of_a_range_is_that_of_its_constants(level: str, refresh: float, standby: float) -> None:
    found = energy(0, 10.0, level=level)
    assert found["dram refresh"] == pytest.approx(80 * refresh)
    assert found["dram standby"] == pytest.approx(80 * standby)


def test_a_split_bit_costs_its_array_and_its_pins() -> None:
    price = PriceList(CHIP).must_price("dram.weights.read_bits", 1, "q")
    assert [(term.at("nominal"), [f.name for f in term.factors]) for term in price.terms] == [
        (5.2, ["ternary-ws-64x64: memory.dram.energy_array"]),
        (2.8, ["ternary-ws-64x64: memory.dram.energy_io"]),
    ]
    whole = PriceList(load_chip("vitallm-v1")).must_price("dram.weights.read_bits", 1, "q")
    assert [(term.at("nominal"), [f.name for f in term.factors]) for term in whole.terms] == [
        (6, ["vitallm-v1: memory.dram.energy"])
    ]


def test_a_dram_that_does_not_say_what_it_draws_at_rest_costs_its_bits_and_results_say_so() -> None:
    assert set(energy(100, 100.0, without("refresh", "standby"))) == {"dram weights", "dram kv"}
    assert set(energy(100, 100.0, without("standby"))) == {"dram weights", "dram kv", "dram refresh"}
    notes = {
        keys: [
            note for note in bitsim.estimate("tiny-b158", without(*keys), prefill=1, decode=0).notes if "DRAM" in note
        ]
        for keys in ((), ("refresh",), ("refresh", "standby"))
    }
    assert notes[()] == [n for n in notes[()] if "not counted" not in n]
    assert "DRAM: refresh is not counted: the chip gives none" in notes["refresh",]
    assert "DRAM: refresh and standby are not counted: the chip gives none" in notes["refresh", "standby"]


def test_only_the_system_convention_counts_what_dram_draws_at_rest() -> None:
    result = bitsim.estimate("tiny-b158", CHIP, prefill=2, decode=1)
    for convention in CONVENTIONS:
        parts = {part for _, part, _ in result.breakdown(convention)}
        assert ({"dram refresh", "dram standby"} <= parts) == (convention == "system"), convention


@pytest.mark.parametrize("chip", ["ternary-ws-64x64", "adder-tree-16x256", "vitallm-v1", "int8-ws-64x64"])
def test_bits_never_stream_for_longer_than_their_operator_takes(chip: str) -> None:
    """Else standby would be cut off at nothing, and the bound of the peak rate broken."""
    result = bitsim.estimate("bitnet-125m", chip, prefill=16, decode=2)
    for row in result.rows:
        bits = row.events.of_unit("dram").count()
        peak = 8 * result.chip.memory.dram.bandwidth.nominal / result.chip.clock.nominal
        assert bits / peak <= row.cycles * (1 + 1e-9), row.name
