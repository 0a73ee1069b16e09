"""The table of DRAM, by hand: 8 GB at 20 GB/s, 160 bits per ns; 2 GHz."""

import pytest

import bitsim
from bitsim.hw import load_chip
from tests.by_hand import result, row


def made() -> bitsim.Result:
    return result(
        row("prefill", "q", "linear", cycles=200, events={"dram.weights.read_bits": 1600, "dram.acts.write_bits": 320}),
        row("prefill", "n", "norm", cycles=100, events={"dram.acts.write_bits": 160}),
        row("decode", "q", "linear", cycles=10, events={"dram.weights.read_bits": 800}),
    )  # fmt: skip


def test_contents_stream_at_the_peak_and_the_rest_of_the_time_is_standby() -> None:
    found = {(r["phase"], r["what"]): r for r in made().records("dram")}
    assert {key: r["time_s"] * 1e9 for key, r in found.items()} == {
        ("prefill", "acts"): pytest.approx(3),
        ("prefill", "weights"): pytest.approx(10),
        ("prefill", "refresh"): pytest.approx(150),
        ("prefill", "standby"): pytest.approx(137),
        ("decode", "weights"): pytest.approx(5),
        ("decode", "refresh"): pytest.approx(5),
        ("decode", "standby"): 0,
    }
    acts = found["prefill", "acts"]
    assert (acts["read_bytes"], acts["write_bytes"]) == (0, 60)
    assert (acts["array_j"], acts["io_j"]) == (pytest.approx(480 * 5.2e-12), pytest.approx(480 * 2.8e-12))
    assert [acts[f"{level}_j"] for level in ("low", "nominal", "high")] == pytest.approx(
        [480 * pj * 1e-12 for pj in (4.6, 8, 14)]
    )
    standby = found["prefill", "standby"]
    assert standby["nominal_j"] == pytest.approx(137 * 8 * 44e-12)
    assert (standby["read_bytes"], standby["array_j"]) == (None, None)


def test_what_the_table_adds_up_to_is_the_systems_dram() -> None:
    it = bitsim.estimate("tiny-b158", load_chip("ternary-ws-64x64"), prefill=4, decode=2)
    listed = sum(r["nominal_j"] for r in it.records("dram"))
    parts = sum(e.nominal for _, part, e in it.breakdown("system") if part.startswith("dram "))
    assert listed == pytest.approx(parts * 1e-12)


def test_a_chip_without_prices_of_logic_has_its_dram_all_the_same_and_unsplit_where_it_is() -> None:
    it = bitsim.estimate("tiny-b158", "tereffic-hbm", prefill=2, decode=0)
    assert "system" not in it.priced
    assert {"weights", "refresh", "standby"} <= {r["what"] for r in it.records("dram")}
    whole = bitsim.estimate("tiny-b158", "vitallm-v2", prefill=2, decode=0).records("dram")
    assert {r["array_j"] for r in whole} == {None}
