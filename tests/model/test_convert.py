"""Conversions: every way there and back gives the same model, whole files only, and the contents are counted right."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from bitsim.cli.convert_command import PACKINGS
from bitsim.errors import CheckpointError, OutputError
from bitsim.model.catalogue import model_path
from bitsim.model.checkpoint import load_checkpoint, random_model
from bitsim.model.convert import PACKINGS_OF, USUAL_PACKING, convert, open_source, random_source
from bitsim.model.files.contents import contents, linear_contents
from bitsim.model.files.hf_config import from_hf
from bitsim.model.files.hf_tensors import expected_tensors
from bitsim.model.files.safetensors_file import SafetensorsFile
from bitsim.model.footprint import linear_bits
from bitsim.quant.layouts import packing
from bitsim.quant.packing import pack_hf
from tests.model.files.gguf_bytes import gguf_bytes, metadata, model_codes, model_tensors
from tests.model.tiny_models import CONFIG, FLOAT_CONFIG, TINY, tiny_config, write_checkpoint

WAYS = [(file_format, name) for file_format, names in PACKINGS_OF.items() for name in names if name != "1bit"]
RAGGED = {"linear_class": "bitlinear", "hidden_size": 5, "num_heads": 3, "num_kv_heads": 1, "head_dim": 2}
NORMS = ("input_norm", "attn_sub_norm", "post_attention_norm", "ffn_sub_norm")


@pytest.fixture(params=["bitlinear", "autobitlinear"])
def source(request, tmp_path):
    """A model whose sizes suit every format, with scales of both conventions and an odd vocabulary, from GGUF."""
    path = tmp_path / "source.gguf"
    scales = np.linspace(0.0301, 0.0302, 14, dtype=np.float32)
    if request.param == "bitlinear":
        scales = 1 / scales
    meta = metadata(bitsim__linear_class=request.param, bitsim__tokenizer_class="ByteTokenizer")
    tensors = model_tensors("F32", 1.0, "BF16", tied=request.param == "bitlinear")
    for name, codes, scale in zip(model_codes(), model_codes().values(), scales, strict=True):
        multiplier = np.float32(1) / scale if request.param == "bitlinear" else scale
        tensors[name] = ("F32", codes.shape, (codes * multiplier).astype("<f4").tobytes())
    path.write_bytes(gguf_bytes(meta | {"bitsim.linear_scales": scales}, tensors))
    return load_checkpoint(path)


def assert_same_model(got, want):
    bits = want.config.weight_bits_per_weight  # they are the packing's
    assert replace(got.config, name="", weight_bits_per_weight=bits) == replace(want.config, name="")
    assert got.tokenizer_class == want.tokenizer_class
    for ours, theirs in zip(got.weights.layers, want.weights.layers, strict=True):
        for a, b in zip(ours.linears(), theirs.linears(), strict=True):
            np.testing.assert_array_equal(a.packed, b.packed)
            assert a.scale.tobytes() == b.scale.tobytes()
        for name in NORMS:
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    np.testing.assert_array_equal(got.weights.norm, want.weights.norm)
    for a, b in ((got.weights.embedding, want.weights.embedding), (got.weights.head, want.weights.head)):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a.stored, b.stored)
    assert (got.weights.head is got.weights.embedding) == (want.weights.head is want.weights.embedding)


@pytest.mark.parametrize(("file_format", "name"), WAYS)
def test_there_and_back_is_lossless(source, tmp_path, file_format, name):
    target = tmp_path / "out" / ("model.gguf" if file_format == "gguf" else "model")
    convert(source, target, file_format, name)
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    there = load_checkpoint(target)
    assert_same_model(there, source)
    layout = packing(PACKINGS_OF[file_format][name])
    assert there.packing == layout.name
    assert there.config.weight_bits_per_weight == layout.bits_per_weight
    for record in linear_contents(there):
        tail = 32 if layout.name.startswith("i2_s") else 0
        assert record.size_bytes == layout.size_bytes(record.n, record.k) + tail
        if layout.name.startswith("tq"):
            assert Fraction(record.bits_per_weight) == layout.bits_per_weight
    convert(there, tmp_path / "back", "hf", "2bit")
    assert_same_model(load_checkpoint(tmp_path / "back"), source)


@pytest.mark.parametrize("name", ["tq1_0", "tq2_0", "i2_s"])
@pytest.mark.parametrize("kind", ["packed_bitlinear", "packed_autobitlinear"])
def test_transformers_bytes_come_back_from_gguf(golden, tmp_path, kind, name):
    folder = golden / "hf" / "A" / kind
    convert(load_checkpoint(folder), tmp_path / "model.gguf", "gguf", name)
    convert(load_checkpoint(tmp_path / "model.gguf"), tmp_path / "back", "hf", "2bit")
    want, got = SafetensorsFile(folder / "model.safetensors"), SafetensorsFile(tmp_path / "back" / "model.safetensors")
    assert want.tensors.keys() == got.tensors.keys()
    for tensor, info in want.tensors.items():
        assert (got.tensors[tensor].dtype, got.tensors[tensor].shape) == (info.dtype, info.shape)
        np.testing.assert_array_equal(got.array(tensor), want.array(tensor))


def test_master_weights_pack_to_the_reference_bytes(golden, tmp_path):
    folder = golden / "hf" / "A"
    convert(load_checkpoint(folder / "master"), tmp_path / "packed", "hf", "2bit")
    got = SafetensorsFile(tmp_path / "packed" / "model.safetensors")
    want = SafetensorsFile(folder / "packed_autobitlinear" / "model.safetensors")
    for tensor in want.tensors:
        np.testing.assert_array_equal(got.array(tensor), want.array(tensor))


def test_binary_weights_are_stored_in_one_bit(tmp_path):
    source = open_source("tiny-b1")
    convert(source, tmp_path / "1bit", "hf", "1bit")
    there = load_checkpoint(tmp_path / "1bit")
    assert_same_model(there, source)
    config = there.config
    for (_, n, k), record in zip(list(config.linear_shapes()) * config.num_layers, linear_contents(there), strict=True):
        assert 8 * record.size_bytes == linear_bits(config, n, k) == n * k
    with pytest.raises(CheckpointError, match="expected binary weights"):
        convert(open_source("tiny-b158"), tmp_path / "no", "hf", "1bit")


@pytest.mark.parametrize("name", ["1.6bit", "trits5_sign"])
def test_shapes_that_fill_no_byte(tmp_path, name):
    source = load_checkpoint(TINY)
    convert(source, tmp_path / "model", "hf", name)
    assert_same_model(load_checkpoint(tmp_path / "model"), source)


def test_what_does_not_fit_is_refused_and_leaves_nothing(source, tmp_path):
    def refused(error, match, checkpoint, target, *how):
        with pytest.raises(error, match=match):
            convert(checkpoint, tmp_path / "none" / target, *how)
        assert not (tmp_path / "none").exists() or not list((tmp_path / "none").iterdir())

    tiny = load_checkpoint(TINY)
    refused(CheckpointError, r"tiny: blk\.0\.attn_q.*multiple of 256, got 48", tiny, "m.gguf", "gguf", "tq2_0")
    refused(OutputError, "format hf has 2bit, 1bit, 1.6bit", source, "m", "hf", "tq2_0")
    refused(OutputError, "format gguf has tq2_0", source, "m.gguf", "gguf", "2bit")
    refused(OutputError, r"ends in \.gguf", source, "m", "gguf", "tq2_0")
    odd = replace(source, config=replace(source.config, rope_theta=500000.123456789))
    refused(CheckpointError, r"rope\.freq_base: expected a number that float32", odd, "m.gguf", "gguf", "tq2_0")
    layer = source.weights.layers[0]
    huge = replace(layer, q=replace(layer.q, scale=np.float32(1e20 if source.config.linear_class[0] == "a" else 1e-20)))
    heavy = replace(source, weights=replace(source.weights, layers=(huge, source.weights.layers[1])))
    refused(CheckpointError, r"attn_q\.weight: a block scale is a float16", heavy, "m.gguf", "gguf", "tq1_0")
    convert(source, tmp_path / "there", "hf", "2bit")
    with pytest.raises(OutputError, match="there: exists already"):
        convert(source, tmp_path / "there", "hf", "2bit")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't be written"):
        convert(source, tmp_path / "file" / "x", "hf", "2bit")


def float_checkpoint(folder):
    values = tiny_config() | {"dtype": "float16"}
    del values["quantization_config"]
    tensors = {
        name: ("F16", list(want.shape), np.eye(*want.shape[:2], dtype=np.float16).tobytes())
        for name, want in expected_tensors(from_hf(values, folder / "config.json")).items()
        if len(want.shape) == 2
    }
    for name, want in expected_tensors(from_hf(values, folder / "config.json")).items():
        tensors.setdefault(name, ("F16", list(want.shape), np.ones(want.shape, np.float16).tobytes()))
    return load_checkpoint(write_checkpoint(folder, values, tensors))


def test_float_models_have_nothing_to_pack(tmp_path):
    checkpoint = float_checkpoint(tmp_path / "float")
    assert checkpoint.config.linear_class is FLOAT_CONFIG.linear_class
    with pytest.raises(CheckpointError, match="nothing to pack"):
        convert(checkpoint, tmp_path / "x", "hf", "2bit")
    first = linear_contents(checkpoint)[0]
    assert (first.kind, first.scale, first.bits_per_weight) == ("F16", None, 16)
    assert first.zero_fraction == 1 - 1 / 48
    assert contents(checkpoint)["scale"] is None


def test_contents_are_counted_from_the_codes(source, tmp_path):
    records = linear_contents(source)
    for record, codes in zip(records, model_codes().values(), strict=True):
        assert (record.n, record.k) == codes.shape
        assert record.zero_fraction == (codes == 0).mean()
    tiny = load_checkpoint(TINY)
    found = contents(tiny)
    weights = [weight for layer in tiny.weights.layers for weight in layer.linears()]
    assert [r["zero_fraction"] for r in found["linears"]] == [(w.codes() == 0).mean() for w in weights]
    assert [r["scale"] for r in found["linears"]] == [float(w.scale) for w in weights]
    assert found["scale"]["max"] == max(float(w.scale) for w in weights)
    assert found["linear_bytes"] == sum(w.packed.nbytes for w in weights)
    assert len(json.loads(json.dumps(found))["tensors"]) == len(tiny.stored)


@pytest.mark.parametrize(("file_format", "name"), [("hf", "2bit"), ("gguf", "tq2_0"), ("gguf", "i2_s")])
def test_random_weights_are_written_as_they_would_run(source, tmp_path, file_format, name):
    shape, suffix = str(source.path), ".gguf" if file_format == "gguf" else ""
    for seed, target in ((3, "a"), (3, "b"), (4, "c")):
        convert(random_source(shape, seed), tmp_path / f"{target}{suffix}", file_format, name)
    first, again, other = (load_checkpoint(tmp_path / f"{target}{suffix}") for target in "abc")
    assert_same_model(again, first)
    assert (other.weights.embedding.stored != first.weights.embedding.stored).any()
    model = random_model(source.config, 3)
    assert_same_model(first, replace(source, config=model.config, weights=model.weights, tokenizer_class=None))


def test_random_rows_beyond_n_hold_code_0():
    q = random_model(replace(FLOAT_CONFIG, **RAGGED), 1).weights.layers[0].q
    assert q.packed.shape == (2, 5)
    np.testing.assert_array_equal(q.packed, pack_hf(q.codes()))


def test_the_command_takes_the_packings_that_exist():
    assert set(PACKINGS) == {name for names in PACKINGS_OF.values() for name in names}
    assert set(PACKINGS) >= {"tq2_0", "tq1_0", "i2_s", "2bit", "1.6bit"}
    assert all(name in PACKINGS_OF[file_format] for file_format, name in USUAL_PACKING.items())


def test_shipped_names_and_paths():
    assert open_source("tiny-b158").path == model_path("tiny-b158")
    assert open_source(str(TINY)).config.name == "tiny"


def test_gguf_py_reads_our_files(source, tmp_path):
    """The reference reader sees the same tensors and the weights that the types mean."""
    gguf = pytest.importorskip("gguf")
    for name in ("tq1_0", "tq2_0"):
        path = tmp_path / f"{name}.gguf"
        convert(source, path, "gguf", name)
        reader = gguf.GGUFReader(path)
        for tensor in reader.tensors:
            if tensor.name in model_codes():
                values = gguf.dequantize(tensor.data, tensor.tensor_type)
                np.testing.assert_array_equal(np.sign(values), model_codes()[tensor.name])
        assert reader.fields["general.architecture"].contents() == "bitnet-b1.58"


@pytest.mark.parametrize(
    ("linear_class", "scale"),
    [("autobitlinear", 0.216796875), ("bitlinear", 1 / 0.216796875), ("b1", 0.1767578125)],
)
def test_random_linears_keep_the_variance_of_their_inputs(linear_class, scale):
    """K = 32: two thirds of ternary codes are not 0, so that 1 / sqrt(32 x 2 / 3) keeps it; of binary ones all.

    0.21651 and 0.17678, rounded to bfloat16, whose step is 2^-10 there: 222 and 181 steps. One class stores 1 / mean.
    """
    q = random_model(replace(CONFIG, linear_class=linear_class), 1).weights.layers[0].q
    assert q.scale == np.float32(scale)
