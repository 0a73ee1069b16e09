"""The vocabulary inside a GGUF file as a tokenizer: byte-level BPE, split as its `pre` says, or SentencePiece.

Which keys are read: `gguf_key_table`. Text is not normalised, as llama.cpp doesn't. Source: llama.cpp
`src/llama-vocab.cpp`; the patterns are those of the public tokenizer.json of Llama 3, Qwen 2 and GPT-2.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from bitsim.errors import CheckpointError
from bitsim.model.files.gguf_file import GgufFile
from bitsim.model.files.spm_tokenizer import SpmTokenizer
from bitsim.model.library_tokenizer import LibraryTokenizer, asked, library
from bitsim.model.tokenizer import Tokenizer, Vocabulary

_AT = "tokenizer.ggml."
_CONTROL, _USER_DEFINED, _BYTE = 3, 4, 6
_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3_SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _TAIL
QWEN2_SPLIT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + _TAIL
GPT2_SPLIT = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


@dataclass(frozen=True, slots=True, kw_only=True)
class Splitting:
    """`pattern`: what becomes a piece. `whole_first`: a piece that is a token is one, whatever merges would give.
    `bos`: whether BOS is added where the file does not say."""

    pattern: str
    whole_first: bool = False
    bos: bool = False


_LLAMA3 = Splitting(pattern=LLAMA3_SPLIT, whole_first=True, bos=True)
SPLITTINGS = {
    **dict.fromkeys(("llama3", "llama-v3", "llama-bpe", "falcon3"), _LLAMA3),
    "qwen2": Splitting(pattern=QWEN2_SPLIT),
    "gpt-2": Splitting(pattern=GPT2_SPLIT),
}


def gguf_vocabulary(file: GgufFile) -> Vocabulary | None:
    """The file's own vocabulary, to be read at the first call; None if it has none."""
    if f"{_AT}model" not in file.metadata:
        return None
    return cache(lambda: _tokenizer(file))


def _fail(file: GgufFile, key: str, expected: str) -> CheckpointError:
    got = file.metadata.get(_AT + key)
    return CheckpointError(
        f"{file.path}: {_AT}{key}: expected {expected}, got {str(got)[:60]!r}; give token ids instead"
    )


def _tokenizer(file: GgufFile) -> Tokenizer:
    model, pre = file.metadata.get(f"{_AT}model"), file.metadata.get(f"{_AT}pre")
    if model == "llama":
        return _sentence_piece(file)
    if model != "gpt2":
        raise _fail(file, "model", "gpt2, a byte-level BPE, or llama, SentencePiece")
    module = library()
    if not isinstance(pre, str) or pre not in SPLITTINGS:
        raise _fail(file, "pre", f"one of {', '.join(SPLITTINGS)}")
    splitting, tokens = SPLITTINGS[pre], file.strings(f"{_AT}tokens")
    ids = {token: i for i, token in enumerate(tokens)}
    if len(ids) != len(tokens):
        twice = next(token for i, token in enumerate(tokens) if ids[token] != i)
        raise CheckpointError(f"{file.path}: {_AT}tokens: {twice[:60]!r} is there twice")
    merges = [tuple(merge.split(" ")) for merge in file.strings(f"{_AT}merges")]
    for i, merge in enumerate(merges):
        if len(merge) != 2:
            raise CheckpointError(f"{file.path}: {_AT}merges[{i}]: expected two tokens, got {' '.join(merge)[:60]!r}")
    types = _types(file, len(tokens))
    inner = asked(file.path, lambda: _byte_level(module, ids, merges, splitting))
    for kind, special in ((_CONTROL, True), (_USER_DEFINED, False)):
        some = [module.AddedToken(tokens[i], normalized=False, special=special) for i in np.flatnonzero(types == kind)]
        (inner.add_special_tokens if special else inner.add_tokens)(some)
    first = _added(file, "bos", len(tokens), default=splitting.bos)
    return LibraryTokenizer(inner, file.path, first=first, last=_added(file, "eos", len(tokens), default=False))


def _sentence_piece(file: GgufFile) -> SpmTokenizer:
    tokens = file.strings(f"{_AT}tokens")
    count, scores = len(tokens), file.metadata.get(f"{_AT}scores")
    if not isinstance(scores, np.ndarray) or scores.dtype.kind != "f" or len(scores) != count:
        raise _fail(file, "scores", f"{count} numbers, one for each token")
    if not np.isfinite(scores).all():
        raise _fail(file, "scores", "finite numbers")
    space = file.metadata.get(f"{_AT}add_space_prefix", True)
    if not isinstance(space, bool):
        raise _fail(file, "add_space_prefix", "true or false")
    first = _added(file, "bos", count, default=True, usual=1)
    last = _added(file, "eos", count, default=False, usual=2)
    types = _types(file, count)
    for i in np.flatnonzero(types == _BYTE):
        if not re.fullmatch("<0x[0-9A-F]{2}>", tokens[i]):
            raise CheckpointError(
                f"{file.path}: {_AT}tokens[{i}]: expected a byte such as <0x0A>, got {tokens[i][:60]!r}"
            )
    return SpmTokenizer(file.path, tokens, scores.tolist(), types.tolist(), first=first, last=last, space=space)


def _byte_level(module: Any, ids: dict[str, int], merges: list[tuple[str, ...]], splitting: Splitting) -> Any:
    inner = module.Tokenizer(module.models.BPE(vocab=ids, merges=merges, ignore_merges=splitting.whole_first))
    split = module.pre_tokenizers.Split(module.Regex(splitting.pattern), behavior="isolated")
    as_bytes = module.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.pre_tokenizer = module.pre_tokenizers.Sequence([split, as_bytes])
    inner.decoder = module.decoders.ByteLevel()
    return inner


def _types(file: GgufFile, count: int) -> Any:
    """The type of each token; without the key they are all normal."""
    types = file.metadata.get(f"{_AT}token_type")
    if types is None:
        return np.ones(count, dtype=np.int32)
    if not isinstance(types, np.ndarray) or types.dtype.kind not in "iu" or len(types) != count:
        raise _fail(file, "token_type", f"{count} numbers, one for each token")
    return types


def _added(file: GgufFile, name: str, count: int, *, default: bool, usual: int | None = None) -> list[int]:
    """The id of BOS or EOS if it is to be added, else nothing; `usual`: where the file does not say."""
    add = file.metadata.get(f"{_AT}add_{name}_token", default)
    if not isinstance(add, bool):
        raise _fail(file, f"add_{name}_token", "true or false")
    if not add:
        return []
    token = file.metadata.get(f"{_AT}{name}_token_id", usual)
    if type(token) is not int or not 0 <= token < count:
        raise _fail(file, f"{name}_token_id", f"an id of 0..{count - 1}")
    return [token]
