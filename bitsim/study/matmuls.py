"""Matmuls by themselves: a list of shapes on a chip, placed, counted and priced as an estimate does with a model's."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from bitsim._version import __version__
from bitsim.cost.clock import clock_notes
from bitsim.datapath.base import Statistics
from bitsim.errors import ConfigError
from bitsim.hw import load_chip
from bitsim.hw.chip import Chip
from bitsim.model.config import LinearClass
from bitsim.model.footprint import Footprint
from bitsim.model.operators import Operator, Phase, lone_linear
from bitsim.results.ledger import OperatorLedger
from bitsim.results.provenance import notes_on_plans
from bitsim.results.result import Result
from bitsim.results.rows import OperatorRow
from bitsim.results.setup import Scheduling, Workload, check_count
from bitsim.schedule import ASSUMPTIONS, Objective, Placement
from bitsim.study.capacity import check_capacity
from bitsim.study.goal import placement_for
from bitsim.study.statistics import default_statistics
from bitsim.study.steps import expected_events

TERNARY_BITS, MOST_TERNARY_BITS, FP16_BITS = Fraction(2), 3, 16
INTEGER_BITS = (4, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class MatmulShape:
    """`count` linears `Y[M, N] = X[M, K] W[N, K]^T`, each with weights of its own.

    `weight_bits`: stored bits per weight, a matrix takes whole bytes: up to 3 for ternary weights on the chip's
    BitLinear datapath, 1 for binary ones, 4 and 8 for integers (W4A8, W8A8) on the same, 16 for FP16 on its wide
    datapath. Raises `ConfigError` for all others.
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
        if self.weight_bits > MOST_TERNARY_BITS and not (self.fp16 or self.integer):
            raise ConfigError(
                f"matmul {self.name}: weight_bits: expected at most {MOST_TERNARY_BITS} (ternary weights, packed), "
                f"4 or 8 (integers) or {FP16_BITS} (FP16), got {self.weight_bits}"
            )

    @property
    def fp16(self) -> bool:
        """Whether weights are FP16."""
        return self.weight_bits == FP16_BITS

    @property
    def integer(self) -> bool:
        """Whether weights are integers beyond -1, 0 and 1."""
        return self.weight_bits in INTEGER_BITS

    @property
    def stored_bytes(self) -> int:
        """Of all weights, each matrix in whole bytes."""
        return math.ceil(self.k * self.n * self.weight_bits / 8) * self.count

    def operator(self, phase: Phase) -> Operator:
        """One of them."""
        return lone_linear(
            name=self.name,
            phase=phase,
            m=self.m,
            k=self.k,
            n=self.n,
            weight_bits=8 * self.stored_bytes // self.count,
            weight_format="fp16" if self.fp16 else "ternary",
        )

    def statistics(self, placement: Placement, given: Statistics | None) -> Statistics:
        """What its data-dependent events rest on; raises `ConfigError` if the chip has no code for its weights."""
        chip, binary = placement.chip, self.weight_bits == 1
        where = f"matmul {self.name}: {chip.name}: {chip.bitlinear.text()}"
        if self.integer and placement.bitlinear.weight_range == (-1, 1):
            raise ConfigError(
                f"{where}: takes weights of -1, 0 and 1; expected weight_bits of at most {MOST_TERNARY_BITS} or 16, "
                f"got {self.weight_bits} (or choose a chip with INT8 weights, such as int8-ws-64x64)"
            )
        if not (self.fp16 or binary or chip.bitlinear.zero_weights):
            raise ConfigError(
                f"{where}: takes binary weights, -1 and 1; expected weight_bits 1, got {self.weight_bits}"
            )
        used = given or default_statistics(self.like)
        return replace(used, weight_zeros=0.0) if binary and used.weight_zeros else used

    @property
    def like(self) -> LinearClass | None:
        """The linears whose operands its own are taken to resemble."""
        if self.fp16:
            return None
        if self.integer:
            return "w8a8" if self.weight_bits == 8 else "w4a8"
        return "b1" if self.weight_bits == 1 else "autobitlinear"


def estimate_matmuls(
    shapes: Sequence[MatmulShape],
    chip: str | Path | Chip,
    *,
    phase: Phase = "decode",
    statistics: Statistics | None = None,
    objective: Objective = "latency",
    beyond_capacity: bool = False,
    name: str = "matmuls",
    notes: Sequence[str] = (),
) -> Result:
    """Events, cycles and energy of matmuls that follow each other: a model of which only the shapes are known.

    Same placement, events and prices as `estimate`; norms, attention, head and embedding are there only if listed. Each
    shape has a row of its own. `statistics`: for data-dependent events (default: measured on the shipped model with
    such weights). `objective`: what tiles and loop orders are chosen for. `beyond_capacity`: go on if memory has no
    room for all weights. `name`, `notes`: what the result calls the list, and says of it; `read_matmuls` gives both
    for a file. Raises `ConfigError` for weights that the chip has no datapath or no room for.
    """
    chip = load_chip(chip)
    placement, rows, sources = placement_for(chip, objective), list[OperatorRow](), list[str]()
    for shape in shapes:
        op, used, ledger = shape.operator(phase), shape.statistics(placement, statistics), OperatorLedger()
        placed = placement.place(op)
        ledger.add(op, placed, placed.array_events + expected_events(placement, op, placed, used), times=shape.count)
        rows += ledger.rows()
        sources.append(used.source)
    wide = sum(shape.stored_bytes for shape in shapes if shape.fp16)
    kept = Footprint(linears=sum(shape.stored_bytes for shape in shapes) - wide, embedding=wide, kv=0)
    room = check_capacity(placement, "the list of matmuls", kept, quantised=True, beyond=beyond_capacity)
    tokens = max((shape.m for shape in shapes), default=0)
    return Result(
        mode="estimate",
        chip=chip,
        rows=tuple(rows),
        inputs={
            "bitsim": __version__,
            "model": name,
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
            *notes,
            *(f"data-dependent events from statistics: {source}" for source in dict.fromkeys(sources)),
            *room,
            *clock_notes(chip),
            *notes_on_plans(placement),
            *ASSUMPTIONS,
        ),
        workload=Workload(prefill=tokens if phase == "prefill" else 0, decode=tokens if phase == "decode" else 0),
        recipe=None,
        scheduling=Scheduling(objective=objective, beyond_capacity=beyond_capacity),
    )
