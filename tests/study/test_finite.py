"""NaN and infinity never reach JSON: what has no finite value is null there."""

import json
import math
from typing import Any

import pytest

import bitsim
from bitsim.datapath.outcomes import Deviation
from bitsim.study.executor import ChipExecutor


def refused(constant: str) -> Any:
    raise AssertionError(f"{constant} is no JSON")


def test_sums_that_differ_by_infinity_are_null(monkeypatch: pytest.MonkeyPatch) -> None:
    infinite = Deviation(outputs=4, wrong=1, largest=math.inf, error_squares=math.inf, exact_squares=1.0)
    monkeypatch.setattr(ChipExecutor, "deviation", property(lambda executor: infinite))
    found = bitsim.evaluate("tiny-b158", "ternary-ws-64x64", limit=20)
    assert (found.score.wrong_sums, found.score.largest_sum_error, found.score.rms_sum_error) == (1, None, None)
    (row,) = json.loads(found.to_json(), parse_constant=refused)["tables"]["scores"]["rows"]
    assert row.count(None) >= 2
