"""The 64 KiB of text that no shipped model was trained on, and other texts, as the tokens of a byte-level model."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitsim._untrusted import UnreadableError, read_bounded
from bitsim.errors import ConfigError, PromptError
from bitsim.model.checkpoint import Model
from bitsim.model.config import ModelConfig
from bitsim.model.weights import ModelWeights

HELD_OUT = "held_out.txt"
MOST_BYTES = 2**30
Tokens = npt.NDArray[np.int64]


def text_tokens(text: str | Path | None = None, limit: int | None = None) -> tuple[Tokens, str]:
    """The first `limit` bytes (None: all) of a file, or of the held-out text, as int64 (T,); and the text's name.

    Raises `PromptError` for a file that can't be read.
    """
    if text is None:
        content, name = files("bitsim").joinpath("models", HELD_OUT).read_bytes(), HELD_OUT
    else:
        try:
            content, name = read_bounded(text, MOST_BYTES), str(text)
        except UnreadableError as error:
            raise PromptError(f"text {text}: {error}") from error
    return np.frombuffer(content, np.uint8)[:limit].astype(np.int64), name


def first_window(config: ModelConfig, limit: int) -> Tokens:
    """The first `limit` bytes of the held-out text, int64 (T,), one window of the model at most.

    Raises `PromptError` for a limit below 1.
    """
    if not isinstance(limit, int) or limit < 1:
        raise PromptError(f"limit: expected an integer >= 1, got {limit!r}")
    return text_tokens(limit=min(limit, config.max_position_embeddings))[0]


def byte_level_weights(model: Model, *, quantised: bool = False) -> ModelWeights:
    """The weights of a model whose tokens are bytes; raises `ConfigError` for others, and those without weights.

    `quantised`: and for those without BitLinear.
    """
    if model.weights is None or model.config.vocab_size != 256 or (quantised and not model.config.quantised):
        kind = "a quantised byte-level" if quantised else "a byte-level"
        raise ConfigError(f"{model.name}: expected {kind} model (vocabulary 256) with weights")
    return model.weights
