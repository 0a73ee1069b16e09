"""The tensors of a file that need not be a model: what its header says, nothing read of its data."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from bitsim.errors import CheckpointError
from bitsim.model.files.gguf_file import GgufPart
from bitsim.model.files.gguf_header import Strings, Value
from bitsim.model.files.opened import TensorSource
from bitsim.model.files.safetensors_file import SafetensorsFile
from bitsim.model.files.sharded import INDEX, ShardedSafetensors

_SUFFIX = ".safetensors"


def gguf_listing(path: Path, why: str) -> dict[str, Any]:
    """Keys and tensors of one GGUF file, a part of a split one too, as plain values for JSON.

    Arrays are given by their length. `why`: the reason that it is no model that runs, for whoever reads this.
    """
    part = GgufPart(path)
    return {
        "path": str(path),
        "format": "gguf",
        "size_bytes": sum(tensor.size_bytes for tensor in part.tensors.values()),
        "no_model": why,
        "keys": {key: _plain(value) for key, value in part.metadata.items()},
        "tensors": [
            {"name": name, "kind": tensor.kind, "shape": list(tensor.shape), "size_bytes": tensor.size_bytes}
            for name, tensor in part.tensors.items()
        ],
    }


def _plain(value: Value) -> object:
    """A value for JSON, which has no infinities."""
    if isinstance(value, Strings):
        return f"{value.count} texts"
    if isinstance(value, np.ndarray):
        return f"{len(value)} numbers ({value.dtype})"
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


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
