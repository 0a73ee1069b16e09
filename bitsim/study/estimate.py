"""Estimate: a model's shapes on a chip, without weights. Same operators, placement and prices as `run`."""

from dataclasses import replace
from pathlib import Path

from bitsim.datapath.base import Statistics
from bitsim.errors import BitsimError
from bitsim.events import Events
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.model.build_operators import forward_operators
from bitsim.model.checkpoint import Model, load_model
from bitsim.model.operators import Operator, Phase
from bitsim.schedule.place import Placement
from bitsim.study.ledger import OperatorLedger
from bitsim.study.provenance import inputs_of
from bitsim.study.result import Result
from bitsim.study.statistics import default_statistics


class EstimateError(BitsimError):
    """The phases that were asked for make no sense."""


def estimate(
    model: str | Path | Model,
    chip: str | Path | Chip,
    *,
    prefill: int = 512,
    decode: int = 128,
    batch: int = 1,
    merge_heads: bool = False,
    statistics: Statistics | None = None,
) -> Result:
    """Events, cycles and energy of `prefill` prompt tokens and `decode` new ones, for `batch` sequences.

    Data-dependent events come from `statistics` (default: measured on tiny-b158, see `bitsim.study.statistics`); all
    others are exact and equal those of `run`. `merge_heads`: count attention as one matmul over all heads, as the
    energy table of arXiv 2310.11453 does. A phase of 0 tokens is empty.
    """
    for name, value, least in (("prefill", prefill, 0), ("decode", decode, 0), ("batch", batch, 1)):
        if value < least:
            raise EstimateError(f"{name}: expected >= {least}, got {value}")
    model = model if isinstance(model, Model) else load_model(model)
    chip = load_chip(chip)
    estimator = _Estimator(Placement(chip), statistics or default_statistics())
    config = model.config
    if config.weight_bits_per_weight == 1:  # binary weights are never 0
        estimator.statistics = replace(estimator.statistics, weight_zeros=0.0)

    def book(phase: Phase, tokens: int, context: int) -> None:
        estimator.book(
            forward_operators(config, phase=phase, tokens=tokens, context=context, batch=batch, merge_heads=merge_heads)
        )

    if prefill:
        book("prefill", prefill, prefill)
    for i in range(decode):
        book("decode", 1, prefill + i + 1)
    used = estimator.statistics
    return Result(
        mode="estimate",
        chip=chip,
        rows=estimator.ledger.rows(),
        inputs=inputs_of(model, chip, numerics=config.default_numerics),
        notes=(f"data-dependent events from statistics: {used.source}", *estimator.placement.memory.assumptions),
        prompt_tokens=prefill,
        new_tokens=decode,
        batch=batch,
    )


class _Estimator:
    """Books steps; layers are alike, so that layer 0 is placed and the others take its numbers."""

    def __init__(self, placement: Placement, statistics: Statistics) -> None:
        self.placement = placement
        self.statistics = statistics
        self.ledger = OperatorLedger()

    def book(self, operators: list[Operator]) -> None:
        pattern = [op for op in operators if op.layer in (None, 0)]
        costs = {op.name: (self.placement.place(op), self.expected(op)) for op in pattern}
        for op in operators:
            like = op.name if op.layer is None else op.name.replace(f"layers.{op.layer}.", "layers.0.", 1)
            placed, expected = costs[like]
            self.ledger.add(op, placed, placed.array_events + expected)

    def expected(self, op: Operator) -> Events:
        if not op.is_matmul:
            return Events()
        one = self.placement.datapath(op).expect(op.m, op.k, op.n, self.statistics)
        return one * op.repeat
