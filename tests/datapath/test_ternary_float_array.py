"""Ternary PEs of floats by hand: order and rounding of sums, what a weight of 0 leaves out, what registers hold."""

import numpy as np
import pytest

from bitsim.datapath.formats import float_operand
from bitsim.datapath.pe_array.datapath import PEArray
from bitsim.datapath.reference.pe_array import nearest_bfloat16
from tests.datapath.strategies import array_spec

WS, OS = "weight_stationary", "output_stationary"


def run(pe: str, acc_bits: int, x: list[float], w: list[int], dataflow: str = WS, rows: int = 8):
    array = PEArray(array_spec(pe, dataflow, rows, 2, acc_bits=acc_bits))
    return array.execute(np.array([x], np.float32), np.array([w], np.int8))


@pytest.mark.parametrize("dataflow", [WS, OS])
def test_every_sum_is_rounded_in_the_order_of_k(dataflow: str) -> None:
    """2048 + 1 is no FP16 number: ties to even keep 2048 twice; 1 + 1 + 2048 is one. FP32 holds both."""
    assert run("ternary_fp16", 16, [2048, 1, 1], [1, 1, 1], dataflow).y[0, 0] == 2048
    assert run("ternary_fp16", 16, [1, 1, 2048], [1, 1, 1], dataflow).y[0, 0] == 2050
    assert run("ternary_fp16", 32, [2048, 1, 1], [1, 1, 1], dataflow).y[0, 0] == 2050
    assert run("ternary_bf16", 32, [2048, 1, -1], [1, 1, -1], dataflow).y[0, 0] == 2050


def test_tiles_of_k_are_rounded_below_the_column() -> None:
    """Rows of 2: (2048 + 1 -> 2048) + (1 + 1 = 2) = 2050; in one tile each 1 is lost."""
    assert run("ternary_fp16", 16, [2048, 1, 1, 1], [1, 1, 1, 1], rows=2).y[0, 0] == 2050
    assert run("ternary_fp16", 16, [2048, 1, 1, 1], [1, 1, 1, 1], rows=4).y[0, 0] == 2048


def test_activations_are_rounded_to_their_format_first() -> None:
    third = np.float32(1 / 3)
    assert run("ternary_fp16", 32, [third], [-1]).y[0, 0] == -np.float32(np.float16(third))
    assert run("ternary_bf16", 32, [third], [-1]).y[0, 0] == np.float32(-0.333984375)  # 171 / 512


def test_a_weight_of_zero_skips_whatever_the_activation() -> None:
    done = run("ternary_fp16", 16, [1e6, 2.0, 1e6], [0, 1, 0])
    assert done.y[0, 0] == 2
    assert done.first_overflow is None
    assert (done.events["pe.ternary_fp16_acc16.add"], done.events["pe.ternary_fp16_acc16.skip"]) == (1, 2)
    lost = run("ternary_fp16", 16, [1e6, 2.0, 1e6], [1, 0, -1])
    assert np.isnan(lost.y[0, 0])
    assert lost.events["overflow.output"] == 1


def test_registers_flip_by_the_patterns_of_their_formats() -> None:
    """One PE, one token of 1: FP16 0x3c00 and FP32 0x3f800000 enter a register of zeros and leave it again."""
    for pe, acc_bits, act, psum in (("ternary_fp16", 16, 4, 4), ("ternary_fp16", 32, 4, 7), ("ternary_bf16", 32, 7, 7)):
        array = PEArray(array_spec(pe, WS, 1, 1, acc_bits=acc_bits))
        events = array.execute(np.ones((1, 1), np.float32), np.ones((1, 1), np.int8)).events
        assert (events["reg.act.toggle"], events["reg.psum.toggle"]) == (2 * act, 2 * psum), pe
        assert events[f"acc.add.fp{acc_bits}"] == 1
        assert not any(name.startswith("mul.") for name in events)


def test_both_roundings_to_bfloat16_agree() -> None:
    rng = np.random.default_rng(3)
    values = (rng.normal(0, 1, 4000) * 2.0 ** rng.integers(-140, 120, 4000)).astype(np.float32)
    values[:3] = 1.00390625, 1.01171875, np.inf  # two ties
    patterns = float_operand("bf16", values[None])[0]
    expected = np.array([nearest_bfloat16(v).view(np.uint32) >> 16 for v in values], np.uint16)
    np.testing.assert_array_equal(patterns, expected)
