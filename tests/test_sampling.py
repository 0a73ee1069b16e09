"""Samples of laws: as many cases as they say, the same for the same seed, all when asked, the seed in every failure."""

import pytest

pytest_plugins = ("pytester",)
CASES = """
import pytest

@pytest.mark.sampled(one_in=4)
@pytest.mark.parametrize("chip", [f"c{i}" for i in range(13)])
def test_one(chip):
    assert not FAILS

@pytest.mark.sampled(one_in=4)
@pytest.mark.parametrize("model", ["a", "b"])
@pytest.mark.parametrize("chip", [f"c{i}" for i in range(13)])
def test_two(chip, model):
    pass

def test_three():
    pass
"""


def taken(pytester: pytest.Pytester, *words: str, fails: bool = False) -> tuple[list[str], str]:
    """The cases of a run, in their order, and what it printed."""
    pytester.makepyfile(test_cases=CASES.replace("FAILS", str(fails)))
    done = pytester.runpytest_inprocess("-p", "tests.laws", "-v", *words)
    lines = [line for line in done.outlines if line.startswith("test_cases.py::") and " " in line]
    return [line.split()[0].partition("::")[2] for line in lines], done.stdout.str()


def test_a_sample_is_the_stated_part_and_takes_the_same_chips_in_all_tests(pytester: pytest.Pytester) -> None:
    found, printed = taken(pytester, "--laws-seed", "3")
    ones = {name for name in found if name.startswith("test_one")}
    twos = {name for name in found if name.startswith("test_two")}
    assert (len(ones), len(twos), "test_three" in found) == (4, 7, True)
    chips = {name.partition("[")[2].split("-")[0].rstrip("]") for name in ones}
    assert {name.partition("[")[2].split("-")[0] for name in twos} <= chips
    assert "--laws-seed 3" in printed
    assert taken(pytester, "--laws-seed", "3")[0] == found
    assert taken(pytester, "--laws-seed", "4")[0] != found


def test_all_means_all_and_a_named_case_is_run(pytester: pytest.Pytester) -> None:
    assert len(taken(pytester, "--laws", "all")[0]) == 13 + 26 + 1
    pytester.makepyfile(test_cases=CASES.replace("FAILS", "False"))
    named = pytester.runpytest_inprocess("-p", "tests.laws", "test_cases.py::test_one[c7]")
    named.assert_outcomes(passed=1)


def test_a_failure_names_the_seed_that_repeats_it(pytester: pytest.Pytester) -> None:
    _, printed = taken(pytester, "--laws-seed", "5", fails=True)
    assert "repeat with --laws-seed 5" in printed
