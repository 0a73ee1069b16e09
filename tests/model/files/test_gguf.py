"""GGUF files: every type is read exactly, what the file does not say is asked for, and damage is refused by name."""

import struct
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsim.errors import BitsimError, CheckpointError
from bitsim.model.checkpoint import load_checkpoint, load_model
from bitsim.model.executor import ReferenceExecutor
from bitsim.model.files.gguf_file import GgufFile
from bitsim.model.files.gguf_linears import StoredLinear
from bitsim.model.generate import generate
from bitsim.model.rope_scaling import FrequencyFactors, LinearScaling, YarnScaling
from bitsim.quant.packing import pack_hf
from bitsim.quant.tq import unpack_tq1_0, unpack_tq2_0
from tests.model.files.gguf_bytes import (
    LINEARS,
    VOCAB,
    D,
    float_tensor,
    gguf_bytes,
    linear,
    metadata,
    model_codes,
    model_tensors,
    q8_0,
    random_blocks,
)

FIELDS = dict(zip(LINEARS, ("q", "k", "v", "o", "gate", "up", "down"), strict=True))
Q = "blk.0.attn_q.weight"
# Any constant: what it multiplies is exactly representable in float16, bfloat16 and float32.
SCALE = 0.3125


def write(folder, meta=None, tensors=None):
    path = Path(folder) / "model.gguf"
    meta, tensors = metadata() if meta is None else meta, model_tensors() if tensors is None else tensors
    path.write_bytes(gguf_bytes(meta, tensors))
    return path


def refused(tmp_path, match, meta=None, tensors=None):
    with pytest.raises(CheckpointError, match=match) as caught:
        load_model(write(tmp_path, meta, tensors))
    assert "model.gguf" in str(caught.value)


def check_linears(checkpoint, scale=SCALE):
    for name, codes in model_codes().items():
        _, i, field, _ = name.split(".")
        weight = getattr(checkpoint.weights.layers[int(i)], FIELDS[field])
        np.testing.assert_array_equal(weight.packed, pack_hf(codes))
        assert weight.scale == np.float32(scale)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", ["TQ1_0", "TQ2_0", "I2_S x86", "I2_S arm", "F32", "F16", "BF16"])
def test_every_type_gives_the_same_linears(tmp_path, kind, tied):
    path = write(tmp_path, tensors=model_tensors(kind, SCALE, tied=tied))
    layout = kind.split()[1] if "I2_S" in kind else None
    checkpoint = load_checkpoint(path, i2s=layout)
    check_linears(checkpoint)
    names = {"I2_S x86": "i2_s_x86", "I2_S arm": "i2_s_arm", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
    assert checkpoint.packing == names.get(kind, kind.lower())
    assert (checkpoint.weights.head is checkpoint.weights.embedding) == tied
    if layout is None:
        tokens, logits = generate(load_model(path), ReferenceExecutor(), [1, 2, 3], 2)
        assert len(tokens) == 5
        assert np.isfinite(logits).all()


def test_config(tmp_path):
    config = load_checkpoint(write(tmp_path)).config
    assert (config.hidden_size, config.intermediate_size, config.num_layers) == (256, 512, 2)
    assert (config.num_heads, config.num_kv_heads, config.head_dim, config.vocab_size) == (4, 2, 64, VOCAB)
    assert (config.rope_theta, config.rms_norm_eps, config.max_position_embeddings) == (5e5, 1e-5, 128)
    assert (config.hidden_act, config.linear_class, config.sub_norms) == ("relu2", "autobitlinear", True)
    assert (config.dtype, config.name) == ("float16", "model")


def test_an_activation_that_the_file_leaves_open_is_llama_cpps_and_said(tmp_path):
    path = write(tmp_path, metadata("bitnet"))
    checkpoint = load_checkpoint(path)
    assert checkpoint.config.hidden_act == "silu"
    assert "--hidden-act relu2" in " ".join(load_model(path).notes)
    for act in ("silu", "relu2"):
        checkpoint = load_checkpoint(path, hidden_act=act)
        assert (checkpoint.config.hidden_act, checkpoint.notes) == (act, ())
    path = write(tmp_path, metadata("bitnet", bitnet__hidden_activation="relu2"))
    assert (load_checkpoint(path).config.hidden_act, load_checkpoint(path).notes) == ("relu2", ())
    path = write(tmp_path, metadata("bitnet", bitsim__hidden_act="relu2"))
    assert load_checkpoint(path).config.hidden_act == "relu2"
    with pytest.raises(CheckpointError, match="--hidden-act silu: the file says relu2"):
        load_checkpoint(path, hidden_act="silu")
    refused(tmp_path, "hidden_act: expected one of relu2, silu, got", metadata(bitsim__hidden_act="gelu"))


def test_the_i2s_layout_is_never_guessed(tmp_path):
    tensors = model_tensors("I2_S arm", SCALE)
    refused(tmp_path, r"attn_q\.weight: type 36 .* --i2s-layout x86 .* or --i2s-layout arm", tensors=tensors)
    path = write(tmp_path, metadata(**{"bitsim.i2_s_layout": "arm"}), tensors)
    check_linears(load_checkpoint(path))
    with pytest.raises(CheckpointError, match=r"bitsim\.i2_s_layout: expected x86, got 'arm'"):
        load_checkpoint(path, i2s="x86")
    refused(
        tmp_path, "i2_s_layout: expected x86 or arm, got 'neon'", metadata(**{"bitsim.i2_s_layout": "neon"}), tensors
    )


def test_bitnet_cpp_tensor(tmp_path, golden):
    vectors = np.load(golden / "gguf" / "i2s_vectors.npz")
    codes, raw = vectors["a.tern"], vectors["a.bytes_x86"].reshape(-1).tobytes()
    path = write(tmp_path, metadata(), {"x": ("I2_S", codes.shape, raw)})
    file = GgufFile(path, "x86")
    assert file.data("x").tobytes() == raw
    assert file.tensors["x"].shape == codes.shape


def test_the_reference_writers_file(golden):
    file = GgufFile(golden / "gguf" / "tiny_ternary.gguf")
    assert file.metadata == {"general.architecture": "bitnet", "bitnet.block_count": 1}
    for name in ("rand_ternary", "unit_ternary", "zeros"):
        n, k = file.tensors[f"{name}.F32"].shape
        want = file.data(f"{name}.F32").view("<f4").reshape(n, k)
        for kind, unpack in (("TQ1_0", unpack_tq1_0), ("TQ2_0", unpack_tq2_0)):
            codes, scales = unpack(file.data(f"{name}.{kind}").reshape(n, -1), k)
            np.testing.assert_array_equal(codes, np.sign(want))
            got = codes * np.repeat(scales.astype(np.float32), 256, axis=1)
            np.testing.assert_allclose(got, want, rtol=2**-11 if name == "rand_ternary" else 0)


def test_q8_0_embedding_is_exact(tmp_path):
    rng = np.random.default_rng(3)
    codes = rng.integers(-128, 128, (VOCAB, D)).astype(np.int8)
    scales = rng.uniform(-1, 1, (VOCAB, D // 32)).astype(np.float16)
    tensors = model_tensors() | {"token_embd.weight": q8_0(codes, scales)}
    checkpoint = load_checkpoint(write(tmp_path, tensors=tensors))
    want = codes.astype(np.float64) * np.repeat(scales.astype(np.float64), 32, axis=1)
    np.testing.assert_array_equal(checkpoint.weights.embedding.rows(0, VOCAB), want)
    assert checkpoint.config.dtype == "float32"
    scales[3, 1] = np.inf
    refused(tmp_path, "token_embd.weight: Q8_0 scale", tensors=tensors | {"token_embd.weight": q8_0(codes, scales)})


def test_zero_blocks_and_zero_matrices(tmp_path):
    codes = model_codes()["blk.0.ffn_down.weight"].copy()
    codes[3:9, :256] = 0
    raw = np.frombuffer(linear(codes, "TQ2_0", SCALE)[2], np.uint8).reshape(256, 2, 66).copy()
    raw[4, 0, :64] = 0xAA  # codes +1 in a block of scale 0
    zero = linear(np.zeros((256, 256), np.int8), "TQ1_0", SCALE)
    changes = {"blk.0.ffn_down.weight": ("TQ2_0", codes.shape, raw.tobytes()), Q: zero}
    layer = load_checkpoint(write(tmp_path, tensors=model_tensors("TQ2_0", SCALE) | changes)).weights.layers[0]
    np.testing.assert_array_equal(layer.down.codes(), codes)
    assert layer.down.scale == np.float32(SCALE)
    assert not layer.q.codes().any()
    assert layer.q.scale == 1


def test_exact_scales_of_our_own_files(tmp_path):
    exact = np.linspace(0.031, 0.032, 14, dtype=np.float32)
    tensors = model_tensors()
    for name, codes, scale in zip(model_codes(), model_codes().values(), exact, strict=True):
        tensors[name] = linear(codes, "TQ1_0", scale)
    meta = metadata(**{"bitsim.linear_scales": exact})
    layers = load_checkpoint(write(tmp_path, meta, tensors)).weights.layers
    got = [getattr(layer, field).scale for layer in layers for field in FIELDS.values()]
    assert got == exact.tolist()
    wrong = exact.copy()
    wrong[3] = 0.5
    refused(
        tmp_path, r"blk\.0\.attn_output\.weight: scale: expected 0\.5", meta | {"bitsim.linear_scales": wrong}, tensors
    )
    refused(tmp_path, "linear_scales: expected 14 float32", meta | {"bitsim.linear_scales": exact[1:]}, tensors)
    refused(tmp_path, "linear_scales: expected finite numbers > 0", meta | {"bitsim.linear_scales": -exact}, tensors)


def test_damaged_tensors_are_named(tmp_path):
    tensors, codes = model_tensors(), model_codes()[Q]
    kind, shape, raw = tensors[Q]

    def refused_with(match, tensor, name=Q, meta=None):
        refused(tmp_path, match, meta, tensors | {name: tensor})

    refused(tmp_path, f"{Q}: expected a tensor", tensors={n: t for n, t in tensors.items() if n != Q})
    refused_with(r"rope_factors_long\.weight: a tensor", float_tensor([1], "F32"), "rope_factors_long.weight")
    refused_with(rf"{Q}: shape: expected \(256, 256\), got \(128, 256\)", (kind, (128, D), raw))
    refused_with(rf"{Q}: TQ2_0: row 0, block 0", (kind, shape, b"\x03" + raw[1:]))
    refused_with(rf"{Q}: type: expected ternary or binary weights, got MXFP4", (39, shape, bytes(34816)))
    refused_with(rf"{Q}: type: expected ternary or binary weights, got type 99", (99, shape, raw))
    refused_with(rf"{Q}: type: expected ternary .* got Q4_0.*no multiple", random_blocks("Q4_0", shape))
    refused_with(f"{Q}: TQ2_0: expected K to be a multiple of 256, got 128", (kind, (9, 128), raw))
    refused_with(f"{Q}: expected sizes >= 1 and less", (kind, (1 << 30, 1 << 30), raw))
    for shape_of_none in ((0, D), (D, 0)):
        refused_with(f"{Q}: expected sizes >= 1 and less", (kind, shape_of_none, raw))
    refused_with(f"{Q}: expected 1 to 4 dimensions, got 0", (kind, (), raw))
    refused_with(rf"{Q}: block scales: expected finite numbers >= 0, got -0.5", linear(codes, "TQ2_0", -0.5))
    refused_with(rf"{Q}: block scales: expected finite numbers >= 0, got inf", linear(codes, "TQ2_0", np.inf))
    refused_with(
        rf"{Q}: \[0, 0\]: expected a ternary matrix", float_tensor(np.arange(1, 65537).reshape(256, 256), "F32")
    )
    norm = "output_norm.weight"
    refused_with(rf"{norm}\[0\]: expected a finite", float_tensor(np.full(D, np.nan), "F32"), norm)
    refused_with(f"{norm}: type: expected F32", ("TQ2_0", (D,), raw[:66]), norm)
    scale = "blk.0.attn_q.scale"
    refused_with(rf"{scale}: expected a number > 0, got 0.0", float_tensor([0], "F32"), scale)
    refused_with(rf"{scale}: shape: expected \(1,\)", float_tensor([1, 2], "F32"), scale)
    exact = metadata(**{"bitsim.linear_scales": np.full(14, 0.5, np.float32)})
    refused_with(rf"{Q}: expected one scale, as .* says", linear(codes, "Q2_0", 0.5), meta=exact)
    several = (kind, shape, raw[:64] + struct.pack("<e", 0.75) + raw[66:])
    refused_with(rf"{Q}: expected one scale, as .* says", several, meta=metadata(bitsim__linear_class="bitlinear"))
    meta = metadata(bitsim__i2_s_layout="x86")
    refused_with(f"{Q}: I2_S scale: expected a finite number > 0, got 0.0", linear(codes, "I2_S x86", 0.0), meta=meta)
    path = write(tmp_path, meta, {"x": ("I2_S", (3, 40), bytes(62))})
    with pytest.raises(CheckpointError, match="x: I2_S x86: expected a multiple of 128 weights"):
        StoredLinear(GgufFile(path), "x")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"general.architecture": "gemma3"}, "general.architecture: expected one of bitnet, .*, llama, qwen2, qwen3"),
        ({"bitnet-b1.58.hidden_activation": "gelu"}, "hidden_activation: expected one of relu2, silu"),
        ({"prism.hadamard.version": 1}, "prism.hadamard.version: its matmuls need a Hadamard transform"),
        ({"bitnet-b1.58.rope.freq_base": 0.0}, "rope.freq_base: expected a positive float"),
        ({"bitnet-b1.58.embedding_length": "256"}, "embedding_length: expected an integer"),
        ({"bitnet-b1.58.block_count": 2_000_000_000}, "block_count: expected an integer from 1 to 24"),
        ({"bitnet-b1.58.context_length": 2_000_000_000}, "context_length: expected an integer from 1 to"),
        ({"bitnet-b1.58.vocab_size": 41}, "vocab_size: expected the 40 rows"),
        ({"bitnet-b1.58.rope.dimension_count": 32}, "rope.dimension_count: expected head_dim = 64"),
        ({"bitnet-b1.58.rope.scaling.type": "longrope"}, "rope.scaling.type: expected none, linear or yarn"),
        ({"bitnet-b1.58.rope.scaling.type": "linear"}, "rope.scaling.factor: expected a positive float, got no such"),
        ({"bitnet-b1.58.rope.scaling.factor": 2.0}, "rope.scaling.factor: expected 1.0"),
        (
            {"bitnet-b1.58.rope.scaling.type": "yarn", "bitnet-b1.58.rope.scaling.factor": 4.0},
            "original_context_length: expected an integer",
        ),
        ({"bitnet-b1.58.rope.scaling.attn_factor": 1.0}, "attn_factor: unknown key"),
        ({"bitnet-b1.58.attention.sliding_window": 0}, "sliding_window: expected an integer from 1"),
        ({"bitnet-b1.58.logit_scale": 0.5}, "logit_scale: unknown key, which could change"),
        ({"bitsim.scale": 0.5}, "bitsim.scale: unknown key"),
        ({"bitsim.linear_class": "linear"}, "linear_class: expected one of bitlinear, autobitlinear"),
        ({"bitsim.tokenizer_class": 3}, "tokenizer_class: expected a name"),
        ({"split.count": 2}, "is part 1 of 2: expected a name that ends in -00001-of-00002.gguf"),
        ({"split.count": 2, "split.no": 1}, "is part 2 of 2: open part 1, its first"),
        ({"split.count": "2"}, "split.count: expected a number of parts"),
        ({"general.alignment": 24}, "general.alignment: expected a power of two, got 24"),
        ({"bitnet-b1.58.attention.head_count_kv": 3}, "num_key_value_heads"),
    ],
)
def test_keys_are_checked(tmp_path, changes, match):
    refused(tmp_path, match, metadata(**changes))


def rope_scaling(tmp_path, tensors=None, **changes):
    keys = {f"bitnet-b1.58.rope.scaling.{key}": value for key, value in changes.items()}
    return load_checkpoint(write(tmp_path, metadata(**keys), tensors)).config.rope_scaling


def test_rope_scaling(tmp_path):
    assert rope_scaling(tmp_path) is None
    assert rope_scaling(tmp_path, type="linear", factor=1.0) is None
    assert rope_scaling(tmp_path, type="linear", factor=4.0, finetuned=True) == LinearScaling(factor=4)
    yarn = rope_scaling(tmp_path, type="yarn", factor=4.0, original_context_length=64)
    assert yarn == YarnScaling(factor=4, original_positions=64)
    factors = np.linspace(1, 8, 32, dtype=np.float32)
    tensors = model_tensors() | {"rope_freqs.weight": float_tensor(factors, "F32")}
    assert rope_scaling(tmp_path, tensors) == FrequencyFactors(factors=tuple(factors.tolist()))
    both = metadata(**{"bitnet-b1.58.rope.scaling.type": "linear", "bitnet-b1.58.rope.scaling.factor": 2.0})
    refused(tmp_path, r"factor: expected 1.0 beside rope_freqs.weight, which scales already", both, tensors)
    refused(tmp_path, "expected 32 factors", tensors=tensors | {"rope_freqs.weight": float_tensor(factors[1:], "F32")})
    factors[3] = 0
    refused(tmp_path, r"factors\[3\]", tensors=tensors | {"rope_freqs.weight": float_tensor(factors, "F32")})


def test_a_file_that_says_bitlinear_is_not_taken_for_weight_only(tmp_path):
    path = write(tmp_path, metadata(bitsim__linear_class="autobitlinear"))
    with pytest.raises(CheckpointError, match=r"--ternarise exact: bitsim\.linear_class: the file says BitLinear"):
        load_checkpoint(path, ternarise="exact")
    with pytest.raises(CheckpointError, match=r"--ternarise absmean: expected a Hugging Face directory"):
        load_checkpoint(path, ternarise="absmean")


def test_embedding_models_say_what_is_not_done(tmp_path):
    checkpoint = load_checkpoint(write(tmp_path, metadata(**{"bitnet-b1.58.pooling_type": 3})))
    assert "bitnet-b1.58.pooling_type" in checkpoint.ignored
    assert "pooled" in checkpoint.notes[0]


def test_defaults_of_absent_keys(tmp_path):
    absent = {f"bitnet-b1.58.{key}": None for key in ("rope.freq_base", "attention.head_count_kv", "vocab_size")}
    tensors = model_tensors()
    for i in range(2):
        for name in ("k", "v"):
            tensors[f"blk.{i}.attn_{name}.weight"] = linear(model_codes()[f"blk.{i}.attn_q.weight"], "TQ2_0", 0.5)
    config = load_checkpoint(write(tmp_path, metadata(**absent), tensors)).config
    assert (config.rope_theta, config.num_kv_heads, config.vocab_size) == (10000.0, 4, VOCAB)
    assert config.sliding_window is None
    window = metadata(**{"bitnet-b1.58.attention.sliding_window": 7})
    assert load_checkpoint(write(tmp_path, window)).config.sliding_window == 7


def test_keys_that_are_not_looked_at_are_listed(tmp_path):
    meta = metadata() | {"someone.quantised_at": 3, "general.licence": "x", "quantize.imatrix.file": "y"}
    meta["bitnet-b1.58.tensor_data_layout"] = "Meta AI original pth"
    checkpoint = load_checkpoint(write(tmp_path, meta))
    assert checkpoint.ignored == (
        "bitnet-b1.58.tensor_data_layout",
        "general.licence",
        "general.name",
        "quantize.imatrix.file",
        "someone.quantised_at",
    )
    assert checkpoint.absent == {"bitnet-b1.58.attention.key_length": 64, "bitnet-b1.58.hidden_activation": "relu2"}


@pytest.mark.parametrize("kind", ["TQ1_0", "I2_S x86", "F16"])
def test_matrices_of_zeros_are_warned_about(tmp_path, kind):
    zeros = linear(np.zeros((D, D), np.int8), kind, SCALE)
    meta = metadata(**{"bitsim.i2_s_layout": "x86"} if "I2_S" in kind else {})
    model = load_model(write(tmp_path, meta, model_tensors(kind, SCALE) | {Q: zeros}))
    assert f"warning: 1 of 14 matrices hold only zeros: {Q}" in model.notes


SMALL = gguf_bytes(metadata(), model_tensors())
HEADER_END = SMALL.index(b"output_norm.weight") + 42


def survives(raw):
    """Opening and running either works or ends in a BitsimError."""
    with tempfile.TemporaryDirectory() as folder, suppress(BitsimError):
        path = Path(folder, "model.gguf")
        path.write_bytes(raw)
        generate(load_model(path), ReferenceExecutor(), [1, 2], 1)


@settings(max_examples=150)
@given(st.integers(0, HEADER_END - 1), st.integers(1, 255))
def test_flipped_header_bytes(position, flip):
    survives(SMALL[:position] + bytes([SMALL[position] ^ flip]) + SMALL[position + 1 :])


@settings(max_examples=60)
@given(st.integers(0, HEADER_END - 8), st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63, 2**64 - 1]))
def test_lying_lengths(position, number):
    survives(SMALL[:position] + struct.pack("<Q", number) + SMALL[position + 8 :])


@settings(max_examples=40)
@given(st.integers(HEADER_END, len(SMALL) - 1), st.integers(1, 255))
def test_flipped_data_bytes(position, flip):
    survives(SMALL[:position] + bytes([SMALL[position] ^ flip]) + SMALL[position + 1 :])


@settings(max_examples=40)
@given(st.integers(0, len(SMALL) - 1))
def test_truncations(size):
    survives(SMALL[:size])
