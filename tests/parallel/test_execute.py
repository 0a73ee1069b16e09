"""A linear on several devices equals the same linear on one, bit for bit: codes, sums and outputs."""

import math
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bitsim.datapath.registry import build_datapath
from bitsim.errors import OperandError
from bitsim.hw import load_chip, load_link
from bitsim.parallel.allreduce import ALGORITHMS
from bitsim.parallel.execute import on_devices, on_one
from bitsim.quant.contracts import contract
from bitsim.quant.exact_means import EXACT_SUM_BYTES, exact_sum, mean, mean_of_sum
from bitsim.testing.numbers import ordinary, values
from tests.chips import chips_that_take

LINK = load_link("nvlink")
DATAPATHS = {name: build_datapath(load_chip(name).bitlinear) for name in chips_that_take("tiny-b158")}
ARRAY = DATAPATHS["ternary-ws-64x64"]


def one_chip_per_kind() -> list[str]:
    """Of each kind of exact datapath the first chip that takes operands of any shape."""
    found = {}
    for name, datapath in DATAPATHS.items():
        if datapath.exact and getattr(datapath.spec, "pad", True):
            found.setdefault(datapath.spec.kind, name)
    return list(found.values())


def chips_and_contracts(names: list[str]) -> list[tuple[str, str]]:
    """One chip of each kind, with those of the contracts whose codes it takes."""
    found = []
    for chip, name in product(one_chip_per_kind(), names):
        (least, most), (low, high) = DATAPATHS[chip].act_range, contract(name).code_range
        if least <= low and high <= most:
            found.append((chip, name))
    return found


def on_every_datapath(*names):
    return lambda test: pytest.mark.sampled(one_in=4)(
        pytest.mark.parametrize(("chip", "name"), chips_and_contracts([*names]))(test)
    )


@st.composite
def layers(draw):
    """Generates D, x float32 (M, K) and w float32 (N, K), D a divisor of N and K."""
    devices = draw(st.integers(1, 5))
    m, n, k = draw(st.integers(1, 3)), devices * draw(st.integers(1, 3)), devices * draw(st.integers(1, 5))
    shapes = ((m, k), (n, k))
    return devices, *(draw(arrays(np.float32, shape, elements=ordinary)) for shape in shapes)


def same(a, b):
    for field in ("x_codes", "w_codes", "sums", "y"):
        np.testing.assert_array_equal(getattr(a, field), getattr(b, field), err_msg=field)


def random_layer(m=3, n=48, k=96):
    rng = np.random.default_rng(7)
    return rng.standard_cauchy((m, k)).astype(np.float32), rng.normal(0.01, 0.1, (n, k)).astype(np.float32)


@on_every_datapath("b1", "b1_rint", "b158_q127_added", "a48_int4")
@pytest.mark.parametrize("axis", ["n", "k"])
@given(layer=layers())
def test_groups_on_their_own_devices_equal_groups_on_one_device(chip, name, axis, layer):
    (devices, x, w), recipe, datapath = layer, contract(name), DATAPATHS[chip]
    one = on_one(recipe, datapath, x, w, groups=devices, axis=axis)
    many = on_devices(recipe, datapath, x, w, devices=devices, axis=axis, grouped=True, link=LINK)
    same(one, many)
    assert set(many.exchanged) == ({"outputs"} if axis == "k" else set())


@on_every_datapath("b1")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(("axis", "joined"), [("n", {"alpha", "beta"}), ("k", {"alpha", "beta", "gamma", "sums"})])
@given(layer=layers())
def test_without_groups_joined_scales_make_the_split_equal_the_whole_layer(chip, name, algorithm, axis, joined, layer):
    (devices, x, w), recipe, datapath = layer, contract(name), DATAPATHS[chip]
    q, s = recipe.quantise_activations(x)
    codes, beta = recipe.quantise_weights(w)
    acc = q.astype(np.int64) @ codes.astype(np.int64).T
    many = on_devices(recipe, datapath, x, w, devices=devices, axis=axis, grouped=False, link=LINK, algorithm=algorithm)
    np.testing.assert_array_equal(many.x_codes, q)
    np.testing.assert_array_equal(many.w_codes, codes)
    np.testing.assert_array_equal(many.sums, acc)
    np.testing.assert_array_equal(many.y, recipe.rescale(acc, s, beta))
    assert set(many.exchanged) == joined
    assert set(many.calls.values()) == {1}


@pytest.mark.parametrize("name", ["b1_nonnegative", "b1_nonnegative_range"])
@given(layer=layers())
def test_non_negative_activations_need_eta_too(name, layer):
    devices, x, w = layer
    recipe, datapath = contract(name), ARRAY
    one = on_one(recipe, datapath, x, w, axis="n")
    many = on_devices(recipe, datapath, x, w, devices=devices, axis="k", grouped=False, link=LINK, algorithm="ring")
    same(one, many)
    assert set(many.exchanged) == {"alpha", "beta", "gamma", "eta", "sums"}


def test_without_groups_and_without_exchange_the_split_is_another_layer():
    """The all-reduces are needed: shards that keep their own scales give other codes and outputs."""
    (x, w), datapath = random_layer(), ARRAY
    whole = on_one(contract("b1"), datapath, x, w, axis="n")
    alone = on_devices(contract("b1"), datapath, x, w, devices=4, axis="k", grouped=True, link=LINK)
    assert (whole.x_codes != alone.x_codes).any()
    assert (whole.w_codes != alone.w_codes).any()
    assert not np.array_equal(whole.y, alone.y)


@pytest.mark.parametrize("algorithm", ["ring", "tree"])
def test_ring_and_tree_round_in_their_own_order_only(algorithm):
    """Codes and sums stay; outputs lie within the rounding errors of D - 1 float32 additions."""
    (x, w), datapath, recipe = random_layer(k=480), ARRAY, contract("b1")
    one = on_one(recipe, datapath, x, w, groups=8, axis="k")
    many = on_devices(recipe, datapath, x, w, devices=8, axis="k", grouped=True, link=LINK, algorithm=algorithm)
    np.testing.assert_array_equal(one.x_codes, many.x_codes)
    np.testing.assert_array_equal(one.sums, many.sums)
    parts = [on_one(recipe, datapath, np.ascontiguousarray(a), np.ascontiguousarray(b), axis="n").y
             for a, b in zip(np.split(x, 8, axis=1), np.split(w, 8, axis=1), strict=True)]  # fmt: skip
    room = 7 * 2.0**-24 * np.abs(parts).sum(axis=0, dtype=np.float64) * 2
    assert (np.abs(one.y.astype(np.float64) - many.y) <= room).all()


def test_messages_by_hand():
    """M = 3, N = 48 on 4 devices by chain: 6 messages per all-reduce."""
    (x, w), datapath = random_layer(), ARRAY
    found = on_devices(contract("b1"), datapath, x, w, devices=4, axis="k", grouped=False, link=LINK).exchanged
    sizes = {"alpha": EXACT_SUM_BYTES, "beta": EXACT_SUM_BYTES, "gamma": 3 * 4, "sums": 3 * 48 * 4}
    assert {what: (t.messages, t.bytes) for what, t in found.items()} == {
        what: (6, 6 * size) for what, size in sizes.items()
    }


@given(arrays(np.float32, st.tuples(st.integers(1, 3), st.integers(1, 9)), elements=values()))
def test_exact_sums_are_exact_and_round_as_the_mean_does(x):
    total = exact_sum(x)
    assert Fraction(total, 2**149) == sum(Fraction(float(v)) for v in x.ravel())
    assert mean_of_sum(total, x.size) == mean(x) == np.float32(math.fsum(x.ravel().tolist()) / x.size)
    assert 2**31 * max(abs(total), 1) < 2 ** (8 * EXACT_SUM_BYTES - 1)


def test_exact_sums_reach_both_ends_of_float32():
    tiny, huge = np.float32(2.0**-149), np.finfo(np.float32).max
    assert exact_sum(np.float32([[tiny, huge, -huge]])) == 1
    assert exact_sum(np.full((1, 3), tiny)) == 3
    assert exact_sum(np.float32([[huge]])) == (2**24 - 1) << (127 - 23 + 149)


def test_errors():
    (x, w), datapath = random_layer(), ARRAY
    with pytest.raises(OperandError, match="divisor of K = 96, got 5"):
        on_devices(contract("b1"), datapath, x, w, devices=5, axis="k", grouped=True, link=LINK)
    with pytest.raises(OperandError, match=r"b158_q127_added: .* binary weights"):
        on_devices(contract("b158_q127_added"), datapath, x, w, devices=2, axis="k", grouped=False, link=LINK)
