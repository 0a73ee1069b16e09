"""GGUF files in several parts: opened by the first, equal to the whole; others are refused."""

import struct

import numpy as np
import pytest

from bitsim.errors import CheckpointError
from bitsim.model.checkpoint import load_checkpoint
from bitsim.model.files.gguf_file import GgufFile
from tests.model.files.gguf_bytes import gguf_bytes, key_value, metadata, model_tensors, text

NAME = "tiny-{:05d}-of-{:05d}.gguf"


def small_integer(key, code, kind, value):
    return text(key) + struct.pack(f"<I{code}", kind, value)


def part_bytes(number, count, total, tensors, meta):
    """A part as llama.cpp's gguf-split writes it: `split.no` and `split.count` uint16, `split.tensors.count` int32."""
    raw = gguf_bytes({}, tensors)
    keys = [small_integer("split.no", "H", 2, number), small_integer("split.count", "H", 2, count)]
    keys += [small_integer("split.tensors.count", "i", 5, total), *(key_value(*item) for item in meta.items())]
    names = sum(8 + len(name) + 4 + 8 * len(shape) + 12 for name, (_, shape, _) in tensors.items())
    infos, data = raw[24 : 24 + names], raw[24 + names + -(24 + names) % 32 :]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys)) + b"".join(keys) + infos
    return head + bytes(-len(head) % 32) + data


def write_parts(folder, tensors, meta, count=3):
    names, step = list(tensors), -(-len(tensors) // count)
    for i in range(count):
        own = {name: tensors[name] for name in names[i * step : (i + 1) * step]}
        raw = part_bytes(i, count, len(names), own, meta if i == 0 else {})
        (folder / NAME.format(i + 1, count)).write_bytes(raw)
    return folder / NAME.format(1, count)


def test_parts_equal_the_whole(tmp_path):
    tensors, meta = model_tensors("TQ2_0", 0.5, "Q6_K", tied=False), metadata()
    whole = tmp_path / "whole.gguf"
    whole.write_bytes(gguf_bytes(meta, tensors))
    split, one = load_checkpoint(write_parts(tmp_path, tensors, meta)), load_checkpoint(whole)
    assert split.weights.digest == one.weights.digest
    assert [tensor.name for tensor in split.stored] == list(tensors)
    assert split.digest != one.digest
    before = split.digest
    last = tmp_path / NAME.format(3, 3)
    last.write_bytes(last.read_bytes()[:-1] + b"\x01")
    assert load_checkpoint(tmp_path / NAME.format(1, 3)).digest != before


def test_parts_of_the_library_are_read(tmp_path):
    from gguf import GGUFWriter

    writer = GGUFWriter(tmp_path / "tiny.gguf", "bitnet-b1.58", split_max_tensors=2)
    arrays = {f"t{i}": np.full((2, 3), i, np.float32) for i in range(5)}
    for name, array in arrays.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file = GgufFile(tmp_path / NAME.format(1, 3))
    assert list(file.tensors) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(file.read(name).view("<f4").reshape(2, 3), array)


def test_parts_that_are_not_opened_by_the_first_or_not_whole_are_refused(tmp_path):
    first = write_parts(tmp_path, model_tensors(), metadata())
    second, third = tmp_path / NAME.format(2, 3), tmp_path / NAME.format(3, 3)
    with pytest.raises(CheckpointError, match=r"is part 2 of 3: open part 1, tiny-00001-of-00003\.gguf"):
        load_checkpoint(second)
    raw = third.read_bytes()
    third.unlink()
    with pytest.raises(CheckpointError, match=r"tiny-00003-of-00003\.gguf: can't be read"):
        load_checkpoint(first)
    third.write_bytes(second.read_bytes())
    with pytest.raises(CheckpointError, match=r"tiny-00003-of-00003\.gguf: split\.no: expected 2, got 1"):
        load_checkpoint(first)
    third.write_bytes(raw.replace(struct.pack("<IH", 2, 2), struct.pack("<IH", 2, 2), 1))
    load_checkpoint(first)
    renamed = tmp_path / "model.gguf"
    renamed.write_bytes(first.read_bytes())
    with pytest.raises(CheckpointError, match=r"is part 1 of 3: expected a name that ends in -00001-of-00003"):
        load_checkpoint(renamed)


def test_counts_and_names_of_tensors_must_agree(tmp_path):
    tensors = model_tensors()
    first = write_parts(tmp_path, tensors, metadata(), count=2)
    second = tmp_path / NAME.format(2, 2)
    names = list(tensors)
    own = {name: tensors[name] for name in names[13:-1]}
    second.write_bytes(part_bytes(1, 2, len(names), own, {}))
    with pytest.raises(CheckpointError, match=r"split\.tensors\.count: expected \d+, got 24"):
        load_checkpoint(first)
    second.write_bytes(part_bytes(1, 2, len(names), {names[0]: tensors[names[0]]}, {}))
    with pytest.raises(CheckpointError, match=r"token_embd\.weight: tiny-00001-of-00002\.gguf has this tensor too"):
        load_checkpoint(first)
