"""The header of a GGUF file, read front to back: keys with typed values, then names, sizes and types of tensors.

Every read is checked against the end of the file, counts against bounds; errors name the file and the key or tensor.
Source: ggml `docs/gguf.md`.
"""

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitsim.errors import CheckpointError

MAX_ENTRIES = 100_000
MAX_STRINGS = 10_000_000
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
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class Strings:
    """An array of strings that was passed over (a vocabulary): `begin` and `end` count bytes from byte 0."""

    count: int
    begin: int
    end: int

    def texts(self, data: bytes) -> list[str]:
        """The strings in the bytes `begin` to `end - 1`. Raises `UnicodeDecodeError`."""
        at, texts = 0, []
        for _ in range(self.count):
            (size,) = _LENGTH.unpack_from(data, at)
            texts.append(data[at + 8 : at + 8 + size].decode())
            at += 8 + size
        return texts


Value = bool | int | float | str | npt.NDArray[Any] | Strings


class TensorEntry(NamedTuple):
    """A tensor as the header lists it. `shape`: (N, K) or (K,); `offset`: from the start of the data section."""

    name: str
    shape: tuple[int, ...]
    type_id: int
    offset: int


class Header(NamedTuple):
    """Everything in front of the data, which starts at the first multiple of `alignment` from `end` on."""

    metadata: dict[str, Value]
    tensors: list[TensorEntry]
    end: int

    def alignment(self, path: Path) -> int:
        """The alignment of the data section and of each tensor in it."""
        alignment = self.metadata.get("general.alignment", 32)
        if type(alignment) is not int or not 0 < alignment <= 1 << 20 or alignment & (alignment - 1):
            raise CheckpointError(f"{path}: general.alignment: expected a power of two, got {str(alignment)[:99]}")
        return alignment


def read_header(data: memoryview, path: Path) -> Header:
    """The header at the start of `data`. Raises `CheckpointError` naming `path` and what came."""
    cursor = _Cursor(data, path)
    magic = bytes(cursor.take(4, "magic"))
    if magic != b"GGUF":
        raise CheckpointError(f"{path}: expected a GGUF file, which starts with b'GGUF', got {magic!r}")
    version = cursor.u32("version")
    if version not in (2, 3):
        raise CheckpointError(f"{path}: expected GGUF version 2 or 3, little-endian, got {version}")
    tensors = cursor.count("number of tensors", MAX_ENTRIES)
    keys = cursor.count("number of keys", MAX_ENTRIES)
    metadata: dict[str, Value] = {}
    for i in range(keys):
        key = cursor.text(f"key {i}")
        if key in metadata:
            raise CheckpointError(f"{path}: {key}: the same key twice")
        metadata[key] = cursor.value(key)
    entries = [cursor.tensor(f"tensor {i}") for i in range(tensors)]
    return Header(metadata, entries, cursor.at)


class _Cursor:
    """Where in the header we are; every read is checked against the end of the file."""

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
            return self._strings(key)
        dtype = self._dtype(tag, key)
        return np.frombuffer(self.take(self.u64(key) * dtype.itemsize, key), dtype)

    def _strings(self, key: str) -> Strings:
        """Passed over length by length: a vocabulary has hundreds of thousands, so without a call for each."""
        count, begin = self.count(f"{key}: number of strings", MAX_STRINGS), self.at
        at, last, length_at, data = begin, len(self.data) - 8, _LENGTH.unpack_from, self.data
        for _ in range(count):
            if at > last:
                break
            at += 8 + length_at(data, at)[0]
        else:
            if at <= len(data):
                self.at = at
                return Strings(count=count, begin=begin, end=at)
        raise CheckpointError(f"{self.path}: {key}: is truncated: expected {count} strings from offset {begin} on")

    def _dtype(self, tag: int, key: str) -> np.dtype[Any]:
        if tag not in _SCALARS:
            raise CheckpointError(f"{self.path}: {key}: expected a value type 0..12 (no arrays of arrays), got {tag}")
        return _SCALARS[tag]

    def tensor(self, what: str) -> TensorEntry:
        name = self.text(what)
        where = f"{self.path}: {name[:200]}"
        dims = self.u32(name)
        if not 1 <= dims <= 4:
            raise CheckpointError(f"{where}: expected 1 to 4 dimensions, got {dims}")
        sizes = struct.unpack(f"<{dims}Q", self.take(8 * dims, name))
        if min(sizes) < 1 or prod(sizes) >= 1 << 48:
            raise CheckpointError(f"{where}: expected sizes >= 1 and less than 2^48 values, got {sizes[::-1]}")
        return TensorEntry(name, sizes[::-1], self.u32(name), self.u64(name))
