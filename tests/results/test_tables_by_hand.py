"""The tables of a result whose every number is given: sums, means, shares and units by hand."""

import pytest

from bitsim.results import Result
from bitsim.results.rows import memory_bytes, sparsity
from bitsim.results.setup import check_count
from tests.by_hand import chip, result, row


def made() -> Result:
    """2 sequences of 3 prompt tokens and 1 new one, at 2 GHz."""
    return result(
        row("prefill", "layers.0.q_proj", "linear", 0, bitlinear=True, calls=1, macs=4096 * 30, cycles=100,
            unit_cycles=40, least_cycles=80, bound="dram", live_macs=4096 * 12, plan="tiles",
            events={"add.int8": 1000, "dram.weights.read_bits": 800, "sram.acts.write_bits": 160}),
        row("prefill", "layers.1.q_proj", "linear", 1, bitlinear=True, calls=2, macs=4096 * 10, cycles=60,
            least_cycles=60, bound="array", live_macs=4096 * 10, events={"add.int8": 500}),
        row("prefill", "layers.0.qk", "qk", 0, macs=1024 * 5, cycles=10, least_cycles=8, bound="array",
            events={"mul.fp16": 10, "dram.kv.write_bits": 80}),
        row("prefill", "layers.0.norm", "norm", 0, cycles=30, bound="vector unit"),
        row("decode", "head", "head", cycles=50, least_cycles=50, bound="dram", events={"dram.weights.read_bits": 16}),
        prefill=3, decode=1, batch=2,
    )  # fmt: skip


def test_phases_count_tokens_of_all_sequences() -> None:
    prefill, decode = made().records("phases")
    assert (prefill["phase"], prefill["tokens"], prefill["cycles"]) == ("prefill", 6, 200)
    assert prefill["time_s"] == pytest.approx(100e-9)
    assert (decode["tokens"], decode["time_s"]) == (2, pytest.approx(25e-9))
    # 1500 x 0.007 and 10 x 0.34 pJ
    assert prefill["energy_arithmetic_nominal_j"] == pytest.approx(13.9e-12)
    assert prefill["energy_arithmetic_per_token_j"] == pytest.approx(13.9e-12 / 6)
    assert decode["energy_arithmetic_nominal_j"] == 0
    low, high = (decode[f"energy_system_{level}_j"] for level in ("low", "high"))
    # 8 GB of DRAM: refreshed for 25 ns, at rest but for the 0.1 ns that 16 bits take at 160 bits per ns.
    idle = [8e-12 * (refresh * 25 + standby * 24.9) for refresh, standby in ((7.7, 8.4), (15.4, 88))]
    # 1184 kB of low-leakage SRAM at 7 nm, 0.05 and 5 uW per kB, for 25 ns
    assert (low, high) == (
        pytest.approx(16 * 4.6e-12 + 1.48e-12 + idle[0]),
        pytest.approx(16 * 14e-12 + 148e-12 + idle[1]),
    )


def test_kinds_share_the_array_and_name_what_most_of_their_time_waits_for() -> None:
    linear, qk, norm, head = made().records("kinds")
    assert (linear["kind"], linear["operators"], linear["macs"], linear["cycles"]) == ("linear", 2, 4096 * 40, 160)
    assert (linear["bound"], linear["bound_cycles"]) == ("dram", 140)  # 100 cycles wait for DRAM, 60 for the array
    assert linear["gap"] == pytest.approx(160 / 140 - 1)
    assert linear["utilisation"] == pytest.approx(40 / 160)  # of 4096 products per cycle
    assert linear["dram_bytes"] == 100
    assert linear["energy_arithmetic_j"] == pytest.approx(10.5e-12)
    assert (qk["utilisation"], qk["dram_bytes"]) == (pytest.approx(5 / 10), 10)  # of 1024 products per cycle
    assert (norm["gap"], norm["utilisation"], norm["energy_arithmetic_j"]) == (None, None, None)
    assert (head["phase"], head["gap"]) == ("decode", 0)


def test_components_and_conventions_add_up_phases() -> None:
    found = {(r["convention"], r["component"]): r for r in made().records("components")}
    weights = found["system", "dram weights"]
    assert [weights[f"{level}_j"] for level in ("low", "nominal", "high")] == [
        pytest.approx(816 * pj * 1e-12) for pj in (4.6, 8, 14)
    ]
    assert found["arithmetic", "add int8"]["nominal_j"] == pytest.approx(10.5e-12)
    arithmetic, datapath, system = made().records("conventions")
    assert arithmetic["nominal_j"] == pytest.approx(13.9e-12)
    assert datapath["nominal_j"] == 0
    assert system["nominal_j"] == pytest.approx(sum(r["nominal_j"] for (c, _), r in found.items() if c == "system"))
    assert [r["unpriced"] for r in (arithmetic, datapath, system)] == [None] * 3


def test_operators_have_bytes_by_memory_sparsity_and_energies() -> None:
    q, other, qk, norm, _ = made().records("operators")
    assert (q["layer"], q["calls"], q["cycles"], q["unit_cycles"], q["plan"]) == (0, 1, 100, 40, "tiles")
    assert q["time_s"] == pytest.approx(50e-9)
    assert (q["gap"], q["utilisation"]) == (pytest.approx(0.25), pytest.approx(30 / 100))
    assert (q["dram_read_bytes"], q["dram_write_bytes"], q["acts_write_bytes"], q["acts_read_bytes"]) == (100, 0, 20, 0)
    assert q["sparsity"] == pytest.approx(1 - 12 / 30)
    assert (other["sparsity"], other["plan"], qk["sparsity"]) == (0, None, None)
    assert q["energy_arithmetic_pj"] == pytest.approx(7)
    assert (norm["gap"], norm["utilisation"]) == (0, None)
    assert qk["dram_write_bytes"] == 10


def test_events_and_energies_are_one_row_each() -> None:
    events = made().records("events")
    assert [(e["operator"], e["event"], e["count"]) for e in events[:3]] == [
        ("layers.0.q_proj", "add.int8", 1000),
        ("layers.0.q_proj", "dram.weights.read_bits", 800),
        ("layers.0.q_proj", "sram.acts.write_bits", 160),
    ]
    (dram,) = [e for e in made().records("energy") if e["component"] == "dram kv"]
    assert [dram[f"{level}_pj"] for level in ("low", "nominal", "high")] == pytest.approx([368, 640, 1120])


def test_headlines_and_tokens() -> None:
    headline = made().headline()
    assert (headline["cycles"], headline["time_s"]) == (250, pytest.approx(125e-9))
    assert headline["energy_arithmetic_j"] == pytest.approx(13.9e-12)
    per_token = made().per_token()
    assert (per_token["cycles"], per_token["time_s"]) == (25, pytest.approx(12.5e-9))
    assert made().title == "by hand on ternary-ws-64x64, 7nm, batch 2"


def test_sparsity_is_weighted_by_products() -> None:
    """12 of 30 and 10 of 10 products of q are live, 1 of 4 of down_proj."""
    rows = [*made().rows, row("prefill", "layers.0.down_proj", "linear", 0, macs=4 * 4096, live_macs=4096)]
    assert sparsity(rows) == {
        "qkv": pytest.approx(1 - 22 / 40),
        "down": pytest.approx(0.75),
        "overall": pytest.approx(1 - 23 / 44),
    }
    assert sparsity(rows[2:4]) == {}


def test_every_memory_has_bytes_of_both_ways_even_if_there_are_none() -> None:
    assert memory_bytes(made().rows[3].events, chip()) == {
        f"{memory}_{way}_bytes": 0.0 for memory in ("weights", "acts", "psums", "dram") for way in ("read", "write")
    }


@pytest.mark.parametrize("value", [True, 0, -1, 1.0, "1", None])
def test_counts_are_integers_and_no_booleans(value: object) -> None:
    from bitsim.errors import ConfigError

    with pytest.raises(ConfigError, match=f"n: expected an integer >= 1, got {value!r}"):
        check_count("n", value, 1)


def test_what_is_assumed_of_leakage_is_listed_even_if_nothing_was_counted() -> None:
    quiet = row("prefill", "n", "norm", 0, cycles=2)
    (found,) = [constant for constant in result(quiet).assumed() if constant["constant"].startswith("sram-")]
    assert (found["constant"], found["value"]) == ("sram-7nm: leakage.low_leakage.usual", "0.05 / 0.5 / 5 uW/kB")


def test_a_flavour_that_the_chip_leaves_open_is_listed_as_assumed() -> None:
    base = chip()
    on = base.model_copy(update={"memory": base.memory.model_copy(update={"flavour": None})})
    quiet = row("prefill", "n", "norm", 0, cycles=2)
    found = [c for c in result(quiet, on=on).assumed() if c["constant"].endswith(".flavour")]
    assert [c["constant"].split(".")[1] for c in found] == list(base.memory.names)
    assert {c["value"] for c in found} == {"high_performance"}
    assert not [c for c in result(quiet).assumed() if c["constant"].endswith(".flavour")]
