"""What is special about bit-serial arrays: planes, what skips them, narrow activations, binary weights."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.datapath.bit_serial import BitSerial
from bitsim.errors import BitsimError, OperandError
from bitsim.hw import load_chip
from bitsim.hw.datapaths import BitSerialSpec
from bitsim.study import estimate, matmul, run


def array(**fields: Any) -> BitSerial:
    values = {"kind": "bit_serial", "lanes": 4, "rows": 1, "cols": 2, "acc_bits": 24}
    return BitSerial(BitSerialSpec.model_validate(values | fields))


def int8(rows: Any) -> Any:
    return np.array(rows, np.int8)


@pytest.mark.parametrize("weights", ["ternary", "binary"])
def test_exhaustive_all_pairs_of_4_bit_activations(weights: str) -> None:
    x = int8(list(product(range(-8, 8), repeat=2)))
    w = int8([pair for pair in product((-1, 0, 1), repeat=2) if weights == "ternary" or 0 not in pair])
    done = array(act_bits=4, lanes=2, cols=4, weights=weights, acc_bits=6).execute(x, w)
    np.testing.assert_array_equal(done.y, x.astype(np.int64) @ w.astype(np.int64).T)
    assert done.first_overflow is None


@pytest.mark.parametrize(
    ("act", "planes"),
    [(0, 1), (1, 1), (64, 1), (-128, 1), (-127, 2), (3, 2), (127, 7), (-1, 8)],
)
def test_a_group_takes_a_cycle_for_each_plane_with_a_bit_and_never_none(act: int, planes: int) -> None:
    x = int8([[0, act, 0, 0]])
    done = array().execute(x, int8([[1, -1, 0, 1]]))
    assert done.cycles == planes + 3
    assert done.y.tolist() == [[-act]]


def test_only_what_all_rows_have_as_zero_is_skipped() -> None:
    """Two tokens with one bit each, in different planes: alone they take one cycle per group, together two."""
    x, w = int8([[1, 0, 0, 0], [0, 0, 4, 0]]), int8([[1, 1, -1, 0]])
    alone, together = array(rows=1).execute(x, w), array(rows=2).execute(x, w)
    assert (alone.cycles, together.cycles) == (1 + 1 + 3, 2 + 3)
    adders = "serial.depth3.add_bits"
    assert together.events[adders] == 2 * alone.events[adders]
    assert alone.y.tolist() == together.y.tolist() == [[1], [-4]]


def test_narrower_groups_skip_more() -> None:
    x, w = int8([[1, 0, 0, 0, 2, 0, 0, 0]]), int8([[1] * 8])
    assert array(lanes=4).execute(x, w).cycles == 1 + 1 + 3
    assert array(lanes=8).execute(x, w).cycles == 2 + 3


@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_skipping_changes_neither_outputs_nor_accumulators_and_never_takes_longer(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.where(rng.random((7, 30)) < 0.8, 0, rng.integers(-128, 128, (7, 30))).astype(np.int8)
    w = rng.integers(-1, 2, (5, 30)).astype(np.int8)
    skipping, all_planes = (array(rows=rows, skip_zero_planes=skip).execute(x, w) for skip in (True, False))
    np.testing.assert_array_equal(skipping.y, all_planes.y)
    assert skipping.cycles <= all_planes.cycles == array(rows=rows).cycles(7, 30, 5)
    assert skipping.events.data_independent() == all_planes.events.data_independent()
    for event in ("reg.psum.toggle", "reg.weight.toggle"):
        assert skipping.events[event] == all_planes.events[event]
    for event in ("serial.depth3.add_bits", "reg.act.clock", "reg.serial.clock"):
        assert skipping.events[event] <= all_planes.events[event]


def test_4_bit_activations_take_half_the_cycles() -> None:
    four, eight = array(act_bits=4), array(act_bits=8)
    assert eight.cycles(6, 40, 9) - 15 == 2 * (four.cycles(6, 40, 9) - 15)


def test_operands_out_of_range_are_named() -> None:
    x, w = np.ones((2, 3), np.int8), np.ones((2, 3), np.int8)
    with pytest.raises(OperandError, match=r"^x\[1, 2\]: expected -8\.\.7, got 8$"):
        array(act_bits=4).execute(int8([[7, -8, 0], [0, 0, 8]]), w)
    with pytest.raises(OperandError, match=r"^w\[0, 1\]: expected -1 or 1, got 0$"):
        array(weights="binary").execute(x, int8([[1, 0, -1], [0, 0, 1]]))


def narrow_chip() -> Any:
    chip = load_chip("bit-serial-16x2048")
    spec = BitSerialSpec.model_validate(chip.bitlinear.model_dump() | {"act_bits": 4})
    return chip.model_copy(update={"bitlinear": spec})


def test_a_model_with_4_bit_codes_runs_on_4_bit_planes_and_int8_codes_do_not() -> None:
    chip = narrow_chip()
    narrow = run("tiny-b158", chip, prompt="In", new_tokens=1, numerics="a48_int4")
    wide = run("tiny-b158", "bit-serial-16x2048", prompt="In", new_tokens=1, numerics="a48_int4")
    np.testing.assert_array_equal(narrow.logits, wide.logits)
    with pytest.raises(OperandError, match=r"expected -8\.\.7"):
        run("tiny-b158", chip, prompt="In", new_tokens=1)
    with pytest.raises(BitsimError, match=r"have codes of 8 bits, bit-serial-16x2048 takes activations of at most 4"):
        estimate("tiny-b158", chip, prefill=2, decode=1)
    assert estimate("tiny-b158", chip, prefill=2, decode=1, numerics="a48_int4").cycles >= narrow.cycles


def test_events_of_one_group_by_hand() -> None:
    """x = (2, 0), w = (1, -1), two lanes: only plane 1 is worked on."""
    y, events = matmul(int8([[2, 0]]), int8([[1, -1]]), array(lanes=2, acc_bits=16))
    assert y.tolist() == [[2]]
    assert dict(events) == {
        "add.int8": 1,
        "serial.depth2.add_bits": 3 + 10,  # one adder of the tree, the adder before the register
        "acc.add.int16": 1,
        "reg.clock": 2 * (4 + 16),  # weights and accumulator, and both back to zero
        "reg.act.clock": 2 * 2,
        "reg.serial.clock": 2 * 10,
        "reg.act.toggle": 2,
        "reg.serial.toggle": 2,
        "reg.psum.toggle": 2,
        "reg.weight.toggle": 2 * 3,
    }
