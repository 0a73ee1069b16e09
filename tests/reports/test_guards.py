"""Guards of the reports: numbers that are missing on one side are no rows."""

from dataclasses import replace

import pytest

import reports.cpu
import reports.validation
from bitsim.errors import BitsimError
from bitsim.measure.machine import measure_machine
from bitsim.study import estimate
from reports.cpu import ratio_rows, speed_rows
from reports.predictions import unpriced
from reports.validation import validation


@pytest.mark.parametrize("program", ["bitnet.cpp", "llama.cpp"])
def test_a_speed_up_needs_both_published_speeds(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [replace(row, published=None) if row.item == f"{program} 7B" else row for row in speed_rows()]
    monkeypatch.setattr(reports.cpu, "speed_rows", lambda: rows)
    with pytest.raises(BitsimError, match="speed-up of 7B: expected both speeds"):
        ratio_rows()


def test_a_power_that_has_prices_is_to_be_predicted() -> None:
    result = estimate("tiny-b158", "ternary-ws-64x64", prefill=1, decode=0)
    with pytest.raises(ValueError, match="key: ternary-ws-64x64 has prices: predict the power"):
        unpriced("key", "power", result)


def test_a_published_value_without_prediction_is_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports.validation, "predictions", lambda: iter(()))
    with pytest.raises(KeyError, match=r"hardware\.yaml and predictions differ in .*'trinity\.token'"):
        validation()


@pytest.mark.parametrize("counts", [{"weights_mb": 0}, {"repeats": 0}])
def test_a_machine_is_measured_with_some_weights_and_at_least_once(counts: dict[str, int]) -> None:
    with pytest.raises(BitsimError, match="expected at least 1 MB and 1 repeat, got"):
        measure_machine(**counts)  # type: ignore[arg-type]
