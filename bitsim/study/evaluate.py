"""Quality of a byte-level model in bits per byte, executed on a chip."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from bitsim.datapath.base import Array
from bitsim.errors import ConfigError, PromptError
from bitsim.floats.rows import log_losses
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.model.checkpoint import Model, load_model
from bitsim.model.forward import forward
from bitsim.model.kv_cache import KVCache
from bitsim.model.weights import ModelWeights
from bitsim.quant.kv import KVStorage
from bitsim.results.outcome import Makers, Outcome
from bitsim.results.provenance import inputs_of, notes_on_wide, wide_inputs
from bitsim.results.rows import SPARSITY_COLUMNS, sparsity
from bitsim.results.setup import Execution, check_count
from bitsim.schedule.place import Placement
from bitsim.study.codes import check_weights
from bitsim.study.executor import ChipExecutor
from bitsim.study.held_out import byte_level_weights, text_tokens
from bitsim.study.numerics import chip_for, executed_as
from bitsim.study.width_energy import NO_ENERGY, ByteEnergy, byte_energy

_LN2 = 0.6931471805599453


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Mean bits per predicted byte over non-overlapping windows; each window starts without context.

    `acc_bits`, `overflow`: of the BitLinear accumulators; `kv`: how keys and values are stored. Of a BitLinear datapath
    that is not exact: how many sums differ from the exact ones, by how much at most, and the root mean square of the
    differences over that of the exact sums; zeros of an exact one. `energy`: of a byte, estimated.
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
    largest_sum_error: float | None
    rms_sum_error: float | None
    sparsity: Mapping[str, float]
    energy: ByteEnergy = NO_ENERGY

    def record(self) -> dict[str, Any]:
        """As one row of a table: sparsities in columns of their own."""
        record = asdict(self)
        del record["sparsity"], record["energy"]
        sparsities = {f"sparsity_{column}": self.sparsity.get(column) for column in SPARSITY_COLUMNS}
        return record | self.energy.record() | sparsities


@dataclass(frozen=True, kw_only=True, repr=False)
class Evaluation(Outcome):
    """Scores and estimated joules of one model under all combinations of accumulators and KV caches asked for."""

    scores: tuple[Score, ...]

    @property
    def kind(self) -> str:
        return "evaluate"

    @property
    def title(self) -> str:
        first = self.scores[0]
        return f"{first.model} on {first.chip}, {first.predicted_bytes:,} bytes of {first.text}"

    @property
    def score(self) -> Score:
        """The only score; raises `ConfigError` if several variants were asked for."""
        if len(self.scores) != 1:
            raise ConfigError(f"score: expected one variant, there are {len(self.scores)}: see `scores`")
        return self.scores[0]

    @property
    def bits_per_byte(self) -> float:
        """Of the only score."""
        return self.score.bits_per_byte

    def headline(self) -> dict[str, Any]:
        """The best score, and what it was reached with."""
        best = min(self.scores, key=lambda score: score.bits_per_byte)
        found = {"bits_per_byte": best.bits_per_byte, "acc_bits": best.acc_bits, "overflow": best.overflow}
        return found | {"kv": best.kv, "overflows": best.overflows, "variants": len(self.scores)}

    def makers(self) -> Makers:
        return {"scores": lambda: [score.record() for score in self.scores]}


def evaluate(
    model: str | Path | Model,
    chip: str | Path | Chip,
    *,
    text: str | Path | None = None,
    numerics: str | None = None,
    limit: int | None = None,
    acc_bits: int | Sequence[int] | None = None,
    overflow: str | Sequence[str] | None = None,
    kv_bits: int | Sequence[int] | None = None,
    on_window: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Bits per byte of `model` on `text` (default: the 64 KiB that training never saw), executed on `chip`.

    Windows are as long as the model's context; a window of T bytes is fed and predicts the T bytes that follow each of
    them. Partial-sum toggles are not counted. `acc_bits` and `overflow` ("wrap", "saturate"): of the BitLinear
    accumulators, the chip's own by default; `kv_bits`: 32, 16, 8, 4 or 3, see `KVCache`; None takes what the numerics
    say, else 32. Sequences are combined, one score each. `on_window(done, of)` is called after each window of all.

    Raises `ConfigError` for a model that is not byte-level, or for accumulators of a model without BitLinear.
    """
    given = model = model if isinstance(model, Model) else load_model(model)
    chip = load_chip(chip)
    model, recipe = executed_as(model, chip, numerics=numerics)
    chip = chip_for(model, chip)
    weights = byte_level_weights(model)
    widths, modes, kept = _listed(acc_bits, int), _listed(overflow, str), _listed(kv_bits, int)
    if not model.config.quantised and (widths != [None] or modes != [None]):
        raise ConfigError(
            f"{model.name}: accumulator widths and overflow modes change BitLinear, which this model does not have"
        )
    if limit is not None:
        check_count("limit", limit, 2)
    data, name = text_tokens(text, limit)
    if data.size < 2:
        raise PromptError(f"{name}: expected at least 2 bytes, got {data.size}")
    execution = Execution(recipe=recipe, toggles="off")
    window = min(model.config.max_position_embeddings, data.size - 1)
    chips = [chip.with_accumulators(bits, mode) for bits, mode in product(widths, modes)]
    energies = [byte_energy(given, variant, numerics=numerics, tokens=window) for variant in chips]
    variants = list(product(zip(chips, energies, strict=True), kept))
    windows = len(range(0, data.size - 1, window))
    scores = []
    for i, ((variant, energy), bits) in enumerate(variants):
        done = partial(_report, on_window, i * windows, len(variants) * windows)
        score = _score(model, weights, variant, execution, data, name, window, bits or execution.recipe.kv or 32, done)
        scores.append(replace(score, energy=energy))
    return Evaluation(
        inputs=inputs_of(model, chip, numerics=execution.recipe.name)
        | wide_inputs(recipe)
        | {"text": name, "toggles": execution.toggles, "bytes": int(data.size)},
        notes=(
            *notes_on_wide(model.config, recipe),
            "joules per byte are an estimate with the statistics of recorded operands, by the convention datapath: "
            "toggles of registers that see running sums were not counted",
        ),
        scores=tuple(scores),
    )


def _score(
    model: Model,
    weights: ModelWeights,
    chip: Chip,
    execution: Execution,
    data: Array,
    text: str,
    window: int,
    kv: KVStorage,
    on_window: Callable[[int], None],
) -> Score:
    """One variant on bytes `data`, int64 (T,)."""
    config, recipe = model.config, execution.recipe
    placement = Placement(chip)
    check_weights(config, placement)
    executor = ChipExecutor(placement, execution)
    bits = 0.0
    for done, start in enumerate(range(0, data.size - 1, window)):
        fed = data[start : min(start + window, data.size - 1)]
        logits = forward(config, weights, fed, KVCache(config, kv), executor, recipe)
        bits += surprise(logits, data[start + 1 : start + 1 + fed.size])
        on_window(done + 1)
    off = executor.deviation
    return Score(
        model=model.name,
        chip=chip.name,
        numerics=recipe.name,
        kv=KVCache(config, kv).name,
        acc_bits=chip.bitlinear.acc_bits,
        overflow=chip.bitlinear.overflow,
        linear_weights=config.linear_weights,
        text=text,
        window=window,
        predicted_bytes=int(data.size - 1),
        bits_per_byte=bits / (data.size - 1),
        overflows=sum(count for count, _ in executor.overflowed.values()),
        first_overflow=next((f"{name}: {first}" for name, (_, first) in executor.overflowed.items()), None),
        wrong_sums=off.wrong if off else 0,
        largest_sum_error=_finite(off.largest) if off else 0.0,
        rms_sum_error=_finite(off.rms_relative) if off else 0.0,
        sparsity=sparsity(executor.ledger.rows()),
    )


def _listed(given: Any, single: type) -> list[Any]:
    """One value, several, or [None] for the default."""
    return [None] if given is None else [given] if isinstance(given, single) else list(given) or [None]


def _report(on_window: Callable[[int, int], None] | None, before: int, of: int, done: int) -> None:
    if on_window:
        on_window(before + done, of)


def surprise(logits: np.ndarray[Any, Any], targets: np.ndarray[Any, Any]) -> float:
    """Bits that the targets (T,) cost under logits (T, vocabulary), in float64; added exactly and rounded once."""
    return math.fsum(log_losses(logits, targets).tolist()) / _LN2


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
