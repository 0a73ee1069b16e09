"""Rounding to nearest: equal to its plain twin, within half a step of the weights, and refused where it can't be."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bitsim.errors import ConfigError, OperandError
from bitsim.quant import reference
from bitsim.quant.contracts import CONTRACTS, contract
from bitsim.quant.rounding import WeightRounding
from bitsim.testing.numbers import tokens

roundings = st.builds(WeightRounding, bits=st.sampled_from([2, 4, 8]), group=st.sampled_from([None, 1, 2, 4]))
GROUPED = st.sampled_from([4, 8, 12])


@given(roundings, tokens(widths=GROUPED))
@example(WeightRounding(bits=4), np.float32([[7, -7, 3.5, 0.5], [-8, 0, 0, 0]]))
def test_weights_equal_the_twin(rounding: WeightRounding, w: np.ndarray) -> None:
    size = rounding.group or w.shape[1]
    try:
        wanted = [reference.nearest_weights(part.tolist(), rounding.bits) for part in w.reshape(-1, size)]
    except OverflowError:
        with pytest.raises(OperandError, match="finite in FP16"):
            rounding.codes(w)
        return
    codes, scales = rounding.codes(w)
    assert (codes.dtype, scales.dtype) == (np.int8, np.float32)
    np.testing.assert_array_equal(codes.reshape(-1, size), [q for q, _ in wanted])
    np.testing.assert_array_equal(scales.ravel(), [s for _, s in wanted])


@given(st.integers(1, 5), st.sampled_from([4, 8]), st.sampled_from([None, 8, 32]), st.integers(0, 2**32 - 1))
def test_a_rounded_weight_is_less_than_a_step_away(n: int, bits: int, group: int | None, seed: int) -> None:
    """Half a step, and what the scale lost when it became FP16: 2^-11 of a code of at most 127."""
    rounding = WeightRounding(bits=bits, group=group)
    w = np.random.default_rng(seed).normal(0, 0.02, (n, 64)).astype(np.float32)
    codes, scales = rounding.codes(w)
    steps = np.repeat(scales, 64 // scales.shape[1], axis=1)
    assert (np.abs(codes * steps - w) <= (0.5 + rounding.most * 2**-11) * steps).all()


def test_bits_of_a_weight_hold_the_scales_of_groups() -> None:
    assert contract("w4a16_g128").weights.bits_per_weight == Fraction(33, 8)
    assert contract("w4a16_g32").weights.bits_per_weight == Fraction(9, 2)
    assert contract("w8a8").weights.bits_per_weight == 8
    assert {name for name, c in CONTRACTS.items() if c.weights and c.weight_only} == {
        "w8a16", "w4a16_g32", "w4a16_g64", "w4a16_g128",
    }  # fmt: skip


def test_outputs_of_rows_with_scales_of_their_own() -> None:
    """By hand: sums 10 and -4, a token's step 0.5, rows' scales 2 and 0.25."""
    y = contract("w8a8").rescale(np.array([[10, -4]]), np.float32([[0.5]]), np.float32([2, 0.25]))
    np.testing.assert_array_equal(y, np.float32([[10, -0.5]]))


def test_what_cannot_be_rounded_is_refused() -> None:
    with pytest.raises(OperandError, match="a K that groups of 32 divide, got 48"):
        contract("w4a16_g32").weights.codes(np.ones((2, 48), np.float32))
    with pytest.raises(ConfigError, match="no quantised activations"):
        contract("w8a16").quantise_activations(np.ones((1, 4), np.float32))
    with pytest.raises(ConfigError, match="no weights per tensor"):
        contract("w8a8").quantise_weights(np.ones((1, 4), np.float32))
