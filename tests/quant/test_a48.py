"""BitNet a4.8: INT4, TopK, FP4, KV codes and the recipes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.errors import ConfigError, OperandError, UnknownNameError
from bitsim.quant.a48 import INT8_ABSMAX
from bitsim.quant.contracts import CONTRACTS, contract
from bitsim.quant.fp4 import E1M2, E2M1
from bitsim.quant.kv import KV_FORMATS, STEP_BITS, KVFormat, kv_stored_bits
from bitsim.quant.recipes import RECIPES, recipe_named
from bitsim.quant.topk import topk_mask
from bitsim.testing.numbers import MAX, ordinary, tokens

f32 = np.float32
GRIDS = {E2M1: [0, 0.5, 1, 1.5, 2, 3, 4, 6], E1M2: [i / 2 for i in range(8)]}  # papers: max 6 and 3.5
formats = pytest.mark.parametrize("fp4", GRIDS, ids=["e2m1", "e1m2"])


def test_int4_clips_beyond_2_65_and_3_02_means():
    x = f32([[1, -1, 3, -3, 0, 2.64, -3.03, 0.2]])
    x *= f32(8) / np.abs(x).sum()  # mean |x| = 1
    q, step = contract("a48_int4").quantise_activations(x)
    np.testing.assert_array_equal(q[0], np.clip(np.rint(x[0] * math.sqrt(7)), -8, 7))
    np.testing.assert_allclose(step, 1 / math.sqrt(7), rtol=1e-6)
    many = f32([[1] * 99 + [100, -100]])
    np.testing.assert_array_equal(contract("a48_int4").quantise_activations(many)[0][0, -2:], [7, -8])


@given(tokens())
def test_twice_the_mean_halves_the_scale(x):
    if np.abs(x).max() > 1e37:
        return
    _, step = contract("a48_int4").quantise_activations(x)
    _, twice = contract("a48_int4_down").quantise_activations(x)
    np.testing.assert_allclose(twice, 2 * step, rtol=1e-6, atol=1e-44)


@given(tokens())
def test_topk_keeps_the_largest_half(x):
    mask = topk_mask(x)
    k = x.shape[1]
    assert (mask.sum(axis=1) == -(-k // 2)).all()
    assert (topk_mask(x, "keep_all") >= mask).all()
    for row, kept in zip(np.abs(x), mask, strict=True):
        if k > 1:
            assert row[kept].min() >= row[~kept].max()


@given(tokens())
def test_masking_before_or_after_quantising_is_the_same(x):
    q, step = contract("a48_topk_int8").quantise_activations(x)
    first, first_step = INT8_ABSMAX(x * topk_mask(x))
    np.testing.assert_array_equal(q, first)
    np.testing.assert_array_equal(step, first_step)


def test_ties_of_topk():
    x = f32([[2, -1, 1, -1, 1, 0]])
    np.testing.assert_array_equal(topk_mask(x), [[True, True, True, False, False, False]])
    np.testing.assert_array_equal(topk_mask(x, "keep_all"), [[True, True, True, True, True, False]])


@formats
def test_grid_is_the_closed_form(fp4):
    scale = max(GRIDS[fp4]) / fp4.max_code
    assert [code * scale for code in fp4.grid] == GRIDS[fp4]
    x = np.linspace(-1, 1, 4001, dtype=np.float32)[None]
    q, step = fp4(x)
    closed = sorted({sign * g for g in GRIDS[fp4] for sign in (1, -1)})
    np.testing.assert_array_equal(np.unique(q) * scale, closed)
    assert step[0, 0] == f32(1) / f32(fp4.max_code)


@formats
@given(x=tokens())
def test_codes_are_the_nearest_of_the_grid(fp4, x):
    q, _ = fp4(x)
    v = x * (f32(fp4.max_code) / np.maximum(np.abs(x).max(axis=1, keepdims=True), f32(1e-5)))
    points = np.array([-g for g in fp4.grid[:0:-1]] + list(fp4.grid))
    nearest = np.abs(v[..., None].astype(np.float64) - points).min(axis=-1)
    np.testing.assert_array_equal(np.abs(v.astype(np.float64) - q), nearest)


def equation_8(x, exponent_bits, mantissa_bits, corrected):
    """The paper's formula in float64, with the floor where it is printed or around the whole sum."""
    m = mantissa_bits
    b = math.log2((2 - 2.0**-m) / np.abs(x).max()) + 2**exponent_bits - 1
    log = np.log2(np.abs(x))
    g = 2.0 ** np.maximum(np.floor(log + b) if corrected else np.floor(log) + b, 1)
    return g / 2 ** (m + b) * np.rint(2 ** (m + b) / g * x)


@formats
def test_equation_8_with_the_floor_corrected(fp4):
    x = np.random.default_rng(3).normal(size=2000).astype(np.float32)
    bits = {"exponent_bits": fp4.exponent_bits, "mantissa_bits": fp4.mantissa_bits}
    q, step = fp4(x[None])
    np.testing.assert_allclose(q[0] * step[0], equation_8(x, **bits, corrected=True), rtol=1e-5)
    printed = equation_8(x, **bits, corrected=False)
    if fp4 is E2M1:  # E1M2 never leaves the smallest exponent
        off_grid = np.abs(printed / step[0] - np.rint(printed / step[0])) > 0.01
        assert off_grid.mean() > 0.1


@formats
def test_patterns_are_4_bit_floats(fp4):
    codes = np.array([*fp4.grid, *(-g for g in fp4.grid)], np.int8)
    np.testing.assert_array_equal(fp4.pattern(codes), [*range(8), 0, *range(9, 16)])


def test_ties_of_fp4_go_to_the_even_mantissa():
    np.testing.assert_array_equal(E2M1(f32([[12, 10, 7, 5, 3.5, 2.5, 0.5, -10]]))[0], [[12, 8, 8, 4, 4, 2, 0, -8]])


heads = (
    st.integers(1, 5)
    .flatmap(lambda t: st.lists(ordinary, min_size=8 * t, max_size=8 * t))
    .map(lambda v: np.float32(v).reshape(2, -1, 4))
)


@pytest.mark.parametrize("name", KV_FORMATS)
@given(x=heads, split=st.integers(0, 5))
def test_appending_gives_the_codes_of_the_whole(name, x, split):
    kv = KV_FORMATS[name]
    whole, a, b = (
        kv.quantise(x),
        kv.quantise(x[:, :split]),
        kv.quantise(x[:, split:], first_position=min(split, x.shape[1])),
    )
    np.testing.assert_array_equal(whole.codes, np.concatenate([a.codes, b.codes], axis=1))
    np.testing.assert_array_equal(whole.values(), np.concatenate([a.values(), b.values()], axis=1))


@pytest.mark.parametrize("name", KV_FORMATS)
@given(head_dim=st.integers(1, 8), first=st.integers(0, 3), positions=st.integers(0, 4))
def test_stored_bits_are_those_of_the_codes_and_a_step_per_position(name, head_dim, first, positions):
    kv = KV_FORMATS[name]
    codes = kv.quantise(np.ones((1, positions, head_dim), np.float32), first_position=first)
    expected = head_dim * int(codes.bits.sum()) + positions * STEP_BITS
    assert kv_stored_bits(kv, head_dim, first, positions) == expected
    assert kv_stored_bits(16, head_dim, first, positions) == 16 * head_dim * positions


@pytest.mark.parametrize("name", KV_FORMATS)
@given(x=heads)
def test_kv_codes_fit_their_bits_and_read_back_within_half_a_step(name, x):
    kv = KV_FORMATS[name]
    stored = kv.quantise(x)
    assert (stored.codes < 1 << stored.bits[:, None]).all()
    assert (np.abs(stored.values() - x) <= stored.step * 0.5001).all()
    np.testing.assert_array_equal(stored.bits, [kv.bos_bits] + [kv.bits] * (x.shape[1] - 1))
    if kv.mapping == "centred":
        assert stored.codes.min() >= 1
        assert (stored.values()[x == 0] == 0).all()


def test_full_range_uses_every_code():
    x = np.linspace(-1, 1, 1001, dtype=np.float32)[None, None]
    assert set(KVFormat(name="u", bits=3, bos_bits=3, mapping="full_range").quantise(x).codes.ravel()) == set(range(8))
    assert set(KVFormat(name="u", bits=3, bos_bits=3).quantise(x).codes.ravel()) == set(range(1, 8))


def test_kv_errors():
    with pytest.raises(ConfigError, match="bos_bits: expected 2 to 8, got 16"):
        KVFormat(name="wide", bits=4, bos_bits=16)
    with pytest.raises(ConfigError, match="bos_positions"):
        KVFormat(name="wide", bits=4, bos_bits=4, bos_positions=-1)
    with pytest.raises(OperandError, match=r"heads\[0, 1, 0\]: expected a finite number, got inf"):
        KV_FORMATS["kv4"].quantise(f32([[[1], [np.inf]]]))
    with pytest.raises(OperandError, match="beyond float32"):
        KVFormat(name="kv6", bits=6, bos_bits=6).quantise(f32([[[MAX]]]))
    with pytest.raises(OperandError, match=r"expected float32 \(H, T, D\)"):
        KV_FORMATS["kv4"].quantise(np.zeros((2, 2), np.float32))


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_made_of_registered_contracts_of_one_class(name):
    entry = recipe_named(name)
    for linear in (entry.qkv, entry.o, entry.gate_up, entry.down):
        assert CONTRACTS[linear.name] is linear
        assert linear.linear_class == entry.linear_class
        assert linear.stored_scale is entry.qkv.stored_scale
        assert linear.quantise_weights is entry.qkv.quantise_weights
    assert entry.name == name


PAPERS = [
    # arXiv 2310.11453 section 2.1: [0, Qb] for the linear before the non-linearity.
    ("b1_nonnegative_ffn", "b1", "b1", "b1_nonnegative", "b1", None),
    # arXiv 2411.04965 section 2 and figure 6; BOS heads of the 3-bit cache at 4 bits.
    ("a48", "a48_int4", "a48_topk_int8", "a48_int4", "a48_int8", None),
    ("a48_kv3", "a48_int4", "a48_topk_int8", "a48_int4", "a48_int8", (3, 4)),
    ("a48_full_int4", "a48_int4", "a48_topk_int8", "a48_int4", "a48_int4_down", None),
    ("a48_fp4", "a48_e2m1", "a48_e2m1", "a48_e2m1", "a48_int8", None),
    # arXiv 2504.18415 section 2; BOS at 8 bits.
    ("v2_a8", "v2_int8", "v2_hadamard_int8", "v2_int8", "v2_hadamard_int8", None),
    ("v2_a4", "v2_int4", "v2_hadamard_int4", "v2_int4", "v2_hadamard_int4", None),
    ("v2_a4_kv3", "v2_int4", "v2_hadamard_int4", "v2_int4", "v2_hadamard_int4", (3, 8)),
]


@pytest.mark.parametrize(("name", "qkv", "o", "gate_up", "down", "kv"), PAPERS)
def test_recipes_are_the_papers(name, qkv, o, gate_up, down, kv):
    entry = recipe_named(name)
    linears = ("self_attn.k_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
    assert [entry.of(linear).name for linear in linears] == [qkv, o, gate_up, gate_up, down]
    assert (entry.kv and (entry.kv.bits, entry.kv.bos_bits)) == kv
    assert entry.gate_first == name.startswith("a48")


def test_every_recipe_is_checked_against_its_paper():
    assert {row[0] for row in PAPERS} == set(RECIPES)


def test_unknown_recipe():
    with pytest.raises(UnknownNameError, match="did you mean"):
        recipe_named("a4.8")
