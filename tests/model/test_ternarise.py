"""Float matrices that hold -s, 0 and +s become codes and scales with equal products; others are left alone."""

from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsim.errors import CheckpointError, ConfigError, OperandError
from bitsim.floats import plain
from bitsim.floats.rows import gelu_tanh
from bitsim.model.checkpoint import load_checkpoint, load_model, random_model
from bitsim.model.convert import convert
from bitsim.model.decoded import DecodedWeight, ScaledTernary
from bitsim.model.executor import ReferenceExecutor
from bitsim.model.float_matmul import float_matmul
from bitsim.model.footprint import linear_bits
from bitsim.model.forward import forward
from bitsim.model.kv_cache import KVCache
from bitsim.model.ternarise import notes_on_floats, scaled_ternary
from bitsim.model.weights import FloatWeight
from bitsim.quant.packing import pack_hf, unpack_hf_rows
from bitsim.quant.recipes import recipe_named
from bitsim.study import estimate, run
from tests.golden.samples import sample
from tests.model.tiny_models import FLOAT_CONFIG

CHIP = "ternary-ws-64x64"


def float16(values):
    return FloatWeight(stored=values.astype(np.float16).view(np.uint16), dtype="float16")


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([(1, 32), (4, 64), (6, 96), (40, 128), (1100, 64)]),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 2]),
    st.integers(0, 2**32 - 1),
)
def test_shards_and_blocks_are_found_and_products_are_equal(shape, row_shards, k_shards, seed):
    """A magnitude for each shard of rows and of K, of which some may be all zeros."""
    rng, (n, k) = np.random.default_rng(seed), shape
    if n % row_shards or k // k_shards < 32:
        return
    codes = rng.integers(-1, 2, shape).astype(np.float32)
    codes[: n // 2] *= rng.integers(0, 2)
    grid = np.float32([[0.0123], [0.0187]])[:row_shards] * np.float32([[1, 1.5]])[:, :k_shards]
    weight = float16(codes * np.repeat(np.repeat(grid, n // row_shards, 0), k // k_shards, 1))
    found = scaled_ternary(weight)
    assert found is not None
    np.testing.assert_array_equal(found.rows(0, n), weight.rows(0, n))
    chosen = rng.integers(0, n, 5)
    np.testing.assert_array_equal(found.take(chosen), weight.take(chosen))
    np.testing.assert_array_equal(found.codes_at(np.arange(n)), np.sign(weight.rows(0, n)))
    assert found.scales.shape[0] <= row_shards
    assert found.scales.shape[1] <= k_shards
    assert found.bits == 8 * -(-n // 4) * k + 16 * found.scales.size


@pytest.mark.parametrize("spoiled", [(0, 0), (900, 63)])
def test_one_value_that_does_not_fit_leaves_a_matrix_in_floats(spoiled):
    values = np.full((1000, 64), 0.5, np.float32)
    assert scaled_ternary(float16(values)) is not None
    values[spoiled] = 0.25
    assert scaled_ternary(float16(values)) is None


def test_a_scale_in_each_block_of_each_row_is_kept():
    rng = np.random.default_rng(3)
    scales = rng.uniform(0.01, 0.02, (8, 4)).astype(np.float16).astype(np.float32)
    values = rng.choice([-1.0, 1.0], (8, 128)).astype(np.float32) * np.repeat(scales, 32, axis=1)
    found = scaled_ternary(float16(values))
    assert found is not None
    np.testing.assert_array_equal(found.scales, scales)
    assert found.block == (1, 32)


def test_decoded_weights_do_what_stored_ones_do():
    """Rows, parts, products, digests."""
    rng = np.random.default_rng(1)
    values = rng.standard_normal((70, 48)).astype(np.float32)
    stored = FloatWeight(stored=values, dtype="float32")
    decoded = DecodedWeight(lambda rows: values[rows], n=70, k=48, bits=70 * 48 * 8)
    x = rng.standard_normal((1, 3, 48)).astype(np.float32)
    np.testing.assert_array_equal(float_matmul(x, decoded), float_matmul(x, stored))
    part, whole = decoded.part(slice(8, 24), slice(16, 48)), stored.part(slice(8, 24), slice(16, 48))
    np.testing.assert_array_equal(part.rows(0, 16), whole.rows(0, 16))
    np.testing.assert_array_equal(part.rows(0, 16), values[8:24, 16:48])
    assert (part.n, part.k, part.bits) == (16, 32, 16 * 32 * 8)
    assert [*map(np.asarray, decoded.digested())][1].tobytes() == [*map(np.asarray, stored.digested())][1].tobytes()


def test_grids_that_do_not_divide_a_matrix_are_refused():
    codes = partial(unpack_hf_rows, pack_hf(np.zeros((6, 8), np.int8)))
    for grid in (np.ones((4, 1)), np.ones((1, 3)), np.ones(1), np.ones((1, 1), np.float64)):
        with pytest.raises(OperandError, match=r"scales of ternary weights \(6, 8\)"):
            ScaledTernary(codes, grid.astype(np.float32) if grid.shape != (1, 1) else grid, n=6, k=8, bits=0)


def test_trilm_is_noticed_and_runs_with_equal_logits_as_ternary_weights():
    folder = sample("trilm")
    floats, ternary = load_checkpoint(folder), load_checkpoint(folder, ternarise="exact")
    assert any("--ternarise exact" in note for note in floats.notes)
    assert not any("--ternarise" in note for note in ternary.notes)
    assert (ternary.config.linear_class, ternary.config.weight_bits_per_weight) == ("w158a16", 2)
    assert ternary.config.weight_only
    assert not ternary.config.quantised
    tokens = np.load(folder / "reference.npz")["tokens"]

    def logits(checkpoint):
        recipe = recipe_named(checkpoint.config.default_numerics)
        cache = KVCache(checkpoint.config, kind=32)
        return forward(checkpoint.config, checkpoint.weights, tokens, cache, ReferenceExecutor(), recipe)

    np.testing.assert_array_equal(logits(ternary), logits(floats))
    for layer in ternary.weights.layers:
        assert {linear.scales.size for linear in layer.linears()} == {2}  # shards


def noted(*matrices):
    """What is said of a float checkpoint with these linears."""
    layer = SimpleNamespace(linears=lambda: [float16(matrix) for matrix in matrices])
    checkpoint = SimpleNamespace(
        config=SimpleNamespace(linear_class=None),
        packing="float16",
        path=Path("a.gguf"),
        weights=SimpleNamespace(layers=[layer]),
    )
    return notes_on_floats(checkpoint)


def test_values_that_are_nearly_ternary_are_noticed():
    """As in Bonsai: a magnitude per 128 of K, equal within 1 %; no noise has that. Floats are called floats anyway."""
    rng = np.random.default_rng(3)
    codes = rng.integers(-1, 2, (40, 512))
    scales = np.repeat(rng.uniform(0.01, 0.03, (40, 4)), 128, axis=1)
    nearly = codes * scales * (1 + rng.uniform(-0.004, 0.004, codes.shape))
    for matrices, found in (
        ([nearly, nearly], "within 1 % in blocks of 128, as in Bonsai's unpacked files: --ternarise exact takes equal"),
        ([codes * scales], "--ternarise exact checks all rows and counts ternary weights instead of floats"),
    ):
        floats, said = noted(*matrices)
        assert floats.startswith("no quantised linears: the files' float16 values are executed as floats")
        assert found in said
    for matrices in (
        [nearly, rng.standard_normal((40, 512))],
        [codes * scales * (1 + rng.uniform(-0.02, 0.02, codes.shape))],
        [nearly[:, :320]],
    ):
        assert len(noted(*matrices)) == 1


def test_weight_only_models_run_as_floats_with_the_traffic_of_their_bits():
    folder = sample("trilm")
    results = [run(load_model(folder, ternarise=how), CHIP, tokens=[1, 5, 17], new_tokens=2) for how in (None, "exact")]
    floats, ternary = results
    np.testing.assert_array_equal(ternary.logits, floats.logits)
    assert any("w158a16: weights are quantised" in note for note in ternary.notes)
    read = [
        sum(row.events["dram.weights.read_bits"] for row in result.rows if row.kind == "linear") for result in results
    ]
    assert read[0] == 8 * read[1] > 0
    estimated = estimate(load_model(folder, ternarise="exact"), CHIP, prefill=3, decode=2)
    assert sum(row.events["dram.weights.read_bits"] for row in estimated.rows if row.kind == "linear") == read[1]


def test_master_weights_are_ternarised_on_request_only():
    """Falcon-E's `prequantized` branch: float weights, of which no file says that they are master weights."""
    folder = sample("trilm")
    model = load_model(folder, ternarise="absmean")
    assert model.config.linear_class == "bitlinear"
    assert any("as was asked" in note for note in model.notes)
    weight, values = model.weights.layers[0].q, load_model(folder).weights.layers[0].q.rows(0, 64)
    mean = np.abs(values.astype(np.float64)).mean()
    np.testing.assert_array_equal(weight.codes(), np.clip(np.rint(values / mean), -1, 1))
    assert weight.scale == np.float32(np.float16(1 / mean))


@pytest.mark.parametrize(
    ("name", "how", "message"),
    [
        ("llama3_158", "exact", "--ternarise exact: expected a float model, got linear_class bitlinear"),
        ("llama3_158", "absmean", "--ternarise absmean: expected float weights, got linear_class bitlinear"),
    ],
)
def test_what_is_ternary_is_not_ternarised(name, how, message):
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(sample(name), ternarise=how)


def test_floats_are_refused_by_name_and_shapes_have_nothing_to_ternarise(tmp_path):
    with pytest.raises(CheckpointError, match=r"--ternarise exact: layer 0, self_attn.q_proj: expected -s, 0 and \+s"):
        load_model("tiny-fp16", ternarise="exact")
    assert not any("--ternarise exact" in note for note in load_model("tiny-fp16").notes)
    assert any("need --ternarise absmean" in note for note in load_model("tiny-fp16").notes)
    assert any("executed as floats" in note for note in load_model("tiny-fp16").notes)
    with pytest.raises(ConfigError, match="--ternarise exact: a shape has no weights"):
        load_model("bitnet-b158-700m", ternarise="exact")
    source = load_checkpoint(sample("trilm"), ternarise="exact")
    with pytest.raises(CheckpointError, match="its ternary weights have several scales"):
        convert(source, tmp_path / "x", "hf", "2bit")


def test_bits_of_weight_only_weights_are_those_stored():
    config = replace(FLOAT_CONFIG, linear_class="w158a16", weight_bits_per_weight=Fraction(27, 16))
    assert linear_bits(config, 10, 256) == 10 * 256 * 27 // 16
    assert config.default_numerics == "w158a16"
    assert random_model(config, 1).weights is not None


def test_gelu_by_tanh_is_its_formula():
    x = np.concatenate((np.linspace(-12, 12, 4001), [0.0, -0.0, 1e-30, 3e38, -3e38])).astype(np.float32)
    wide = x.astype(np.float64)
    with np.errstate(over="ignore"):
        expected = 0.5 * wide * (1 + np.tanh(np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)))
    np.testing.assert_allclose(gelu_tanh(x), expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(gelu_tanh(x), plain.gelu_tanh(x))
