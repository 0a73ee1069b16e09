"""`bitsim validate`: predictions against formulas worked out by hand, and a table that says what each rests on."""

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
        assert (record["error_pct"] is None) == (record["predicted"] is None or record["published"] is None)


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
