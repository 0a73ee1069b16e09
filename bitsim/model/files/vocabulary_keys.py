"""A tokenizer.json as the keys `tokenizer.ggml.*` of a GGUF file, without which llama.cpp refuses the file.

Byte-level BPE with one of the splits that `gguf_vocabulary` reads. Read as JSON, so that no library is needed.
Source: llama.cpp `conversion/base.py`; the names of the splits are its own.
"""

from pathlib import Path
from typing import Any

from bitsim._untrusted import MissingError, UnreadableError, read_bounded, read_json
from bitsim.errors import CheckpointError
from bitsim.model.files.gguf_keys import bool_key, integer_key, integers_key, text_key, texts_key
from bitsim.model.files.gguf_vocabulary import GPT2_SPLIT, SPLITTINGS
from bitsim.model.library_tokenizer import MAX_TOKENIZER_BYTES

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5
_NAMES = ("llama-bpe", "qwen2", "gpt-2")
_AT = "tokenizer.ggml."


def vocabulary_keys(directory: Path, vocab_size: int) -> list[bytes]:
    """The keys of the tokenizer.json in `directory`, for an embedding of `vocab_size` rows.

    Raises `CheckpointError` naming file and key: no such file, another kind of vocabulary, ids beyond the embedding.
    """
    path = directory / "tokenizer.json"
    values, settings = _object(path), _settings(directory / "tokenizer_config.json")
    model = _part(values, "model", path)
    if model.get("type") != "BPE" or not isinstance(model.get("vocab"), dict):
        raise _fail(path, "model", "a BPE with a vocab", model.get("type"))
    pre = _splitting(values, path)
    if bool(model.get("ignore_merges")) != SPLITTINGS[pre].whole_first:
        expected = f"{SPLITTINGS[pre].whole_first}, as llama.cpp takes it for {pre}"
        raise _fail(path, "model.ignore_merges", expected, model.get("ignore_merges"))
    tokens, types = _tokens(model["vocab"], values.get("added_tokens") or [], vocab_size, path)
    ids = {token: i for i, token in enumerate(tokens)}
    keys = [
        text_key(f"{_AT}model", "gpt2"),
        text_key(f"{_AT}pre", pre),
        texts_key(f"{_AT}tokens", tokens),
        integers_key(f"{_AT}token_type", types),
        texts_key(f"{_AT}merges", _merges(model, path)),
    ]
    first = _first_token(values.get("post_processor"))
    for name, token in (("bos", first or settings.get("bos_token")), ("eos", settings.get("eos_token"))):
        if token in ids:
            keys.append(integer_key(f"{_AT}{name}_token_id", ids[token]))
    return [*keys, bool_key(f"{_AT}add_bos_token", first in ids)]


def _fail(path: Path, key: str, expected: str, got: object) -> CheckpointError:
    return CheckpointError(f"{path}: {key}: expected {expected}, got {str(got)[:200]}")


def _object(path: Path) -> dict[str, Any]:
    try:
        values = read_json(read_bounded(path, MAX_TOKENIZER_BYTES))
    except UnreadableError as error:
        raise CheckpointError(f"{path}: {error} (llama.cpp opens no file without a vocabulary)") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected a JSON object, got {type(values).__name__}")
    return values


def _part(values: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    part = values.get(key)
    if not isinstance(part, dict):
        raise _fail(path, key, "an object", part)
    return part


def _settings(path: Path) -> dict[str, str]:
    """The special tokens that tokenizer_config.json names; none without the file."""
    try:
        values = read_json(read_bounded(path, MAX_TOKENIZER_BYTES))
    except MissingError:
        return {}
    except UnreadableError as error:
        raise CheckpointError(f"{path}: {error}") from None
    found = {}
    for key in ("bos_token", "eos_token"):
        token = values.get(key) if isinstance(values, dict) else None
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str):
            found[key] = token
    return found


def _splitting(values: dict[str, Any], path: Path) -> str:
    """llama.cpp's name for the way that text is split."""
    pre = _part(values, "pre_tokenizer", path)
    steps = pre.get("pretokenizers") if pre.get("type") == "Sequence" else [pre]
    pattern = None
    for step in steps if isinstance(steps, list) else []:
        if isinstance(step, dict) and step.get("type") == "Split" and isinstance(step.get("pattern"), dict):
            pattern = step["pattern"].get("Regex")
        elif isinstance(step, dict) and step.get("type") == "ByteLevel" and step.get("use_regex", True):
            pattern = GPT2_SPLIT
    name = next((name for name in _NAMES if SPLITTINGS[name].pattern == pattern), None)
    if name is None:
        raise _fail(path, "pre_tokenizer", "the split of Llama 3, Qwen 2 or GPT-2", pattern)
    return name


def _tokens(vocab: dict[str, Any], added: Any, vocab_size: int, path: Path) -> tuple[list[str], list[int]]:
    """Tokens by id and their types; rows of the embedding without a token get unused ones, as llama.cpp's converter."""
    tokens, types = [f"[PAD{i}]" for i in range(vocab_size)], [_UNUSED] * vocab_size
    specials = added if isinstance(added, list) else []
    entries = [(token, number, _NORMAL) for token, number in vocab.items()]
    for entry in specials:
        if not isinstance(entry, dict) or not isinstance(entry.get("content"), str):
            raise _fail(path, "added_tokens", "objects with a content", entry)
        entries.append((entry["content"], entry.get("id"), _CONTROL if entry.get("special") else _USER_DEFINED))
    for token, number, kind in entries:
        if type(number) is not int or not 0 <= number < vocab_size:
            raise _fail(path, f"token {token[:60]!r}", f"an id of 0..{vocab_size - 1}, the embedding's rows", number)
        tokens[number], types[number] = token, kind
    return tokens, types


def _merges(model: dict[str, Any], path: Path) -> list[str]:
    """Pairs, written as lists or with a space between."""
    merges = model.get("merges")
    if not isinstance(merges, list):
        raise _fail(path, "model.merges", "a list of pairs", type(merges).__name__)
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    for i, pair in enumerate(pairs):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(half, str) for half in pair):
            raise _fail(path, f"model.merges[{i}]", "a pair of tokens", merges[i])
    return [" ".join(pair) for pair in pairs]


def _first_token(processor: Any) -> str | None:
    """The special token that the post-processor puts in front of a text; None if it puts none there."""
    steps = processor.get("processors") if isinstance(processor, dict) and "processors" in processor else [processor]
    for step in steps if isinstance(steps, list) else []:
        if isinstance(step, dict) and step.get("type") == "TemplateProcessing":
            single = step.get("single")
            first = single[0] if isinstance(single, list) and single else None
            token = first.get("SpecialToken") if isinstance(first, dict) else None
            if isinstance(token, dict) and isinstance(token.get("id"), str):
                found: str = token["id"]
                return found
    return None
