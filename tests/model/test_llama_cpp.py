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

from bitsim.model.checkpoint import load_model
from bitsim.model.executor import ReferenceExecutor
from bitsim.model.generate import generate
from tests.golden.for_llama_cpp import PROMPT, files

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
