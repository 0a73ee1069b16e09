"""What stands between stored codes and a datapath that multiplies floats: how often, in which steps, at what price."""

import pytest

import bitsim
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.model.operators import WeightFormat, lone_linear
from bitsim.schedule import Placement
from tests.chips import with_level

FP16 = "fp16-ws-64x64"


def placed(chip: Chip | str, weight_format: WeightFormat, *, m: int = 1, k: int = 1024, n: int = 768, bits: int = 4):
    op = lone_linear(
        name="linear", phase="prefill", m=m, k=k, n=n, weight_bits=bits * k * n, weight_format=weight_format
    )
    return Placement(load_chip(chip)).place(op).events


@pytest.mark.parametrize(
    ("weight_format", "steps"),
    [
        ("scaled_integers", {"dequant.fp16", "dequant.fp16.scale"}),
        ("scaled_ternary", {"dequant.fp16.select"}),
        ("fp16", set()),
        ("ternary", set()),
    ],
)
def test_steps_by_what_is_stored(weight_format: WeightFormat, steps: set[str]) -> None:
    """Of one token every weight is fetched once."""
    events = placed(FP16, weight_format)
    assert {name: count for name, count in events.items() if name.startswith("dequant")} == dict.fromkeys(
        steps, 1024 * 768
    )


def test_a_weight_is_dequantised_whenever_it_is_fetched() -> None:
    """More tokens than the buffer of sums takes: weights come from DRAM several times, packed; 16 bits go on."""
    events = placed(FP16, "scaled_integers", m=4096, bits=4)
    fetched = events["dram.weights.read_bits"] // 4
    assert fetched > 1024 * 768
    assert events["dequant.fp16"] == events["dequant.fp16.scale"] == fetched
    assert events["sram.weights.write_bits"] == 16 * fetched


def test_codes_in_a_resident_innermost_buffer_are_dequantised_at_each_use() -> None:
    chip = with_level(load_chip(FP16), "weights", resident=True)
    events = placed(chip, "scaled_ternary", m=4096)
    assert "dram.weights.read_bits" not in events
    assert events["dequant.fp16.select"] == events["sram.weights.read_bits"] // 16


def test_a_head_of_fewer_bits_is_dequantised_too() -> None:
    result = bitsim.estimate("tiny-fp16", FP16, prefill=4, decode=1, head_bits=8)
    config = bitsim.load_model("tiny-fp16").config
    for row in result.rows:
        counted = {name: count for name, count in row.events.items() if name.startswith("dequant")}
        expected = config.vocab_size * config.hidden_size if row.kind == "head" else 0
        assert counted == ({"dequant.fp16": expected, "dequant.fp16.scale": expected} if expected else {})


def test_estimate_prices_it_and_says_where_it_happens() -> None:
    result = bitsim.estimate("tiny-fp16", FP16, prefill=4, decode=1, numerics="w4a16_g64")
    linears = [row for row in result.rows if row.kind == "linear" and row.phase == "decode"]
    counted = sum(row.events["dequant.fp16.scale"] for row in linears)
    assert counted == bitsim.load_model("tiny-fp16").config.linear_weights
    tech = load_chip(FP16).tech
    step = (
        tech.prices["dequant.fp16"].nominal + tech.prices["dequant.fp16.scale"].nominal
    ) * tech.layout_factor.nominal
    both = sum(row.events["dequant.fp16.scale"] for row in result.rows)
    booked = {(r["convention"], r["component"]): r for r in result.records("components")}
    assert booked["datapath", "dequantisation"]["nominal_j"] == pytest.approx(both * step * 1e-12)
    assert ("arithmetic", "dequantisation") not in booked
    assert any("dequantised whenever they are fetched" in note for note in result.notes)
