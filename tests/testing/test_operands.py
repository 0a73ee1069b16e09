"""Operands that are generated are legal, and all kinds of them come."""

from typing import Any

import numpy as np
import pytest
from hypothesis import find, given
from hypothesis import strategies as st

from bitsim.errors import OperandError
from bitsim.testing import Takes, accumulator, matmuls
from bitsim.testing.operands import overflowing, sizes, worst_cases

TAKES = [
    Takes(),
    Takes(acts=(-1, 1), zero_acts=False, zero_weights=False),
    Takes(acts=(-8, 7), weights=(-8, 7), tile=(2, 16, 4), largest=(5, 35, 9)),
    Takes(acts=(-2048, 2047), tile=(1, 4, 1)),
]


@pytest.mark.parametrize("takes", TAKES)
@given(data=st.data())
def test_operands_are_in_range_and_without_zeros_where_none_is_legal(takes: Takes, data: st.DataObject) -> None:
    x, w = data.draw(st.one_of(matmuls(takes), overflowing(takes, 30)))
    assert x.dtype == (np.int8 if takes.acts[1] < 128 else np.int16)
    assert x.shape[1] == w.shape[1]
    for operand, (low, high), zero in ((x, takes.acts, takes.zero_acts), (w, takes.weights, takes.zero_weights)):
        assert low <= operand.min() <= operand.max() <= high
        assert zero or operand.all()


@pytest.mark.parametrize("size", [1, 7, 15, 16, 17, 31, 32, 33, 40])
def test_sizes_of_one_primes_and_neighbours_of_the_tile_come(size: int) -> None:
    assert find(sizes(40, 16), lambda drawn: drawn == size) == size


def runs(w: Any) -> bool:
    """Mostly equal neighbours along K, of more than one value."""
    return w.shape[1] > 20 and len(np.unique(w)) > 2 and (np.diff(w, axis=1) != 0).mean() < 0.25


@pytest.mark.parametrize(
    "kind",
    [
        lambda x, w: runs(w),
        lambda x, w: w.size > 60 and 0 < (w != 0).mean() < 0.15,
        lambda x, w: x.size > 60 and 0 < (np.abs(x.astype(int)) > 100).mean() < 0.1 and np.median(np.abs(x)) < 4,
        lambda x, w: x.size > 20 and {-128, 127} <= {*x.ravel().tolist()} <= {-128, -127, 0, 127},
        lambda x, w: x.size > 20 and (x == -128).all(),
        lambda x, w: w.size > 20 and (w == -1).all(),
    ],
    ids=["runs", "zeros", "outliers", "extremes", "constant activations", "constant weights"],
)
def test_kinds_of_operands_come(kind: Any) -> None:
    find(matmuls(Takes()), lambda pair: kind(*pair))


def test_extremes_at_the_depth_leave_the_accumulator_and_not_before() -> None:
    takes = Takes()
    depth = takes.depth(accumulator(12))
    assert depth == 17  # 16 x 128 = 2048 leaves +2047, and only 17 x 128 leaves -2048
    totals = [int(x.astype(int)[0] @ w.astype(int)[0]) for x, w in worst_cases(takes, depth)]
    assert totals == [-17 * 128, 17 * 128]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Takes(acts=(3, 1)), r"Takes\.acts: expected \(least, greatest\) .*, got \(3, 1\)"),
        (lambda: Takes(weights=(0, 0)), r"Takes\.weights: expected"),
        (lambda: Takes(tile=(1, 0, 1)), r"Takes\.tile: expected M, K and N of at least 1, got \(1, 0, 1\)"),
        (
            lambda: Takes().depth(accumulator(32)),
            r"32 bits: leaves its range at K = 16,777,217 only, laws go to 20,000",
        ),
        (lambda: Takes(acts=(0, 3), weights=(0, 1)).depth(accumulator(4)), r"expected products of both signs"),
    ],
)
def test_what_can_not_be_generated_is_an_error(make: Any, text: str) -> None:
    with pytest.raises(OperandError, match=text):
        make()
