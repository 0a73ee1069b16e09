"""The laws of chip files hold on shipped chips, also where registers keep their values between tiles, and can break."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import find, settings
from hypothesis.errors import NoSuchExample

import bitsim
from bitsim.datapath.registry import build_datapath
from bitsim.errors import UnknownNameError
from bitsim.hw import chip_names, load_chip
from bitsim.hw.chip import Chip
from bitsim.testing import Check, LawError, design_of, laws, laws_of_chip
from bitsim.testing.replaying import by_tiles
from tests.datapath.strategies import array_spec


def small_array(dataflow: str, **fields: Any) -> Chip:
    """A shipped chip with an array of 3 x 4."""
    spec = array_spec("ternary", dataflow, 3, 4, **fields)
    return load_chip("ternary-ws-64x64").model_copy(update={"bitlinear": spec})


def held(checks: tuple[Check, ...]) -> set[str]:
    """The laws that say something, each of which must hold."""
    said = {check.name for check in checks if not check.not_for}
    for check in checks:
        check.run()
    return said


@pytest.mark.sampled(one_in=8)
@pytest.mark.parametrize("chip", chip_names())
def test_shipped_chips_keep_all_laws(chip: str) -> None:
    checks = laws_of_chip(chip, examples=5)
    assert {laws.DETERMINISM, laws.SPLIT, laws.TWIN, laws.REPLAY} <= held(checks)


@pytest.mark.parametrize("dataflow", ["weight_stationary", "output_stationary"])
def test_small_arrays_keep_all_laws(dataflow: str) -> None:
    checks = laws_of_chip(small_array(dataflow), examples=8)
    assert tuple(check.name for check in checks) == laws.LAWS
    assert held(checks) == {*laws.LAWS}


def test_arrays_that_keep_their_weights_between_tiles_keep_all_laws() -> None:
    assert held(laws_of_chip(small_array("weight_stationary", between_tiles="keep"), examples=8)) == {*laws.LAWS}


@pytest.mark.parametrize("between_tiles", ["reset", "keep"])
@pytest.mark.parametrize("what", ["reg.weight.toggle", "reg.psum.toggle", "add.int8", "reg.clock", "cycles", "y"])
def test_a_plan_of_many_tiles_that_reports_other_numbers_breaks_replay(between_tiles: str, what: str) -> None:
    chip = small_array("weight_stationary", between_tiles=between_tiles)
    rng = np.random.default_rng(1)
    x, w = rng.integers(-128, 128, (3, 40)).astype(np.int8), rng.integers(-1, 2, (9, 40)).astype(np.int8)
    done = bitsim.execute(x, w, chip)
    assert len(list(done.tiles.walk())) > 1
    replayed = by_tiles(build_datapath(chip.bitlinear))
    laws.replay(design_of(lambda *_: done), x, w, replayed=replayed)
    if what == "cycles":
        other = replace(done, busy_cycles=done.busy_cycles + 1)
    elif what == "y":
        other = replace(done, y=done.y + (np.arange(9) == 8))
    else:
        other = replace(done, events=done.events + bitsim.Events({what: 1}))
    with pytest.raises(LawError, match="law 'replay'") as found:
        laws.replay(design_of(lambda *_: other), x, w, replayed=replayed)
    assert what in found.value.what


def test_laws_of_a_chip_are_tried_up_to_three_more_than_twice_what_fills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 lanes and 256 trees: K up to 2 x 16 + 3; N only up to 17, for the sake of twins in Python; M up to 3."""
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(
        "bitsim.testing.chips.hold", lambda law, operands, examples, always=(): drawn.update(x=operands)
    )
    for check in laws_of_chip("adder-tree-16x256", examples=1):
        if check.name == laws.TWIN:
            check.run()

    def has(condition: Any) -> bool:
        try:
            find(drawn["x"], lambda pair: condition(*pair[0].shape, len(pair[1])), settings=settings(max_examples=400))
        except NoSuchExample:
            return False
        return True

    assert [has(lambda m, k, n, size=size: k == size) for size in (1, 33, 35, 36)] == [True] * 3 + [False]
    assert [has(lambda m, k, n, size=size: n == size) for size in (1, 17, 18)] == [True, True, False]
    assert [has(lambda m, k, n, size=size: m == size) for size in (1, 3, 4)] == [True, True, False]


def test_what_says_nothing_about_a_chip_says_why() -> None:
    skipped = {check.name: check.not_for for check in laws_of_chip("fp16-ws-64x64") if check.not_for}
    assert skipped == {
        "exactness": "the datapath rounds",
        "overflow position": "its description has no narrower integer accumulators",
    }


def test_accumulators_that_overflow_are_still_exact_where_they_do_not() -> None:
    checks = laws_of_chip(small_array("weight_stationary", acc_bits=10, column_acc_bits=11), examples=20)
    assert held(checks) == {*laws.LAWS}


def test_an_unknown_chip_is_an_error() -> None:
    with pytest.raises(UnknownNameError, match="unknown chip"):
        laws_of_chip("nothing")
