"""Record what llama.cpp makes of the files that `bitsim convert --arch bitnet` writes.

    CMAKE_ARGS="-DLLAVA_BUILD=OFF -DGGML_OPENMP=OFF" pip install --no-binary llama-cpp-python llama-cpp-python==0.3.36
    python -m tools.record_llama_cpp tests/golden/llama_cpp.json

Per packing: SHA-256 of the file, the keys that llama.cpp read, the ids of the prompt by its own tokenizer, the largest
logit at each of them and the greedy tokens that follow. tests/model/test_llama_cpp.py holds the files and what bitsim
computes of them against it. Building takes five minutes on a core, too long for each run of the tests.
"""

import hashlib
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import llama_cpp
import numpy as np

from tests.golden.for_llama_cpp import PROMPT, SPM_MODELS, TEXTS, files, spm_file

NEW_TOKENS = 24


def record(path: Path) -> dict[str, Any]:
    model = llama_cpp.Llama(str(path), n_ctx=128, n_threads=1, logits_all=True, verbose=False)
    prompt = model.tokenize(PROMPT.encode(), add_bos=True)
    model.eval(prompt)
    largest = [float(row.max()) for row in model.scores[: len(prompt)]]
    tokens: list[int] = []
    for _ in range(NEW_TOKENS):
        tokens.append(int(np.argmax(model.scores[model.n_tokens - 1])))
        model.eval(tokens[-1:])
    return {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "keys": sorted(model.metadata),
        "prompt_ids": prompt,
        "largest_logits": [round(value, 3) for value in largest],
        "greedy_tokens": tokens,
    }


def ids_of_texts(path: Path) -> list[list[int]]:
    """Of each text, special tokens in it included."""
    model = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
    return [model.tokenize(text.encode(), add_bos=True, special=True) for text in TEXTS]


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        found = {packing: record(path) for packing, path in files(Path(folder)).items()}
        spm = {name: ids_of_texts(spm_file(Path(folder), name)) for name in SPM_MODELS}
    content = {"llama_cpp_python": llama_cpp.__version__, "prompt": PROMPT, "files": found, "sentence_piece": spm}
    Path(sys.argv[1]).write_text(json.dumps(content, indent=1) + "\n")
