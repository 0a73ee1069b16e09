"""The contract of bitnet.cpp's I2_S: golden vectors, and where its rescale may take one integer for two."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.quant.contracts import contract
from bitsim.testing.numbers import tokens
from tests.quant.test_contracts import same_bits

RULES = contract("bitnetcpp_i2s")
EXACT = 2**24  # integers up to here are float32 values


@pytest.mark.parametrize("case", ["a", "b"])
def test_golden_vectors(golden, case):
    vectors = np.load(golden / "gguf" / "i2s_vectors.npz")
    q, s = RULES.quantise_activations(vectors[f"{case}.x"][None])
    same_bits(q[0], vectors[f"{case}.q"])
    same_bits(s[0, 0], vectors[f"{case}.s"])
    scale = vectors[f"{case}.bytes_x86"][-32:-28].view(np.float32)[0]
    sums = vectors[f"{case}.rawdot"].astype(np.int64) - q.sum(dtype=np.int64)
    same_bits(RULES.rescale(sums[None], s, scale)[0], vectors[f"{case}.out"])


@given(tokens())
def test_codes_are_those_of_one_correctly_rounded_division(x):
    np.testing.assert_array_equal(
        RULES.quantise_activations(x)[0], contract("b158_q127_clamped").quantise_activations(x)[0]
    )


@given(st.integers(-EXACT, EXACT), st.integers(-EXACT, EXACT))
def test_one_integer_serves_for_two_up_to_2_to_the_24(rawdot, sum_q):
    assert np.float32(rawdot) - np.float32(sum_q) == np.float32(rawdot - sum_q)


def test_beyond_2_to_the_24_it_does_not():
    rawdot, sum_q = EXACT + 1, 1
    assert np.float32(rawdot) - np.float32(sum_q) != np.float32(rawdot - sum_q)
