"""Safetensors split over several files, found through `model.safetensors.index.json`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy.typing as npt

from bitsim._untrusted import UnreadableError, read_bounded, read_json
from bitsim.errors import CheckpointError
from bitsim.model.files.safetensors_file import SafetensorsFile, TensorInfo

INDEX = "model.safetensors.index.json"
MAX_INDEX_BYTES = 100_000_000


class ShardedSafetensors:
    """The tensors of all shards by name; each shard is checked and mapped as a file of its own.

    The index and the shards must agree: a tensor is in the shard that the index names, in no other, and every tensor of
    a shard is in the index. A shard is a file name without folders, so it can't lie outside the index's folder.
    Raises `CheckpointError` naming the file and the tensor.
    """

    def __init__(self, index: Path) -> None:
        self.path = index
        shard_of = _weight_map(index)
        self.shards = {name: SafetensorsFile(index.parent / name) for name in sorted(set(shard_of.values()))}
        self.tensors: dict[str, TensorInfo] = {}
        self._shard_of = shard_of
        for shard, file in self.shards.items():
            for name, info in file.tensors.items():
                if name not in shard_of:
                    raise CheckpointError(f"{file.path}: {name}: a tensor that {index.name} does not list")
                if shard_of[name] != shard:
                    raise CheckpointError(
                        f"{file.path}: {name}: {index.name} puts this tensor into {shard_of[name]}; it is in both files"
                        if name in self.shards[shard_of[name]].tensors
                        else f"{file.path}: {name}: expected this tensor in {shard_of[name]}, as {index.name} says"
                    )
                self.tensors[name] = info
        missing = shard_of.keys() - self.tensors.keys()
        if missing:
            name = min(missing)
            raise CheckpointError(f"{index.parent / shard_of[name]}: {name}: expected a tensor, as {index.name} says")

    def array(self, name: str) -> npt.NDArray[Any]:
        """The mapped tensor; see `SafetensorsFile.array`."""
        return self.shards[self._shard_of[name]].array(name)

    def read(self, name: str) -> npt.NDArray[Any]:
        """The tensor in new memory."""
        return self.shards[self._shard_of[name]].read(name)

    def pieces(self, name: str, multiple: int = 1) -> Iterator[npt.NDArray[Any]]:
        """The tensor's values in pieces; see `SafetensorsFile.pieces`."""
        return self.shards[self._shard_of[name]].pieces(name, multiple)


def _weight_map(index: Path) -> dict[str, str]:
    """Tensor -> shard of a checked index file."""
    try:
        values = read_json(read_bounded(index, MAX_INDEX_BYTES))
    except UnreadableError as error:
        raise CheckpointError(f"{index}: {error}") from None
    shard_of = values.get("weight_map") if isinstance(values, dict) else None
    if not isinstance(shard_of, dict) or not shard_of:
        raise CheckpointError(f"{index}: weight_map: expected tensors and their files, got {str(shard_of)[:200]}")
    for name, shard in shard_of.items():
        where = f"{index}: weight_map: {name[:200]}"
        if not isinstance(shard, str) or not shard.endswith(".safetensors"):
            raise CheckpointError(f"{where}: expected the name of a .safetensors file, got {str(shard)[:200]!r}")
        if Path(shard).name != shard or "\\" in shard or "\0" in shard:
            raise CheckpointError(f"{where}: expected a file in the same folder, got {shard[:200]!r} (may lie outside)")
    return shard_of
