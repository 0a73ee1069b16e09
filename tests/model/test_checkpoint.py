"""Checkpoints: damaged, incomplete or foreign files are refused by name and never crash."""

import json
import struct
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsim.errors import BitsimError, CheckpointError, UnknownNameError
from bitsim.model.catalogue import SHIPPED, catalogue, model_names, model_path
from bitsim.model.checkpoint import load_checkpoint, load_model
from bitsim.model.executor import ReferenceExecutor
from bitsim.model.files.hf_config import from_hf
from bitsim.model.files.hf_tensors import expected_tensors
from bitsim.model.files.safetensors_file import SafetensorsFile
from bitsim.model.generate import generate
from tests.model.tiny_models import (
    FLOAT_CONFIG,
    TINY,
    bf16_bytes,
    read_tensors,
    safetensors_bytes,
    tiny_config,
    write_checkpoint,
)

RAW = (TINY / "model.safetensors").read_bytes()
HEADER_END = 8 + struct.unpack("<Q", RAW[:8])[0]
SCALE = "model.layers.1.mlp.up_proj.weight_scale"
PACKED = "model.layers.0.self_attn.q_proj.weight"
NORM = "model.layers.0.mlp.ffn_sub_norm.weight"


def refused(tmp_path, match, tensors=None, config=None):
    with pytest.raises(CheckpointError, match=match) as caught:
        load_checkpoint(write_checkpoint(tmp_path / "model", config, tensors))
    return str(caught.value)


def test_reads_what_is_there():
    checkpoint = load_checkpoint(TINY)
    assert {tensor.name for tensor in checkpoint.stored} == set(read_tensors())
    assert len(checkpoint.digest) == 64
    model = load_model(TINY)
    assert (model.name, model.origin, model.tokenizer_class) == ("tiny", "checkpoint", None)
    assert model.weights.head is not model.weights.embedding
    assert model.weights.layers[0].q.bits == 8 * 12 * 48
    assert model.weights.embedding.bits == 16 * 96 * 48


def test_bf16_vector_and_offsets(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors_bytes({"a": ("U8", [3], b"abc"), "b": ("BF16", [2], bf16_bytes(1.0, -2.0))}))
    file = SafetensorsFile(path)
    np.testing.assert_array_equal(file.array("b"), [0x3F80, 0xC000])
    assert bytes(file.array("a")) == b"abc"


@pytest.mark.parametrize("values", [(0.0,), (-1.0,), (float("nan"),), (float("inf"),)])
def test_scales_must_be_positive(tmp_path, values):
    assert SCALE in refused(tmp_path, "weight_scale", read_tensors() | {SCALE: ("BF16", [1], bf16_bytes(*values))})


def test_damaged_tensors_are_named(tmp_path):
    tensors = read_tensors()
    refused(tmp_path, f"{NORM}.*expected a tensor", {n: t for n, t in tensors.items() if n != NORM})
    refused(tmp_path, "extra.bias: a tensor that the model", tensors | {"extra.bias": ("F32", [1], bytes(4))})
    dtype, shape, raw = tensors[PACKED]
    refused(tmp_path, f"{PACKED}: dtype: expected U8 or .* or F32, got I8", tensors | {PACKED: ("I8", shape, raw)})
    refused(
        tmp_path,
        rf"{PACKED}: shape: expected \(12, 48\), got \(48, 12\)",
        tensors | {PACKED: (dtype, shape[::-1], raw)},
    )
    three = raw[:100] + b"\x03" + raw[101:]
    refused(tmp_path, rf"{PACKED}: packed weights\[2, 4\].*code 3", tensors | {PACKED: (dtype, shape, three)})
    dtype, shape, raw = tensors[NORM]
    nan = raw[:10] + bf16_bytes(float("nan")) + raw[12:]
    refused(tmp_path, rf"{NORM}\[5\]: expected a finite", tensors | {NORM: (dtype, shape, nan)})


def test_truncated_file_says_how_many_bytes(tmp_path):
    path = write_checkpoint(tmp_path / "model") / "model.safetensors"
    for size, expected in (
        (len(RAW) - 1, len(RAW)),
        (HEADER_END, len(RAW)),
        (HEADER_END - 1, HEADER_END),
        (5, 8),
        (0, 8),
    ):
        path.write_bytes(RAW[:size])
        with pytest.raises(
            CheckpointError, match=rf"model.safetensors: is truncated: expected .*{expected} bytes.*got {size}"
        ):
            load_checkpoint(path.parent)
    path.write_bytes(RAW + b"\0")
    with pytest.raises(
        CheckpointError, match=f"bytes after the last tensor: expected {len(RAW)} bytes, got {len(RAW) + 1}"
    ):
        load_checkpoint(path.parent)


@pytest.mark.parametrize(
    ("header", "match"),
    [
        (b"[]", "JSON object"),
        (b"{", "expected a JSON header"),
        (b"\xff\xfe", "expected a JSON header"),
        (b"[" * 100_000, "expected a JSON header"),
        (b'{"a": 1}', "a: expected dtype, shape and data_offsets"),
        (b'{"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}, "a": {}}', "same key twice"),
        (b'{"a": {"dtype": "Q4", "shape": [1], "data_offsets": [0, 1]}}', "a: dtype: expected one of"),
        (b'{"a": {"dtype": "U8", "shape": [-1], "data_offsets": [0, 1]}}', "a: shape"),
        (b'{"a": {"dtype": "U8", "shape": [1.0], "data_offsets": [0, 1]}}', "a: shape"),
        (b'{"a": {"dtype": "U8", "shape": [1], "data_offsets": [0]}}', "a: data_offsets"),
        (b'{"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 1]}}', "a: expected 2 bytes for U8"),
        (b'{"a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}}', "a: leaves a gap: expected offset 0, got 1"),
        (
            b'{"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]},'
            b' "b": {"dtype": "U8", "shape": [2], "data_offsets": [1, 3]}}',
            "b: overlaps another tensor: expected offset 2, got 1",
        ),
    ],
)
def test_header_is_checked(tmp_path, header, match):
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0")
    with pytest.raises(CheckpointError, match=match):
        SafetensorsFile(path)


def test_huge_header_is_refused_unread(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", 2**40) + b"{}")
    with pytest.raises(CheckpointError, match="at most 100000000 bytes"):
        SafetensorsFile(path)


def survives(config: bytes, data: bytes) -> None:
    """Reading and running either works or ends in a BitsimError."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_bytes(config)
        Path(folder, "model.safetensors").write_bytes(data)
        with suppress(BitsimError):
            generate(load_model(Path(folder)), ReferenceExecutor(), [1, 2], 2)


CONFIG_BYTES = (TINY / "config.json").read_bytes()


@settings(deadline=None, max_examples=60)
@given(st.integers(0, HEADER_END - 1), st.integers(1, 255))
def test_flipped_header_bytes(position, flip):
    survives(CONFIG_BYTES, RAW[:position] + bytes([RAW[position] ^ flip]) + RAW[position + 1 :])


@settings(deadline=None, max_examples=40)
@given(st.integers(HEADER_END, len(RAW) - 1), st.integers(1, 255))
def test_flipped_data_bytes(position, flip):
    survives(CONFIG_BYTES, RAW[:position] + bytes([RAW[position] ^ flip]) + RAW[position + 1 :])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, len(RAW) - 1))
def test_truncations(size):
    survives(CONFIG_BYTES, RAW[:size])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, len(CONFIG_BYTES) - 1), st.integers(0, 255))
def test_flipped_config_bytes(position, byte):
    survives(CONFIG_BYTES[:position] + bytes([byte]) + CONFIG_BYTES[position + 1 :], RAW)


def test_float_checkpoint(tmp_path):
    """An unpacked FP16 model without quantization_config, as tiny-fp16 is."""
    values = tiny_config() | {
        "dtype": "float16",
        "tie_word_embeddings": True,
        "rope_parameters": None,
        "rope_theta": 1e4,
    }
    del values["quantization_config"]
    folder = write_checkpoint(tmp_path / "float", values, {})
    with pytest.raises(CheckpointError):
        load_model(folder)
    rng, tensors = np.random.default_rng(0), {}
    for name, want in expected_tensors(from_hf(values, folder / "config.json")).items():
        tensors[name] = ("F16", list(want.shape), rng.standard_normal(want.shape).astype(np.float16).tobytes())
    model = load_model(write_checkpoint(folder, values, tensors))
    assert model.config.linear_class is FLOAT_CONFIG.linear_class
    assert model.weights.layers[0].up.dtype == "float16"
    tokens, logits = generate(model, ReferenceExecutor(), [1, 2, 3], 2)
    assert len(tokens) == 5
    assert np.isfinite(logits).all()


def test_missing_and_sharded_files(tmp_path):
    with pytest.raises(CheckpointError, match="expected a directory"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"config\.json: can't be read"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(tiny_config()))
    with pytest.raises(CheckpointError, match=r"model\.safetensors: can't be read"):
        load_checkpoint(tmp_path)
    assert load_model(tmp_path).origin == "shape"
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"index\.json: weight_map"):
        load_model(tmp_path)


def test_names():
    assert {"tiny-b158", "tiny-fp16", "bitnet-b158-2b4t"} <= set(model_names())
    assert len(set(model_names())) == len(model_names())
    with pytest.raises(UnknownNameError, match=r"did you mean .*bitnet-b158-3b"):
        load_model("bitnet-b158-3")
    shape = load_model("bitnet-b158-2b4t")
    assert shape.weights is None
    assert shape.origin == "shape"


def test_catalogue():
    entries = {entry.name: entry for entry in catalogue()}
    assert tuple(entries) == model_names()
    assert {name for name, entry in entries.items() if entry.executable} == set(SHIPPED)
    assert (
        entries["bitnet-b158-2b4t"].summary == "ternary, 2.084 G linear weights, 30 layers of 2560, vocabulary 128256"
    )
    assert entries["bitnet-125m"].summary.startswith("binary, 84.9 M")
    assert entries["llama-70b"].summary.endswith("(shape assumed)")
    with pytest.raises(UnknownNameError, match="tiny-b158"):
        model_path("tiny-b15")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_run(name):
    model = load_model(name)
    assert SHIPPED[name][0] == model.config.default_numerics
    assert model.tokenizer_class == "ByteTokenizer"
    _, logits = generate(model, ReferenceExecutor(), list(b"In the "), 2)
    assert np.isfinite(logits).all()


def test_catalogue_needs_no_numpy():
    code = "import sys; from bitsim.model.catalogue import catalogue; catalogue(); assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
