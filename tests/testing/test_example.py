"""docs/testing.md: its example runs, and each way in which it is broken is caught by the law that the page names."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bitsim.testing import LawError, check_laws, laws, laws_of
from examples.check_foreign_design import SUMS, TAKES, FourLanes

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "check_foreign_design.py"


class NarrowByOne(FourLanes):
    high = FourLanes.high >> 1


class WideByOne(FourLanes):
    high = 2 * FourLanes.high + 1


class DropsTheLastK(FourLanes):
    def row(self, acts: Any, weights: Any) -> list[int]:
        return super().row(acts[:-1], weights[:-1])


class KeepsTheLastSum(FourLanes):
    held = 0

    def start(self) -> int:
        return self.held

    def execute(self, x_q: Any, w: Any) -> Any:
        done = super().execute(x_q, w)
        self.held = int(done.y[-1, -1])
        return done


BROKEN = {
    "off-by-one accumulator width": (NarrowByOne, WideByOne),
    "dropped last K element": (DropsTheLastK,),
    "stale state between calls": (KeepsTheLastSum,),
}
ROWS = dict(re.findall(r"^\| ([^|]+) \| [^|]+ \| ([^|]+) \|$", PAGE, re.MULTILINE))
CASES = [(law, broken) for law in laws.LAWS for way in ROWS[law].split(", ") if way in BROKEN for broken in BROKEN[way]]


def test_the_page_tells_every_law_and_every_way_to_break_the_example() -> None:
    assert set(laws.LAWS) < set(ROWS)
    assert {broken for _, broken in CASES} == {broken for group in BROKEN.values() for broken in group}


def test_the_example_runs_as_the_page_shows_it() -> None:
    assert f"```python\n{EXAMPLE.read_text(encoding='utf-8')}```" in PAGE
    here = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, EXAMPLE], cwd=ROOT, env=here, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_example_keeps_all_laws_that_apply() -> None:
    held = check_laws(FourLanes(), TAKES, sums=SUMS, twin=FourLanes())
    assert held == ("determinism", "exactness", "split and add", "overflow position", "kernel == twin")


@pytest.mark.parametrize(("law", "broken"), CASES, ids=lambda case: getattr(case, "__name__", case))
def test_a_broken_example_is_caught_by_the_law_that_the_page_names(law: str, broken: Any) -> None:
    (check,) = [check for check in laws_of(broken(), TAKES, sums=SUMS) if check.name == law]
    with pytest.raises(LawError) as found:
        check.run()
    assert found.value.law == law


def test_the_error_is_the_one_of_the_page() -> None:
    with pytest.raises(LawError) as found:
        check_laws(DropsTheLastK(), TAKES, sums=SUMS)
    assert f"```\n{found.value}\n```" in PAGE
