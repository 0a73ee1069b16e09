"""Text through the library `tokenizers`, which is imported when text is: an extra, for real models' vocabularies."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bitsim._untrusted import UnreadableError, read_bounded
from bitsim.errors import CheckpointError, PromptError
from bitsim.model.tokenizer import Tokens, checked_text

MAX_TOKENIZER_BYTES = 1 << 28


class LibraryTokenizer:
    """Wraps a `tokenizers.Tokenizer` of the file `path`: `first` and `last` are ids that it does not add itself."""

    def __init__(self, inner: Any, path: Path, *, first: Sequence[int] = (), last: Sequence[int] = ()) -> None:
        self._inner, self._path, self._first, self._last = inner, path, list(first), list(last)

    def encode(self, text: str) -> Tokens:
        """int64 ids of `text`, with the special tokens that the vocabulary's own rule adds.

        Raises `PromptError` at the first character without a token, which the library would leave out.
        """
        for character in dict.fromkeys(self._ordinary(checked_text(text))):
            if not character.isspace() and not self._has(character):
                at = text.index(character)
                raise PromptError(f"prompt: character {at}, {character!r}: the vocabulary has no token for it")
        return np.array([*self._first, *self._ids(text), *self._last], dtype=np.int64)

    def _ordinary(self, text: str) -> str:
        """`text` without the tokens that are matched whole."""
        for token in self._inner.get_added_tokens_decoder().values():
            if token.content:
                text = text.replace(token.content, " ")
        return text

    def _has(self, character: str) -> bool:
        """Whether all bytes of a character have tokens: the library leaves out those that have none."""
        ids = self._ids(character, special=False)
        return bool(ids) and (character == "\ufffd" or "\ufffd" not in self.decode(ids))

    def decode(self, tokens: Tokens | list[int]) -> str:
        """The text of `tokens`, without special ones; bytes that are not UTF-8 become U+FFFD."""
        text: str = asked(self._path, lambda: self._inner.decode([int(token) for token in tokens]))
        return text

    def _ids(self, text: str, *, special: bool = True) -> list[int]:
        ids: list[int] = asked(self._path, lambda: self._inner.encode(text, add_special_tokens=special).ids)
        return ids


def library() -> Any:
    """The module `tokenizers`; raises `PromptError` naming the extra where it is not installed."""
    try:
        import tokenizers
    except ImportError:
        raise PromptError(
            "text needs the library tokenizers: pip install 'bitsim-hw[text]', or give token ids instead of text"
        ) from None
    return tokenizers


def from_json_file(path: Path) -> LibraryTokenizer:
    """A Hugging Face `tokenizer.json`; its own post-processor says which special tokens are added.

    Raises `CheckpointError` for a file that can't be read.
    """
    module = library()
    try:
        text = read_bounded(path, MAX_TOKENIZER_BYTES).decode()
    except UnreadableError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except UnicodeDecodeError:
        raise CheckpointError(f"{path}: expected UTF-8 text") from None
    return LibraryTokenizer(asked(path, lambda: module.Tokenizer.from_str(text)), path)


def asked(path: Path, call: Callable[[], Any]) -> Any:
    """What `call()` of the library returns; whatever it raises for a bad vocabulary is a `CheckpointError` of `path`.

    It is written in Rust, whose panics come as an exception of their own beside Python's `Exception`.
    """
    try:
        return call()
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise CheckpointError(f"{path}: expected a vocabulary of the library tokenizers: {str(error)[:200]}") from None
