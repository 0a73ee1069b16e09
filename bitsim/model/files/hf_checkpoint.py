"""Open a Hugging Face directory: config.json and safetensors, in one file or in shards."""

import hashlib
from pathlib import Path
from typing import Any

from bitsim._untrusted import UnreadableError, read_bounded, read_json
from bitsim.errors import CheckpointError
from bitsim.model.files.data_file import DataFile
from bitsim.model.files.hf_config import from_hf, linear_storage
from bitsim.model.files.hf_weights import expected_tensors, read_weights
from bitsim.model.files.opened import Checkpoint, StoredTensor, TensorSource
from bitsim.model.files.safetensors_file import SafetensorsFile
from bitsim.model.files.sharded import INDEX, ShardedSafetensors
from bitsim.model.tokenizer import MAX_CONFIG_BYTES, tokenizer_class

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
PICKLE_REASON = "a pickle, which can run any code when it is read; save the model as safetensors instead"


def read_config(path: Path) -> tuple[dict[str, Any], bytes]:
    """The JSON object in `path` and the bytes of the file."""
    try:
        data = read_bounded(path, MAX_CONFIG_BYTES)
        values = read_json(data)
    except UnreadableError as error:
        raise CheckpointError(f"{path}: {error}") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected a JSON object, got {type(values).__name__}")
    return values, data


def open_tensors(directory: Path) -> tuple[TensorSource, list[DataFile]]:
    """The tensors of `directory` and the files that hold them: model.safetensors if it is there, else the shards."""
    single, index = directory / "model.safetensors", directory / INDEX
    if not single.exists() and index.exists():
        sharded = ShardedSafetensors(index)
        return sharded, [DataFile(index), *(shard.file for shard in sharded.shards.values())]
    if not single.exists():
        pickles = sorted(path.name for path in directory.iterdir() if path.suffix in PICKLES)
        if pickles:
            raise CheckpointError(f"{directory / pickles[0]}: {PICKLE_REASON}")
    tensors = SafetensorsFile(single)
    return tensors, [tensors.file]


def load_hf(directory: Path) -> Checkpoint:
    """Open `directory`; packed linears are read when they are used, float matrices mapped, master weights quantised.

    Every value is checked once. Raises `CheckpointError` naming file and tensor or key.
    """
    values, config_bytes = read_config(directory / "config.json")
    config = from_hf(values, directory / "config.json", directory.resolve().name)
    storage = linear_storage(values)
    tensors, files = open_tensors(directory)
    weights = read_weights(config, tensors, storage)
    stored = {
        name: StoredTensor(name=name, kind=info.dtype, shape=want.values, size_bytes=info.end - info.begin)
        for name, want in expected_tensors(config, storage).items()
        for info in (tensors.tensors[name],)
    }
    shapes = list(config.linear_shapes())
    return Checkpoint(
        path=directory,
        config=config,
        weights=weights,
        stored=tuple(stored.values()),
        linears=tuple(
            stored[f"model.layers.{i}.{name}.weight"] for i in range(config.num_layers) for name, _, _ in shapes
        ),
        packing=config.dtype if config.linear_class is None else storage,
        file_digest=lambda: hashlib.sha256(config_bytes + b"".join(map(DataFile.sha256, files))).hexdigest(),
        tokenizer_class=tokenizer_class(directory),
    )
