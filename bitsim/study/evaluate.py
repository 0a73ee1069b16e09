"""Quality of a byte-level model in bits per byte, executed on a chip."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitsim.errors import PromptError
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.model.checkpoint import Model, load_model
from bitsim.model.forward import forward
from bitsim.model.kv_cache import KVCache
from bitsim.quant.kv import KVStorage
from bitsim.quant.recipes import recipe_named
from bitsim.results.provenance import inputs_of
from bitsim.results.rows import SPARSITY_COLUMNS, sparsity
from bitsim.schedule.place import Placement
from bitsim.study.executor import ChipExecutor
from bitsim.study.held_out import byte_level_weights, text_tokens
from bitsim.study.threads import kernels_first


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Mean bits per predicted byte over non-overlapping windows; each window starts without context.

    `toggles`: those of registers that see running sums are never counted, since no energy is reported. Of a BitLinear
    datapath that is not exact: how many sums differ from the exact ones, by how much at most, and the
    root mean square of the differences over that of the exact sums; zeros of an exact one.
    """

    model: str
    chip: str
    numerics: str
    kv: str
    acc_bits: int
    overflow: str
    linear_weights: int
    text: str
    window: int
    predicted_bytes: int
    bits_per_byte: float
    overflows: int
    first_overflow: str | None
    wrong_sums: int
    largest_sum_error: float
    rms_sum_error: float
    sparsity: dict[str, float]
    toggles: str
    inputs: dict[str, str]

    def record(self) -> dict[str, Any]:
        return asdict(self)

    def table_record(self) -> dict[str, Any]:
        """As one line of a table: sparsities in columns of their own, no hashes."""
        record = self.record()
        sparsities = {f"sparsity_{column}": self.sparsity.get(column) for column in SPARSITY_COLUMNS}
        return {key: value for key, value in record.items() if key not in ("inputs", "sparsity")} | sparsities


def evaluate(
    model: str | Path | Model,
    chip: str | Path | Chip,
    *,
    text: str | Path | None = None,
    numerics: str | None = None,
    limit: int | None = None,
    kv_bits: int | None = None,
    on_window: Callable[[int, int], None] | None = None,
) -> Score:
    """Bits per byte of `model` on `text` (default: the 64 KiB that training never saw), executed on `chip`.

    Windows are as long as the model's context; a window of T bytes is fed and predicts the T bytes that follow each of
    them. Partial-sum toggles are not counted. `kv_bits`: 32, 16, 8, 4 or 3, see `KVCache`; None takes what the numerics
    say, else 32. Raises `ConfigError` for a model that is not byte-level.
    """
    model = model if isinstance(model, Model) else load_model(model)
    chip = load_chip(chip)
    weights = byte_level_weights(model)
    if limit is not None and limit < 2:
        raise PromptError(f"limit: expected an integer >= 2, got {limit!r}")
    data, name = text_tokens(text, limit)
    if data.size < 2:
        raise PromptError(f"{name}: expected at least 2 bytes, got {data.size}")
    recipe = recipe_named(numerics or model.config.default_numerics)
    kv: KVStorage = kv_bits or recipe.kv or 32
    executor = ChipExecutor(Placement(chip), toggles="off", wide="float32", seed=0)
    window = min(model.config.max_position_embeddings, data.size - 1)
    starts = range(0, data.size - 1, window)
    bits = 0.0
    with kernels_first():
        for done, start in enumerate(starts):
            fed = data[start : min(start + window, data.size - 1)]
            logits = forward(model.config, weights, fed, KVCache(model.config, kv), executor, recipe)
            bits += surprise(logits, data[start + 1 : start + 1 + fed.size])
            if on_window:
                on_window(done + 1, len(starts))
    off = executor.deviation
    return Score(
        model=model.name,
        chip=chip.name,
        numerics=recipe.name,
        kv=KVCache(model.config, kv).name,
        acc_bits=chip.bitlinear.acc_bits,
        overflow=chip.bitlinear.overflow,
        linear_weights=model.config.linear_weights,
        text=name,
        window=window,
        predicted_bytes=int(data.size - 1),
        bits_per_byte=bits / (data.size - 1),
        overflows=sum(count for count, _ in executor.overflowed.values()),
        first_overflow=next((f"{name}: {first}" for name, (_, first) in executor.overflowed.items()), None),
        wrong_sums=off.wrong if off else 0,
        largest_sum_error=off.largest if off else 0.0,
        rms_sum_error=off.rms_relative if off else 0.0,
        sparsity=sparsity(executor.ledger.rows()),
        toggles="off",
        inputs=inputs_of(model, chip, numerics=recipe.name),
    )


def surprise(logits: np.ndarray[Any, Any], targets: np.ndarray[Any, Any]) -> float:
    """Bits that the targets (T,) cost under logits (T, vocabulary), in float64."""
    scores = logits.astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(scores).sum(axis=1))
    return float((log_sum - scores[np.arange(targets.size), targets]).sum() / math.log(2))
