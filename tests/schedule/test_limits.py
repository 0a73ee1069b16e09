"""Sizes without limits: counts are right or refused by name, never wrapped, and a plan is found in bounded work."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import bitsim
from bitsim.errors import BitsimError
from bitsim.hw import load_chip
from bitsim.model.operators import Operator, lone_linear
from bitsim.schedule import Placement
from bitsim.schedule.thinning import thinned, within
from tests.cli.test_commands import bitsim as command


def linear(m: int, k: int, n: int) -> Operator:
    return lone_linear(
        name="layers.0.mlp.up_proj",
        phase="prefill",
        m=m,
        k=k,
        n=n,
        weight_bits=2 * k * n,
    )


def in_tiles(size: int, tile: int) -> Counter[int]:
    """Sizes of tiles, and how many there are of each."""
    return Counter({tile: size // tile}) + Counter([size % tile] if size % tile else [])


# Of each chip, a datapath that takes shapes one by one or many together, with one and two ranks of buffers.
CHIPS = ("adder-tree-16x256", "cpu-i2s-avx2", "ternary-lut-g3", "ternary-os-64x64", "ternary-ws-64x64-global")
every_chip = pytest.mark.parametrize("chip", CHIPS)


@pytest.mark.parametrize("chip", ["ternary-ws-64x64", "ternary-os-64x64", "adder-tree-16x256"])
def test_counts_of_a_405b_linear_with_millions_of_tokens_equal_those_of_python_integers(chip: str) -> None:
    """Of what each tile of the plan reads, added up in Python's integers: 3e15 bits and more."""
    placement = Placement(load_chip(chip))
    op = linear(10_000_000, 16_384, 53_248)
    placed, datapath = placement.place(op), placement.bitlinear
    assert placed.plan is not None
    (loops,) = placed.plan.loops
    tiles = [in_tiles(size, tile).items() for size, tile in zip((op.m, op.k, op.n), loops.tile, strict=True)]
    weights = acts = 0
    for (m, times_m), (k, times_k), (n, times_n) in product(*tiles):
        streams, times = datapath.streams(m, k, n), times_m * times_k * times_n
        weights, acts = weights + times * streams.weight_reads, acts + times * streams.act_reads
    names = placement.chip.memory.chain("weights")[0].name, placement.chip.memory.chain("acts")[0].name
    assert placed.events[f"sram.{names[0]}.read_bits"] == weights
    assert placed.events[f"sram.{names[1]}.read_bits"] == acts
    assert acts > 2**47
    assert placed.cycles >= placed.least_cycles > 2**40


def test_counts_beyond_63_bits_are_refused_with_the_operator_and_its_shape() -> None:
    placement = Placement(load_chip("ternary-ws-64x64"))
    with pytest.raises(BitsimError, match=r"15000000 x 16384 x 530000 .*, 1 times: more than 36,028,797,018,963,968 "):
        placement.place(linear(15_000_000, 16_384, 530_000))
    with pytest.raises(BitsimError, match=r"layers\.0\.self_attn\.qk: "):
        bitsim.estimate("bitnet-b158-70b", "ternary-ws-64x64", prefill=15_000_000, decode=0, beyond_capacity=True)


@every_chip
def test_a_plan_for_half_a_million_rows_waits_for_less_than_twice_its_array(chip: str) -> None:
    """Prefill 4096 at batch 128, where plans were up to 113 times above their bound, or not found in half an hour."""
    placement = Placement(load_chip(chip))
    placed = placement.place(linear(4096 * 128, 2560, 6912))
    assert placed.plan is not None
    assert placed.plan.cut
    assert placed.cycles < (3 if chip.endswith("global") else 2) * placed.least_cycles


@given(
    st.lists(st.integers(1, 10**12), min_size=1, max_size=200, unique=True), st.integers(2, 60), st.integers(1, 10**12)
)
def test_thinned_sizes_are_spread_over_those_that_have_room(sizes: list[int], most: int, largest: int) -> None:
    sizes = sorted(sizes, reverse=True)
    kept, fitting = thinned(sizes, most, largest), [size for size in sizes if size <= largest] or sizes[-1:]
    assert kept == sorted(set(kept), reverse=True)
    assert set(kept) <= set(fitting)
    assert 1 <= len(kept) <= most or len(fitting) <= most
    assert (kept[0], kept[-1]) == (fitting[0], fitting[-1])


@given(st.lists(st.integers(1, 300), min_size=3, max_size=3), st.integers(8, 10**6))
def test_lists_are_thinned_to_a_number_of_shapes_and_say_so(lengths: list[int], most_shapes: int) -> None:
    found = within([(range(length, 0, -1), "") for length in lengths], (10**9,) * 3, most_shapes)
    shapes = np.prod([2 * len(sizes) for sizes, _ in found])
    assert shapes <= most_shapes or [len(sizes) for sizes, _ in found] == [1, 1, 1]
    for length, (sizes, cut) in zip(lengths, found, strict=True):
        assert (cut == "") == (len(sizes) == length)
        assert sizes[0] == length  # the largest one, of at least one


HUGE = [
    (("estimate", "tiny-b158", "--decode", "1000000000"), "decode: expected at most 1,048,576 tokens"),
    (("estimate", "tiny-b158", "--prefill", "1000000000000", "--beyond-capacity"), "counts beyond 63 bits"),
    (("estimate", "tiny-b158", "--batch", "1000000000000", "--beyond-capacity"), "counts beyond 63 bits"),
    (("estimate", "tiny-b158", "--prefill", "1000000000", "--chunk", "1", "--beyond-capacity"), "1,000,000,000 steps"),
    (("parallel", "bitnet-125m", "--devices", "1000000007"), "no tensor x pipeline = 1000000007 has a tensor degree"),
    (("parallel", "bitnet-125m", "--devices", "2", "--batch", "1000000000000000"), "counts beyond 63 bits"),
]


@pytest.mark.parametrize(("words", "expected"), HUGE)
def test_huge_sizes_are_answered_with_their_limit(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], expected: str
) -> None:
    code, out, err = command(capsys, *words)
    assert (code, out) == (2, "")
    assert expected in err
