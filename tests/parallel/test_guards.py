"""Guards of the package: what makes no sense is refused, and said."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitsim.errors import ConfigError, OperandError, UnknownNameError
from bitsim.hw.link import load_link
from bitsim.parallel import parallel
from bitsim.parallel.allreduce import allreduce
from bitsim.parallel.exchange import Network, exchange
from bitsim.parallel.execute import on_devices
from bitsim.quant.contracts import contract
from tests.parallel.test_execute import ARRAY, random_layer

LINK = load_link("nvlink")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch": 0}, "batch: expected an integer >= 1, got 0"),
        ({"context": 0}, "context: expected an integer >= 1, got 0"),
        ({"devices": [1, 0]}, "devices: expected an integer >= 1, got 0"),
        ({"batch": 2, "micro_batches": 0}, "micro-batches: expected a divisor of the batch of 2, got 0"),
    ],
)
def test_counts_below_one_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parallel("bitnet-125m", "ternary-ws-64x64", LINK, **settings)


@pytest.mark.parametrize("counts", [(0, 1, 1), (2, -1, 1), (2, 1, 0)])
def test_an_all_reduce_of_impossible_counts_is_refused(counts: tuple[int, int, int]) -> None:
    with pytest.raises(OperandError, match=f"got {counts[0]}, {counts[1]}, {counts[2]}"):
        allreduce(LINK, *counts, "ring")
    assert allreduce(LINK, 1, 5, 1, "ring").messages == allreduce(LINK, 3, 0, 1, "ring").messages == 0


def test_an_exchange_needs_as_many_arrays_as_devices_and_a_known_algorithm() -> None:
    with pytest.raises(OperandError, match="expected 3 arrays of one shape"):
        exchange(Network(LINK, 3), [np.zeros(2)] * 2, np.add, "ring", 4)
    with pytest.raises(UnknownNameError, match="unknown all-reduce 'star'"):
        exchange(Network(LINK, 2), [np.zeros(2)] * 2, np.add, "star", 4)  # type: ignore[arg-type]


@pytest.mark.parametrize(("axis", "along"), [("n", "N"), ("k", "K")])
def test_a_split_over_no_device_is_refused(axis: Any, along: str) -> None:
    x, w = random_layer()
    with pytest.raises(OperandError, match=f"devices: expected a divisor of {along} = .*, got 0"):
        on_devices(contract("b1"), ARRAY, x, w, devices=0, axis=axis, grouped=True, link=LINK)


def test_a_split_without_groups_needs_activations_that_are_scaled_by_their_maximum() -> None:
    x, w = random_layer()
    mixed = replace(contract("b1"), quantise_activations=contract("v2_int4").quantise_activations)
    with pytest.raises(OperandError, match="b1: a split without groups is executed for absmax activations only"):
        on_devices(mixed, ARRAY, x, w, devices=2, axis="k", grouped=False, link=LINK)
