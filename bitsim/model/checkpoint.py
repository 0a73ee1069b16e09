"""Find and read models: shipped checkpoints, Hugging Face directories, published shapes, synthetic weights."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bitsim.errors import CheckpointError, UnknownNameError
from bitsim.model.catalogue import SHIPPED, model_names, model_path
from bitsim.model.config import ModelConfig
from bitsim.model.hf_config import from_hf
from bitsim.model.hf_weights import read_weights
from bitsim.model.random_model import random_weights
from bitsim.model.safetensors_file import SafetensorsFile
from bitsim.model.tokenizer import tokenizer_class
from bitsim.model.weights import ModelWeights


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """A Hugging Face directory, opened and checked against its config.json. `tensors`: all of them by name.

    `digest`: SHA-256 over config.json and the whole of model.safetensors.
    """

    path: Path
    config: ModelConfig
    tensors: SafetensorsFile
    weights: ModelWeights
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Model:
    """A model to run or to estimate. `weights` is None for a published shape.

    `origin`: where the weights come from. `digest`: identifies the checkpoint, or config and seed.
    """

    name: str
    config: ModelConfig
    weights: ModelWeights | None
    origin: Literal["checkpoint", "shape", "random"]
    digest: str
    tokenizer_class: str | None = None


def _read_json(path: Path) -> tuple[dict[str, Any], bytes]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read: {error.strerror or error}") from None
    try:
        values = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: expected JSON, got: {str(error)[:200]}") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected a JSON object, got {type(values).__name__}")
    return values, data


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Open the directory `path` with config.json and model.safetensors (one file); matrices stay memory-mapped.

    Every value is checked once, so a 2B model takes about a second. Raises `CheckpointError` naming file and tensor.
    """
    directory = Path(path)
    if not directory.is_dir():
        raise CheckpointError(f"{directory}: expected a directory with config.json and model.safetensors")
    values, config_bytes = _read_json(directory / "config.json")
    config = from_hf(values, directory / "config.json", directory.resolve().name)
    data = directory / "model.safetensors"
    if not data.exists() and (directory / "model.safetensors.index.json").exists():
        raise CheckpointError(f"{directory}: sharded checkpoints can't be read yet: expected one model.safetensors")
    tensors = SafetensorsFile(data)
    with data.open("rb") as file:
        digest = hashlib.sha256(config_bytes + hashlib.file_digest(file, "sha256").digest()).hexdigest()
    weights = read_weights(config, tensors)
    return Checkpoint(path=directory, config=config, tensors=tensors, weights=weights, digest=digest)


def load_model(name_or_path: str | Path) -> Model:
    """A shipped checkpoint, a published shape (without weights), or a checkpoint directory.

    A name wins over a directory of that name; write `./tiny-b158` for the directory. Raises `UnknownNameError` with the
    nearest names, or `CheckpointError`.
    """
    text = str(name_or_path)
    if text in SHIPPED:
        return _from_directory(model_path(text), text)
    from bitsim.model.zoo import zoo_config, zoo_names  # with pydantic, which a checkpoint does not need

    if text in zoo_names():
        config = zoo_config(text)
        return Model(name=text, config=config, weights=None, origin="shape", digest=_digest(config))
    if isinstance(name_or_path, Path) or "/" in text or "\\" in text or Path(text).is_dir():
        return _from_directory(Path(text), None)
    raise UnknownNameError("model", text, model_names())


def _from_directory(directory: Path, name: str | None) -> Model:
    checkpoint = load_checkpoint(directory)
    return Model(
        name=name or checkpoint.config.name,
        config=checkpoint.config,
        weights=checkpoint.weights,
        origin="checkpoint",
        digest=checkpoint.digest,
        tokenizer_class=tokenizer_class(directory),
    )


def random_model(config: ModelConfig, seed: int) -> Model:
    """`config` with synthetic weights, the same for the same `seed`; see `random_weights`."""
    weights = random_weights(config, seed)
    return Model(name=config.name, config=config, weights=weights, origin="random", digest=_digest(config, seed))


def _digest(config: ModelConfig, seed: int | None = None) -> str:
    return hashlib.sha256(f"{config!r} seed={seed}".encode()).hexdigest()
