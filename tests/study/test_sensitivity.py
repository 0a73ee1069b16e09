"""Which constant decides: common constants cancel, rankings follow by hand, timing moves what time is multiplied by."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import bitsim
from bitsim.cost.matrix import Columns, key_of
from bitsim.errors import ConfigError, UnknownNameError, UnpricedEventError
from bitsim.hw import Chip, load_chip
from bitsim.hw.constants import Constant
from bitsim.study.estimate import estimate
from bitsim.study.sensitivity import sensitivity
from bitsim.study.varied import varied
from tests.by_hand import chip, result, row
from tests.chips import amount
from tests.sensitivity_by_hand import toy_sensitivity

SMALL: dict[str, Any] = {"prefill": 4, "decode": 2, "draws": 200}


def test_a_toy_of_two_events_is_ranked_by_its_swings() -> None:
    """Multiplications: 130 to 430 pJ; additions: 230 to 290 pJ. 200 and 30 pJ of the 230 vanish with them."""
    first, second = toy_sensitivity().ranking
    assert first["constant"] == "7nm: prices.mul.fp16"
    assert (first["energy_j_low"], first["energy_j_high"]) == pytest.approx((130e-12, 430e-12))
    assert (first["swing"], first["share"]) == pytest.approx((300 / 230, 200 / 230))
    assert second["constant"] == "7nm: prices.add.fp16"
    assert (second["energy_j_low"], second["energy_j_high"]) == pytest.approx((230e-12, 290e-12))
    assert (second["swing"], second["share"]) == pytest.approx((60 / 230, 30 / 230))
    assert (first["low"], first["nominal"], first["high"], first["unit"]) == (1, 2, 4, "pJ")


def test_two_chips_are_ranked_by_what_moves_their_ratio() -> None:
    """100 m + 3 a over 100 m + a: 230 / 210; m: 130 / 110 to 430 / 410; a: 290 / 230 at its high."""
    found = toy_sensitivity(versus=(100, 1))
    first, second = found.ranking
    assert [r["constant"] for r in (first, second)] == ["7nm: prices.add.fp16", "7nm: prices.mul.fp16"]
    assert (first["ratio_low"], first["ratio_high"]) == pytest.approx((230 / 210, 290 / 230))
    assert (second["ratio_low"], second["ratio_high"]) == pytest.approx((130 / 110, 430 / 410))
    assert first["ratio_swing"] == pytest.approx((290 / 230 - 230 / 210) / (230 / 210))
    assert second["ratio_swing"] == pytest.approx((130 / 110 - 430 / 410) / (230 / 210))
    assert found.headline()["decides"] == "7nm: prices.add.fp16"


def test_common_constants_cancel_where_both_chips_use_them_alike() -> None:
    found = toy_sensitivity(versus=(200, 6))
    assert found.drawn["ratio"].tolist() == [0.5] * 500
    assert [r["ratio_swing"] for r in found.ranking] == [0, 0]


def test_numbers_are_energy_power_and_time_by_their_units() -> None:
    """230 pJ in 100 ns are 2.3 mW; one new token."""
    assert toy_sensitivity().one_by_one["chip"][0] == pytest.approx(230e-12)
    assert toy_sensitivity(number="energy_per_token").one_by_one["chip"][0] == pytest.approx(230e-12)
    assert toy_sensitivity(number="power").one_by_one["chip"][0] == pytest.approx(2.3e-3)
    assert toy_sensitivity(number="time").one_by_one["chip"][0] == pytest.approx(100e-9)
    assert [toy_sensitivity(number=n).column for n in ("power", "time")] == ["power_w", "time_s"]


def test_the_ratio_of_a_chip_to_itself_is_one_in_all_draws() -> None:
    found = sensitivity("tiny-b158", "ternary-ws-64x64", versus="ternary-ws-64x64", **SMALL)
    assert set(found.drawn["ratio"].tolist()) == {1.0}
    assert {r["ratio_swing"] for r in found.ranking} == {0.0}


def test_the_nominal_number_is_that_of_the_estimate_in_every_convention_and_phase() -> None:
    plain = bitsim.estimate("tiny-b158", "ternary-ws-64x64", prefill=4, decode=2)
    for convention in ("arithmetic", "datapath", "system"):
        for phase, tokens in (("prefill", 4), ("decode", 2), (None, 6)):
            found = sensitivity("tiny-b158", "ternary-ws-64x64", convention=convention, phase=phase, **SMALL)
            assert found.one_by_one["chip"][0] == pytest.approx(plain.energy(convention, phase) / tokens)


def test_draws_lie_between_all_constants_low_and_all_high() -> None:
    found = sensitivity("tiny-b158", "ternary-ws-64x64", number="energy", convention="datapath", **SMALL)
    energy = found.chip.result.energy_range("datapath")
    assert energy.low * 1e-12 < found.drawn["chip"].min()
    assert found.drawn["chip"].max() < energy.high * 1e-12
    assert sum(r["draws"] for r in found.records("histogram")) == 200
    middle = {r["percentile"]: r["energy_j"] for r in found.records("percentiles")}[50]
    assert middle == pytest.approx(np.median(found.drawn["chip"]))


def test_a_seed_gives_the_same_draws_and_another_one_others() -> None:
    one, again, other = (
        sensitivity("tiny-b158", "ternary-ws-64x64", seed=seed, **SMALL).drawn["chip"].tolist() for seed in (1, 1, 2)
    )
    assert one == again != other


def test_a_timing_constant_at_its_end_is_the_estimate_at_that_end() -> None:
    """The efficiency of DRAM: time, and with it leakage, refresh and standby."""
    base = load_chip("ternary-ws-64x64")
    found = sensitivity("tiny-b158", base, number="time", **SMALL)
    (moved,) = [r for r in found.ranking if r["constant"].endswith("memory.dram.efficiency")]
    for end, efficiency in (("low", 0.60), ("high", 0.95)):
        dram = base.memory.dram.model_copy(update={"efficiency": amount(base.memory.dram.efficiency, efficiency)})
        at = base.model_copy(update={"memory": base.memory.model_copy(update={"dram": dram})})
        assert moved[f"time_s_{end}"] == pytest.approx(estimate("tiny-b158", at, prefill=4, decode=2).time_s)
    assert moved["time_s_high"] < found.one_by_one["chip"][0] < moved["time_s_low"]
    energy = sensitivity("tiny-b158", base, number="energy", **SMALL)
    (moved,) = [r for r in energy.ranking if r["constant"].endswith("memory.dram.efficiency")]
    assert moved["energy_j_low"] > moved["energy_j_high"]  # a slow DRAM keeps everything waiting


def test_between_the_ends_amounts_lie_on_a_line_over_one_over_the_rate() -> None:
    """12 s at a rate of 1, 6 at 2 (nominal), 3 at 4: at 3, two thirds of the way from 1/2 to 1/4."""
    rate = Constant(low=1, nominal=2, high=4, unit="GB/s", source="x", evidence="assumed")
    base = chip()
    dram = base.memory.dram.model_copy(update={"bandwidth": rate})
    on_chip = base.model_copy(update={"memory": base.memory.model_copy(update={"dram": dram})})

    def made(at: Chip) -> Any:
        cycles = round(24 / at.memory.dram.bandwidth.nominal)
        return result(row("decode", "q", "linear", 0, cycles=cycles, events={}), prefill=0, on=at)

    side = varied(made, on_chip, "system", None)
    values = np.array([1.0, 2.0, 4.0, 3.0, 1.5])
    _, time_ns = side.energy_and_time(Columns(5, {key_of(rate): values}))
    assert time_ns.tolist() == pytest.approx([12.0, 6.0, 3.0, 4.0, 8.0])


def test_what_has_no_price_is_an_error_and_not_left_out() -> None:
    with pytest.raises((UnpricedEventError, ConfigError), match="no prices"):
        sensitivity("tiny-b158", "tereffic-hbm", **SMALL)


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"number": "latency"}, UnknownNameError, "unknown number 'latency'"),
        ({"convention": "all"}, UnknownNameError, "unknown convention 'all'"),
        ({"phase": "both"}, UnknownNameError, "unknown phase 'both'"),
        ({"phase": "decode", "decode": 0}, ConfigError, "phase: expected one that has tokens, prefill, got 'decode'"),
        ({"draws": 0}, ConfigError, "draws: expected an integer >= 1, got 0"),
        ({"draws": 10**7}, ConfigError, "draws: expected at most 1,000,000, got 10,000,000"),
        ({"seed": -1}, ConfigError, "seed: expected an integer >= 0, got -1"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        sensitivity("tiny-b158", "ternary-ws-64x64", **(SMALL | settings))


def test_shares_of_results_are_those_of_terms() -> None:
    """An assumed constant of 8 GB is in refresh and standby, and in nothing else."""
    made = bitsim.estimate("tiny-b158", "ternary-ws-64x64", prefill=4, decode=2)
    (capacity,) = [r for r in made.assumed() if r["constant"].endswith("memory.dram.capacity")]
    resting = sum(e.nominal for _, part, e in made.breakdown("system") if part in ("dram refresh", "dram standby"))
    assert capacity["share"] == pytest.approx(resting / made.energy_range("system").nominal)
    assert made.assumed_share is not None
    assert capacity["share"] <= made.assumed_share <= 1
    timing = {r["constant"].rpartition(": ")[2]: r["share"] for r in made.assumed()}
    assert timing["clock"] is None
    assert replace(made, rows=()).assumed_share == 0
