"""The held-out text and other texts as tokens, and the layers of a model from those of the same model with one."""

from pathlib import Path

import numpy as np
import pytest

import bitsim
from bitsim.errors import ConfigError, PromptError
from bitsim.model.checkpoint import load_model, random_model
from bitsim.model.operators import Operator
from bitsim.study import estimate
from bitsim.study.held_out import byte_level_weights, first_window, text_tokens
from bitsim.study.steps import all_layers, at_layer
from tests.model.tiny_models import CONFIG

TEXT = Path(bitsim.__file__).parent / "models" / "held_out.txt"


def test_tokens_are_the_bytes_of_the_file(tmp_path: Path) -> None:
    tokens, name = text_tokens()
    assert (tokens.dtype, tokens.size, name) == (np.int64, 65536, "held_out.txt")
    assert bytes(tokens.tolist()) == TEXT.read_bytes()
    other = tmp_path / "other.txt"
    other.write_bytes(b"\xff\x00abc")
    found, name = text_tokens(other, limit=3)
    assert (found.tolist(), name) == ([255, 0, 97], str(other))
    with pytest.raises(PromptError, match="can't be read"):
        text_tokens(tmp_path / "none.txt")


def test_a_window_is_no_longer_than_the_model_allows() -> None:
    assert first_window(CONFIG, 7).tolist() == list(TEXT.read_bytes()[:7])
    assert first_window(CONFIG, 1000).size == CONFIG.max_position_embeddings == 200
    with pytest.raises(PromptError, match="limit: expected an integer >= 1, got 0"):
        first_window(CONFIG, 0)


def test_models_that_do_not_read_bytes_are_refused() -> None:
    tiny = load_model("tiny-fp16")
    assert byte_level_weights(tiny) is tiny.weights
    with pytest.raises(ConfigError, match="tiny-fp16: expected a quantised byte-level model"):
        byte_level_weights(tiny, quantised=True)
    for model in (random_model(CONFIG, 0), load_model("llama-7b")):
        with pytest.raises(ConfigError, match=f"{model.name}: expected a byte-level model"):
            byte_level_weights(model)


def test_layers_are_repeated_one_after_the_other_and_renamed() -> None:
    one = [
        Operator(name="embed_tokens", kind="embedding", phase="decode"),
        Operator(name="layers.0.norm", kind="norm", phase="decode", layer=0),
        Operator(name="layers.0.mlp.residual", kind="residual", phase="decode", layer=0),
        Operator(name="norm", kind="norm", phase="decode"),
    ]
    found = [at_layer(op, layer) for op, layer in all_layers(one, 2, lambda op: op.layer)]
    assert [(op.name, op.layer) for op in found] == [
        ("embed_tokens", None),
        ("layers.0.norm", 0), ("layers.0.mlp.residual", 0),
        ("layers.1.norm", 1), ("layers.1.mlp.residual", 1),
        ("norm", None),
    ]  # fmt: skip


def test_an_estimate_has_the_layers_of_the_model() -> None:
    names = [row.name for row in estimate("tiny-b158", "ternary-ws-64x64", prefill=2, decode=0).rows]
    assert [name for name in names if name.endswith("down_proj")] == [f"layers.{i}.mlp.down_proj" for i in range(6)]
