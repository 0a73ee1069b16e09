"""Matmuls by themselves: a list of shapes on a chip, placed, counted and priced as an estimate does with a model's."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from bitsim._version import __version__
from bitsim.datapath.base import Statistics
from bitsim.errors import ConfigError
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.model.footprint import Footprint
from bitsim.model.operators import Operator, Phase, lone_linear
from bitsim.results.ledger import OperatorLedger
from bitsim.results.provenance import notes_on_plans
from bitsim.results.result import Result
from bitsim.results.setup import Scheduling, Workload, check_count
from bitsim.schedule import ASSUMPTIONS, Objective
from bitsim.study.capacity import check_capacity
from bitsim.study.goal import placement_for
from bitsim.study.statistics import default_statistics
from bitsim.study.steps import expected_events

TERNARY_BITS = Fraction(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatmulShape:
    """`count` quantised linears `Y[M, N] = X[M, K] W[N, K]^T` with ternary weights, each with weights of its own.

    `weight_bits`: stored bits per weight; a matrix takes whole bytes.
    """

    name: str
    m: int
    k: int
    n: int
    count: int = 1
    weight_bits: Fraction = TERNARY_BITS

    def __post_init__(self) -> None:
        for field in ("m", "k", "n", "count"):
            check_count(f"matmul {self.name}: {field}", getattr(self, field), 1)
        if not isinstance(self.weight_bits, int | Fraction) or self.weight_bits <= 0:
            raise ConfigError(f"matmul {self.name}: weight_bits: expected a fraction > 0, got {self.weight_bits!r}")

    def operator(self, phase: Phase) -> Operator:
        """One of them."""
        stored = 8 * math.ceil(self.k * self.n * self.weight_bits / 8)
        return lone_linear(
            name=self.name,
            phase=phase,
            m=self.m,
            k=self.k,
            n=self.n,
            weight_bits=stored,
        )


def estimate_matmuls(
    shapes: Sequence[MatmulShape],
    chip: str | Path | Chip,
    *,
    phase: Phase = "decode",
    statistics: Statistics | None = None,
    objective: Objective = "latency",
    beyond_capacity: bool = False,
) -> Result:
    """Events, cycles and energy of matmuls that follow each other: a model of which only the shapes are known.

    Same placement, events and prices as `estimate`; norms, attention, head and embedding are there only if listed.
    `beyond_capacity`: go on if memory has no room for all weights.
    """
    chip = load_chip(chip)
    placement, ledger, used = placement_for(chip, objective), OperatorLedger(), statistics or default_statistics()
    for shape in shapes:
        op = shape.operator(phase)
        placed = placement.place(op)
        counted = placed.array_events + expected_events(placement, op, placed, used)
        ledger.add(op, placed, counted, times=shape.count)
    stored = sum(-(-shape.operator(phase).weight_bits // 8) * shape.count for shape in shapes)
    kept = Footprint(linears=stored, embedding=0, kv=0)
    room = check_capacity(placement, "the list of matmuls", kept, quantised=True, beyond=beyond_capacity)
    tokens = max((shape.m for shape in shapes), default=0)
    return Result(
        mode="estimate",
        chip=chip,
        rows=ledger.rows(),
        inputs={
            "bitsim": __version__,
            "model": "matmuls",
            "model_sha256": hashlib.sha256(repr(tuple(shapes)).encode()).hexdigest(),
            "weights": "none",
            "chip": chip.name,
            "chip_sha256": chip.sha256,
            "bitlinear": chip.bitlinear.text(),
            "technology": chip.tech.name,
            "technology_sha256": chip.tech.sha256,
            "objective": objective,
        },
        notes=(
            "matmuls only: norms, activations, attention, head and embedding are not counted",
            f"data-dependent events from statistics: {used.source}",
            *room,
            *notes_on_plans(placement),
            *ASSUMPTIONS,
        ),
        workload=Workload(prefill=tokens if phase == "prefill" else 0, decode=tokens if phase == "decode" else 0),
        recipe=None,
        scheduling=Scheduling(objective=objective, beyond_capacity=beyond_capacity),
    )
