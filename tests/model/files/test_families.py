"""Samples of every published Hugging Face form, made by the genuine libraries, run unedited (golden/families)."""

import json
import shutil
import struct
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bitsim
from bitsim.errors import BitsimError, CheckpointError, ConfigError
from bitsim.model.checkpoint import load_checkpoint, load_model
from bitsim.model.convert import convert
from bitsim.model.executor import ReferenceExecutor
from bitsim.model.forward import forward
from bitsim.model.kv_cache import KVCache
from bitsim.model.rope_scaling import FrequencyFactors
from bitsim.quant.packing import unpack_hf
from bitsim.quant.recipes import recipe_named
from tests.golden.samples import sample, samples
from tests.model.tiny_models import safetensors_bytes

FAMILIES = [
    "bitnet_defaults", "falcon3_158", "llama31_rope_tied", "llama3_158", "llama_bias_rms", "llama_defaults",
    "onebitllm_1bitLLM", "qwen3_bitlinear", "trilm",
]  # fmt: skip
# Absolute, of logits in float32 (golden/families/README.md). Tied heads have logits up to 70, whose float32 grid is
# 8e-6: of those it is this share of the greatest.
EXACT, SHARE = 1e-5, 5e-7


def logits(checkpoint, tokens, **changes):
    config = replace(checkpoint.config, **changes)
    recipe = recipe_named(config.default_numerics)
    cache = KVCache(config, kind=32)
    return forward(config, checkpoint.weights, tokens, cache, ReferenceExecutor(), recipe)


def reference(name):
    return np.load(sample(name) / "reference.npz")


def copied(name, folder, remove=(), **changes):
    """The sample with some keys of its config.json changed or removed."""
    source = sample(name)
    shutil.copytree(source, folder)
    values = json.loads((source / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps({k: v for k, v in values.items() if k not in remove}))
    return folder


def tensors_of(folder):
    raw = (folder / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    header.pop("__metadata__", None)
    data = raw[8 + length :]
    return {name: (t["dtype"], t["shape"], data[slice(*t["data_offsets"])]) for name, t in header.items()}


def rewritten(folder, change):
    """The tensors of `folder`, name -> (type, shape, bytes), after `change`."""
    tensors = tensors_of(folder)
    change(tensors)
    (folder / "model.safetensors").write_bytes(safetensors_bytes(tensors))
    return folder


@pytest.mark.parametrize("name", FAMILIES)
def test_a_published_form_runs_unedited_with_the_references_logits_and_greedy_tokens(name):
    checkpoint = load_checkpoint(sample(name))
    ours, theirs = logits(checkpoint, reference(name)["tokens"]), reference(name)["logits_fp32"]
    greatest = np.abs(theirs).max() if checkpoint.config.tie_embeddings else 0
    assert np.abs(ours - theirs).max() < max(EXACT, SHARE * greatest)
    np.testing.assert_array_equal(ours.argmax(axis=1), theirs.argmax(axis=1))


def test_all_samples_of_directories_are_tested():
    root = samples()
    assert {path.parent.name for path in root.glob("*/config.json")} == set(FAMILIES)


def test_decoding_token_by_token_gives_the_references_logits():
    """With norms of queries and keys, in a cache that grows."""
    checkpoint = load_checkpoint(sample("qwen3_bitlinear"))
    config, theirs = checkpoint.config, reference("qwen3_bitlinear")["logits_fp32"]
    cache, recipe = KVCache(config, kind=32), recipe_named(config.default_numerics)
    for token, row in zip(reference("qwen3_bitlinear")["tokens"], theirs, strict=True):
        ours = forward(config, checkpoint.weights, np.array([token]), cache, ReferenceExecutor(), recipe)[0]
        assert np.abs(ours - row).max() < SHARE * np.abs(theirs).max()


def test_old_and_new_rope_keys_give_equal_logits(tmp_path):
    source = sample("llama31_rope_tied")
    old = json.loads((source / "config.json").read_text())
    parameters = {"rope_theta": old["rope_theta"], **old["rope_scaling"]}
    new = copied("llama31_rope_tied", tmp_path / "new", ("rope_theta", "rope_scaling", "torch_dtype"),
                 rope_parameters=parameters, dtype="bfloat16")  # fmt: skip
    tokens = reference("llama31_rope_tied")["tokens"]
    before, after = load_checkpoint(source), load_checkpoint(new)
    np.testing.assert_array_equal(logits(before, tokens), logits(after, tokens))
    assert np.abs(logits(before, tokens, rope_scaling=None) - logits(before, tokens)).max() > 0.05


def test_multiplying_by_a_scale_that_divides_changes_logits(tmp_path):
    folder = copied("llama3_158", tmp_path / "auto", quantization_config={"quant_method": "bitnet", "linear_class":
                    "autobitlinear"})  # fmt: skip
    tokens = reference("llama3_158")["tokens"]
    assert np.abs(logits(load_checkpoint(folder), tokens) - reference("llama3_158")["logits_fp32"]).max() > 0.1


@pytest.mark.parametrize("what", ["biases", "linear_norms", "q_norm", "k_norm"])
def test_what_few_models_have_changes_logits(what):
    """So that a sample that holds it proves that it is applied."""
    name = "qwen3_bitlinear" if what.endswith("_norm") else "llama_bias_rms"
    checkpoint = load_checkpoint(sample(name))
    value = getattr(checkpoint.weights.layers[0], what)
    changed = {key: one * 2 for key, one in value.items()} if isinstance(value, dict) else value * 2
    layers = (replace(checkpoint.weights.layers[0], **{what: changed}), *checkpoint.weights.layers[1:])
    other = replace(checkpoint, weights=replace(checkpoint.weights, layers=layers))
    tokens = reference(name)["tokens"]
    assert np.abs(logits(other, tokens) - logits(checkpoint, tokens)).max() > 0.01
    assert other.weights.digest != checkpoint.weights.digest


@pytest.mark.parametrize("shape", [[], [1, 1]])
def test_a_scale_of_one_number_has_any_shape(shape, tmp_path):
    def reshape(tensors):
        for name, (kind, _, data) in tensors.items():
            if name.endswith("weight_scale"):
                tensors[name] = kind, shape, data

    folder = rewritten(copied("llama3_158", tmp_path / "x"), reshape)
    tokens = reference("llama3_158")["tokens"]
    expected = logits(load_checkpoint(sample("llama3_158")), tokens)
    np.testing.assert_array_equal(logits(load_checkpoint(folder), tokens), expected)


def test_scales_of_rows_are_refused_in_words(tmp_path):
    name = "model.layers.0.self_attn.q_proj.weight_scale"
    folder = rewritten(copied("llama3_158", tmp_path / "x"), lambda t: t.update({name: ("F32", [64], bytes(256))}))
    with pytest.raises(CheckpointError, match=rf"{name}: shape: expected \(1,\), one scale for the whole matrix, got"):
        load_checkpoint(folder)


def test_codes_that_are_not_packed_are_read_for_autobitlinear(tmp_path):
    auto = {"quant_method": "bitnet", "linear_class": "autobitlinear"}
    packed = load_checkpoint(copied("llama3_158", tmp_path / "packed", quantization_config=auto))

    def unpack(tensors):
        for name, (kind, shape, data) in tensors.items():
            if kind == "U8":
                codes = unpack_hf(np.frombuffer(data, np.uint8).reshape(shape), 4 * shape[0])
                tensors[name] = "F16", [4 * shape[0], shape[1]], codes.astype(np.float16).tobytes()

    folder = rewritten(copied("llama3_158", tmp_path / "floats", quantization_config=auto), unpack)
    unpacked = load_checkpoint(folder)
    assert unpacked.weights.digest == packed.weights.digest
    assert (unpacked.packing, packed.packing) == ("unpacked", "2bit")
    (folder / "config.json").write_bytes((sample("llama3_158") / "config.json").read_bytes())
    with pytest.raises(CheckpointError, match=r"proj.weight: dtype: expected U8, got F16 \(codes that are not packed"):
        load_checkpoint(folder)

    def spoil(tensors):
        name = "model.layers.1.mlp.up_proj.weight"
        kind, shape, data = tensors[name]
        tensors[name] = kind, shape, np.float16(0.5).tobytes() + data[2:]

    copy = copied("llama3_158", tmp_path / "half", quantization_config=auto)
    with pytest.raises(CheckpointError, match=r"layers.1.mlp.up_proj.weight: codes .* expected -1, 0 or 1, got 0.5"):
        load_checkpoint(rewritten(rewritten(copy, unpack), spoil))


def test_the_bias_of_autobitlinear_offline_is_scaled_as_its_product_is(tmp_path):
    """facts/checkpoints.md section 2: F.linear(x, codes, bias) * weight_scale."""
    source = json.loads((sample("llama_bias_rms") / "config.json").read_text())["quantization_config"]
    auto = load_checkpoint(
        copied("llama_bias_rms", tmp_path / "auto", quantization_config=source | {"linear_class": "autobitlinear"})
    )
    plain = load_checkpoint(sample("llama_bias_rms"))
    for ours, theirs in zip(auto.weights.layers, plain.weights.layers, strict=True):
        np.testing.assert_array_equal(ours.biases["mlp.up_proj"], theirs.biases["mlp.up_proj"] * theirs.up.scale)


def test_tensors_that_change_no_number_are_listed(tmp_path):
    def add(tensors):
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = "F32", [8], bytes(32)
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]

    folder = rewritten(copied("llama31_rope_tied", tmp_path / "x"), add)
    checkpoint = load_checkpoint(folder)
    plain = load_checkpoint(sample("llama31_rope_tied"))
    assert checkpoint.weights.digest == plain.weights.digest
    assert set(checkpoint.ignored) - set(plain.ignored) == {
        "lm_head.weight", "model.layers.0.self_attn.rotary_emb.inv_freq",
    }  # fmt: skip

    def differ(tensors):
        kind, shape, data = tensors["lm_head.weight"]
        tensors["lm_head.weight"] = kind, shape, data[:-2] + b"\0\0"

    with pytest.raises(CheckpointError, match=r"lm_head.weight: expected model.embed_tokens.weight, since tie_word"):
        load_checkpoint(rewritten(folder, differ))


def test_matrices_of_zeros_are_warned_about(tmp_path):
    def clear(tensors):
        for name, (kind, shape, data) in tensors.items():
            if name in ("model.layers.0.mlp.up_proj.weight", "model.layers.1.self_attn.o_proj.weight"):
                tensors[name] = kind, shape, b"\x55" * len(data)
            if name == "lm_head.weight":
                tensors[name] = kind, shape, bytes(len(data))

    checkpoint = load_checkpoint(rewritten(copied("llama3_158", tmp_path / "x"), clear))
    assert checkpoint.notes == (
        "warning: 3 of 16 matrices hold only zeros: model.layers.0.mlp.up_proj.weight, "
        "model.layers.1.self_attn.o_proj.weight, lm_head.weight",
    )
    result = bitsim.run(load_model(checkpoint.path), "ternary-ws-64x64", tokens=[1, 2])
    assert checkpoint.notes[0] in result.notes
    assert load_checkpoint(sample("llama3_158")).notes == ()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("llama3_158", {"quantization_config": None}, "U8 .packed ternary weights, but config.json has no"),
        ("llama3_158", {"tie_word_embeddings": True}, "lm_head.weight: expected model.embed_tokens.weight"),
        ("llama3_158", {"attention_bias": True}, "k_proj.bias: expected a tensor"),
        ("llama_bias_rms", {"mlp_bias": False}, "mlp.down_proj.bias: a tensor that the model"),
        ("qwen3_bitlinear", {"model_type": "llama"}, "k_norm.weight: a tensor that the model"),
    ],
)
def test_configs_that_do_not_fit_the_tensors_are_refused(name, change, message, tmp_path):
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(copied(name, tmp_path / "x", **change))


def test_a_model_without_a_head_is_refused_in_words(tmp_path):
    def rename(tensors):
        for name in list(tensors):
            tensors[name.removeprefix("model.")] = tensors.pop(name)

    folder = rewritten(copied("qwen3_bitlinear", tmp_path / "x"), rename)
    with pytest.raises(CheckpointError, match=r"got none \(but embed_tokens.weight: names of a model without a head"):
        load_checkpoint(folder)


def floats_with_norms(tensors):
    """Float weights, and a norm of its own in front of each linear: what online AutoBitLinear with use_rms_norm has."""
    rng = np.random.default_rng(7)
    for name, (kind, shape, _) in list(tensors.items()):
        if kind == "U8":
            n, k = 4 * shape[0], shape[1]
            tensors[name] = "F32", [n, k], rng.standard_normal((n, k), np.float32).tobytes()
            norm = (1 + 0.1 * rng.standard_normal(k)).astype(np.float32)
            tensors[name.replace(".weight", ".rms_norm.weight")] = "F32", [k], norm.tobytes()
            del tensors[f"{name}_scale"]


def test_an_embedding_model_is_the_decoder_with_norms_of_linears_under_other_names(tmp_path):
    """The names of bitnet-embedding (facts/checkpoints.md section 8) against those of transformers' use_rms_norm."""

    def rename(tensors):
        floats_with_norms(tensors)
        for name in list(tensors):
            tensors[name.removeprefix("model.").replace(".rms_norm.", ".norm.")] = tensors.pop(name)

    online = {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online",
              "use_rms_norm": True, "rms_norm_eps": 1e-5}  # fmt: skip
    theirs = copied("qwen3_bitlinear", tmp_path / "theirs", quantization_config=online)
    ours = copied("qwen3_bitlinear", tmp_path / "ours", ("quantization_config",), architectures=["Qwen3Model"])
    usual = load_checkpoint(rewritten(theirs, floats_with_norms))
    embedding = load_checkpoint(rewritten(ours, rename))
    assert embedding.weights.digest == usual.weights.digest
    tokens = np.array([1, 5, 17])
    np.testing.assert_array_equal(logits(embedding, tokens), logits(usual, tokens))
    assert any("embedding model" in note for note in embedding.notes)
    assert (embedding.config.linear_class, embedding.config.linear_norm_eps) == ("autobitlinear", 1e-5)
    (ours / "config.json").write_bytes((theirs / "config.json").read_bytes())
    with pytest.raises(CheckpointError, match="quantization_config: expected none of a model with the tensors"):
        load_checkpoint(ours)


def test_scales_of_rows_in_tensors_of_their_own_are_refused_in_words(tmp_path):
    """The form of deepgrove/Bonsai."""
    name = "model.layers.0.self_attn.q_proj.scales"
    folder = rewritten(copied("trilm", tmp_path / "x"), lambda t: t.update({name: ("F16", [64], bytes(128))}))
    with pytest.raises(CheckpointError, match=rf"{name}: a tensor .* \(a scale for each output row"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "name", ["falcon3_158", "llama31_rope_tied", "llama_bias_rms", "qwen3_bitlinear", "bitnet_defaults"]
)
@pytest.mark.parametrize("packing", ["2bit", "1.6bit"])
def test_what_is_converted_is_the_same_model(name, packing, tmp_path):
    source = load_checkpoint(sample(name))
    convert(source, tmp_path / name, "hf", packing)
    written = load_checkpoint(tmp_path / name)
    assert written.weights.digest == source.weights.digest
    assert replace(written.config, weight_bits_per_weight=source.config.weight_bits_per_weight) == source.config


def test_what_config_json_cannot_say_is_not_written(tmp_path):
    source = load_checkpoint(sample("llama_bias_rms"))
    factors = FrequencyFactors(factors=(1.0,) * 8)
    for change, message in (
        ({"rope_scaling": factors}, "factors of single frequencies"),
        ({"qk_norm": True}, "qwen3 has|no such biases"),
        ({"linear_class": "autobitlinear"}, "biases of autobitlinear"),
    ):
        other = replace(source, config=replace(source.config, **change))
        with pytest.raises(CheckpointError, match=message):
            convert(other, tmp_path / "x", "hf", "2bit")
        assert not (tmp_path / "x").exists()


def test_contexts_beyond_a_sliding_window_are_not_executed(tmp_path):
    changes = {"sliding_window": 8, "use_sliding_window": True}
    checkpoint = load_checkpoint(copied("qwen3_bitlinear", tmp_path / "x", **changes))
    tokens = reference("qwen3_bitlinear")["tokens"]
    theirs = reference("qwen3_bitlinear")["logits_fp32"]
    assert np.abs(logits(checkpoint, tokens[:8]) - theirs[:8]).max() < SHARE * np.abs(theirs).max()
    with pytest.raises(ConfigError, match=r"sliding_window: layers attend 8 positions, .* at most as many"):
        logits(checkpoint, tokens[:9])


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["llama_bias_rms", "qwen3_bitlinear", "onebitllm_1bitLLM", "trilm"]), st.data())
def test_any_damaged_file_is_read_or_refused(name, data):
    source = sample(name)
    raw, config = ((source / file).read_bytes() for file in ("model.safetensors", "config.json"))
    spoiled = data.draw(st.sampled_from(["header", "data", "config"]))
    header = 8 + struct.unpack("<Q", raw[:8])[0]
    low, high = {"header": (0, header), "data": (header, len(raw)), "config": (0, len(config))}[spoiled]
    at, flip = data.draw(st.integers(low, high - 1)), data.draw(st.integers(1, 255))
    if spoiled == "config":
        config = config[:at] + bytes([config[at] ^ flip]) + config[at + 1 :]
    else:
        raw = raw[:at] + bytes([raw[at] ^ flip]) + raw[at + 1 :]
    with TemporaryDirectory() as folder:
        Path(folder, "config.json").write_bytes(config)
        Path(folder, "model.safetensors").write_bytes(raw)
        for how in (None, "exact", "absmean"):
            with suppress(BitsimError):
                logits(load_checkpoint(folder, ternarise=how), np.array([1, 5]))


@pytest.mark.parametrize("name", ["qwen3_bitlinear", "llama_bias_rms", "trilm"])
def test_runs_and_estimates_count_the_same_work(name):
    """Law 3, for norms of heads and linears, and biases."""
    model = load_model(sample(name))
    ran = bitsim.run(model, "ternary-ws-64x64", tokens=[1, 2, 3, 4], new_tokens=2)
    estimated = bitsim.estimate(model, "ternary-ws-64x64", prefill=4, decode=2)
    assert [(row.name, row.kind) for row in ran.rows] == [(row.name, row.kind) for row in estimated.rows]
    for ours, theirs in zip(ran.rows, estimated.rows, strict=True):
        if ours.kind in ("norm", "bias", "quantise", "rope"):
            assert (ours.events, ours.cycles) == (theirs.events, theirs.cycles)
    assert {"bias", "norm"} <= {row.kind for row in ran.rows} or name != "llama_bias_rms"
