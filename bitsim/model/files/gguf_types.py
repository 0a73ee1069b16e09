"""What each tensor of a GGUF file is: its type by id and by the bytes between it and the next tensor.

Forks gave the same ids to types of their own, and `general.file_type` is no better; sizes differ, so they decide:

| id | bytes | type |
|---|---|---|
| 36 | N K / 4 + 32 | I2_S of bitnet.cpp |
| 42 | 18 per 64, 34 per 128, 42 per 256 weights | Q2_0 of llama.cpp; PQ2_0, as PrismML's first files have it; STQ1_0 |
| 43, 134, 135 | 42 per 256; per row 2 + 13 or 4 + 16 per 64 | STQ1_0, IQ1_BN, IQ2_BN; other sizes are refused |

An id that is not known at all gets the name "type 99" and the bytes up to the next tensor, so that such a file can be
looked through.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path

from bitsim.errors import CheckpointError
from bitsim.model.files.gguf_header import TensorEntry
from bitsim.quant.ggml_types import TYPES_OF_ID

I2S_TYPE = 36
I2S_TAIL_BYTES = 32
_SIZE_DECIDES = (I2S_TYPE, 42, 43, 134, 135)


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufTensor:
    """One tensor: `kind` is a name of `TYPES` or I2_S; `shape` (N, K) or (K,); `begin` and `end` are bytes of its file.

    `part`: which file of a split one holds it, from 0.
    """

    kind: str
    shape: tuple[int, ...]
    begin: int
    end: int
    part: int = 0

    @property
    def size_bytes(self) -> int:
        return self.end - self.begin


def locate(
    entries: Sequence[TensorEntry], path: Path, *, start: int, alignment: int, size: int, part: int
) -> dict[str, GgufTensor]:
    """Name -> tensor, in the header's order, of a file of `size` bytes whose data section begins at `start`.

    Tensors must lie in the file and apart from each other; padding and gaps hold nothing that is read. Raises
    `CheckpointError` naming file and tensor.
    """
    names = set()
    for entry in entries:
        if entry.name in names:
            raise CheckpointError(f"{path}: {entry.name}: the same tensor twice")
        names.add(entry.name)
        if entry.offset % alignment:
            raise CheckpointError(
                f"{path}: {entry.name}: offset: expected a multiple of {alignment}, got {entry.offset}"
            )
    rooms = _rooms(entries, size - start)
    kinds = {number: _decided(number, entries, rooms, alignment, path) for number in _SIZE_DECIDES}
    tensors = {}
    for entry, room in zip(entries, rooms, strict=True):
        kind = kinds.get(entry.type_id)
        name, length = next(
            ((name, length) for name, length in _meanings(entry, room) if kind in (None, name)), (None, 0)
        )
        if name is None:
            known, k = TYPES_OF_ID[entry.type_id][0], entry.shape[-1]
            raise CheckpointError(
                f"{path}: {entry.name[:200]}: {known.name}: expected K to be a multiple of {known.block}, got {k}"
            )
        begin = start + entry.offset
        tensors[entry.name] = GgufTensor(kind=name, shape=entry.shape, begin=begin, end=begin + length, part=part)
    _check_apart(tensors, path, size)
    return tensors


def _rooms(entries: Sequence[TensorEntry], size: int) -> list[int]:
    """Bytes from each tensor to the next, or to the end of the data section of `size` bytes."""
    starts = sorted({entry.offset for entry in entries} | {max(size, 0)})
    following = dict(pairwise(starts))
    return [following.get(entry.offset, size) - entry.offset for entry in entries]


def _meanings(entry: TensorEntry, room: int) -> Iterator[tuple[str, int]]:
    """The types that a tensor may be, with their bytes."""
    k, rows = entry.shape[-1], prod(entry.shape[:-1])
    if entry.type_id == I2S_TYPE:
        yield "I2_S", -(-rows * k // 4) + I2S_TAIL_BYTES
    elif entry.type_id not in TYPES_OF_ID:
        yield f"type {entry.type_id}", max(room, 0)
    for known in TYPES_OF_ID.get(entry.type_id, ()):
        if known.fits(k):
            yield known.name, rows * known.row_size(k)


def _decided(
    number: int, entries: Sequence[TensorEntry], rooms: Sequence[int], alignment: int, path: Path
) -> str | None:
    """The one type that all tensors with the id `number` can be by their bytes; None if there are no such tensors."""
    possible: set[str] | None = None
    for entry, room in zip(entries, rooms, strict=True):
        if entry.type_id != number:
            continue
        meanings = dict(_meanings(entry, room))
        fitting = {name for name, length in meanings.items() if length <= room < length + alignment}
        if not fitting:
            known = ", ".join(f"{length} bytes ({name})" for name, length in meanings.items())
            raise CheckpointError(
                f"{path}: {entry.name[:200]}: type {number}, which forks of llama.cpp use for different things: "
                f"expected {known or 'a K of whole blocks'} for {entry.shape}, got {room} up to the next tensor or the "
                f"end of the file"
            )
        possible = fitting if possible is None else possible & fitting
    if possible is None:
        return None
    if len(possible) != 1:
        found = " or ".join(sorted(possible)) or "one type for all its tensors, none fits"
        raise CheckpointError(f"{path}: tensors of type {number}: their sizes do not tell what they are: {found}")
    return possible.pop()


def _check_apart(tensors: dict[str, GgufTensor], path: Path, size: int) -> None:
    end, before = 0, ""
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].begin):
        if tensor.begin < end:
            raise CheckpointError(f"{path}: {name}: overlaps {before}: begins at {tensor.begin}, before {end}")
        if tensor.end > size:
            raise CheckpointError(f"{path}: {name}: is truncated: expected {tensor.end} bytes in the file, got {size}")
        end, before = tensor.end, name
