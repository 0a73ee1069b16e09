"""The stated accumulator in plain Python is what the datapaths' kernels do, and the twin is that of the datapath."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.datapath.accumulation import Accumulation, Register, accumulate
from bitsim.hw import load_chip
from bitsim.testing import Takes, accumulator, matmuls, reference
from bitsim.testing.operands import acc_bits, overflowing


@st.composite
def accumulations(draw: st.DrawFn) -> Accumulation:
    """Generates accumulators behind each other, or one of them, that overflow on small operands."""
    inner = draw(st.one_of(st.none(), acc_bits(9).map(lambda bits: Register(name="psum", bits=bits))))
    outer = Register(name="acc", bits=draw(acc_bits(10)))
    group = draw(st.integers(1, 6))
    return Accumulation(group=group, inner=inner, outer=outer, overflow=draw(st.sampled_from(("wrap", "saturate"))))


@given(data=st.data(), how=accumulations())
def test_the_reference_sums_as_the_kernels_of_the_datapaths_do(data: st.DataObject, how: Accumulation) -> None:
    takes = Takes()
    x, w = data.draw(st.one_of(matmuls(takes), overflowing(takes, takes.depth(how))))
    expected: Any = reference(how).execute(x, w)
    done = accumulate(x, w, how, largest_weight=1)
    np.testing.assert_array_equal(done.y, expected.y)
    assert done.overflows == dict(expected.events.items())
    assert done.first == expected.first_overflow


@pytest.mark.parametrize(("overflow", "y"), [("wrap", -116), ("saturate", 127)])
def test_an_accumulator_of_eight_bits_by_hand(overflow: Any, y: int) -> None:
    x, w = np.array([[100, 20, 20, 0]], np.int8), np.ones((1, 4), np.int8)
    done = reference(accumulator(8, overflow)).execute(x, w)
    assert done.y.tolist() == [[y]]
    assert done.first_overflow == (0, 2, 0)
    assert done.events["overflow.acc"] == 1
    assert reference(accumulator(8, overflow, lanes=2)).execute(x, w).first_overflow == (0, 2, 0)
    assert reference(accumulator(8, overflow, lanes=3)).execute(x, w).first_overflow == (0, 0, 0)
    assert reference().execute(x, w).y.tolist() == [[140]]


def test_the_twin_of_a_chip_counts_its_events() -> None:
    done = reference(load_chip("ternary-ws-64x64").bitlinear).execute(
        np.ones((1, 2), np.int8), np.ones((3, 2), np.int8)
    )
    assert done.y.tolist() == [[2, 2, 2]]
    assert done.events["add.int8"] == 3
