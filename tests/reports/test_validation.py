"""`bitsim validate`: predictions against formulas worked out by hand, and a table that says what each rests on."""

from dataclasses import replace
from functools import cache

import pytest

from bitsim.study import estimate
from reports.predictions import predictions, workload
from reports.validation import COLUMNS, Compared, remarks, validation
from reports.validation_figure import draw
from tests.chips import chips_on_fpgas


@cache
def table() -> dict[str, Compared]:
    return {row.prediction.key: row for row in validation().rows}


def predicted(key: str) -> float:
    value = table()[key].prediction.value
    assert value is not None
    return value


def error(key: str) -> float:
    value = table()[key].error_pct
    assert value is not None
    return value


# What is left between a closed formula and the schedule: first loads, last stores, cycles between tiles.
def test_trinity_is_one_cycle_per_weight_and_two_per_output() -> None:
    macs = 4 * (243 * 729 + 729 * 243) + 243 * 128
    outputs = 4 * (729 + 243) + 128
    assert predicted("trinity.token") == pytest.approx((macs + 2 * outputs) / 92e6 * 1e3, rel=1e-3)
    assert predicted("trinity.tokens16") == pytest.approx(16 * (macs + 2 * outputs) / 50e6 * 1e3, rel=1e-3)
    assert predicted("trinity.token") == pytest.approx(macs / 92e6 * 1e3, rel=0.01)


def test_vitallm_is_bound_by_256_macs_per_cycle() -> None:
    weights = 26 * (4 * 3200**2 + 3 * 3200 * 8640)
    for key in ("vitallm.decode_v1", "vitallm.decode_v2"):
        assert 0.98 * 256e9 / weights < predicted(key) <= 256e9 / weights
    assert 64 * weights / 256e9 <= predicted("vitallm.prefill_v1") < 64 * weights / 256e9 * 1.02
    assert predicted("vitallm.decode_v1") == predicted("vitallm.decode_v2")


@pytest.mark.parametrize(("key", "bits"), [("vitallm.dram_2b", 2.0), ("vitallm.dram_1p6b", 1.6)])
def test_the_dram_of_vitallm_is_its_weights_at_its_rate(key: str, bits: float) -> None:
    weights = 26 * (4 * 3200**2 + 3 * 3200 * 8640)
    watts = [weights * bits * predicted("vitallm.decode_v2") * pj * 1e-12 for pj in (3.5, 6, 10)]
    row = table()[key]
    assert row.prediction.spread == pytest.approx((watts[0], watts[2]), rel=1e-3)
    assert predicted(key) == pytest.approx(watts[1], rel=1e-3)
    assert predicted(key) > 35 * 0.06597
    assert row.leaves_out == "DRAM"
    assert row.published is None


def test_tereffic_is_a_roofline_of_hbm() -> None:
    assert 0.99 * 460e9 / (2.7e9 * 1.6 / 8) < predicted("tereffic.named") <= 460e9 / (2.7e9 * 1.6 / 8)
    weights = 32 * (4 * 2560**2 + 3 * 2560 * 6912) + 2560 * 32000
    assert 0.95 * 460e9 / (weights * 1.6 / 8) < predicted("tereffic.shaped") <= 460e9 / (weights * 1.6 / 8)
    assert predicted("tereffic.dram") == pytest.approx(460e9 * 8 * 3.9e-12, rel=0.05)


def test_ternarycore_is_host_and_paging() -> None:
    projections, paging = 420 * (143.32 + 16 * 42.71) / 1e3, 420 * (262144 / 321.6e6 * 1e3 + 0.744)
    assert predicted("ternarycore.projections") == pytest.approx(projections, rel=5e-3)
    assert predicted("ternarycore.paging") == pytest.approx(paging, rel=1e-3)
    assert predicted("ternarycore.both") == pytest.approx(projections + paging, rel=3e-3)
    assert predicted("ternarycore.pass") == 1024 + 64 + 1
    assert sum(shape.k * shape.n * shape.count for shape in workload("ternarycore")) == 420 * 1024 * 1024


# The operator table of docs/TOKEN-BUDGET.md at 512 positions, ms: what grows with the context, and what does not.
FIXED_MS, GROWING_MS = 505.4 + 401.8 + 268.7 + 368.5, 573.9 + 617.4 + 1035.0


@pytest.mark.parametrize("position", [0, 63, 127, 255, 511])
def test_a_whole_token_of_ternarycore_is_its_projections_and_what_its_processor_does(position: int) -> None:
    last_norm = 1024 * 505.4 / (28 * 9216)
    by_hand = predicted("ternarycore.both") + FIXED_MS + last_norm + GROWING_MS * (position + 1) / 512
    assert predicted(f"ternarycore.token_{position}") == pytest.approx(by_hand, rel=2e-4)


def test_slim_llama_is_4096_lookups_and_its_external_bandwidth() -> None:
    weights = 26 * (4 * 3200**2 + 3 * 3200 * 8640)
    assert predicted("slim_llama.peak") == pytest.approx(4096 * 3 * 2 * 0.2e9 * 1e-12)
    assert predicted("slim_llama.token") == pytest.approx(weights * 2 / 8 / 1.6e9 * 1e3, rel=2e-3)
    low, high = table()["slim_llama.token"].prediction.spread or (0.0, 0.0)
    assert (low, high) == pytest.approx((weights / 8 / 1.6e9 * 1e3, weights * 2 / 8 / 1.6e9 * 1e3), rel=2e-3)


def test_tenet_over_an_a100_is_a_ratio_of_bandwidths_and_bits() -> None:
    weights, head = 26 * (4 * 3200**2 + 3 * 3200 * 8640), 32000 * 3200
    ours, theirs = 512e9 / (weights * 1.6 / 8), 2039e9 / (2 * (weights + head))
    assert 0.95 * ours / theirs < predicted("tenet.a100") <= ours / theirs


def test_toms_rom_has_two_bits_per_weight() -> None:
    assert predicted("tom.rom") == pytest.approx(2084044800 * 2 / 8 / 2**20)


@pytest.mark.parametrize("version", [1, 2])
def test_the_core_of_vitallm_is_within_a_factor_of_one_and_a_half(version: int) -> None:
    row = table()[f"vitallm.core_v{version}"]
    low, high = row.prediction.spread or (0.0, 0.0)
    assert row.published is not None
    assert 1 / 1.5 < predicted(row.prediction.key) / row.published < 1.5
    assert low < row.published < high


def test_leakage_lies_below_every_published_power() -> None:
    bounds = [row for row in table().values() if row.prediction.below]
    assert len(bounds) >= 10
    for row in bounds:
        assert row.holds, row.prediction.chip
        assert row.error_pct is None
        assert row.cells()[5].startswith("below, ")
    # 500 kB at 0.2 uW per kB, and 18 GB at 12.5.
    assert predicted("leakage.slim_llama") == pytest.approx(0.1)
    assert predicted("leakage.cs1") == pytest.approx(18 * 2**20 * 12.5e-3)


def test_a_bound_that_does_not_hold_is_called_so() -> None:
    row = replace(table()["leakage.slim_llama"], published=0.05)
    assert row.holds is False
    assert row.cells()[5] == "ABOVE, 200 %"


def test_ten_designs_have_a_prediction_and_the_others_a_reason() -> None:
    headline = validation().headline()
    assert headline["designs"] >= 10
    assert headline["bounds_that_hold"] == headline["bounds"]
    assert all(row.prediction.reason for row in table().values() if row.prediction.value is None)


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [
        ("trinity.token", -1.1, 0),
        ("trinity.tokens16", -0.9, 0),
        ("vitallm.decode_v1", 8, 10),
        ("vitallm.decode_v2", 10.5, 12.5),
        ("vitallm.prefill_v1", -9, -8),
        ("tereffic.named", 16, 17.3),
        ("ternarycore.projections", 0, 1),
        ("ternarycore.paging", 1, 2),
    ],
)
def test_errors_are_those_of_predictions_by_hand(key: str, low: float, high: float) -> None:
    assert low < error(key) < high


def test_every_row_says_what_it_rests_on() -> None:
    assert len(table()) >= 15
    for row in table().values():
        record = row.record()
        assert record["evidence"] in ("read", "secondary", "recomputed")
        assert record["source"]
        assert record["fitted"]
        assert len(row.cells()) == len(COLUMNS)
        assert (record["predicted"] is None) == bool(record["reason"])
        assert record["predicted"] is None or record["bounds"] or record["energy"]
        without = record["predicted"] is None or record["published"] is None or record["below"]
        assert (record["error_pct"] is None) == without


def test_energies_without_prices_are_not_predicted_and_say_why() -> None:
    for key in ("tereffic.power", "ternarycore.power"):
        row = table()[key]
        assert row.prediction.value is None
        assert "no prices: no source gives the energy" in row.prediction.reason
    unpredicted = [row for row in table().values() if row.prediction.value is None]
    assert sum("not predicted" in line for line in remarks(list(table().values()))) == len(unpredicted)


def test_predictions_do_not_depend_on_what_was_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing on the way to a prediction reads the published values."""

    def forbidden(*_: object) -> None:
        raise AssertionError("read while predicting")

    monkeypatch.setattr("reports.comparison.published", forbidden)
    monkeypatch.setattr("reports.validation.published", forbidden)
    assert {p.key: p.value for p in predictions()} == {key: row.prediction.value for key, row in table().items()}


@pytest.mark.parametrize("chip", chips_on_fpgas())
def test_chips_on_fpgas_have_cycles_and_no_energy(chip: str) -> None:
    result = estimate("tiny-b158", chip, prefill=2, decode=0, beyond_capacity=True)
    assert result.cycles > 0
    assert result.priced == ()
    for convention in ("arithmetic", "datapath", "system"):
        assert "no prices: no source gives the energy" in str(result.unpriced(convention))


def test_the_figure_draws_rows_that_have_both_numbers() -> None:
    rows = list(table().values())
    assert draw(rows, "png").startswith(b"\x89PNG")
    assert draw(rows, "pdf").startswith(b"%PDF")
