"""Text in, text out: by tokenizer.json, by GGUF's own vocabulary, and refusals that say how to go on."""

import builtins
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import bitsim
from bitsim.errors import BitsimError, CheckpointError, PromptError
from bitsim.model.checkpoint import load_checkpoint, load_model
from bitsim.model.files.gguf_vocabulary import GPT2_SPLIT, LLAMA3_SPLIT, QWEN2_SPLIT
from bitsim.model.library_tokenizer import asked
from bitsim.model.tokenizer import json_vocabulary, tokenizer
from tests.model.files.gguf_bytes import VOCAB, gguf_bytes, key_value, metadata, model_tensors, text
from tests.model.tiny_models import tiny_config, write_checkpoint

tokenizers = pytest.importorskip("tokenizers")

TOKENS = ["<bos>", "<eos>", "<pad>", *"abcdefghijklmno", "Ġ", "1", "2", "Ċ", "ab", "Ġab", "abc", "12", "<think>"]
TOKENS += [f"<{i}>" for i in range(VOCAB - len(TOKENS))]
MERGES = ["a b", "Ġ ab", "ab c", "1 2"]
TYPES = [3, 3, 3] + [4 if token == "<think>" else 1 for token in TOKENS[3:]]
BOS, EOS, THINK = 0, 1, TOKENS.index("<think>")


def ids(*tokens):
    return [TOKENS.index(token) for token in tokens]


def vocabulary(**changes):
    values = {"model": "gpt2", "pre": "llama-bpe", "tokens": TOKENS, "merges": MERGES, "token_type": TYPES}
    values |= {"bos_token_id": BOS, "eos_token_id": EOS, "add_bos_token": True} | changes
    return {f"tokenizer.ggml.{key}": value for key, value in values.items() if value is not None}


def write(tmp_path, **changes):
    meta = {key: value for key, value in metadata().items() if not key.startswith("tokenizer")}
    own = vocabulary(**changes)
    types = own.pop("tokenizer.ggml.token_type", None)
    raw = gguf_bytes(meta | own, model_tensors())
    if types is not None:  # int32 numbers, which the plain writer has none of
        raw = raw_with_key(meta | own, np.asarray(types))
    path = tmp_path / "model.gguf"
    path.write_bytes(raw)
    return path


def raw_with_key(meta, types):
    import struct

    code = {"i": 5, "f": 6}[types.dtype.kind]
    array = text("tokenizer.ggml.token_type") + struct.pack("<IIQ", 9, code, len(types))
    array += types.astype({5: "<i4", 6: "<f4"}[code]).tobytes()
    tensors = model_tensors()
    one = gguf_bytes(meta | {"zzz": 0}, tensors)
    placeholder = key_value("zzz", 0)
    at = one.index(placeholder)
    names = sum(8 + len(name) + 4 + 8 * len(shape) + 12 for name, (_, shape, _) in tensors.items())
    head = one[:at] + array + one[at + len(placeholder) :][:names]
    data = one[at + len(placeholder) + names + -(at + len(placeholder) + names) % 32 :]
    return head + bytes(-len(head) % 32) + data


def words(path):
    return load_checkpoint(path).vocabulary()


def test_text_becomes_the_ids_of_the_files_vocabulary_and_back(tmp_path):
    own = words(write(tmp_path))
    assert own.encode("abc ab12").tolist() == [BOS, *ids("abc", "Ġab", "12")]
    assert own.encode("a<think>b\n").tolist() == [BOS, *ids("a"), THINK, *ids("b", "Ċ")]
    assert own.encode("<eos>a").tolist() == [BOS, EOS, *ids("a")]
    assert own.decode([BOS, *ids("abc", "Ġab", "12"), THINK, EOS]) == "abc ab12<think>"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"add_bos_token": False}, ids("12", "1")),
        ({"add_bos_token": None}, [BOS, *ids("12", "1")]),  # llama.cpp's rule for these
        ({"add_bos_token": None, "pre": "falcon3"}, [BOS, *ids("12", "1")]),
        ({"add_bos_token": None, "pre": "qwen2"}, ids("1", "2", "1")),  # digits one by one, no BOS
        ({"add_bos_token": None, "pre": "gpt-2"}, ids("12", "1")),
        ({"add_eos_token": True}, [BOS, *ids("12", "1"), EOS]),
        ({"merges": ["a b"]}, [BOS, *ids("1", "2", "1")]),
    ],
)
def test_special_tokens_and_splits_follow_the_keys(tmp_path, changes, expected):
    assert words(write(tmp_path, **changes)).encode("121").tolist() == expected


def test_a_piece_that_is_a_token_is_one_where_llama_cpp_ignores_merges(tmp_path):
    assert words(write(tmp_path, merges=["a b"])).encode("abc").tolist() == [BOS, *ids("abc")]
    assert words(write(tmp_path, merges=["a b"], pre="gpt-2")).encode("abc").tolist() == [BOS, *ids("ab", "c")]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"model": "t5"}, r"tokenizer\.ggml\.model: expected gpt2, .*SentencePiece.*got 't5'; give token ids"),
        ({"model": "llama"}, r"tokenizer\.ggml\.scores: expected \d+ numbers, .*got 'None'; give token ids"),
        ({"pre": None}, r"tokenizer\.ggml\.pre: expected one of llama3, .*got 'None'"),
        ({"pre": "falcon_e"}, r"tokenizer\.ggml\.pre: expected one of"),
        ({"tokens": None}, r"tokenizer\.ggml\.tokens: expected an array of strings"),
        ({"merges": 3}, r"tokenizer\.ggml\.merges: expected an array of strings"),
        ({"merges": ["a b c"]}, r"merges\[0\]: expected two tokens, got 'a b c'"),
        ({"merges": ["a z"]}, "expected a vocabulary of the library tokenizers"),
        ({"tokens": [*TOKENS[:-1], "a"]}, r"tokens: 'a' is there twice"),
        ({"token_type": [1, 2]}, rf"token_type: expected {VOCAB} numbers"),
        ({"token_type": [0.5] * VOCAB}, rf"token_type: expected {VOCAB} numbers"),
        ({"add_bos_token": 1}, "add_bos_token: expected true or false"),
        ({"bos_token_id": VOCAB}, rf"bos_token_id: expected an id of 0..{VOCAB - 1}"),
        ({"bos_token_id": None}, "bos_token_id: expected an id"),
        ({"add_eos_token": True, "eos_token_id": "1"}, "eos_token_id: expected an id"),
    ],
)
def test_vocabularies_that_are_not_read_are_refused_in_words_and_token_ids_run(tmp_path, changes, match):
    path = write(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=match):
        words(path)
    result = bitsim.run(path, "ternary-ws-64x64", tokens=[1, 2], new_tokens=1, toggles="off")
    assert result.text is None
    assert any(note.startswith("no text, token ids only:") for note in result.notes)
    with pytest.raises(CheckpointError, match=match):
        bitsim.run(path, "ternary-ws-64x64", prompt="ab", toggles="off")


def test_a_run_gives_text(tmp_path):
    path = write(tmp_path)
    seen = []
    by_text = bitsim.run(
        path, "ternary-ws-64x64", prompt="abc", new_tokens=2, toggles="off", on_token=lambda *new: seen.append(new)
    )
    by_ids = bitsim.run(path, "ternary-ws-64x64", tokens=[BOS, *ids("abc")], new_tokens=2, toggles="off")
    assert by_text.tokens == by_ids.tokens
    assert by_text.text == by_ids.text == words(path).decode(by_ids.tokens[2:])
    assert [token for token, _ in seen] == list(by_ids.tokens[2:])


def library_json():
    inner = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            vocab={token: i for i, token in enumerate(TOKENS)}, merges=[tuple(m.split()) for m in MERGES]
        )
    )
    split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(LLAMA3_SPLIT), behavior="isolated")
    level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([split, level])
    inner.decoder = tokenizers.decoders.ByteLevel()
    inner.add_special_tokens(TOKENS[:3])
    inner.post_processor = tokenizers.processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", BOS)])
    return inner.to_str()


def test_tokenizer_json_beside_a_checkpoint(tmp_path):
    folder = write_checkpoint(tmp_path / "model", tiny_config())
    assert load_model(folder).vocabulary is None
    (folder / "tokenizer.json").write_text(library_json())
    own = load_model(folder).vocabulary()
    assert own.encode("abc 12").tolist() == [BOS, *ids("abc", "Ġ", "12")]  # BOS by the file's own rule
    assert own.decode([BOS, *ids("abc", "Ġ", "12")]) == "abc 12"
    for raw, match in ((b"{", "expected a vocabulary"), (b"\xff", "expected UTF-8"), (b'{"model": {}}', "vocabulary")):
        (folder / "tokenizer.json").write_bytes(raw)
        with pytest.raises(CheckpointError, match=rf"tokenizer\.json: .*{match}"):
            tokenizer("m", None, json_vocabulary(folder))


def test_both_ways_to_one_vocabulary_agree(tmp_path):
    (tmp_path / "tokenizer.json").write_text(library_json())
    ours, theirs = words(write(tmp_path)), json_vocabulary(tmp_path)()
    for sentence in ("abc", "ab12 ab\n\nabc 212 ", "a" * 50, "<bos>ab"):
        assert ours.encode(sentence).tolist() == theirs.encode(sentence).tolist()


@given(st.text(st.sampled_from("aB1 \n.,'sé日"), min_size=1, max_size=30))
def test_patterns_split_text_without_loss(sentence):
    for pattern in (LLAMA3_SPLIT, QWEN2_SPLIT, GPT2_SPLIT):
        split = tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), behavior="isolated")
        assert "".join(piece for piece, _ in split.pre_tokenize_str(sentence)) == sentence


def test_gpt2s_pattern_is_the_librarys_own():
    own = tokenizers.pre_tokenizers.Split(tokenizers.Regex(GPT2_SPLIT), behavior="isolated")
    theirs = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    for sentence in ("I'll say: it's 1234 o'clock,  isn't it?\n\n  yes ", "a\tb  c", "!!! 'twas"):
        spans = [span for _, span in own.pre_tokenize_str(sentence)]
        assert spans == [span for _, span in theirs.pre_tokenize_str(sentence)]


def test_without_the_library_text_names_the_extra_and_token_ids_run(tmp_path, monkeypatch):
    path, real = write(tmp_path), builtins.__import__

    def absent(name, *rest):
        if name == "tokenizers":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(PromptError, match=r"pip install 'bitsim-hw\[text\]', or give token ids"):
        bitsim.run(path, "ternary-ws-64x64", prompt="ab", toggles="off")
    result = bitsim.run(path, "ternary-ws-64x64", tokens=[1], new_tokens=1, toggles="off")
    assert any("bitsim-hw[text]" in note for note in result.notes)


def test_a_character_without_a_token_is_named_and_not_left_out(tmp_path):
    own = words(write(tmp_path))
    for sentence, place in (
        ("abz", "character 2, 'z'"),
        ("Za b", "character 0, 'Z'"),
        ("a 日", "character 2, '日'"),
        ("a!\n", "character 1, '!'"),
    ):
        with pytest.raises(PromptError, match=rf"{place}: the vocabulary has no token"):
            own.encode(sentence)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_vocabularies_are_read_or_refused(tmp_path, data):
    raw = write(tmp_path).read_bytes()
    at = raw.index(b"tokenizer.ggml.model") - 8
    position = data.draw(st.integers(at, raw.index(b"blk.0.attn_q.weight") - 1))
    flip = data.draw(st.integers(1, 255))
    path = tmp_path / f"{len(list(tmp_path.iterdir()))}.gguf"  # mapped files are not written again
    path.write_bytes(raw[:position] + bytes([raw[position] ^ flip]) + raw[position + 1 :])
    with suppress(BitsimError):
        opened = load_checkpoint(path)
        if opened.vocabulary is not None:
            opened.vocabulary().decode(opened.vocabulary().encode("abc 12"))


def test_panics_of_the_library_are_errors_of_the_file_and_nothing_else_is_caught(tmp_path):
    def raising(error):
        raise error

    panic = type("PanicException", (BaseException,), {})  # as the library's Rust raises it
    with pytest.raises(CheckpointError, match=r"x\.json: expected a vocabulary .*: no entry"):
        asked(tmp_path / "x.json", lambda: raising(panic("no entry")))
    for error in (KeyboardInterrupt, SystemExit):
        with pytest.raises(error):
            asked(tmp_path / "x.json", lambda error=error: raising(error()))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_tokenizer_json_is_read_or_refused(tmp_path, data):
    raw = library_json().encode()
    position, byte = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 255))
    (tmp_path / "tokenizer.json").write_bytes(raw[:position] + bytes([byte]) + raw[position + 1 :])
    with suppress(BitsimError):
        own = json_vocabulary(tmp_path)()
        own.decode(own.encode("abc 12<bos>"))


def test_empty_text_is_refused(tmp_path):
    for sentence, match in (("", "empty"), ("\udcff", "UTF-8")):
        with pytest.raises(PromptError, match=match):
            words(write(tmp_path)).encode(sentence)
