"""The tensors of a safetensors file that need not be a model: what its header says, nothing read of its data."""

from pathlib import Path
from typing import Any

from bitsim.errors import CheckpointError
from bitsim.model.files.opened import TensorSource
from bitsim.model.files.safetensors_file import SafetensorsFile
from bitsim.model.files.sharded import INDEX, ShardedSafetensors

_SUFFIX = ".safetensors"


def is_listable(path: Path) -> bool:
    """Whether `path` is safetensors without a model around them: a file, an index, or a folder without config.json."""
    if path.is_dir():
        return not (path / "config.json").exists() and any(path.glob(f"*{_SUFFIX}"))
    return path.name.endswith((_SUFFIX, f"{_SUFFIX}.index.json"))


def listing(path: Path) -> dict[str, Any]:
    """The tensors at `path` as plain values for JSON, in the order of the files: name, type, shape and bytes.

    Raises `CheckpointError` for a damaged file, and for a folder of several files without an index.
    """
    source = _source(path)
    tensors = [
        {"name": name, "kind": info.dtype, "shape": list(info.shape), "size_bytes": info.end - info.begin}
        for name, info in source.tensors.items()
    ]
    return {
        "path": str(path),
        "format": "safetensors",
        "size_bytes": sum(info.end - info.begin for info in source.tensors.values()),
        "tensors": tensors,
    }


def _source(path: Path) -> TensorSource:
    if not path.is_dir():
        return ShardedSafetensors(path) if path.suffix == ".json" else SafetensorsFile(path)
    if (path / INDEX).exists():
        return ShardedSafetensors(path / INDEX)
    files = sorted(path.glob(f"*{_SUFFIX}"))
    if len(files) > 1:
        raise CheckpointError(f"{path}: expected one {_SUFFIX} file or {INDEX}, got {len(files)} files; name one")
    return SafetensorsFile(files[0])
