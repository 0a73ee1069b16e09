"""Files for llama.cpp are those that llama.cpp opened, and it computed of them what bitsim computes.

The recorded load is of llama.cpp itself (tools/record_llama_cpp.py); the files must still be those, byte by byte. It
quantises activations in blocks of 256 and keeps keys and values in float16, so that logits differ a little.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader

from bitsim.errors import CheckpointError, PromptError
from bitsim.model.checkpoint import load_model
from bitsim.model.executor import ReferenceExecutor
from bitsim.model.files.gguf_file import GgufFile
from bitsim.model.files.gguf_vocabulary import gguf_vocabulary
from bitsim.model.generate import generate
from tests.golden.for_llama_cpp import PROMPT, SPM_MODELS, TEXTS, files, spm_file

RECORD = json.loads((Path(__file__).parents[1] / "golden" / "llama_cpp.json").read_text())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return files(tmp_path_factory.mktemp("for_llama_cpp"))


def test_the_record_is_of_this_prompt_and_these_packings(written):
    assert RECORD["prompt"] == PROMPT
    assert RECORD["files"].keys() == written.keys()


@pytest.mark.parametrize("packing", RECORD["files"])
def test_files_are_those_that_llama_cpp_opened_and_the_gguf_library_reads(written, packing):
    path, record = written[packing], RECORD["files"][packing]
    assert hashlib.sha256(path.read_bytes()).hexdigest() == record["sha256"], (
        "record it again: tools/record_llama_cpp.py"
    )
    reader = GGUFReader(path)
    texts = {key for key, field in reader.fields.items() if not key.startswith("GGUF.") and len(field.types) == 1}
    assert texts == set(record["keys"])  # llama.cpp shows no arrays
    assert {tensor.tensor_type.name for tensor in reader.tensors} == {"BF16", "F32", packing.upper()}


@pytest.mark.parametrize("packing", RECORD["files"])
def test_llama_cpp_computed_the_same_tokens(written, packing):
    record = RECORD["files"][packing]
    model = load_model(written[packing])
    prompt = model.vocabulary().encode(PROMPT)
    assert prompt.tolist() == record["prompt_ids"]
    tokens, logits = generate(model, ReferenceExecutor(), prompt, len(record["greedy_tokens"]), logits="all")
    assert tokens[len(prompt) :].tolist() == record["greedy_tokens"]
    np.testing.assert_allclose(logits[: len(prompt)].max(axis=1), record["largest_logits"], rtol=0.05)


@pytest.mark.parametrize("name", SPM_MODELS)
def test_vocabularies_of_sentence_piece_give_the_ids_of_llama_cpp(tmp_path, name):
    """Random pieces with scores of which many are equal, so that any other order of joining shows."""
    words = gguf_vocabulary(GgufFile(spm_file(tmp_path, name)))()
    recorded = RECORD["sentence_piece"][name]
    for text, ids in zip(TEXTS, recorded, strict=True):
        assert words.encode(text).tolist() == ids, text
    assert len({tuple(ids) for ids in recorded}) == len(TEXTS)


def test_texts_of_sentence_piece_come_back_without_special_tokens(tmp_path):
    words = gguf_vocabulary(GgufFile(spm_file(tmp_path, "no space")))()
    for text in TEXTS:
        special = text
        for token in ("<s>", "</s>", "<unk>"):
            special = special.replace(token, "")
        assert words.decode(words.encode(text)) == special.replace("\u2581", " ")
    assert words.decode([3 + 0xE4]) == "\ufffd"
    with pytest.raises(PromptError, match=r"token ids of this vocabulary are 0\.\."):
        words.decode([99999])


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("scores", None, r"scores: expected \d+ numbers, one for each token, got 'None'"),
        ("scores", np.full(3, 1.0), r"scores: expected \d+ numbers, one for each"),
        ("add_space_prefix", "yes", "add_space_prefix: expected true or false"),
        ("bos_token_id", 99999, "bos_token_id: expected an id of"),
        ("tokens", ["<unk>"] * 2, "is there twice|scores: expected 2"),
        ("model", "t5", "model: expected gpt2, a byte-level BPE, or llama, SentencePiece"),
    ],
)
def test_vocabularies_of_sentence_piece_that_are_wrong_are_refused(tmp_path, key, value, match):
    file = GgufFile(spm_file(tmp_path, "plain"))
    if key == "tokens":
        file.strings = lambda _: value
    elif value is None:
        del file.metadata[f"tokenizer.ggml.{key}"]
    else:
        file.metadata[f"tokenizer.ggml.{key}"] = value
    with pytest.raises(CheckpointError, match=match):
        gguf_vocabulary(file)()
