"""Every fast quantiser equals its plain-Python twin, bit for bit, for every contract."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bitsim.errors import OperandError
from bitsim.quant import reference
from bitsim.quant.contracts import CONTRACTS, contract
from bitsim.quant.exact_means import layer_norm, mean, row_means
from bitsim.quant.kv import KVFormat
from bitsim.quant.topk import topk_mask
from bitsim.quant.v2 import hadamard
from bitsim.testing.numbers import MAX, SPECIAL, powers_of_two, tokens

QUANTISED = sorted(name for name, entry in CONTRACTS.items() if entry.quantised)
PER_TENSOR = sorted(name for name in QUANTISED if CONTRACTS[name].weights is None)


def same_bits(got, want):
    np.testing.assert_array_equal(np.asarray(got, np.float32).view(np.uint32), np.float32(want).view(np.uint32))


def test_every_contract_has_a_twin():
    assert sorted(reference.ACTIVATIONS) == QUANTISED
    assert sorted(reference.WEIGHTS) == PER_TENSOR


def check_activations(name, x):
    try:
        wanted = [reference.ACTIVATIONS[name](row.tolist()) for row in x]
    except OverflowError:
        with pytest.raises(OperandError, match=r"beyond (float32|bfloat16)"):
            contract(name).quantise_activations(x)
        return
    q, s = contract(name).quantise_activations(x)
    assert q.dtype == np.int8
    assert s.dtype == np.float32
    assert q.shape == x.shape
    assert s.shape == (len(x), 1)
    np.testing.assert_array_equal(q, [codes for codes, _ in wanted])
    same_bits(s[:, 0], [scale for _, scale in wanted])
    low, high = contract(name).code_range
    assert low <= q.min()
    assert q.max() <= high


@pytest.mark.parametrize("name", QUANTISED)
@given(data=st.data())
def test_activations(name, data):
    check_activations(name, data.draw(tokens(widths=powers_of_two(4) if "hadamard" in name else None)))


@pytest.mark.parametrize("name", QUANTISED)
@pytest.mark.parametrize("value", SPECIAL)
@pytest.mark.parametrize("k", [1, 8])
def test_constant_tokens(name, value, k):
    check_activations(name, np.full((1, k), value, np.float32))


@pytest.mark.parametrize("name", QUANTISED)
def test_a_long_ordinary_token(name):
    check_activations(name, np.random.default_rng(5).normal(size=(3, 512)).astype(np.float32))


@pytest.mark.parametrize("name", PER_TENSOR)
@given(w=tokens())
@example(w=np.full((2, 3), 0.1, np.float32))
@example(w=np.float32([[MAX, 2.0**-149], [-0.0, -MAX]]))
@example(w=np.zeros((1, 1), np.float32))
def test_weights(name, w):
    try:
        reference.WEIGHTS[name](w.ravel().tolist())
    except OverflowError:
        with pytest.raises(OperandError, match="beyond bfloat16"):
            contract(name).quantise_weights(w)
        return
    codes, scale = contract(name).quantise_weights(w)
    wanted, wanted_scale = reference.WEIGHTS[name](w.ravel().tolist())
    assert codes.dtype == np.int8
    np.testing.assert_array_equal(codes.ravel(), wanted)
    same_bits(scale, wanted_scale)


@pytest.mark.parametrize("name", QUANTISED)
@given(
    acc=st.integers(-(2**30), 2**30),
    s=st.floats(2.0**-20, 2.0**20, width=32),
    weight_scale=st.floats(2.0**-20, 2.0**20, width=32),
)
def test_rescale(name, acc, s, weight_scale):
    got = contract(name).rescale(np.array([[acc]]), np.float32([[s]]), np.float32(weight_scale))
    same_bits(got, [[reference.rescale(name, acc, s, weight_scale)]])


@given(tokens())
def test_topk_masks(x):
    for ties, twin in (("lowest_index", reference.topk), ("keep_all", reference.topk_keep_all)):
        np.testing.assert_array_equal(topk_mask(x, ties), [twin(row.tolist()) for row in x])


@given(tokens(widths=powers_of_two()))
def test_hadamard(x):
    try:
        wanted = [reference.hadamard(row.tolist()) for row in x]
    except OverflowError:
        with pytest.raises(OperandError, match="beyond float32"):
            hadamard(x)
        return
    np.testing.assert_array_equal(hadamard(x), wanted)


@given(tokens())
def test_layer_norm(x):
    np.testing.assert_array_equal(layer_norm(x), [reference.layer_norm(row.tolist()) for row in x])


@given(tokens())
def test_mean(x):
    same_bits(mean(x), reference.f32(reference.mean(x.ravel().tolist())))


@pytest.mark.parametrize("spread", range(16, 40))
@pytest.mark.parametrize("k", [2, 17, 128])
def test_means_are_exact_where_float64_sums_stop_being_so(spread, k):
    rng = np.random.default_rng(spread)
    exponents = rng.choice([0, -spread], (40, k))
    x = np.ldexp(rng.uniform(0.5, 1, (40, k)).astype(np.float32), exponents)
    wanted = [reference.mean(row.tolist()) for row in x]
    np.testing.assert_array_equal(row_means(x)[:, 0], wanted)
    np.testing.assert_array_equal(row_means(x[:, ::-1])[:, 0], wanted)


@given(tokens(), st.integers(2, 8), st.integers(2, 8), st.sampled_from(["centred", "full_range"]))
def test_kv(x, bits, bos_bits, mapping):
    kv = KVFormat(name="test", bits=bits, bos_bits=bos_bits, mapping=mapping)
    try:
        wanted = [reference.kv(row, bits if t else bos_bits, mapping) for t, row in enumerate(x.tolist())]
    except OverflowError:
        with pytest.raises(OperandError, match="beyond float32"):
            kv.quantise(x[None])
        return
    stored = kv.quantise(x[None])
    np.testing.assert_array_equal(stored.codes[0], [codes for codes, _ in wanted])
    np.testing.assert_array_equal(stored.values()[0], np.float32([values for _, values in wanted]))
