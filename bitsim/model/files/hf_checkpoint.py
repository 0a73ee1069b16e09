"""Open a Hugging Face directory: config.json and safetensors, in one file or in shards."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from bitsim._untrusted import UnreadableError, read_bounded, read_json
from bitsim.errors import CheckpointError
from bitsim.model.config import Dtype, ModelConfig
from bitsim.model.files.data_file import DataFile
from bitsim.model.files.hf_config import Description, Storage, describe
from bitsim.model.files.hf_embedding import NOTE, LanguageModelNames, as_language_model, is_embedding_model
from bitsim.model.files.hf_tensors import FLOATS, expected_tensors, sub_norm_names
from bitsim.model.files.hf_weights import read_weights
from bitsim.model.files.opened import Checkpoint, StoredTensor, TensorSource, note_on_zeros
from bitsim.model.files.safetensors_file import SafetensorsFile
from bitsim.model.files.sharded import INDEX, ShardedSafetensors
from bitsim.model.tokenizer import MAX_CONFIG_BYTES, json_vocabulary, tokenizer_class

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_MASTER = "float weights are ternarised by absmean, each matrix by its own mean |W|, as was asked; no file says so"
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


def has_no_weights(directory: Path) -> bool:
    """Whether a directory has a config.json and no file that could hold weights, safe to read or not."""
    if not (directory / "config.json").is_file():
        return False
    weights = (".safetensors", ".gguf", *PICKLES)
    return not any(path.suffix in weights or path.name == INDEX for path in directory.iterdir())


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


def load_hf(directory: Path, *, master: bool = False, passing: bool = False) -> Checkpoint:
    """Open `directory`; packed linears are read when they are used, float matrices mapped, master weights quantised.

    `master`: float weights without a quantization_config are BitLinear's master weights, which no file says. `passing`:
    see `read_weights`. Every value is checked once. Raises `CheckpointError` naming file and tensor or key.
    """
    values, config_bytes = read_config(directory / "config.json")
    tensors, files = open_tensors(directory)
    said = describe(values, directory / "config.json", directory.resolve().name, first_float(tensors))
    notes: tuple[str, ...] = ()
    if is_embedding_model(tensors.tensors):
        said, tensors, notes = as_language_model(said, directory / "config.json"), LanguageModelNames(tensors), (NOTE,)
    if master:
        said, notes = _as_master(said, directory), (*notes, _MASTER)
    config = said.config
    read = read_weights(config, tensors, said.storage, passing=passing)
    stored = {
        name: StoredTensor(name=name, kind=info.dtype, shape=want.values, size_bytes=info.end - info.begin)
        for name, want in expected_tensors(config, said.storage, sub_norm_names(tensors.tensors)).items()
        for info in (tensors.tensors[name],)
    }
    shapes = list(config.linear_shapes())
    linears = tuple(
        stored[f"model.layers.{i}.{name}.weight"] for i in range(config.num_layers) for name, _, _ in shapes
    )
    return Checkpoint(
        path=directory,
        config=config,
        weights=read.weights,
        stored=tuple(stored.values()),
        linears=linears,
        packing=_packing(config, said.storage, linears),
        file_digest=lambda: hashlib.sha256(config_bytes + b"".join(map(DataFile.sha256, files))).hexdigest(),
        tokenizer_class=tokenizer_class(directory),
        vocabulary=json_vocabulary(directory),
        ignored=(*said.ignored, *read.unread),
        absent=said.absent,
        notes=notes + note_on_zeros(read.zeros, read.matrices),
    )


def _as_master(said: Description, directory: Path) -> Description:
    if said.config.linear_class is not None:
        raise CheckpointError(
            f"{directory}: --ternarise absmean: expected float weights, got linear_class {said.config.linear_class}"
        )
    config = replace(said.config, linear_class="bitlinear", weight_bits_per_weight=Fraction(2))
    return replace(said, config=config, storage="master")


def first_float(tensors: TensorSource) -> Dtype | None:
    """The type of the first float tensor, which is a model's where config.json names none (as transformers' "auto")."""
    return next((FLOATS[info.dtype] for info in tensors.tensors.values() if info.dtype in FLOATS), None)


def _packing(config: ModelConfig, storage: Storage, linears: Sequence[StoredTensor]) -> str:
    if config.linear_class is None:
        return config.dtype
    if storage == "2bit" and all(linear.kind != "U8" for linear in linears):
        return "unpacked"
    return "master" if storage == "master_fp32" else storage
