"""Text to token ids and back: byte-level models by ourselves, others by the vocabulary beside or inside their weights.

A prompt becomes the ids that the vocabulary's own rule gives, special tokens included; there are no chat templates.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bitsim._untrusted import MissingError, UnreadableError, read_bounded, read_json
from bitsim.errors import CheckpointError, PromptError

MAX_CONFIG_BYTES = 1 << 24

Tokens = npt.NDArray[np.int64]


class Tokenizer(Protocol):
    """Text to ids and back. `encode` raises `PromptError` for text that can't be given to a model."""

    def encode(self, text: str) -> Tokens: ...

    def decode(self, tokens: Tokens | list[int]) -> str: ...


# Reads a vocabulary when text is asked for: it takes a second, and needs an extra.
Vocabulary = Callable[[], Tokenizer]


def checked_text(text: str) -> str:
    """`text`; raises `PromptError` if it is empty or not valid Unicode."""
    if not text:
        raise PromptError("the prompt is empty; at least one character is needed")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PromptError(f"the prompt is not valid UTF-8 at character {error.start}") from None
    return text


class ByteTokenizer:
    """Token ids are the bytes of the UTF-8 text."""

    def encode(self, text: str) -> Tokens:
        """int64 ids of `text`; raises `PromptError` if it is empty or not valid Unicode."""
        return np.frombuffer(checked_text(text).encode("utf-8"), dtype=np.uint8).astype(np.int64)

    def decode(self, tokens: Tokens | list[int]) -> str:
        """The text of `tokens`; bytes that are not UTF-8 become U+FFFD."""
        ids = np.asarray(tokens, dtype=np.int64)
        outside = (ids < 0) | (ids > 255)
        if outside.any():
            raise PromptError(f"token ids of a byte-level model are 0..255, got {int(ids[outside][0])}")
        return bytes(ids.astype(np.uint8)).decode("utf-8", errors="replace")


def tokenizer_class(directory: Path) -> str | None:
    """`tokenizer_class` of the checkpoint's tokenizer_config.json; None without that file."""
    path = directory / "tokenizer_config.json"
    try:
        values = read_json(read_bounded(path, MAX_CONFIG_BYTES))
    except MissingError:
        return None
    except UnreadableError as error:
        raise CheckpointError(f"{path}: {error}") from None
    name = values.get("tokenizer_class") if isinstance(values, dict) else None
    if not isinstance(name, str):
        raise CheckpointError(f"{path}: tokenizer_class: expected a name, got {str(name)[:200]}")
    return name


def json_vocabulary(directory: Path) -> Vocabulary | None:
    """The tokenizer.json of a checkpoint's `directory`, to be read at the first call; None if there is none."""
    path = directory / "tokenizer.json"
    if not path.exists():
        return None

    @cache
    def read() -> Tokenizer:
        from bitsim.model.library_tokenizer import from_json_file

        return from_json_file(path)

    return read


def tokenizer(model: str, name: str | None, vocabulary: Vocabulary | None = None) -> Tokenizer:
    """The tokenizer called `name` of `model`, or that of its `vocabulary`.

    Raises `PromptError` if there is none, or if the library that reads it is not installed; `CheckpointError` for a
    damaged vocabulary.
    """
    if name == "ByteTokenizer":
        return ByteTokenizer()
    if vocabulary is not None:
        return vocabulary()
    have = "no tokenizer" if name is None else f"the tokenizer {name}"
    raise PromptError(
        f"{model}: {have} and no tokenizer.json, bitsim has ByteTokenizer only; give token ids instead of text"
    )
