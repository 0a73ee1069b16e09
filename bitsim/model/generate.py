"""Greedy or sampled generation: prefill of the prompt, then one decode step per new token."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np

from bitsim.errors import ConfigError, OperandError, PromptError
from bitsim.floats.rows import cumulative_weights
from bitsim.model.checkpoint import Model
from bitsim.model.config import ModelConfig
from bitsim.model.executor import Executor
from bitsim.model.forward import Tokens, forward
from bitsim.model.kv_cache import KVCache
from bitsim.model.step import Logits
from bitsim.quant.kv import KVStorage
from bitsim.quant.packing import Float32
from bitsim.quant.recipes import Recipe, recipe_named

MOST_STEPS = 2**16  # of a prompt in chunks


def generate(
    model: Model,
    executor: Executor,
    tokens: Sequence[int] | Tokens,
    new_tokens: int,
    recipe: Recipe | None = None,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    kv: KVStorage | None = None,
    chunk: int | None = None,
    query_block: Callable[[int, int], int] | None = None,
    logits: Literal["last", "all"] = "last",
    on_token: Callable[[int], None] | None = None,
) -> tuple[Tokens, Float32]:
    """Continue `tokens` by `new_tokens`.

    Returns prompt and new tokens, int64, and logits, float32 (positions, vocabulary): of the prompt's last position, or
    of `logits="all"` that it has, and of every new token. Every new token is executed in a step of its own, the last
    one too: N new tokens are N decode steps. `temperature` 0 takes the first maximum; above 0, tokens are drawn with
    `seed`. `recipe`: the model's own by default. `kv`: how the cache keeps its values, by default as the numerics say,
    else in float16. `chunk`: most prompt tokens per step; `query_block(tokens, context)`: how many of them attend
    together, all by default. `on_token` is called with every new token. Raises `PromptError` for an empty prompt, ids
    outside the vocabulary and too many positions, `ConfigError` for a model without weights.
    """
    config = model.config
    prompt = _checked(config, tokens, new_tokens)
    if not 0 <= temperature < float("inf"):
        raise ConfigError(f"temperature: expected a number >= 0, got {temperature}")
    if model.weights is None:
        raise ConfigError(
            f"{config.name} is a shape without weights: give a seed for random weights, or a checkpoint directory"
        )
    recipe = recipe_named(config.default_numerics) if recipe is None else recipe
    cache = KVCache(config, kv or recipe.kv or 16)
    rng = np.random.default_rng(seed)
    sequence = [int(token) for token in prompt]
    found = []
    for start, stop in chunks(len(prompt), chunk):
        wanted: Logits = "none" if logits == "last" and stop < len(prompt) else logits
        block = query_block(stop - start, stop) if query_block else None
        part = prompt[start:stop]
        found.append(
            forward(config, model.weights, part, cache, executor, recipe, "prefill", query_block=block, logits=wanted)
        )
    for _ in range(new_tokens):
        sequence.append(_choose(found[-1][-1], temperature, rng))
        if on_token is not None:
            on_token(sequence[-1])
        step = np.array(sequence[-1:], dtype=np.int64)
        found.append(forward(config, model.weights, step, cache, executor, recipe, "decode"))
    return np.array(sequence, dtype=np.int64), np.concatenate(found)


def chunks(tokens: int, chunk: int | None) -> Iterator[tuple[int, int]]:
    """Start and end of each step of a prompt; raises `ConfigError` for chunks of less than one token."""
    if chunk is not None and chunk < 1:
        raise ConfigError(f"chunk: expected at least 1 token per step, got {chunk}")
    step = tokens if chunk is None else chunk
    if (steps := -(-tokens // max(step, 1))) > MOST_STEPS:
        raise ConfigError(
            f"chunk: {tokens:,} tokens in steps of {step:,} are {steps:,} steps, expected at most {MOST_STEPS:,}"
        )
    for start in range(0, tokens, max(step, 1)):
        yield start, min(start + step, tokens)


def _checked(config: ModelConfig, tokens: Sequence[int] | Tokens, new_tokens: int) -> Tokens:
    ids = np.asarray(tokens)
    if ids.size == 0:
        raise PromptError("the prompt is empty; at least one token is needed")
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise PromptError(f"tokens: expected a sequence of integers, got {ids.dtype} {ids.shape}")
    outside = (ids < 0) | (ids >= config.vocab_size)
    if outside.any():
        position = int(np.argmax(outside))
        raise PromptError(
            f"tokens[{position}]: expected an id of 0..{config.vocab_size - 1} for {config.name}, got {ids[position]}"
        )
    if new_tokens < 0:
        raise PromptError(f"new_tokens: expected a number >= 0, got {new_tokens}")
    positions = ids.size + new_tokens
    if positions > config.max_position_embeddings:
        raise PromptError(
            f"{ids.size} prompt tokens and {new_tokens} new ones need {positions} positions, "
            f"{config.name} has {config.max_position_embeddings}"
        )
    return ids.astype(np.int64)


def _choose(logits: Float32, temperature: float, rng: np.random.Generator) -> int:
    if not np.isfinite(logits).all():
        raise OperandError(f"logits[{int(np.argmin(np.isfinite(logits)))}]: expected a finite number")
    if temperature == 0:
        return int(np.argmax(logits))
    cumulative = cumulative_weights(logits, temperature)
    return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
