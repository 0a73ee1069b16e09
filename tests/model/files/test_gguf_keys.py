"""The tables of GGUF's keys are those that are read, and the page on checkpoints counts them."""

import re
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from bitsim.errors import CheckpointError
from bitsim.model.checkpoint import load_checkpoint
from bitsim.model.files import gguf_file
from bitsim.model.files.gguf_key_table import FILE, IGNORED, OWN, READ, VOCABULARY
from bitsim.model.files.gguf_vocabulary import _AT, gguf_vocabulary
from tests.golden.for_llama_cpp import spm_file
from tests.model.files.gguf_bytes import gguf_bytes, metadata, model_tensors


class Recorded(dict):
    """Metadata that notes which keys were asked for by name."""

    asked: ClassVar[set[str]] = set()

    def __getitem__(self, key):
        self.asked.add(key)
        return super().__getitem__(key)

    def get(self, key, default=None):
        self.asked.add(key)
        return super().get(key, default)

    def __contains__(self, key):
        self.asked.add(key)
        return super().__contains__(key)


WORDS = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "qwen2",
    "tokenizer.ggml.tokens": ["a", "b", "ab"],
    "tokenizer.ggml.merges": ["a b"],
    "tokenizer.ggml.add_bos_token": True,
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.add_eos_token": True,
    "tokenizer.ggml.eos_token_id": 1,
    "bitsim.linear_scales": np.full(14, 0.5, np.float32),
    "bitsim.linear_class": "autobitlinear",
    "bitsim.hidden_act": "relu2",
    "bitsim.tokenizer_class": "X",
}
YARN = {"rope.scaling.type": "yarn", "rope.scaling.factor": 2.0, "rope.scaling.original_context_length": 64}


@pytest.fixture
def asked(monkeypatch):
    read = gguf_file.read_header
    Recorded.asked = set()

    def recorded(data, path):
        header = read(data, path)
        return header._replace(metadata=Recorded(header.metadata))

    monkeypatch.setattr(gguf_file, "read_header", recorded)
    return Recorded.asked


def test_keys_that_are_asked_for_are_those_of_the_tables(asked, tmp_path):
    path = tmp_path / "all.gguf"
    keys = metadata() | WORDS | {f"bitnet-b1.58.{key}": value for key, value in YARN.items()}
    keys |= {"bitnet-b1.58.attention.sliding_window": 64}
    path.write_bytes(gguf_bytes(keys, model_tensors("I2_S x86", 0.5)))
    load_checkpoint(path, i2s="x86").vocabulary()
    gguf_vocabulary(gguf_file.GgufFile(spm_file(tmp_path, "eos")))()
    own = {key.removeprefix("bitnet-b1.58.") for key in asked if key.startswith("bitnet-b1.58.")}
    assert own - IGNORED.keys() == READ.keys()
    assert {key for key in asked if key.startswith("bitsim.")} == OWN.keys()
    assert {key.removeprefix(_AT) for key in asked if key.startswith(_AT)} == VOCABULARY.keys()
    assert {key for key in asked if key.startswith(("general.", "split."))} == FILE.keys()


def test_the_page_on_checkpoints_counts_the_keys():
    page = (Path(__file__).parents[3] / "docs" / "checkpoints.md").read_text().replace("\n", " ")
    said = re.search(
        r"Of GGUF's keys, (\d+) behind the architecture's name are executed or checked and (\d+) ignored; (\d+) say "
        r"how the file is laid out, (\d+) are bitsim's own, and (\d+) of `tokenizer.ggml`",
        page,
    )
    assert said is not None
    assert [int(number) for number in said.groups()] == [len(t) for t in (READ, IGNORED, FILE, OWN, VOCABULARY)]


def test_a_key_of_no_table_is_refused_and_one_of_the_ignored_listed(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(gguf_bytes(metadata() | {"bitnet-b1.58.pooling_type": 1}, model_tensors()))
    assert "bitnet-b1.58.pooling_type" in load_checkpoint(path).ignored
    for key in ("bitnet-b1.58.attention.clamp_kqv", "bitsim.other"):
        path.write_bytes(gguf_bytes(metadata() | {key: 1.0}, model_tensors()))
        with pytest.raises(CheckpointError, match=rf"{re.escape(key)}: unknown key, which could change"):
            load_checkpoint(path)
