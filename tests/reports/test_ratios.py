"""Ratios, quotients and sums of the reports: a few rows of each recomputed from numbers that stand here."""

import pytest

from reports.a48 import claim_rows
from reports.comparison import Row
from reports.cpu import cpu_rows
from reports.energy_2310_11453 import ratio_rows, table_1_rows
from reports.latency_2402_17764 import latency_rows
from reports.memory_2402_17764 import memory_rows
from reports.predictions import Prediction
from reports.throughput_2402_17764 import largest_batch, throughput_rows, tokens_per_s
from reports.validation import Compared, Validation


def by_item(rows: list[Row]) -> dict[str, Row]:
    return {row.item: row for row in rows}


def weights(layers: int, d: int, ffn: int) -> int:
    return layers * (4 * d * d + 3 * d * ffn)


def test_memory_of_llama_over_bitnet_by_hand() -> None:
    """2 bytes or 2 bits per linear weight, FP16 embedding and head, and what the 700M rows leave per hidden unit."""
    head = 4 * 32000
    small = weights(24, 1536, 4096)
    full_rest, bit_rest = ((gb * 1e9 - small * size) / 1536 - head for gb, size in ((2.08, 2), (0.80, 0.25)))
    llama = weights(26, 3200, 8640) * 2 + (head + full_rest) * 3200
    bitnet = weights(26, 3200, 12800) * 0.25 + (head + bit_rest) * 3200
    rows = by_item(memory_rows())
    row = rows["llama-3b / bitnet-b158-3.9b memory"]
    assert (row.published, row.ours) == (3.32, pytest.approx(llama / bitnet))
    assert rows["llama-3b memory"].ours == pytest.approx(llama * 1e-9)
    assert rows["bitnet-b158-3.9b memory"].ours == pytest.approx(bitnet * 1e-9)
    assert row.residual_pct == pytest.approx(100 * (llama / bitnet / 3.32 - 1))


def test_equivalences_are_the_small_model_over_the_full_one() -> None:
    memory, latency = by_item(memory_rows()), by_item(latency_rows())
    for rows, what, published in (
        (memory, "memory", {"bitnet-b158-13b / llama-3b": 5.4 / 7.89, "bitnet-b158-70b / llama-13b": 18.5 / 27.5}),
        (latency, "latency", {"bitnet-b158-13b / llama-3b": 4.55 / 5.07, "bitnet-b158-70b / llama-13b": 19.4 / 16.9}),
    ):
        for pair, quotient in published.items():
            row = rows[f"{pair} {what}, claimed < 1"]
            small, full = (rows[f"{model} {what}"].ours for model in pair.split(" / "))
            assert row.published == pytest.approx(quotient)
            assert row.ours == pytest.approx((small or 0) / (full or 1))
            assert row.uncertainty == pytest.approx(0.08 * quotient)  # both read off a figure to 4 %
            holds = "holds" if quotient < 1 else "is contradicted by the paper's own figure"
            ours = "agrees" if small < full else "contradicts it"  # type: ignore[operator]
            assert row.note.startswith(f"the claim {holds}; ours {ours}")


def test_sizes_that_were_read_off_a_figure_are_uncertain_by_4_percent() -> None:
    rows = by_item(memory_rows())
    assert rows["llama-700m memory"].uncertainty == 0.005
    assert rows["llama-70b memory"].uncertainty == pytest.approx(0.04 * 131)


def test_latencies_and_their_ratios_are_those_of_the_table() -> None:
    rows = by_item(latency_rows())
    for pair, published in {"llama-3b / bitnet-b158-3b": 2.71, "llama-70b / bitnet-b158-70b": 4.10}.items():
        row = rows[f"{pair} latency"]
        full, small = (rows[f"{model} latency"].ours for model in pair.split(" / "))
        assert (row.published, row.ours) == (published, pytest.approx((full or 0) / (small or 1)))
    run = "bitnet-b158-2b4t, 512 prompt and 64 new tokens"
    slow, fast, ratio = (rows[f"{run}, {what}"] for what in ("bf16", "w2a8", "bf16 / w2a8"))
    assert [row.published for row in (slow, fast, ratio)] == [709.65, 231.82, 3.06]
    assert ratio.ours == pytest.approx((slow.ours or 0) / (fast.ours or 1))
    assert slow.parameters == ("fp16 overhead", "fp16 bandwidth efficiency")


def test_throughput_and_its_ratios() -> None:
    rows = by_item(throughput_rows())
    for model, batch, rate in (("llama-70b", 16, 333), ("bitnet-b158-70b", 176, 2977)):
        assert rows[f"{model} largest batch"].published == batch
        assert rows[f"{model} largest batch"].ours == largest_batch(model)
        assert rows[f"{model} batch of the measurement"].ours == batch
        row = rows[f"{model} throughput at batch {batch}"]
        assert (row.published, row.ours, row.unit) == (rate, tokens_per_s(model), "tokens/s")
    batches, rates = rows["batch, BitNet / LLaMA"], rows["throughput, BitNet / LLaMA"]
    assert (batches.published, rates.published) == (11.0, 8.9)
    assert batches.ours == largest_batch("bitnet-b158-70b") / largest_batch("llama-70b")
    assert rates.ours == pytest.approx(tokens_per_s("bitnet-b158-70b") / tokens_per_s("llama-70b"))


def test_energy_cells_stand_at_their_size_format_and_node() -> None:
    rows = by_item(table_1_rows())
    for item, published in {
        "6.7B W32 7nm MUL": 4.41, "6.7B W32 45nm ADD": 3.03, "13B W16 7nm ADD": 1.05, "30B W16 45nm MUL": 16.87,
        "30B W1 45nm ADD": 0.53,
    }.items():  # fmt: skip
        assert (rows[item].published, rows[item].unit) == (published, "J")


def test_the_ratio_of_6_7b_is_that_of_its_four_cells() -> None:
    """Recomputed cells: FP16 1.14487 and 0.53865 J, BitNet 0.02378 and 0.03407 J (shared facts)."""
    row = by_item(ratio_rows())["6.7B FP16 / BitNet 7nm"]
    assert row.published == 29.1
    assert row.ours == pytest.approx((1.14487 + 0.53865) / (0.02378 + 0.03407), rel=2e-4)
    assert by_item(ratio_rows())["70B FP16 / BitNet 7nm"].published == 41.2


def test_speed_ups_on_a_cpu_are_quotients_of_both_columns() -> None:
    rows = by_item(cpu_rows())
    row = rows["bitnet.cpp / llama.cpp 7B"]
    assert row.published == pytest.approx(52.36 / 15.61)
    assert row.ours == pytest.approx((rows["bitnet.cpp 7B"].ours or 0) / (rows["llama.cpp 7B"].ours or 1))
    assert (rows["llama.cpp 7B energy"].published, rows["bitnet.cpp 7B energy"].published) == (3.013, 1.068)
    assert rows["b1.58 2B4T on intel-i7-13800h"].published == 29


def test_a48s_tenfold_memory_is_16_bits_over_five_trits_in_a_byte_and_less_with_the_head() -> None:
    """7B: 32 layers of (4 x 4096^2 + 3 x 4096 x 11008) weights; embedding and head of 32 000 in FP16 in both."""
    count, head = weights(32, 4096, 11008), 2 * 16 * 32000 * 4096
    rows = by_item(claim_rows())
    assert rows["memory of linears, LLaMA / a4.8"].ours == pytest.approx(16 / 1.6)
    whole = rows["memory of all weights, LLaMA / a4.8, 7B"]
    assert whole.ours == pytest.approx((16 * count + head) / (1.6 * count + head))
    assert [row.published for row in rows.values()] == [10, None, 4, 2]


def test_errors_of_predictions_are_relative_to_what_was_published() -> None:
    def compared(value: float | None, published: float | None, spread: tuple[float, float] | None = None) -> Compared:
        it = Prediction(key="k", chip="c", quantity="q", unit="ms", value=value, spread=spread, bounds="dram 100 %")
        return Compared(prediction=it, published=published, evidence="read", source="s", leaves_out="DRAM", note="n")

    above, below = compared(15.0, 10.0, (12.0, 18.0)), compared(4.0, 16.0)
    assert (above.error_pct, below.error_pct) == (pytest.approx(50.0), pytest.approx(-75.0))
    assert above.cells() == ["c", "q", "ms", "15 [12 .. 18]", "10", "+50.0", "dram 100 %", "none", "DRAM", "read"]
    assert compared(None, 2.0).cells()[3:6] == ["-", "2", "-"]
    assert compared(2.0, None).cells()[3:6] == ["2", "-", "-"]
    record = above.record()
    assert (record["predicted_low"], record["predicted"], record["predicted_high"]) == (12.0, 15.0, 18.0)
    assert record["published_leaves_out"] == "DRAM"
    table = Validation(inputs={}, notes=(), rows=(above, below, compared(None, 1.0)))
    counts = {"designs": 1, "predicted": 2, "published": 3, "bounds": 0, "bounds_that_hold": 0}
    assert table.headline() == counts | {"worst_error_pct": -75.0, "worst": "c, q"}


def test_notes_on_latencies_say_how_many_gpus_one_sequence_needs() -> None:
    """80 GB hold 3B in FP16; 70B, 138 GB of it, needs two."""
    rows = by_item(latency_rows())
    assert "batch 1, context 512 assumed, a100-80gb" in rows["llama-3b latency"].note
    assert "one after the other" not in rows["llama-3b latency"].note
    assert "batch 1, context 512 assumed, 2 x a100-80gb one after the other" in rows["llama-70b latency"].note
