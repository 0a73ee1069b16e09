"""Memory, latency and throughput of b1.58: what is fitted, what is predicted, and what the paper's claims come to."""

from dataclasses import replace
from fractions import Fraction

import pytest

from bitsim.hw.gpu import load_gpu
from bitsim.model.zoo import zoo_config
from bitsim.parallel.devices import EVEN
from bitsim.quant.recipes import recipe_named
from bitsim.serving.roofline import Hosted, decode_time, prompt_time
from reports.comparison import EARNED, labels_summary
from reports.latency_2402_17764 import ONE, end_to_end_ms, kernel_rows, latency_rows
from reports.memory_2402_17764 import memory_gb, memory_rows, runtime_gb_per_hidden
from reports.throughput_2402_17764 import largest_batch, throughput_rows

ROWS = {"memory": memory_rows(), "latency": latency_rows(), "throughput": throughput_rows()}


@pytest.mark.parametrize("what", list(ROWS))
def test_only_earned_rows_are_reproduced_and_every_fit_is_named(what: str) -> None:
    for row in ROWS[what]:
        assert not row.reproduced or row.label in EARNED
        assert bool(row.parameters) == (row.label in ("fitted", "predicted"))


def test_memory_of_3b_by_hand_from_what_the_700m_row_sets() -> None:
    n_700m, n_3b = (24 * (4 * 1536**2 + 3 * 1536 * 4096), 26 * (4 * 3200**2 + 3 * 3200 * 8640))
    runtime = (0.80e9 - n_700m / 4 - 4 * 32000 * 1536) / 1536
    assert runtime_gb_per_hidden("bitnet") == pytest.approx(runtime * 1e-9)
    assert memory_gb("bitnet-b158-3b") == pytest.approx((n_3b / 4 + (4 * 32000 + runtime) * 3200) * 1e-9)


def test_two_numbers_set_the_memory_model_and_their_ratio_is_no_prediction() -> None:
    fitted = [row.item for row in ROWS["memory"] if row.label == "fitted"]
    assert fitted == ["llama-700m memory", "bitnet-b158-700m memory", "llama-700m / bitnet-b158-700m memory"]


def test_kernel_times_are_fitted_and_whole_models_predicted_with_them() -> None:
    rows = kernel_rows()
    assert len(rows) == 16
    assert {row.label for row in rows} == {"fitted"}
    assert all("left out of the fit" in row.note for row in rows)
    assert {row.label for row in ROWS["latency"] if row.unit == "ms"} == {"predicted"}


def test_the_paper_contradicts_its_own_claim_that_70b_is_faster_than_13b_in_fp16() -> None:
    (row,) = [row for row in ROWS["latency"] if row.item.startswith("bitnet-b158-70b / llama-13b")]
    assert row.published == pytest.approx(19.4 / 16.9)
    assert row.published > 1
    assert "contradicted by the paper's own figure" in row.note


def test_an_equivalence_without_published_shape_is_not_reproducible() -> None:
    rows = [row for row in ROWS["memory"] + ROWS["latency"] if "30b" in row.item]
    assert [(row.label, row.published, row.ours) for row in rows] == [("not reproducible", None, None)] * 2


def test_batches_are_bounds_of_memory_and_176_needs_8_bit_keys_and_values() -> None:
    per_token = 2 * 80 * 8192
    fixed = 80 * (4 * 8192**2 + 3 * 8192 * 22016)
    room = 2 * 79.5e9 - fixed / 4 - 4 * 32000 * 8192
    assert largest_batch("bitnet-b158-70b", 16) <= room / (per_token * 512 * 2) < 176
    assert 176 < largest_batch("bitnet-b158-70b") <= room / (per_token * 512)
    assert {row.label for row in ROWS["throughput"] if "largest batch" in row.item} == {"not reproducible"}


def test_summaries_count_what_is_predicted_apart_from_what_is_fitted() -> None:
    labels = [row.label for row in ROWS["memory"] if row.published is not None]
    counts = f"published rows: {labels.count('predicted')} predicted, {labels.count('fitted')} fitted\n"
    assert set(labels) == {"predicted", "fitted"}
    assert labels_summary(ROWS["memory"]).startswith(counts)


@pytest.mark.parametrize("kind", ["bf16", "w2a8"])
def test_a_published_run_is_a_prompt_and_64_tokens_each_with_the_context_that_it_has(kind: str) -> None:
    config = zoo_config("bitnet-b158-2b4t")
    if kind == "bf16":
        config = replace(config, linear_class=None, weight_bits_per_weight=Fraction(16))
    recipe = recipe_named(config.default_numerics)
    hosted = Hosted(config=config, recipe=recipe, gpu=load_gpu("a100-40gb"), split=EVEN)

    def token_s(context: int) -> float:
        return float(decode_time(hosted, devices=ONE, batch=ONE, storage=16, first=context, last=context).total)

    tokens_s = sum(token_s(512 + new) for new in range(1, 65))
    assert end_to_end_ms(kind) == pytest.approx(1e3 * (float(prompt_time(hosted, ONE, 512).total) + tokens_s))
