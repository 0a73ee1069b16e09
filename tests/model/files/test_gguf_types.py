"""Every tensor type in whole models: told apart by size, decoded by rows, and survived whatever its bytes are."""

import struct
import tempfile
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsim.errors import BitsimError, CheckpointError
from bitsim.model.checkpoint import load_checkpoint, load_model
from bitsim.model.decoded import DecodedWeight, ScaledTernary
from bitsim.model.executor import ReferenceExecutor
from bitsim.model.files.gguf_file import GgufFile
from bitsim.model.files.gguf_linears import coarsest
from bitsim.model.generate import generate
from tests.model.files.gguf_bytes import (
    TYPE_IDS,
    VOCAB,
    D,
    binary,
    float_tensor,
    gguf_bytes,
    linear,
    metadata,
    model_codes,
    model_tensors,
    random_blocks,
)

Q = "blk.0.attn_q.weight"
BITLINEAR = ("TQ1_0", "TQ2_0", "STQ1_0", "STQ1_0 as 42", "IQ1_BN", "IQ2_BN")
WEIGHT_ONLY = ("Q1_0", "Q2_0", "PQ2_0", "PQ2_0 as 42", "PTQ1_0")
FLOATS = ("Q4_0", "Q5_0", "Q8_0", "Q4_K", "Q5_K", "Q6_K")
SCALE = 0.3125


def write(folder, tensors, meta=None):
    path = Path(folder) / "model.gguf"
    path.write_bytes(gguf_bytes(metadata() if meta is None else meta, tensors))
    return path


@pytest.mark.parametrize("kind", [*BITLINEAR, *WEIGHT_ONLY])
def test_types_are_told_apart_and_give_the_same_codes(tmp_path, kind):
    path = write(tmp_path, model_tensors(kind, SCALE))
    checkpoint = load_checkpoint(path)
    name = kind.split()[0]
    assert checkpoint.packing == name.lower()
    assert {tensor.kind for tensor in checkpoint.linears} == {name}
    assert checkpoint.config.weight_only == (kind in WEIGHT_ONLY)
    assert ("weight-only" in " ".join(checkpoint.notes)) == (kind in WEIGHT_ONLY)
    first = checkpoint.weights.layers[0].q
    if name not in ("STQ1_0", "IQ1_BN"):  # those have no packers: their codes are those of tests/quant
        want = binary(model_codes()[Q], kind)
        if kind in BITLINEAR:
            np.testing.assert_array_equal(first.codes(), want)
        np.testing.assert_array_equal(values_of(first), want * np.float32(SCALE))
    generate(load_model(path), ReferenceExecutor(), [1, 2, 3], 1)


def values_of(weight):
    if isinstance(weight, DecodedWeight):
        return weight.rows(0, weight.n)
    return weight.codes() * weight.scale


@pytest.mark.parametrize("kind", BITLINEAR)
def test_several_scales_in_a_linear_make_the_model_weight_only(tmp_path, kind):
    tensors = model_tensors(kind, 0.5)
    other = linear(model_codes()[Q], kind, 0.5 if "IQ" in kind else 0.25)
    half = struct.pack("<e", 0.25)
    raw = bytearray(other[2])
    if kind == "IQ1_BN":
        raw[:2] = half
    elif kind == "IQ2_BN":
        raw[:4] = struct.pack("<f", 0.25)
    else:
        raw = bytearray(tensors[Q][2][: len(raw) // 2]) + raw[len(raw) // 2 :]
    several = tensors | {Q: (kind, other[1], bytes(raw))}
    checkpoint = load_checkpoint(write(tmp_path, several))
    assert checkpoint.config.linear_class == "w158a16"
    weight = checkpoint.weights.layers[0].q
    assert isinstance(weight, ScaledTernary)
    assert set(np.unique(weight.scales)) == {0.25, 0.5}
    one = checkpoint.weights.layers[1].q
    assert one.scales.shape == (1, 1)
    generate(load_model(write(tmp_path, several)), ReferenceExecutor(), [1, 2], 1)


@pytest.mark.parametrize("kind", FLOATS)
def test_embeddings_and_heads_of_float_blocks_are_decoded_by_rows(tmp_path, kind):
    tensors = model_tensors("TQ2_0", SCALE, kind, tied=False)
    checkpoint = load_checkpoint(write(tmp_path, tensors))
    weights, config = checkpoint.weights, checkpoint.config
    for matrix, name in ((weights.embedding, "token_embd.weight"), (weights.head, "output.weight")):
        raw = np.frombuffer(tensors[name][2], np.uint8).reshape(VOCAB, -1)
        want = dequantize(raw, GGMLQuantizationType[kind])
        np.testing.assert_array_equal(matrix.rows(3, 11), want[3:11])
        np.testing.assert_array_equal(matrix.take(np.array([39, 0, 7])), want[[39, 0, 7]])
        assert matrix.bits == 8 * raw.size
    block, size = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    assert config.head_bits == config.embedding_bits == Fraction(8 * size, block)
    for at in (0, 2) if kind in ("Q4_K", "Q5_K") else (-2 if kind == "Q6_K" else 0,):
        bad = bytearray(tensors["output.weight"][2])
        bad[at : at + 2 if at != -2 else None] = struct.pack("<e", np.nan)
        damaged = tensors | {"output.weight": (kind, (VOCAB, D), bytes(bad))}
        with pytest.raises(CheckpointError, match=rf"output\.weight: {kind} scale: expected a finite number"):
            load_checkpoint(write(tmp_path, damaged))


@pytest.mark.parametrize("kind", ["Q1_0", "PTQ1_0", "TQ2_0"])
def test_embeddings_and_heads_may_be_ternary(tmp_path, kind):
    tensors = model_tensors("TQ1_0", SCALE, kind, tied=False)
    path = write(tmp_path, tensors)
    checkpoint = load_checkpoint(path)
    assert not checkpoint.config.weight_only
    assert np.isin(np.unique(np.abs(checkpoint.weights.head.rows(0, VOCAB))), np.float32([0, SCALE])).all()
    generate(load_model(path), ReferenceExecutor(), [1, 2], 1)


def test_code_3_is_named_with_file_tensor_and_place(tmp_path):
    kind, shape, raw = linear(model_codes()[Q], "Q2_0", 0.5)
    bad = bytearray(raw)
    bad[18 * 4 * 9 + 18 + 5] = 0xC0  # row 9, block 1
    tensors = model_tensors("Q2_0", 0.5) | {Q: (kind, shape, bytes(bad))}
    with pytest.raises(CheckpointError, match=rf"model\.gguf: {Q}: Q2_0: row 9, block 1: .*got code 3, which is twice"):
        load_checkpoint(write(tmp_path, tensors))


def test_ids_with_several_meanings_are_refused_where_sizes_do_not_tell(tmp_path):
    def refused(match, tensors):
        with pytest.raises(CheckpointError, match=match):
            GgufFile(write(tmp_path, tensors, {}))

    refused(
        r"a: type 42, .*: expected 72 bytes \(Q2_0\), 68 bytes \(PQ2_0\), 42 bytes", {"a": (42, (1, 256), bytes(9))}
    )
    refused(r"a: type 36, .*: expected 96 bytes \(I2_S\) for \(1, 256\), got 144", {"a": (36, (1, 256), bytes(144))})
    refused(r"a: type 134, .*: expected 54 bytes", {"a": (134, (1, 256), bytes(52))})  # no scale: a file of 2024
    refused("a: type 42, .* expected a K of whole blocks", {"a": (42, (1, 32), bytes(9))})
    refused("type 42: their sizes do not tell what they are: PQ2_0 or Q2_0", {"a": (42, (1, 128), bytes(64))})
    mixed = {"a": (42, (8, 256), bytes(576)), "b": (42, (8, 256), bytes(544))}
    refused("type 42: their sizes do not tell .*: one type for all its tensors, none fits", mixed)


def test_unknown_types_do_not_keep_a_file_from_being_looked_through(tmp_path):
    file = GgufFile(write(tmp_path, {"a": (99, (7, 5), bytes(32)), "b": float_tensor([1, 2], "F32")}, {}))
    assert (file.tensors["a"].kind, file.tensors["a"].size_bytes) == ("type 99", 32)


@pytest.mark.parametrize("number", [38, 39])
def test_linears_of_unknown_types_are_refused_with_the_id(tmp_path, number):
    """TL1 and TL2 of bitnet.cpp; 39 is MXFP4 elsewhere, which takes more bytes."""
    codes = model_codes()[Q]
    tensors = model_tensors("TQ2_0") | {Q: (number, codes.shape, bytes(codes.size // 4 + 32))}
    with pytest.raises(CheckpointError, match=f"overlaps {Q}" if number == 39 else f"{Q}: .*type {number}"):
        load_checkpoint(write(tmp_path, tensors))


@given(st.data())
def test_coarse_grids_hold_the_same_scales(data):
    rows, columns = data.draw(st.sampled_from([(1, 1), (2, 4), (3, 6), (4, 8)]))
    values = data.draw(st.lists(st.sampled_from([0.5, 0.25]), min_size=columns, max_size=rows * columns))
    grid = np.resize(np.array(values, np.float32), (rows, columns))
    coarse = coarsest(grid)
    widened = np.repeat(
        np.resize(coarse, (rows, coarse.shape[1])) if len(coarse) == 1 else coarse, columns // coarse.shape[1], axis=1
    )
    np.testing.assert_array_equal(widened, grid)


SMALL = {
    kind: gguf_bytes(
        metadata(**{"bitsim.i2_s_layout": "x86"} if kind == "I2_S" else {}),
        model_tensors("I2_S x86" if kind == "I2_S" else kind, 0.5),
    )
    for kind in (*BITLINEAR, *WEIGHT_ONLY, "I2_S")
} | {kind: gguf_bytes(metadata(), model_tensors("TQ2_0", 0.5, kind, tied=False)) for kind in FLOATS}


@pytest.mark.parametrize("kind", SMALL)
@settings(max_examples=12)
@given(data=st.data())
def test_flipped_bytes_of_every_type(kind, data):
    raw = SMALL[kind]
    position, flip = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(1, 255))
    survives(raw[:position] + bytes([raw[position] ^ flip]) + raw[position + 1 :])


@settings(max_examples=60)
@given(st.sampled_from(sorted(SMALL)), st.sampled_from([*TYPE_IDS.values(), 3, 39, 99, 2**31]))
def test_types_that_lie(kind, number):
    raw, at = SMALL[kind], SMALL[kind].index(Q.encode()) + len(Q) + 4 + 16
    survives(raw[:at] + struct.pack("<I", number) + raw[at + 4 :])


@settings(max_examples=30)
@given(st.sampled_from(sorted(SMALL)), st.floats(0, 1))
def test_truncations_of_every_type(kind, share):
    survives(SMALL[kind][: int(share * len(SMALL[kind]))])


def survives(raw):
    """Opening and running either works or ends in a BitsimError."""
    with tempfile.TemporaryDirectory() as folder, suppress(BitsimError):
        path = Path(folder, "model.gguf")
        path.write_bytes(raw)
        generate(load_model(path), ReferenceExecutor(), [1, 2], 1)


def test_random_blocks_have_the_scale_that_was_asked_for():
    _, _, raw = random_blocks("Q8_0", (2, 64), 0.5)
    assert raw[:2] == raw[34:36] == struct.pack("<e", 0.5)
