"""Find and read models: shipped checkpoints, Hugging Face directories, published shapes, synthetic weights."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from bitsim.errors import CheckpointError, ConfigError, UnknownNameError
from bitsim.model.catalogue import SHIPPED, model_names, model_path
from bitsim.model.config import HiddenAct, ModelConfig
from bitsim.model.files.gguf_checkpoint import load_gguf
from bitsim.model.files.hf_checkpoint import PICKLE_REASON, PICKLES, has_no_weights, load_hf
from bitsim.model.files.hf_shape import read_shape
from bitsim.model.files.opened import Checkpoint
from bitsim.model.random_model import random_weights
from bitsim.model.ternarise import Ternarise, notes_on_floats, ternarised
from bitsim.model.tokenizer import Vocabulary
from bitsim.model.weights import ModelWeights
from bitsim.quant.i2s import I2sLayout


@dataclass(frozen=True, kw_only=True, eq=False)  # no slots: the digest is kept
class Model:
    """A model to run or to estimate. `weights` is None for a published shape.

    `vocabulary`: reads the tokenizer of a real model, when text is asked for; it is no part of `digest`.
    `origin`: where the weights come from. `notes`: where a shape comes from, what of it is assumed, and what a reader
    must know of a checkpoint's files.
    """

    name: str
    config: ModelConfig
    weights: ModelWeights | None
    origin: Literal["checkpoint", "shape", "random"]
    tokenizer_class: str | None = None
    vocabulary: Vocabulary | None = None
    notes: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what the model is: its config but for the name, weights and tokeniser; not of where it comes from.

        Computed when it is first asked for, see `ModelWeights.digest`.
        """
        weights = "none" if self.weights is None else self.weights.digest
        content = f"config {self.config.digest}\nweights {weights}\ntokenizer {self.tokenizer_class}"
        return hashlib.sha256(content.encode()).hexdigest()


def load_checkpoint(
    path: str | Path,
    *,
    hidden_act: HiddenAct | None = None,
    i2s: I2sLayout | None = None,
    ternarise: Ternarise | None = None,
) -> Checkpoint:
    """Open a Hugging Face directory (config.json and safetensors) or a GGUF file.

    Every value is checked once, in about a second for a 2B model; then float matrices are mapped and packed ones read
    when they are used. `hidden_act` and `i2s` answer what some GGUF files leave open. `ternarise`: what float weights
    are taken for, "exact": ternary values already, activations not quantised (also those of a GGUF file's ternary
    types); "absmean": BitLinear's master weights.
    Raises `CheckpointError` naming file and tensor.
    """
    if not isinstance(path, str | Path):
        raise CheckpointError(f"path: expected a path, got {str(path)[:60]} ({type(path).__name__})")
    path = Path(path)
    if path.is_file() and path.suffix == ".gguf":
        if ternarise == "absmean":
            raise CheckpointError(f"{path}: --ternarise absmean: expected a Hugging Face directory")
        return load_gguf(path, hidden_act=hidden_act, i2s=i2s, weight_only=ternarise == "exact")
    if path.is_file() and path.suffix in PICKLES:
        raise CheckpointError(f"{path}: {PICKLE_REASON}")
    if not path.is_dir():
        raise CheckpointError(f"{path}: expected a directory with config.json and model.safetensors, or a .gguf file")
    return _as_asked(load_hf(path, master=ternarise == "absmean", passing=ternarise == "exact"), ternarise)


def _as_asked(opened: Checkpoint, ternarise: Ternarise | None) -> Checkpoint:
    """`opened` with what is to be said of float weights, or with ternary ones in their place."""
    if ternarise == "exact":
        return ternarised(opened)
    if ternarise == "absmean" and not opened.config.quantised:
        raise CheckpointError(f"{opened.path}: --ternarise absmean: expected a Hugging Face directory")
    return replace(opened, notes=(*opened.notes, *notes_on_floats(opened)))


def load_model(
    name_or_path: str | Path,
    *,
    ternarise: Ternarise | None = None,
    hidden_act: HiddenAct | None = None,
    i2s: I2sLayout | None = None,
) -> Model:
    """A shipped checkpoint, a shape (without weights) by name or file, or the path of a checkpoint.

    Files of shapes: YAML, a config.json, or a directory with a config.json and no weights. A name wins over a path of
    that name; write `./tiny-b158` for the directory. `ternarise`, `hidden_act`, `i2s`: see `load_checkpoint`. Raises
    `UnknownNameError` with the nearest names, `ConfigError` naming file and line of a shape, or `CheckpointError`.
    """
    if not isinstance(name_or_path, str | Path):
        raise ConfigError(
            f"model: expected a name, a path or a Model, got {str(name_or_path)[:60]} ({type(name_or_path).__name__})"
        )
    text = str(name_or_path)
    if text in SHIPPED:
        return _as_model(load_checkpoint(model_path(text), ternarise=ternarise), text)
    if text.endswith(".json"):
        return _from_config(Path(text))
    from bitsim.hw.source import is_path  # with pydantic, which a checkpoint does not need
    from bitsim.model.zoo import load_shape, zoo_names

    if text in zoo_names() or is_path(text):
        if ternarise is not None:
            raise ConfigError(f"{text}: --ternarise {ternarise}: a shape has no weights")
        shape = load_shape(name_or_path)
        return Model(name=shape.name, config=shape.config, weights=None, origin="shape", notes=shape.notes())
    if isinstance(name_or_path, Path) or "/" in text or "\\" in text or Path(text).exists():
        if has_no_weights(Path(text)):
            return _from_config(Path(text) / "config.json")
        return _as_model(load_checkpoint(text, ternarise=ternarise, hidden_act=hidden_act, i2s=i2s))
    raise UnknownNameError("model", text, model_names())


def _from_config(path: Path) -> Model:
    found = read_shape(path)
    return Model(name=found.config.name, config=found.config, weights=None, origin="shape", notes=found.notes)


def _as_model(checkpoint: Checkpoint, name: str | None = None) -> Model:
    return Model(
        name=name or checkpoint.config.name,
        config=checkpoint.config,
        weights=checkpoint.weights,
        origin="checkpoint",
        tokenizer_class=checkpoint.tokenizer_class,
        vocabulary=checkpoint.vocabulary,
        notes=checkpoint.notes,
    )


def random_model(config: ModelConfig, seed: int, *, keep: bool = True, notes: tuple[str, ...] = ()) -> Model:
    """`config` with synthetic weights, the same for the same `seed`; see `random_weights` for `keep`.

    `notes`: those of the shape.
    """
    weights = random_weights(config, seed, keep=keep)
    return Model(name=config.name, config=config, weights=weights, origin="random", notes=notes)
