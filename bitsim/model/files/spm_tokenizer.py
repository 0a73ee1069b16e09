"""SentencePiece's vocabulary inside a GGUF file (`tokenizer.ggml.model` llama): pieces with scores, joined greedily.

Spaces become U+2581, one is put in front of a text. Of all neighbours whose join is a piece, those with the greatest
score are joined first, the leftmost of equal ones; what is no piece in the end becomes its UTF-8 bytes. Source:
llama.cpp `src/llama-vocab.cpp` (llm_tokenizer_spm_session), with which tests/model/test_llama_cpp.py compares ids.
"""

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from pathlib import Path

import numpy as np

from bitsim.errors import CheckpointError, PromptError
from bitsim.model.tokenizer import Tokens, checked_text

_SPACE = "\u2581"
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 1, 2, 3, 4, 6


class SpmTokenizer:
    """`tokens`, `scores`, `types`: by id. `first`, `last`: ids put around a text. `space`: whether one is put in front.

    Raises `CheckpointError` naming `path` for a token that is there twice.
    """

    def __init__(
        self,
        path: Path,
        tokens: Sequence[str],
        scores: Sequence[float],
        types: Sequence[int],
        *,
        first: Sequence[int],
        last: Sequence[int],
        space: bool,
    ) -> None:
        self._ids = {token: i for i, token in enumerate(tokens)}
        if len(self._ids) != len(tokens):
            twice = next(token for i, token in enumerate(tokens) if self._ids[token] != i)
            raise CheckpointError(f"{path}: tokenizer.ggml.tokens: {twice[:60]!r} is there twice")
        self._tokens, self._scores, self._types = tokens, scores, types
        self._first, self._last, self._space = list(first), list(last), space
        whole = (i for i, kind in enumerate(types) if kind in (_UNKNOWN, _CONTROL, _USER_DEFINED) and tokens[i])
        self._whole = sorted(whole, key=lambda i: -len(tokens[i].encode()))

    def encode(self, text: str) -> Tokens:
        """int64 ids of `text`. Raises `PromptError` for a character without a token whose bytes have none either."""
        parts: list[str | int] = [checked_text(text)]
        for token in self._whole:
            parts = [piece for part in parts for piece in self._split(part, token)]
        ids, after_whole = list(self._first), True
        for part in parts:
            if isinstance(part, int):
                ids.append(part)
            else:
                space = " " if self._space and after_whole else ""
                ids.extend(self._pieces((space + part).replace(" ", _SPACE)))
            after_whole = isinstance(part, int)
        return np.array([*ids, *self._last], dtype=np.int64)

    def decode(self, tokens: Tokens | list[int]) -> str:
        """The text of `tokens`, without special ones; bytes that are not UTF-8 become U+FFFD.

        The space that stands in front of a text is part of it.
        """
        text = b""
        for token in map(int, tokens):
            if not 0 <= token < len(self._tokens):
                raise PromptError(f"token ids of this vocabulary are 0..{len(self._tokens) - 1}, got {token}")
            piece, kind = self._tokens[token], self._types[token]
            if kind == _BYTE:
                text += bytes([int(piece[3:5], 16)])
            elif kind == _USER_DEFINED:
                text += piece.encode()
            elif kind == _NORMAL:
                text += piece.replace(_SPACE, " ").encode()
        return text.decode("utf-8", errors="replace")

    def _split(self, part: str | int, token: int) -> Iterator[str | int]:
        """`part` at each place where a special token's text stands."""
        if isinstance(part, int):
            yield part
            return
        for i, piece in enumerate(part.split(self._tokens[token])):
            if i:
                yield token
            if piece:
                yield piece

    def _pieces(self, text: str) -> Iterator[int]:
        """Joins neighbours of `parts`, an entry for each character; a joined one is empty, `after` says who follows."""
        parts = list(text)
        before, after = list(range(-1, len(parts) - 1)), list(range(1, len(parts) + 1))
        queue: list[tuple[float, int, int, int]] = []

        def consider(left: int, right: int) -> None:
            if left >= 0 and right < len(parts):
                whole = parts[left] + parts[right]
                token = self._ids.get(whole)
                if token is not None:
                    heappush(queue, (-self._scores[token], left, right, len(whole)))

        for i in range(1, len(parts)):
            consider(i - 1, i)
        while queue:
            _, left, right, size = heappop(queue)
            if not parts[left] or not parts[right] or len(parts[left]) + len(parts[right]) != size:
                continue
            parts[left] += parts[right]
            parts[right] = ""
            after[left] = after[right]
            if after[right] < len(parts):
                before[after[right]] = left
            consider(before[left], left)
            consider(left, after[left])
        for part in parts:
            if part:
                yield from self._of_piece(part)

    def _of_piece(self, part: str) -> Iterator[int]:
        token = self._ids.get(part)
        if token is not None:
            yield token
            return
        for byte in part.encode():
            found = self._ids.get(f"<0x{byte:02X}>")
            if found is None:
                raise PromptError(f"prompt: {part!r}: the vocabulary has no token for it")
            yield found
