"""Files of tensors: every byte comes through, lies about lengths allocate nothing, opening keeps nothing in memory."""

import gc
import hashlib
import os
import struct
import tempfile
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsim.errors import BitsimError, CheckpointError
from bitsim.model.checkpoint import load_checkpoint
from bitsim.model.files.data_file import DataFile
from bitsim.model.files.gguf_writer import write_gguf
from bitsim.model.files.hf_writer import write_hf
from bitsim.model.files.safetensors_file import SafetensorsFile
from bitsim.model.random_model import random_weights
from bitsim.quant.layouts import packing
from tests.model.files.gguf_bytes import gguf_bytes, metadata, model_tensors
from tests.model.tiny_models import CONFIG, TINY, safetensors_bytes

MIB = 1 << 20
# Far more linear weights (6 MiB packed) than any single matrix holds.
WIDE = replace(
    CONFIG, hidden_size=1024, intermediate_size=2048, num_layers=3, num_heads=8, head_dim=128, vocab_size=3000
)


def peak_bytes(action):
    """The most that `action` had allocated at a time, and its result."""
    gc.collect()
    tracemalloc.start()
    try:
        result = action()
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()


@given(st.data())
def test_pieces_are_the_bytes_in_order(data):
    raw = np.random.default_rng(0).bytes(data.draw(st.sampled_from([1, 66, MIB - 1, MIB, 2 * MIB + 77])))
    begin = data.draw(st.integers(0, len(raw) - 1))
    multiple = data.draw(st.sampled_from([1, 4, 54, 66, 3 * MIB]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        path.write_bytes(raw)
        file = DataFile(path)
        pieces = [piece.tobytes() for piece in file.pieces(begin, len(raw), multiple)]
        assert b"".join(pieces) == raw[begin:] == file.read(begin, len(raw)).tobytes() == file.mapped[begin:].tobytes()
        assert all(len(piece) % multiple == 0 for piece in pieces[:-1])
        assert file.sha256() == hashlib.sha256(raw).digest()


def test_a_file_is_closed_with_its_object_and_may_not_shrink(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes(100))
    file = DataFile(path)
    path.write_bytes(bytes(10))
    with pytest.raises(CheckpointError, match="x: became shorter while it was open: no byte 10"):
        file.read(0, 100)
    with pytest.raises(CheckpointError, match="gone: can't be read: No such file"):
        DataFile(tmp_path / "gone")
    descriptor = file._descriptor
    os.fstat(descriptor)
    del file
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def written(folder, name):
    weights = random_weights(WIDE, 1)
    if name == "2bit":
        folder.mkdir()
        write_hf(folder, WIDE, weights, packing("2bit"))
        return folder
    write_gguf(folder.with_suffix(".gguf"), WIDE, weights, packing(name), None)
    return folder.with_suffix(".gguf")


@pytest.mark.parametrize("name", ["2bit", "tq1_0", "tq2_0", "i2_s_x86"])
def test_opening_keeps_no_weights_in_memory(tmp_path, name):
    path = written(tmp_path / "model", name)
    size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.iterdir()))
    peak, checkpoint = peak_bytes(lambda: load_checkpoint(path))
    assert size > 10 * MIB
    assert peak < 6 * MIB
    for got, want in zip(checkpoint.weights.layers, random_weights(WIDE, 1).layers, strict=True):
        np.testing.assert_array_equal(got.down.packed, want.down.packed)


def test_writing_random_weights_holds_one_matrix_at_a_time(tmp_path):
    weights = random_weights(WIDE, 1, keep=False)
    (tmp_path / "model").mkdir()
    largest = 2 * WIDE.vocab_size * WIDE.hidden_size
    peak, _ = peak_bytes(lambda: write_hf(tmp_path / "model", WIDE, weights, packing("2bit")))
    assert (tmp_path / "model" / "model.safetensors").stat().st_size > 1.9 * largest
    assert peak < 1.5 * largest + 4 * MIB
    got, kept = load_checkpoint(tmp_path / "model").weights, random_weights(WIDE, 1)
    np.testing.assert_array_equal(got.embedding.stored, kept.embedding.stored)


BYTES = {"model.safetensors": (TINY / "model.safetensors").read_bytes()}
BYTES["model.gguf"] = gguf_bytes(metadata(), model_tensors())
LIES = st.sampled_from([2**16, 2**24, 99_999_999, 2**31, 2**32 - 1, 2**40, 2**48 - 1, 2**62, 2**63, 2**64 - 1])


def opening_allocates_little(name, raw):
    with tempfile.TemporaryDirectory() as folder, suppress(BitsimError):
        Path(folder, name).write_bytes(raw)
        Path(folder, "config.json").write_bytes((TINY / "config.json").read_bytes())
        path = Path(folder, name) if name.endswith("gguf") else Path(folder)
        peak, _ = peak_bytes(lambda: load_checkpoint(path))
        assert peak < 16 * MIB


@settings(max_examples=80)
@given(st.data(), LIES)
def test_a_lied_length_allocates_nothing(data, lie):
    """Eight bytes anywhere in the header of a GGUF file, or the length of a safetensors header."""
    name = data.draw(st.sampled_from(sorted(BYTES)))
    raw = BYTES[name]
    at = 0 if name == "model.safetensors" else data.draw(st.integers(4, raw.index(b"output_norm.weight") + 34))
    opening_allocates_little(name, raw[:at] + struct.pack("<Q", lie) + raw[at + 8 :])


@given(st.integers(0, 3), LIES)
def test_lied_sizes_of_a_safetensors_entry(where, lie):
    entry = safetensors_bytes({"a": ("U8", [3, 7], bytes(21))})
    old = [b"[3, ", b", 7]", b"[0, ", b", 21]"][where]
    new = old.replace(old.strip(b"[], "), str(lie).encode())
    header = entry[8 : 8 + struct.unpack("<Q", entry[:8])[0]].replace(old, new)
    raw = struct.pack("<Q", len(header)) + header + bytes(21)

    def refused():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.safetensors")
            path.write_bytes(raw)
            with pytest.raises(CheckpointError, match=r"model\.safetensors: a: "):
                SafetensorsFile(path)

    assert peak_bytes(refused)[0] < 4 * MIB
