"""The header of a GGUF file: values of every type, and damage refused by name and number."""

import struct

import numpy as np
import pytest

from bitsim.errors import CheckpointError
from bitsim.model.files.gguf_file import GgufFile
from tests.model.files.gguf_bytes import float_tensor, gguf_bytes, metadata, model_tensors


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (b"", "magic: is truncated: expected 4 bytes at offset 0, got 0"),
        (b"PK\x03\x04", "expected a GGUF file"),
        (b"GGUF" + struct.pack(">I", 3), "version 2 or 3, little-endian, got 50331648"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 40, 0), "number of tensors: expected at most 100000"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 40), "number of keys: expected at most 100000"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 62), "key 0: is truncated"),
        (b"GGUF" + struct.pack("<IQQQ1sI", 3, 0, 1, 1, b"a", 13), "a: expected a value type 0..12"),
        (b"GGUF" + struct.pack("<IQQQ1sIB", 3, 0, 1, 1, b"a", 7, 2), "a: expected a bool, 0 or 1, got 2"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"a", 9, 9, 1), "a: expected a value type .* got 9"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"a", 9, 6, 1 << 61), "a: is truncated"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"a", 9, 8, 1 << 61), "number of strings: expected at most"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQ", 3, 0, 1, 1, b"a", 9, 8, 2), "a: is truncated: expected 2 strings"),
        (b"GGUF" + struct.pack("<IQQQ1sIIQQ", 3, 0, 1, 1, b"a", 9, 8, 1, 1), "a: is truncated: expected 1 strings"),
        (b"GGUF" + struct.pack("<IQQQ1sIQ1s", 3, 0, 1, 1, b"a", 8, 1, b"\xff"), "a: expected UTF-8 text"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + 2 * struct.pack("<Q1sIB", 1, b"a", 0, 5), "a: the same key twice"),
    ],
)
def test_header_is_checked(tmp_path, raw, match):
    path = tmp_path / "x.gguf"
    path.write_bytes(raw)
    with pytest.raises(CheckpointError, match=match):
        GgufFile(path)


def test_values_of_every_type(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf_bytes(metadata() | {"a": True, "b": np.array([1.5, 2])}, model_tensors()))
    values = GgufFile(path).metadata
    assert values["a"] is True
    np.testing.assert_array_equal(values["b"], [1.5, 2])
    tokens = values["tokenizer.ggml.tokens"]
    assert (tokens.count, tokens.end - tokens.begin) == (3, 3 * 8 + 4)
    assert GgufFile(path).strings("tokenizer.ggml.tokens") == ["a", "", "bcd"]
    for key in ("a", "b", "none"):
        with pytest.raises(CheckpointError, match=f"{key}: expected an array of strings"):
            GgufFile(path).strings(key)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"bcd", b"\xffcd"))
    with pytest.raises(CheckpointError, match=r"tokens: expected UTF-8"):
        GgufFile(path).strings("tokenizer.ggml.tokens")


def test_layout_of_tensors_is_checked(tmp_path):
    raw = bytearray(gguf_bytes({}, {"a": float_tensor(np.zeros(8), "F32"), "b": float_tensor(np.zeros(8), "F32")}))
    path, at = tmp_path / "x.gguf", raw.index(b"b" + struct.pack("<I", 1)) + 1 + 4 + 8 + 4
    for offset, match in ((0, "overlaps a"), (8, "expected a multiple of 32, got 8"), (64, "b: is truncated")):
        raw[at : at + 8] = struct.pack("<Q", offset)
        path.write_bytes(raw)
        with pytest.raises(CheckpointError, match=match):
            GgufFile(path)
    one = gguf_bytes({}, {"a": float_tensor([1], "F32")})
    path.write_bytes(one.replace(b"a" + struct.pack("<I", 1), b"a" + struct.pack("<I", 5)))
    with pytest.raises(CheckpointError, match="1 to 4 dimensions, got 5"):
        GgufFile(path)
