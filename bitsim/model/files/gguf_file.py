"""A memory-mapped GGUF file, versions 2 and 3, little-endian, whole or split over several.

Layout: magic `GGUF`, uint32 version, uint64 number of tensors, uint64 number of keys; the keys with typed values; per
tensor its name, sizes (fastest first: K, N), type and offset; then, aligned to `general.alignment`, the tensors. The
reader is ours because a damaged file must be refused with a message that names key or tensor, in bounded memory.

A split file is called `X-00001-of-0000N.gguf` and so on. Each part has tensors of its own and the keys `split.no` (from
0), `split.count` and `split.tensors.count` (of all parts); the first has all other keys.
Source: ggml `docs/gguf.md`; llama.cpp `tools/gguf-split`; gguf-py 0.19.0, which writes such parts.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from bitsim.errors import CheckpointError
from bitsim.model.files.data_file import DataFile
from bitsim.model.files.gguf_header import Strings, Value, read_header
from bitsim.model.files.gguf_key_table import I2S_LAYOUT_KEY
from bitsim.model.files.gguf_types import GgufTensor, locate
from bitsim.quant.i2s import I2S_RUN, I2sLayout, i2s_layout
from bitsim.quant.packing import UInt8

_PART_NAME = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.DOTALL)
_SPLIT_KEYS = ("split.no", "split.count", "split.tensors.count")


class GgufPart:
    """Keys and tensors of one file. Opening checks the whole header; tensors are mapped, not read.

    Raises `CheckpointError` naming the file, the key or tensor, and expected and actual numbers.
    """

    def __init__(self, path: Path, number: int = 0) -> None:
        self.path, self.file = path, DataFile(path)
        header = read_header(self.file.mapped.data, path)
        alignment = header.alignment(path)
        start = -(-header.end // alignment) * alignment
        self.metadata = header.metadata
        self.tensors = locate(header.tensors, path, start=start, alignment=alignment, size=self.file.size, part=number)

    def split(self, key: str, default: int) -> int:
        """One of the keys of split files."""
        value = self.metadata.get(key, default)
        if type(value) is not int or not 0 <= value < 1 << 31:
            raise CheckpointError(f"{self.path}: {key}: expected a number of parts or tensors, got {str(value)[:99]}")
        return value


class GgufFile:
    """Keys and tensors by name of a file, or of all parts of a split one, which is opened by its first.

    `metadata`: key -> value. `tensors`: name -> where it lies. `i2s`: the layout of I2_S tensors, from the argument or
    the file's own key, or None. Raises `CheckpointError`.
    """

    def __init__(self, path: Path, i2s: I2sLayout | None = None) -> None:
        self.path = path
        self._parts = _parts(path)
        self.metadata: dict[str, Value] = self._parts[0].metadata
        self.tensors: dict[str, GgufTensor] = {}
        for part in self._parts:
            for name, tensor in part.tensors.items():
                if name in self.tensors:
                    raise CheckpointError(f"{part.path}: {name}: {self._of(name).path.name} has this tensor too")
                self.tensors[name] = tensor
        self.i2s = self._i2s_layout(i2s)
        expected = self._parts[0].split("split.tensors.count", len(self.tensors))
        if len(self._parts) > 1 and len(self.tensors) != expected:
            raise CheckpointError(f"{path}: split.tensors.count: expected {len(self.tensors)}, got {expected}")

    def _i2s_layout(self, given: I2sLayout | None) -> I2sLayout | None:
        own = self.metadata.get(I2S_LAYOUT_KEY)
        if own is None:
            return given
        if not isinstance(own, str) or own not in I2S_RUN or given not in (None, own):
            expected = given or " or ".join(I2S_RUN)
            raise CheckpointError(f"{self.path}: {I2S_LAYOUT_KEY}: expected {expected}, got {str(own)[:200]!r}")
        return i2s_layout(own)

    def _of(self, name: str) -> DataFile:
        return self._parts[self.tensors[name].part].file

    def data(self, name: str) -> UInt8:
        """The mapped bytes of a tensor, uint8, flat and read-only."""
        tensor = self.tensors[name]
        return self._of(name).mapped[tensor.begin : tensor.end]

    def read(self, name: str, begin: int = 0, end: int | None = None) -> UInt8:
        """The bytes `begin` to `end - 1` of a tensor (all of them) in new memory."""
        tensor = self.tensors[name]
        last = tensor.end if end is None else tensor.begin + end
        return self._of(name).read(tensor.begin + begin, last)

    def pieces(self, name: str, multiple: int = 1, *, without_last: int = 0) -> Iterator[UInt8]:
        """The bytes of a tensor but for the last so many once, in order; see `DataFile.pieces`."""
        tensor = self.tensors[name]
        return self._of(name).pieces(tensor.begin, tensor.end - without_last, multiple)

    def strings(self, key: str) -> list[str]:
        """The strings of an array such as `tokenizer.ggml.tokens`, read anew at every call."""
        value = self.metadata.get(key)
        if not isinstance(value, Strings):
            raise CheckpointError(f"{self.path}: {key}: expected an array of strings, got {str(value)[:99]}")
        try:
            return value.texts(self._parts[0].file.read(value.begin, value.end).tobytes())
        except UnicodeDecodeError:
            raise CheckpointError(f"{self.path}: {key}: expected UTF-8 texts") from None

    def sha256(self) -> bytes:
        """SHA-256 of the whole file; of the parts' own ones, in order, for a split one."""
        own = [part.file.sha256() for part in self._parts]
        return own[0] if len(own) == 1 else hashlib.sha256(b"".join(own)).digest()


def _parts(path: Path) -> list[GgufPart]:
    """The file at `path` and the other parts that belong to it."""
    first = GgufPart(path)
    number, count = first.split("split.no", 0), first.split("split.count", 1)
    if count <= 1:
        return [first]
    name = _PART_NAME.fullmatch(path.name)
    if number:
        start = "its first" if name is None else f"{name[1]}-00001-of-{name[3]}.gguf"
        raise CheckpointError(f"{path}: is part {number + 1} of {count}: open part 1, {start}")
    if name is None or int(name[2]) != 1 or int(name[3]) != count:
        raise CheckpointError(
            f"{path}: is part 1 of {count}: expected a name that ends in -00001-of-{count:05d}.gguf, by which the "
            f"other parts are found"
        )
    parts = [first]
    for i in range(1, count):
        part = GgufPart(path.with_name(f"{name[1]}-{i + 1:05d}-of-{name[3]}.gguf"), i)
        for key, expected in zip(_SPLIT_KEYS, (i, count, first.split(_SPLIT_KEYS[2], 0)), strict=True):
            if part.split(key, -1 if key != _SPLIT_KEYS[2] else expected) != expected:
                raise CheckpointError(f"{part.path}: {key}: expected {expected}, got {part.metadata.get(key)}")
        parts.append(part)
    return parts
