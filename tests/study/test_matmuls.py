"""Matmuls by themselves are what a model's linears are."""

from fractions import Fraction

import pytest

import bitsim
from bitsim.errors import ConfigError
from bitsim.study import MatmulShape, estimate_matmuls


@pytest.mark.parametrize("chip", ["ternary-ws-64x64", "ternary-lut-g3"])
def test_law_matmuls_alone_equal_the_linears_of_a_model(chip: str) -> None:
    model = bitsim.estimate("tiny-b158", chip, prefill=7, decode=0)
    linears = [row for row in model.rows if row.kind == "linear" and row.layer == 0]
    config = bitsim.load_model("tiny-b158").config
    shapes = [MatmulShape(name=name, m=7, k=k, n=n) for name, n, k in config.linear_shapes()]
    alone = estimate_matmuls(shapes, chip, phase="prefill")
    for one, row in zip(alone.rows, linears, strict=True):
        assert (one.cycles, one.unit_cycles, one.macs, one.bound) == (row.cycles, row.unit_cycles, row.macs, row.bound)
        assert one.events == row.events


def test_law_counts_repeat_a_matmul_with_weights_of_its_own() -> None:
    once = estimate_matmuls([MatmulShape(name="a", m=1, k=300, n=200)], "ternary-ws-64x64")
    often = estimate_matmuls([MatmulShape(name="a", m=1, k=300, n=200, count=5)], "ternary-ws-64x64")
    assert often.events == once.events * 5
    assert often.cycles == 5 * once.cycles


def test_packing_decides_what_dram_gives() -> None:
    for bits in (Fraction(8, 5), Fraction(2), Fraction(5, 3)):
        shape = MatmulShape(name="a", m=1, k=300, n=200, weight_bits=bits)
        read = estimate_matmuls([shape], "adder-tree-16x256").events["dram.weights.read_bits"]
        assert 300 * 200 * bits <= read < 300 * 200 * bits + 8


def test_nothing_takes_no_time() -> None:
    empty = estimate_matmuls([], "ternary-ws-64x64")
    assert (empty.cycles, empty.time_s, len(empty.events)) == (0, 0.0, 0)


def test_sizes_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="matmul a: k: expected an integer >= 1, got 0"):
        MatmulShape(name="a", m=1, k=0, n=2)


def test_weights_must_have_room() -> None:
    shape = MatmulShape(name="a", m=1, k=2048, n=2048)
    with pytest.raises(
        ConfigError, match=r"memory.levels.weights: the list of matmuls needs 1,048,576 bytes, there are "
    ):
        estimate_matmuls([shape], "trinity-xc7a100t")
    allowed = estimate_matmuls([shape], "trinity-xc7a100t", beyond_capacity=True)
    assert allowed.cycles > 2048 * 2048
    assert any("needs 1,048,576 bytes" in note for note in allowed.notes)
