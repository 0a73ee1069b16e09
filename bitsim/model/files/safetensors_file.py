"""A memory-mapped safetensors file.

The reader is ours because numpy has no bfloat16, and because a damaged file must be refused with a message that names
the tensor and the bytes. Layout: uint64 header length, JSON header, then the tensors without gaps or overlaps.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bitsim._untrusted import UnreadableError, read_json
from bitsim.errors import CheckpointError
from bitsim.model.files.data_file import DataFile
from bitsim.quant.packing import UInt8

MAX_HEADER_BYTES = 100_000_000
# bfloat16 and FP8 come back as bit patterns.
DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("u1"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "F8_E4M3": np.dtype("u1"),
    "F8_E5M2": np.dtype("u1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorInfo:
    """One entry of the header; `begin` and `end` count bytes from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class SafetensorsFile:
    """The tensors of one file by name. Opening checks the whole header and reads no data.

    Raises `CheckpointError` naming the file, the tensor, and expected and actual bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.file = path, DataFile(path)
        size = self.file.size
        start = self.file.read(0, 8).tobytes()
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > min(MAX_HEADER_BYTES, size - 8):
            raise CheckpointError(_header_message(path, size, start, length))
        self._data_start = 8 + length
        self.tensors = _parse(self.file.read(8, self._data_start).tobytes(), path)
        self._check_layout()

    def _check_layout(self) -> None:
        """Tensors must cover the data section exactly, in any order, without gaps or overlaps."""
        at = 0
        for name, info in sorted(self.tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
            if info.begin != at:
                problem = "overlaps another tensor" if info.begin < at else "leaves a gap"
                raise CheckpointError(f"{self.path}: {name}: {problem}: expected offset {at}, got {info.begin}")
            at = info.end
        expected = self._data_start + at
        if self.file.size != expected:
            what = "is truncated" if self.file.size < expected else "has bytes after the last tensor"
            raise CheckpointError(f"{self.path}: {what}: expected {expected} bytes, got {self.file.size}")

    def array(self, name: str) -> npt.NDArray[Any]:
        """The mapped tensor, read-only, row-major; BF16 as uint16 bit patterns. It may be unaligned in memory."""
        return self._typed(name, self.file.mapped[slice(*self._range(name))])

    def read(self, name: str) -> npt.NDArray[Any]:
        """As `array`, in new memory."""
        return self._typed(name, self.file.read(*self._range(name)))

    def pieces(self, name: str, multiple: int = 1) -> Iterator[npt.NDArray[Any]]:
        """The tensor's values in order, flat, in pieces of whole multiples; see `DataFile.pieces`."""
        dtype = DTYPES[self.tensors[name].dtype]
        for piece in self.file.pieces(*self._range(name), multiple * dtype.itemsize):
            yield piece.view(dtype)

    def _range(self, name: str) -> tuple[int, int]:
        info = self.tensors[name]
        return self._data_start + info.begin, self._data_start + info.end

    def _typed(self, name: str, data: UInt8) -> npt.NDArray[Any]:
        info = self.tensors[name]
        return data.view(DTYPES[info.dtype]).reshape(info.shape)


def _header_message(path: Path, size: int, start: bytes, length: int) -> str:
    if len(start) < 8:
        return f"{path}: is truncated: expected at least 8 bytes, got {size}"
    if length > MAX_HEADER_BYTES:
        return f"{path}: expected a header of at most {MAX_HEADER_BYTES} bytes, got a length of {length}"
    return f"{path}: is truncated: expected at least {8 + length} bytes (header), got {size}"


def _parse(header: bytes, path: Path) -> dict[str, TensorInfo]:
    try:
        entries = read_json(header, "a JSON header")
    except UnreadableError as error:
        raise CheckpointError(f"{path}: {error}") from None
    if not isinstance(entries, dict):
        raise CheckpointError(f"{path}: expected a JSON object as header, got {type(entries).__name__}")
    return {name: _tensor_info(name, entry, path) for name, entry in entries.items() if name != "__metadata__"}


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _tensor_info(name: str, entry: object, path: Path) -> TensorInfo:
    where = f"{path}: {name}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise CheckpointError(f"{where}: expected dtype, shape and data_offsets, got {str(entry)[:200]}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise CheckpointError(f"{where}: dtype: expected one of {', '.join(DTYPES)}, got {str(dtype)[:200]!r}")
    if not isinstance(shape, list) or len(shape) > 8 or not all(map(_is_size, shape)):
        raise CheckpointError(f"{where}: shape: expected a list of up to 8 sizes, got {str(shape)[:200]}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_size, offsets)):
        raise CheckpointError(f"{where}: data_offsets: expected [begin, end], got {str(offsets)[:200]}")
    begin, end = offsets
    expected = prod(shape) * DTYPES[dtype].itemsize
    if end - begin != expected:
        raise CheckpointError(f"{where}: expected {expected} bytes for {dtype} {shape}, got {end - begin}")
    return TensorInfo(dtype=dtype, shape=tuple(shape), begin=begin, end=end)
