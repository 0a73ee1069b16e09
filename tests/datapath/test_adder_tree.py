"""What is special about adder trees: stages, carries, fill, and weights that several tokens share."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from bitsim.datapath.adder_tree import AdderTree
from bitsim.datapath.reference import adder_tree as twin
from bitsim.hw.datapaths import AdderTreeSpec


def tree(**fields: Any) -> AdderTreeSpec:
    values = {"kind": "adder_tree", "lanes": 16, "trees": 4, "acc_bits": 24}
    return AdderTreeSpec.model_validate(values | fields)


@pytest.mark.parametrize(
    ("lanes", "pipeline", "ranks", "bits"),
    [
        # 16 lanes: 8 x 9 + 4 x 10 + 2 x 11 + 12 = 146 bits in the tree, 24 in the accumulator.
        (16, 0, (), {5: 170}),
        (16, 1, (2,), {2: 72 + 40, 3: 22 + 12 + 24}),
        (16, 4, (1, 2, 3, 4), {1: 170}),
        (64, 2, (2, 4), {2: 32 * 9 + 16 * 10 + 8 * 11 + 4 * 12, 3: 2 * 13 + 14 + 24}),
        (2, 1, (1,), {1: 9 + 24}),
        # 10 lanes: 5 adders; 5 nodes make 2 and pass one on, 3 nodes make one and pass one on; the last one joins them.
        (10, 0, (), {5: 5 * 9 + 2 * 10 + 11 + 12 + 24}),
        (48, 1, (3,), {3: 24 * 9 + 12 * 10 + 6 * 11, 4: 3 * 12 + 13 + 14 + 24}),
    ],
)
def test_ranks_cut_the_levels_and_the_accumulator_into_even_stages(
    lanes: int, pipeline: int, ranks: tuple[int, ...], bits: dict[int, int]
) -> None:
    spec = tree(lanes=lanes, pipeline=pipeline)
    assert spec.ranks == ranks
    assert AdderTree(spec).adder_bits() == bits


def test_cycles_are_groups_times_tokens_and_a_fill_per_tile() -> None:
    # 9 outputs on 4 trees are 3 tiles; 33 weights are 3 groups of 16; fill, one rank, hand over.
    assert AdderTree(tree(pipeline=1)).cycles(5, 33, 9) == 3 * (5 * 3 + 1 + 1 + 1)


def test_a_slower_tree_takes_as_many_cycles_for_each_of_its_own_and_switches_nothing_more() -> None:
    once, thrice = (AdderTree(tree(lanes=10, pipeline=1, interval=interval)) for interval in (1, 3))
    assert once.cycles(5, 33, 9) == 3 * (5 * 4 + 1 + 1 + 1)
    assert thrice.cycles(5, 33, 9) == 3 * once.cycles(5, 33, 9)
    assert thrice.count(5, 33, 9) == once.count(5, 33, 9)
    assert (once.spec.macs_per_cycle, thrice.spec.macs_per_cycle) == (40, Fraction(40, 3))


def test_a_node_without_a_partner_passes_on_by_hand() -> None:
    """3 lanes, registers behind level 1: (5 + ~7, carry 1 waits) and the lone ~(-2) with its carry."""
    spec = tree(lanes=3, trees=1, pipeline=1, acc_bits=12)
    assert spec.ranks == (1,)
    done = AdderTree(spec).execute(np.array([[5, 7, -2]], np.int8), np.array([[1, -1, -1]], np.int8))
    assert done.y.tolist() == [[0]]
    held = [(5 + ~7) << 1 | 1, ~-2 << 1 | 1]  # value and waiting carry of both nodes, 10 bits
    assert done.events["reg.tree1.toggle"] == 2 * sum((node & 1023).bit_count() for node in held)
    assert AdderTree(spec).adder_bits() == {1: 9, 2: 10 + 12}


def test_tokens_share_each_fetch_of_weights() -> None:
    alone, shared = (AdderTree(tree(tokens=tokens)) for tokens in (1, 4))
    assert alone.streams(9, 64, 8).weight_reads == 9 * 64 * 8 * 2
    assert shared.streams(9, 64, 8).weight_reads == 3 * 64 * 8 * 2
    assert alone.cycles(9, 64, 8) == shared.cycles(9, 64, 8)
    rng = np.random.default_rng(2)
    x, w = rng.integers(-128, 128, (9, 64)).astype(np.int8), rng.integers(-1, 2, (8, 64)).astype(np.int8)
    counted = [datapath.execute(x, w).events["reg.weight.toggle"] for datapath in (alone, shared)]
    assert counted[1] < counted[0] / 2


def test_toggles_of_two_lanes_by_hand() -> None:
    """-(-128) and 3: the node is ~(-128) + 3 + 1 = 131, no carry waits; then 5 and -(7): 5 + ~7, and a carry waits."""
    spec = tree(lanes=2, trees=1, pipeline=1, acc_bits=12)
    x, w = np.array([[-128, 3, 5, 7]], np.int8), np.array([[-1, 1, 1, -1]], np.int8)
    done = AdderTree(spec).execute(x, w)
    assert done.y.tolist() == [[129]]
    nodes = [131 << 1, ((5 - 8) << 1 | 1) & 1023, 0]
    held, flips = 0, 0
    for node in nodes:
        held, flips = node, flips + (held ^ node).bit_count()
    assert done.events["reg.tree1.toggle"] == flips
    assert done.events["reg.psum.toggle"] == (131).bit_count() + (131 ^ 129).bit_count() + (129).bit_count()


@pytest.mark.parametrize("pipeline", [3, 7])
def test_the_widest_tree_at_the_ends_of_its_range(pipeline: int) -> None:
    spec = tree(lanes=128, trees=3, pipeline=pipeline, acc_bits=17, overflow="saturate")
    rng = np.random.default_rng(pipeline)
    x = rng.choice(np.array([-128, -127, 127], np.int8), (4, 300), p=[0.8, 0.1, 0.1])
    w = rng.choice(np.array([-1, 1], np.int8), (5, 300), p=[0.9, 0.1])
    x[0], w[0], w[1] = -128, -1, 1
    done, expected = AdderTree(spec).execute(x, w), twin.run(x, w, spec)
    np.testing.assert_array_equal(done.y, expected.y)
    assert done.events == expected.events


def test_a_team_of_threads_counts_the_same_as_the_columns_one_by_one() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.integers(-128, 128, (20, 130)).astype(np.int8), rng.integers(-1, 2, (150, 130)).astype(np.int8)
    datapath = AdderTree(tree(pipeline=2, tokens=3, trees=1))
    registers = ("reg.tree1.toggle", "reg.tree3.toggle", "reg.psum.toggle")
    whole = datapath.execute(x, w).events
    single = [datapath.execute(x, w[i : i + 1]).events for i in range(len(w))]
    for register in registers:
        assert whole[register] == sum(events[register] for events in single) > 0
