"""Rotary tables against what transformers computes (tests/golden/rotary.npz, tools/record_rotary.py)."""

from pathlib import Path

import numpy as np
import pytest

from bitsim.model.rotary import rotary_frequencies, rotary_table

RECORDED = np.load(Path(__file__).parents[1] / "golden" / "rotary.npz")
POSITIONS = RECORDED["positions"]
# Head dimension, theta -> how many frequencies are torch's neighbour: its power is not always the nearest float32.
SHAPES = {(128, 500000): 0, (128, 10000): 0, (64, 500000): 0, (256, 1000042): 2, (96, 10000): 1}


def recorded(what: str, shape: tuple[int, int]) -> np.ndarray:
    return RECORDED[f"{shape[0]}.{shape[1]}.{what}"]


def test_all_shapes_that_were_recorded_are_tested_up_to_the_last_position() -> None:
    assert {tuple(map(int, name.split(".")[:2])) for name in RECORDED if name != "positions"} == set(SHAPES)
    assert POSITIONS.max() == 32767


@pytest.mark.parametrize("shape", SHAPES)
def test_frequencies_are_the_references(shape: tuple[int, int]) -> None:
    head_dim, theta = shape
    ours, theirs = rotary_frequencies(head_dim, float(theta)), recorded("inverse", shape)
    apart = np.abs(ours.view(np.int32).astype(np.int64) - theirs.view(np.int32))
    assert ours.dtype == theirs.dtype == np.float32
    assert (int((apart > 0).sum()), apart.max()) == (SHAPES[shape], min(1, SHAPES[shape]))
    once = (1 / np.float64(theta) ** (np.arange(0, head_dim, 2) / head_dim)).astype(np.float32)
    assert (once != theirs).sum() > head_dim // 10  # rounding once is not what the reference does


@pytest.mark.parametrize("shape", SHAPES)
def test_cosines_and_sines_are_the_references_up_to_their_last_bit(shape: tuple[int, int]) -> None:
    head_dim, theta = shape
    tables = rotary_table(head_dim, float(theta), int(POSITIONS.max()) + 1)
    ours, theirs = rotary_frequencies(head_dim, float(theta)), recorded("inverse", shape)
    for table, what in zip(tables, ("cos", "sin"), strict=True):
        assert (table.dtype, table.shape) == (np.float32, (32768, head_dim))
        np.testing.assert_array_equal(table[:, : head_dim // 2], table[:, head_dim // 2 :])
        error = np.abs(table[POSITIONS, : head_dim // 2] - recorded(what, shape))
        assert error[:, ours == theirs].max() <= 6e-8
        angles_apart = POSITIONS[:, None] * np.abs(ours - theirs).astype(np.float64)
        rounding = np.spacing(POSITIONS[:, None].astype(np.float32) * theirs)  # of the angles themselves
        assert (error <= 6e-8 + angles_apart + rounding * (ours != theirs)).all()
