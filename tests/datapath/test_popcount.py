"""What is special about popcount arrays: operands of one or two bits, counted ones, and which models they can't run."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitsim.datapath.popcount import Popcount
from bitsim.errors import BitsimError, OperandError
from bitsim.hw.datapaths import PopcountSpec
from bitsim.study import estimate, matmul, run

CHIP = """\
kind: chip
name: mine
like: ternary-ws-64x64
bitlinear: {kind: popcount, operands: binary, lanes: 32, cols: 1024, tokens: 1, acc_bits: 16}
"""


def array(operands: str, **fields: Any) -> Popcount:
    values = {"kind": "popcount", "operands": operands, "lanes": 2, "cols": 40, "acc_bits": 12}
    return Popcount(PopcountSpec.model_validate(values | fields))


def int8(rows: Any) -> Any:
    return np.array(rows, np.int8)


@pytest.mark.parametrize(("operands", "values", "depth"), [("binary", (-1, 1), 5), ("ternary", (-1, 0, 1), 3)])
def test_exhaustive_every_row_against_every_row(operands: str, values: tuple[int, ...], depth: int) -> None:
    every = int8(list(product(values, repeat=depth)))
    done = array(operands).execute(every, every)
    np.testing.assert_array_equal(done.y, every.astype(np.int64) @ every.astype(np.int64).T)


@pytest.mark.parametrize("lanes", [2, 32, 64, 1024])
@pytest.mark.parametrize("k", [1, 31, 64, 1021])
def test_lanes_beyond_k_count_nothing(lanes: int, k: int) -> None:
    rng = np.random.default_rng(k)
    for operands, values in (("binary", (-1, 1)), ("ternary", (-1, 0, 1))):
        x, w = (rng.choice(int8(values), (rows, k)) for rows in (3, 5))
        y, _ = matmul(x, w, array(operands, lanes=lanes, tokens=2))
        np.testing.assert_array_equal(y, x.astype(np.int64) @ w.astype(np.int64).T)


def test_events_of_one_word_by_hand() -> None:
    """x = (1, -1), w = (1, 1) in two lanes: one bit agrees, 2 * 1 - 2 = 0."""
    y, events = matmul(int8([[1, -1]]), int8([[1, 1]]), array("binary", cols=1))
    assert y.tolist() == [[0]]
    assert dict(events) == {
        "add.int8": 1,
        "popcount.depth2.add_bits": 2 + 3 + 12,  # the tree, what is subtracted, the accumulator
        "reg.clock": 2 * (2 + 2 + 12),
        "reg.act.toggle": 2,
        "reg.weight.toggle": 4,
    }


def test_ternary_operands_have_two_trees_and_one_adder_more_in_a_row() -> None:
    binary, ternary = (array(operands, lanes=16).count(1, 16, 1) for operands in ("binary", "ternary"))
    tree = 8 * 2 + 4 * 3 + 2 * 4 + 5
    assert binary["popcount.depth5.add_bits"] == tree + 6 + 12
    assert ternary["popcount.depth6.add_bits"] == 2 * tree + 6 + 12


def test_operands_out_of_range_are_named() -> None:
    ones = np.ones((2, 3), np.int8)
    zero = int8([[1, -1, 1], [-1, 0, 0]])
    with pytest.raises(OperandError, match=r"^x\[1, 1\]: expected -1 or 1, got 0$"):
        array("binary").execute(zero, ones)
    with pytest.raises(OperandError, match=r"^w\[1, 1\]: expected -1 or 1, got 0$"):
        array("binary").execute(ones, zero)
    assert array("ternary").execute(zero, ones).y.tolist() == [[1, 1], [-1, -1]]
    with pytest.raises(OperandError, match=r"^x\[0, 2\]: expected -1\.\.1, got 2$"):
        array("ternary").execute(int8([[1, 0, 2], [2, 0, 0]]), ones)


def test_models_of_8_bit_activations_are_refused(tmp_path: Path) -> None:
    chip = tmp_path / "mine.yaml"
    chip.write_text(CHIP)
    y, _ = matmul(int8([[1, -1, -1]]), int8([[1, 1, -1]]), chip)
    assert y.tolist() == [[1]]
    with pytest.raises(OperandError, match=r"w\[\d+, \d+\]: expected -1 or 1, got 0"):
        run("tiny-b158", chip, prompt="In", new_tokens=1)
    with pytest.raises(BitsimError, match=r"have codes of 8 bits, mine takes activations of at most 1 \(choose"):
        estimate("tiny-b158", chip, prefill=2, decode=1)
