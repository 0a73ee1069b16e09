"""A memory-mapped GGUF file, versions 2 and 3, little-endian.

Layout: magic `GGUF`, uint32 version, uint64 number of tensors, uint64 number of keys; the keys with typed values; per
tensor its name, sizes (fastest first: K, N), type and offset; then, aligned to `general.alignment`, the tensors. The
reader is ours because a damaged file must be refused with a message that names key or tensor, in bounded memory.
Source: ggml `docs/gguf.md`; type ids of ggml 0.25.3 and of bitnet.cpp's fork (I2_S).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitsim.errors import CheckpointError
from bitsim.model.files.data_file import DataFile
from bitsim.quant.i2s import I2S_RUN, I2sLayout, i2s_layout

MAX_ENTRIES = 100_000
MAX_STRINGS = 10_000_000
I2S_TYPE = 36
I2S_TAIL_BYTES = 32
I2S_LAYOUT_KEY = "bitsim.i2_s_layout"
# Type id -> name, weights per block, bytes per block. Blocks run along K.
TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    8: ("Q8_0", 32, 34),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
}
_SCALARS: dict[int, np.dtype[Any]] = {
    0: np.dtype("u1"),
    1: np.dtype("i1"),
    2: np.dtype("<u2"),
    3: np.dtype("<i2"),
    4: np.dtype("<u4"),
    5: np.dtype("<i4"),
    6: np.dtype("<f4"),
    7: np.dtype("u1"),  # bool
    10: np.dtype("<u8"),
    11: np.dtype("<i8"),
    12: np.dtype("<f8"),
}
_BOOL, _STRING, _ARRAY = 7, 8, 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Strings:
    """An array of strings that was skipped (a vocabulary)."""

    count: int


Value = bool | int | float | str | npt.NDArray[Any] | Strings


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufTensor:
    """One tensor: `kind` is a name in `TYPES` or I2_S, `shape` (N, K) or (K,), `begin` and `end` count from byte 0."""

    kind: str
    shape: tuple[int, ...]
    begin: int
    end: int


class _Cursor:
    """Reads the header front to back; every read is checked against the end of the file."""

    def __init__(self, data: memoryview, path: Path) -> None:
        self.data, self.path, self.at = data, path, 0

    def take(self, size: int, what: str) -> memoryview:
        if size > len(self.data) - self.at:
            raise CheckpointError(
                f"{self.path}: {what}: is truncated: expected {size} bytes at offset {self.at}, "
                f"got {len(self.data) - self.at}"
            )
        self.at += size
        return self.data[self.at - size : self.at]

    def u32(self, what: str) -> int:
        return int.from_bytes(self.take(4, what), "little")

    def u64(self, what: str) -> int:
        return int.from_bytes(self.take(8, what), "little")

    def text(self, what: str) -> str:
        try:
            return str(self.take(self.u64(what), what), "utf-8")
        except UnicodeDecodeError:
            raise CheckpointError(f"{self.path}: {what}: expected UTF-8 text") from None

    def count(self, what: str, most: int) -> int:
        number = self.u64(what)
        if number > most:
            raise CheckpointError(f"{self.path}: {what}: expected at most {most}, got {number}")
        return number

    def value(self, key: str) -> Value:
        tag = self.u32(key)
        if tag == _STRING:
            return self.text(key)
        if tag == _ARRAY:
            return self._array(key)
        dtype = self._dtype(tag, key)
        number = np.frombuffer(self.take(dtype.itemsize, key), dtype)[0].item()
        if tag != _BOOL:
            return number  # type: ignore[no-any-return]
        if number > 1:
            raise CheckpointError(f"{self.path}: {key}: expected a bool, 0 or 1, got {number}")
        return bool(number)

    def _array(self, key: str) -> Value:
        tag = self.u32(key)
        if tag == _STRING:
            count = self.count(f"{key}: number of strings", MAX_STRINGS)
            for _ in range(count):
                self.take(self.u64(key), key)
            return Strings(count=count)
        dtype = self._dtype(tag, key)
        return np.frombuffer(self.take(self.u64(key) * dtype.itemsize, key), dtype)

    def _dtype(self, tag: int, key: str) -> np.dtype[Any]:
        if tag not in _SCALARS:
            raise CheckpointError(f"{self.path}: {key}: expected a value type 0..12 (no arrays of arrays), got {tag}")
        return _SCALARS[tag]


class GgufFile:
    """Keys and tensors of one file by name. Opening checks the whole header; tensors are mapped, not read.

    `metadata`: key -> value. `tensors`: name -> where it lies. `i2s`: the layout of I2_S tensors, from the argument or
    the file's own key; type id 36 means something else upstream, so without either such a tensor is refused.
    Raises `CheckpointError` naming the file, the key or tensor, and expected and actual numbers.
    """

    def __init__(self, path: Path, i2s: I2sLayout | None = None) -> None:
        self.path, self.file = path, DataFile(path)
        cursor = _Cursor(self.file.mapped.data, path)
        magic = bytes(cursor.take(4, "magic"))
        if magic != b"GGUF":
            raise CheckpointError(f"{path}: expected a GGUF file, which starts with b'GGUF', got {magic!r}")
        version = cursor.u32("version")
        if version not in (2, 3):
            raise CheckpointError(f"{path}: expected GGUF version 2 or 3, little-endian, got {version}")
        tensors = cursor.count("number of tensors", MAX_ENTRIES)
        keys = cursor.count("number of keys", MAX_ENTRIES)
        self.metadata: dict[str, Value] = {}
        for i in range(keys):
            key = cursor.text(f"key {i}")
            if key in self.metadata:
                raise CheckpointError(f"{path}: {key}: the same key twice")
            self.metadata[key] = cursor.value(key)
        self.i2s = self._i2s_layout(i2s)
        infos = [self._tensor_info(cursor, f"tensor {i}") for i in range(tensors)]
        alignment = self._alignment()
        start = -(-cursor.at // alignment) * alignment
        self.tensors: dict[str, GgufTensor] = {}
        for name, kind, shape, offset, size in infos:
            if name in self.tensors:
                raise CheckpointError(f"{path}: {name}: the same tensor twice")
            if offset % alignment:
                raise CheckpointError(f"{path}: {name}: offset: expected a multiple of {alignment}, got {offset}")
            begin = start + offset
            self.tensors[name] = GgufTensor(kind=kind, shape=shape, begin=begin, end=begin + size)
        self._check_layout()

    def _i2s_layout(self, given: I2sLayout | None) -> I2sLayout | None:
        own = self.metadata.get(I2S_LAYOUT_KEY)
        if own is None:
            return given
        if not isinstance(own, str) or own not in I2S_RUN or given not in (None, own):
            expected = given or " or ".join(I2S_RUN)
            raise CheckpointError(f"{self.path}: {I2S_LAYOUT_KEY}: expected {expected}, got {str(own)[:200]!r}")
        return i2s_layout(own)

    def _alignment(self) -> int:
        alignment = self.metadata.get("general.alignment", 32)
        if type(alignment) is not int or not 0 < alignment <= 1 << 20 or alignment & (alignment - 1):
            raise CheckpointError(f"{self.path}: general.alignment: expected a power of two, got {str(alignment)[:99]}")
        return alignment

    def _tensor_info(self, cursor: _Cursor, what: str) -> tuple[str, str, tuple[int, ...], int, int]:
        name = cursor.text(what)
        where = f"{self.path}: {name[:200]}"
        dims = cursor.u32(name)
        if not 1 <= dims <= 4:
            raise CheckpointError(f"{where}: expected 1 to 4 dimensions, got {dims}")
        sizes = struct.unpack(f"<{dims}Q", cursor.take(8 * dims, name))
        if min(sizes) < 1 or prod(sizes) >= 1 << 48:
            raise CheckpointError(f"{where}: expected sizes >= 1 and less than 2^48 values, got {sizes[::-1]}")
        tag, offset = cursor.u32(name), cursor.u64(name)
        if tag == I2S_TYPE:
            if self.i2s is None:
                raise CheckpointError(
                    f"{where}: type {tag} is I2_S in bitnet.cpp's files, and its layout depends on the machine that "
                    f"the file is for: say which with --i2s-layout x86 or --i2s-layout arm "
                    f"of bitsim convert, whose files tell it"
                )
            if prod(sizes) % I2S_RUN[self.i2s]:
                raise CheckpointError(
                    f"{where}: I2_S {self.i2s}: expected a multiple of {I2S_RUN[self.i2s]} weights, got {sizes[::-1]}"
                )
            return name, "I2_S", sizes[::-1], offset, prod(sizes) // 4 + I2S_TAIL_BYTES
        if tag not in TYPES:
            known = ", ".join(f"{name} {tag}" for tag, (name, _, _) in TYPES.items())
            raise CheckpointError(f"{where}: tensor type: expected one of {known}, I2_S {I2S_TYPE}, got {tag}")
        kind, block, block_bytes = TYPES[tag]
        if sizes[0] % block:
            raise CheckpointError(f"{where}: {kind}: expected K to be a multiple of {block}, got {sizes[0]}")
        return name, kind, sizes[::-1], offset, prod(sizes) // block * block_bytes

    def _check_layout(self) -> None:
        """Tensors must lie in the file and apart from each other; padding and gaps hold nothing that is read."""
        end, before = 0, ""
        for name, tensor in sorted(self.tensors.items(), key=lambda item: item[1].begin):
            if tensor.begin < end:
                raise CheckpointError(f"{self.path}: {name}: overlaps {before}: begins at {tensor.begin}, before {end}")
            if tensor.end > self.file.size:
                raise CheckpointError(
                    f"{self.path}: {name}: is truncated: expected {tensor.end} bytes in the file, got {self.file.size}"
                )
            end, before = tensor.end, name

    def data(self, name: str) -> npt.NDArray[np.uint8]:
        """The mapped bytes of a tensor, uint8, flat and read-only."""
        tensor = self.tensors[name]
        return self.file.mapped[tensor.begin : tensor.end]

    def read(self, name: str) -> npt.NDArray[np.uint8]:
        """As `data`, in new memory."""
        return self.file.read(self.tensors[name].begin, self.tensors[name].end)

    def pieces(self, name: str, multiple: int = 1) -> Iterator[npt.NDArray[np.uint8]]:
        """The bytes of a tensor once, in order; see `DataFile.pieces`."""
        return self.file.pieces(self.tensors[name].begin, self.tensors[name].end, multiple)
