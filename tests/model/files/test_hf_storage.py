"""The forms in which a Hugging Face directory holds weights: shards with an index, master weights, pickles refused."""

import json
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitsim.errors import BitsimError, CheckpointError
from bitsim.model.checkpoint import load_checkpoint, load_model
from bitsim.model.executor import ReferenceExecutor
from bitsim.model.files.hf_config import from_hf
from bitsim.model.files.hf_tensors import expected_tensors
from bitsim.model.generate import generate
from bitsim.quant.contracts import ternarise
from bitsim.quant.packing import bf16_to_f32, pack_hf
from bitsim.quant.recipes import recipe_named
from tests.model.tiny_models import TINY, read_tensors, safetensors_bytes, tiny_config, write_checkpoint

LINEARS = ("q", "k", "v", "o", "gate", "up", "down")
A, B = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def write_shards(directory, weight_map=None, shards=None):
    """The tiny model in two shards, tensors dealt out in turn."""
    tensors = read_tensors()
    dealt = {name: (A, B)[i % 2] for i, name in enumerate(tensors)}
    if shards is None:
        shards = {shard: {n: t for n, t in tensors.items() if dealt[n] == shard} for shard in (A, B)}
    directory.mkdir(exist_ok=True)
    (directory / "config.json").write_text(json.dumps(tiny_config()))
    for shard, content in shards.items():
        (directory / shard).write_bytes(safetensors_bytes(content))
    index = {"metadata": {"total_size": 1}, "weight_map": dealt if weight_map is None else weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    return directory


def dealt_tensors():
    tensors = read_tensors()
    return tensors, {name: (A, B)[i % 2] for i, name in enumerate(tensors)}


def test_shards_hold_the_same_model(tmp_path):
    whole, shards = load_checkpoint(TINY), load_checkpoint(write_shards(tmp_path / "shards"))
    assert shards.stored == whole.stored
    assert shards.digest != whole.digest
    for ours, theirs in zip(shards.weights.layers, whole.weights.layers, strict=True):
        for name in LINEARS:
            np.testing.assert_array_equal(getattr(ours, name).packed, getattr(theirs, name).packed)
            assert getattr(ours, name).scale == getattr(theirs, name).scale
        np.testing.assert_array_equal(ours.ffn_sub_norm, theirs.ffn_sub_norm)
    np.testing.assert_array_equal(shards.weights.head.stored, whole.weights.head.stored)


@pytest.mark.parametrize("shard", ["../x.safetensors", "/etc/x.safetensors", "a/x.safetensors", "..\\x.safetensors"])
def test_a_shard_outside_the_folder_is_refused(tmp_path, shard):
    _, dealt = dealt_tensors()
    (tmp_path / "x.safetensors").write_bytes(safetensors_bytes(read_tensors()))
    with pytest.raises(CheckpointError, match=r"index\.json: weight_map: .*: expected a file in the same folder"):
        load_checkpoint(write_shards(tmp_path / "model", dict.fromkeys(dealt, shard)))


def test_index_and_shards_must_agree(tmp_path):
    tensors, dealt = dealt_tensors()
    first, second = list(tensors)[:2]
    shards = {shard: {n: t for n, t in tensors.items() if dealt[n] == shard} for shard in (A, B)}

    def refused(match, weight_map=None, shards=None):
        with pytest.raises(CheckpointError, match=match):
            load_checkpoint(write_shards(tmp_path / "model", weight_map, shards))

    without = {n: t for n, t in shards[A].items() if n != first}
    refused(rf"{A}: {first}: expected a tensor, as model\.safetensors\.index\.json says", None, shards | {A: without})
    refused(rf"{A}: {first}: a tensor that .* does not list", {n: s for n, s in dealt.items() if n != first})
    refused(rf"{first}: .*in both files", None, shards | {B: shards[B] | {first: tensors[first]}})
    refused(rf"{B}: {second}: expected this tensor in {A}", dealt | {second: A})
    extra = {"x.bias": ("F32", [1], bytes(4))}
    refused("x.bias: a tensor that the model", dealt | {"x.bias": A}, shards | {A: shards[A] | extra})
    smaller = {n: t for n, t in dealt.items() if n != first}
    refused(f"{first}: expected a tensor", smaller, shards | {A: without})
    refused(r"x\.safetensors: can't be read", dealt | {first: "x.safetensors"})
    refused("weight_map: expected tensors and their files", [])
    refused(f"{first}: expected the name of a .safetensors file, got 'x.bin'", dealt | {first: "x.bin"})


def test_an_index_that_is_no_index(tmp_path):
    folder = write_shards(tmp_path / "model")
    index = folder / "model.safetensors.index.json"
    for text, match in (("[]", "weight_map"), ("{", "expected JSON"), ('{"a": 1, "a": 2}', "same key twice")):
        index.write_text(text)
        with pytest.raises(CheckpointError, match=match):
            load_checkpoint(folder)


@given(st.data())
def test_flipped_index_bytes(data):
    with tempfile.TemporaryDirectory() as folder:
        path = write_shards(Path(folder, "model"))
        index = path / "model.safetensors.index.json"
        raw = bytearray(index.read_bytes())
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
        index.write_bytes(raw)
        with suppress(BitsimError):
            load_model(path)


def master(directory, tag, linear_class, *, tied):
    """Random master weights of the tiny model's shape, stored as `tag`; the float32 values that are stored."""
    values = tiny_config() | {"tie_word_embeddings": tied}
    values["dtype"] = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}[tag]
    values["quantization_config"] |= {"quantization_mode": "online", "linear_class": linear_class}
    rng, tensors, exact = np.random.default_rng(5), {}, {}
    for name, want in expected_tensors(from_hf(values, Path("config.json")), "master").items():
        w = (0.02 * rng.standard_normal(want.shape)).astype(np.float32)
        if tag == "BF16":
            bits = (w.view(np.uint32) >> 16).astype(np.uint16)
            raw, exact[name] = bits.tobytes(), bf16_to_f32(bits)
        else:
            raw = w.astype({"F16": np.float16, "F32": np.float32}[tag])
            raw, exact[name] = raw.tobytes(), raw.astype(np.float32)
        tensors[name] = (tag, list(want.shape), raw)
    return write_checkpoint(directory, values, tensors), exact


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("linear_class", ["bitlinear", "autobitlinear"])
@pytest.mark.parametrize("tag", ["BF16", "F16", "F32"])
def test_master_weights_are_ternarised(tmp_path, tag, linear_class, tied):
    folder, exact = master(tmp_path / "model", tag, linear_class, tied=tied)
    model, checkpoint = load_model(folder), load_checkpoint(folder)
    assert (model.weights.head is model.weights.embedding) == tied
    assert checkpoint.packing == "master"
    recipe = recipe_named(model.config.default_numerics).qkv
    for i, layer in enumerate(model.weights.layers):
        for name, key in zip(LINEARS, model.config.linear_shapes(), strict=True):
            codes, mean = ternarise(exact[f"model.layers.{i}.{key[0]}.weight"])
            weight, scale = getattr(layer, name), recipe.stored_scale(mean)
            np.testing.assert_array_equal(weight.packed, pack_hf(codes))
            assert abs(weight.scale - scale) <= scale * {"BF16": 2**-8, "F16": 2**-11, "F32": 0}[tag]
    tokens, logits = generate(model, ReferenceExecutor(), [1, 2, 3], 2)
    assert len(tokens) == 5
    assert np.isfinite(logits).all()


def test_master_scale_that_the_dtype_cannot_hold(tmp_path):
    folder, _ = master(tmp_path / "model", "F16", "bitlinear", tied=True)
    path = folder / "model.safetensors"
    values = json.loads((folder / "config.json").read_text())
    tensors = {
        name: ("F16", list(want.shape), np.zeros(want.shape, np.float16).tobytes())
        for name, want in expected_tensors(from_hf(values, folder / "config.json"), "master").items()
    }
    path.write_bytes(safetensors_bytes(tensors))
    with pytest.raises(CheckpointError, match=r"q_proj\.weight: expected a weight scale that float16 can hold"):
        load_checkpoint(folder)


def test_pickles_are_refused_with_the_reason(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(tiny_config()))
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02.")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: a pickle, which can run any code"):
        load_model(folder)
    for suffix in (".bin", ".pt", ".pth"):
        path = tmp_path / f"model{suffix}"
        path.write_bytes(b"\x80\x02.")
        with pytest.raises(CheckpointError, match="a pickle, which can run any code"):
            load_model(path)
