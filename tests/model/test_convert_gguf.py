"""GGUF files that other programs open, and what seldom models have: all of it comes back, or is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from gguf import GGUFReader

from bitsim.errors import CheckpointError, OutputError
from bitsim.model.checkpoint import load_checkpoint
from bitsim.model.convert import convert
from bitsim.model.files.gguf_vocabulary import GPT2_SPLIT, LLAMA3_SPLIT, QWEN2_SPLIT
from bitsim.model.files.vocabulary_keys import vocabulary_keys
from bitsim.model.rope_scaling import FrequencyFactors, LinearScaling, Llama3Scaling, YarnScaling
from tests.model.files.gguf_bytes import D, gguf_bytes, metadata, model_tensors
from tests.model.files.test_gguf_architectures import tensors_of
from tests.model.files.test_gguf_families import logits_of
from tests.model.test_convert import assert_same_model

TOKENS = np.array([3, 1, 4, 1, 5])
QKV = ("attn_q", "attn_k", "attn_v")


def source(tmp_path, **changes):
    """A model with norms of queries and keys, biases, and what `changes` says."""
    path = tmp_path / "source.gguf"
    path.write_bytes(gguf_bytes(metadata("qwen3"), tensors_of("qwen3", (*QKV, "attn_output"), qk_norms=True)))
    opened = load_checkpoint(path)
    return replace(opened, config=replace(opened.config, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sliding_window": 7},
        {"rope_scaling": LinearScaling(factor=4)},
        {"rope_scaling": YarnScaling(factor=4, original_positions=64)},
        {"rope_scaling": FrequencyFactors(factors=tuple(np.linspace(1, 8, 32, dtype=np.float32).tolist()))},
    ],
)
def test_what_seldom_models_have_comes_back(tmp_path, changes):
    model = source(tmp_path, **changes)
    convert(model, tmp_path / "target.gguf", "gguf", "tq1_0")
    there = load_checkpoint(tmp_path / "target.gguf")
    assert_same_model(there, model)
    assert there.weights.digest == model.weights.digest
    np.testing.assert_array_equal(logits_of(there, TOKENS), logits_of(model, TOKENS))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"rope_scaling": Llama3Scaling(factor=8, low_freq_factor=1, high_freq_factor=4, original_positions=64)},
            "rope_scaling: no key of a GGUF file holds Llama3Scaling",
        ),
        (
            {"rope_scaling": YarnScaling(factor=4, original_positions=64, beta_slow=2)},
            "no key of a GGUF file holds Yarn",
        ),
        ({"hidden_act": "gelu"}, "hidden_act: no key of a GGUF file holds gelu"),
        ({"linear_norm_eps": 1e-7}, r"norms in front of each linear .*one eps, 1e-05 .*these have 1e-07"),
    ],
)
def test_what_a_file_cannot_hold_is_refused(tmp_path, changes, match):
    with pytest.raises(CheckpointError, match=match):
        convert(source(tmp_path, **changes), tmp_path / "target.gguf", "gguf", "tq1_0")


def test_norms_in_front_of_linears_come_back_and_change_the_logits(tmp_path):
    model, rng = source(tmp_path, linear_norm_eps=1e-5), np.random.default_rng(4)
    norms = [
        {name: rng.uniform(0.5, 2, k).astype(np.float32) for name, _, k in model.config.linear_shapes()}
        for _ in model.weights.layers
    ]
    layers = tuple(replace(layer, linear_norms=own) for layer, own in zip(model.weights.layers, norms, strict=True))
    model = replace(model, weights=replace(model.weights, layers=layers))
    convert(model, tmp_path / "target.gguf", "gguf", "i2_s")
    there = load_checkpoint(tmp_path / "target.gguf")
    assert there.config.linear_norm_eps == 1e-5
    for layer, own in zip(there.weights.layers, norms, strict=True):
        for name, values in own.items():
            np.testing.assert_array_equal(layer.linear_norms[name], values)
    got = logits_of(there, TOKENS)
    np.testing.assert_array_equal(got, logits_of(model, TOKENS))
    assert np.abs(got - logits_of(source(tmp_path), TOKENS)).max() > 1e-2


def test_decoded_embeddings_are_written_as_floats(tmp_path):
    path = tmp_path / "source.gguf"
    path.write_bytes(gguf_bytes(metadata(), model_tensors("TQ2_0", 0.5, "Q6_K", tied=False)))
    model = load_checkpoint(path)
    for target, how in (("a.gguf", ("gguf", "tq2_0")), ("b", ("hf", "2bit"))):
        convert(model, tmp_path / target, *how)
        there = load_checkpoint(tmp_path / target)
        assert there.weights.digest == model.weights.digest
        assert there.config.dtype == "float32"


# 40 rows of an embedding, of which two have no token.
VOCAB = {token: i for i, token in enumerate([*"abcdefghijklmnopqrstuvwxyz0123456789", "ab", "<bos>"])}


def tokenizer_json(**changes):
    split = {"type": "Split", "pattern": {"Regex": LLAMA3_SPLIT}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {}}],
    }
    values = {
        "added_tokens": [
            {"id": 37, "content": "<bos>", "special": True},
            {"id": 38, "content": "<x>", "special": False},
        ],
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]},
        "post_processor": {"type": "Sequence", "processors": [level, template]},
        "model": {"type": "BPE", "ignore_merges": True, "vocab": VOCAB, "merges": ["a b", ["0", "1"]]},
    }
    return values | changes


def folder_of(tmp_path, **changes):
    """A model that llama.cpp's architecture bitnet describes, as a Hugging Face directory with a vocabulary."""
    path = tmp_path / "source.gguf"
    path.write_bytes(gguf_bytes(metadata("bitnet"), model_tensors("TQ2_0", 0.5, "BF16")))
    folder = tmp_path / "folder"
    convert(load_checkpoint(path), folder, "hf", "2bit")
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json(**changes)))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "X", "eos_token": {"content": "a"}}')
    return folder


@pytest.mark.parametrize("name", ["tq1_0", "tq2_0"])
def test_a_file_for_llama_cpp_is_what_the_library_reads(tmp_path, name):
    folder, target = folder_of(tmp_path), tmp_path / "target.gguf"
    convert(load_checkpoint(folder), target, "gguf", name, upstream=True)
    reader = GGUFReader(target)
    values = {key: field.contents() for key, field in reader.fields.items()}
    assert values["general.architecture"] == "bitnet"
    assert values["general.file_type"] == {"tq1_0": 36, "tq2_0": 37}[name]
    assert values["bitnet.hidden_activation"] == "silu"
    needed = ("context_length", "embedding_length", "block_count", "feed_forward_length", "attention.head_count")
    assert all(f"bitnet.{key}" in values for key in (*needed, "attention.layer_norm_rms_epsilon", "rope.freq_base"))
    ours = {key.removeprefix("tokenizer.ggml."): value for key, value in values.items() if "ggml" in key}
    assert ours == {
        "model": "gpt2",
        "pre": "llama-bpe",
        "tokens": [*VOCAB, "<x>", "[PAD39]"],
        "token_type": [1] * 37 + [3, 4, 5],
        "merges": ["a b", "0 1"],
        "bos_token_id": 37,
        "eos_token_id": 0,
        "add_bos_token": True,
    }
    names = {"attn_norm", "attn_sub_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_sub_norm"}
    names |= {"ffn_gate", "ffn_up", "ffn_down"}
    expected = {f"blk.{i}.{name}.weight" for i in range(2) for name in names}
    assert {tensor.name for tensor in reader.tensors} == expected | {"token_embd.weight", "output_norm.weight"}
    assert {tensor.tensor_type.name for tensor in reader.tensors if len(tensor.shape) == 1} == {"F32"}
    assert_same_model(load_checkpoint(target), load_checkpoint(folder))


def test_files_for_llama_cpp_need_what_its_graph_has(tmp_path):
    model, target = load_checkpoint(folder_of(tmp_path)), tmp_path / "target.gguf"

    def refused(error, match, checkpoint, *how):
        with pytest.raises(error, match=match):
            convert(checkpoint, target, *how, upstream=True)
        assert not target.exists()

    refused(OutputError, "--arch bitnet: expected --format gguf", model, "hf", "2bit")
    refused(CheckpointError, "--arch bitnet: llama.cpp reads tq1_0, tq2_0, not i2_s_x86", model, "gguf", "i2_s")
    for changes in ({"sub_norms": False}, {"tie_embeddings": False}, {"sliding_window": 3}):
        other = replace(model, config=replace(model.config, **changes))
        refused(
            CheckpointError, "--arch bitnet: llama.cpp's graph has sub norms and a tied head", other, "gguf", "tq2_0"
        )
    (model.path / "tokenizer.json").unlink()
    refused(CheckpointError, r"tokenizer\.json: can't be read.*no file without a vocabulary", model, "gguf", "tq2_0")


@pytest.mark.parametrize(
    ("pattern", "name"), [(LLAMA3_SPLIT, "llama-bpe"), (QWEN2_SPLIT, "qwen2"), (GPT2_SPLIT, "gpt-2")]
)
def test_splits_are_named_as_llama_cpp_names_them(tmp_path, pattern, name):
    step = {"type": "Split", "pattern": {"Regex": pattern}}
    model = tokenizer_json()["model"] | {"ignore_merges": name == "llama-bpe"}
    pre = {"type": "ByteLevel"} if name == "gpt-2" else step
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer_json(pre_tokenizer=pre, model=model)))
    assert any(key.endswith(name.encode()) for key in vocabulary_keys(tmp_path, 40))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"model": None}, "model: expected an object"),
        ({"model": {"type": "Unigram", "vocab": []}}, "model: expected a BPE with a vocab, got Unigram"),
        ({"pre_tokenizer": None}, "pre_tokenizer: expected an object"),
        ({"pre_tokenizer": {"type": "Metaspace"}}, "pre_tokenizer: expected the split of Llama 3, Qwen 2 or GPT-2"),
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": 3}}, "pre_tokenizer: expected the split"),
        ({"model": {"type": "BPE", "vocab": VOCAB, "merges": []}}, "ignore_merges: expected True, as llama.cpp"),
        ({"added_tokens": [3]}, "added_tokens: expected objects with a content, got 3"),
        ({"added_tokens": [{"content": "x", "id": 40}]}, r"token 'x': expected an id of 0\.\.39, .*got 40"),
        ({"model": tokenizer_json()["model"] | {"merges": 3}}, "merges: expected a list of pairs"),
        ({"model": tokenizer_json()["model"] | {"merges": ["a b c"]}}, r"merges\[0\]: expected a pair"),
        ({"model": tokenizer_json()["model"] | {"merges": [["a", 1]]}}, r"merges\[0\]: expected a pair"),
    ],
)
def test_vocabularies_that_llama_cpp_would_read_otherwise_are_refused(tmp_path, changes, match):
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer_json(**changes)))
    with pytest.raises(CheckpointError, match=rf"tokenizer\.json: .*{match}"):
        vocabulary_keys(tmp_path, 40)


def test_other_json_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text("[]")
    with pytest.raises(CheckpointError, match="expected a JSON object, got list"):
        vocabulary_keys(tmp_path, D)
    (tmp_path / "tokenizer.json").write_text(json.dumps(tokenizer_json()))
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"tokenizer_config\.json: expected JSON"):
        vocabulary_keys(tmp_path, 40)
