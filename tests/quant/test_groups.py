"""The law of group quantisation: a G-way split needs no exchange of alpha, beta, gamma, eta, mean or variance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bitsim.errors import OperandError
from bitsim.quant import reference
from bitsim.quant.contracts import contract
from bitsim.quant.exact_means import layer_norm
from bitsim.quant.groups import group_norm, quantise_activation_groups, quantise_weight_groups, rescale_groups
from bitsim.testing.numbers import ordinary, values

NAMES = ["b1", "b1_rint", "b1_nonnegative", "faq_b1", "b158_q127_added", "a48_int4"]
every_contract = pytest.mark.parametrize("name", NAMES)


@st.composite
def layers(draw, elements=ordinary):
    """Generates G, x float32 (M, K) and w float32 (N, K), G a divisor of N and K."""
    groups = draw(st.integers(1, 4))
    m, n, k = draw(st.integers(1, 3)), groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 5))
    return (
        groups,
        draw(arrays(np.float32, (m, k), elements=elements)),
        draw(arrays(np.float32, (n, k), elements=elements)),
    )


def matmul(q, codes):
    return q.astype(np.int64) @ codes.astype(np.int64).T


@every_contract
@given(layer=layers(values()))
def test_shards_quantise_alone(name, layer):
    entry, (groups, x, w) = contract(name), layer
    try:
        q, s = quantise_activation_groups(entry, x, groups)
    except OperandError:
        return
    for g, shard in enumerate(np.split(x, groups, axis=1)):
        codes, scale = entry.quantise_activations(np.ascontiguousarray(shard))
        np.testing.assert_array_equal(np.split(q, groups, axis=1)[g], codes)
        np.testing.assert_array_equal(s[:, g : g + 1], scale)
        assert reference.ACTIVATIONS[name](shard[0].tolist()) == (codes[0].tolist(), scale[0, 0])
    for axis, along in (("n", 0), ("k", 1)):
        codes, scales = quantise_weight_groups(entry, w, groups, axis)
        for g, shard in enumerate(np.split(w, groups, axis=along)):
            alone, scale = entry.quantise_weights(np.ascontiguousarray(shard))
            np.testing.assert_array_equal(np.split(codes, groups, axis=along)[g], alone)
            assert scales[g] == scale
            assert reference.WEIGHTS[name](shard.ravel().tolist()) == (alone.ravel().tolist(), scale)


@every_contract
@given(layer=layers())
def test_devices_exchange_outputs_only(name, layer):
    """Each device sees its shard of x and w and nothing else; together they give the grouped layer, bit for bit."""
    entry, (groups, x, w) = contract(name), layer
    q, s = quantise_activation_groups(entry, x, groups)
    codes, scales = quantise_weight_groups(entry, w, groups, "k")
    parts = zip(np.split(q, groups, axis=1), np.split(codes, groups, axis=1), strict=True)
    whole = rescale_groups(entry, np.stack([matmul(a, b) for a, b in parts]), s, scales, "k")

    def device(x_shard, w_shard):
        q, s = entry.quantise_activations(x_shard)
        codes, scale = entry.quantise_weights(w_shard)
        return entry.rescale(matmul(q, codes), s, scale)

    shards = zip(np.split(x, groups, axis=1), np.split(w, groups, axis=1), strict=True)
    outputs = [device(np.ascontiguousarray(a), np.ascontiguousarray(b)) for a, b in shards]
    total = outputs[0]
    for y in outputs[1:]:
        total = total + y
    np.testing.assert_array_equal(whole, total)

    q, s = entry.quantise_activations(x)
    codes, scales = quantise_weight_groups(entry, w, groups, "n")
    by_column = rescale_groups(entry, matmul(q, codes), s, scales, "n")
    np.testing.assert_array_equal(by_column, np.concatenate([device(x, b) for b in np.split(w, groups)], axis=1))


@given(layers(values()))
def test_group_norm_is_layer_norm_of_each_shard(layer):
    groups, x, _ = layer
    alone = [layer_norm(np.ascontiguousarray(shard)) for shard in np.split(x, groups, axis=1)]
    np.testing.assert_array_equal(group_norm(x, groups), np.concatenate(alone, axis=1))


@every_contract
@given(layer=layers())
def test_one_group_is_the_whole(name, layer):
    entry, (_, x, w) = contract(name), layer
    (q, s), (grouped, scales) = entry.quantise_activations(x), quantise_activation_groups(entry, x, 1)
    np.testing.assert_array_equal(q, grouped)
    np.testing.assert_array_equal(s, scales)
    codes, mean = entry.quantise_weights(w)
    acc = matmul(q, codes)
    for axis, sums in (("n", acc), ("k", acc[None])):
        again, means = quantise_weight_groups(entry, w, 1, axis)
        np.testing.assert_array_equal(codes, again)
        np.testing.assert_array_equal(entry.rescale(acc, s, mean), rescale_groups(entry, sums, s, means, axis))


def test_groups_differ_from_the_whole():
    """The grouped layer is another function: each half has its own scale."""
    x = np.float32([[1, 2, 100, 200]])
    q, s = quantise_activation_groups(contract("b1"), x, 2)
    np.testing.assert_array_equal(q, [[64, 127, 64, 127]])
    np.testing.assert_array_equal(s, [[2 / 128, 200 / 128]])


def test_layer_norm_has_mean_0_and_variance_1():
    x = np.random.default_rng(0).normal(3, 5, (4, 4096)).astype(np.float32)
    y = layer_norm(x)
    np.testing.assert_allclose(y.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(y.var(axis=1), 1, rtol=1e-5)
    assert not layer_norm(np.full((1, 5), 7, np.float32)).any()


def test_errors():
    b1, x, w = contract("b1"), np.ones((2, 6), np.float32), np.ones((4, 6), np.float32)
    for groups in (4, 0, -1):
        with pytest.raises(OperandError, match=f"divisor of K = 6, got {groups}"):
            quantise_activation_groups(b1, x, groups)
    with pytest.raises(OperandError, match="divisor of N = 4, got 3"):
        quantise_weight_groups(b1, w, 3, "n")
    with pytest.raises(OperandError, match=r"expected float32 \(M, K\)"):
        group_norm(x[0], 2)
    with pytest.raises(OperandError, match=r"expected floats \(N, K\)"):
        quantise_weight_groups(b1, w[0], 2, "n")
    scales = np.ones(2, np.float32)
    with pytest.raises(OperandError, match=r"expected \(G, M, N\) and scales \(M, G\) with G = 2"):
        rescale_groups(b1, np.ones((2, 2, 4), np.int64), np.ones((2, 1), np.float32), scales, "k")
    with pytest.raises(OperandError, match=r"sums: expected \(M, N\), got \(2, 2, 4\)"):
        rescale_groups(b1, np.ones((2, 2, 4), np.int64), np.ones((2, 1), np.float32), scales, "n")
