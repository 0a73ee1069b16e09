"""The executor that puts a model on a chip: every matmul runs on a datapath, every operator is placed and booked."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from itertools import accumulate, chain, pairwise
from operator import add
from typing import Any

import numpy as np

from bitsim.datapath.base import Array
from bitsim.datapath.outcomes import Deviation, Observation, Overflow
from bitsim.datapath.packed import PackedTernary
from bitsim.datapath.template import SAMPLED_TILES
from bitsim.events import Events, total
from bitsim.model.float_matmul import float_matmul
from bitsim.model.operators import Operator
from bitsim.model.weights import FloatWeight
from bitsim.quant.packing import TernaryWeight
from bitsim.results.ledger import OperatorLedger
from bitsim.results.setup import Execution
from bitsim.schedule.place import Placed, Placement, naming

OnOperator = Callable[[Operator, Placed], None]
_MOST_RECENT = 8192
_NOTHING = Events()


class ChipExecutor:
    """Executes operators on the datapaths of a chip and keeps the ledger.

    `overflowed`: by operator, how many overflows and the first; its `m` counts all tokens executed so far. `sampled`:
    by kind of operator whose dear toggles were not counted on all output columns, on how many they were, of how many.
    `deviations`: by kind of operator, how far the sums of a BitLinear datapath that is not exact were off.

    BitLinear values are always the datapath's. Values of wide matmuls are the contract's float32 (`wide="float32"`) or
    the wide datapath's (`wide="datapath"`); their events are those of the datapath on the real operands either way.
    `on_operator` is called with each execution of an operator and its place.
    """

    def __init__(self, placement: Placement, execution: Execution, *, on_operator: OnOperator | None = None) -> None:
        self.placement = placement
        self.ledger = OperatorLedger()
        self._on_operator = on_operator
        self.overflowed: dict[str, tuple[int, Overflow]] = {}
        self.deviations: dict[str, Deviation] = {}
        self.sampled: dict[str, tuple[int, int]] = {}
        self._toggles = execution.toggles
        self._wide_on_datapath = execution.wide == "datapath"
        self._seed = execution.seed
        self._position = 0
        self._step_tokens = 0
        self._prepared: dict[str, Any] = {}
        self._recent: dict[int, tuple[Operator, Placed]] = {}  # by identity: most operators recur in every step

    def bitlinear(self, op: Operator, x_q: Array, weight: TernaryWeight, live: Array | None = None) -> Array:
        datapath = self.placement.bitlinear
        with naming(op):
            if op.name not in self._prepared:
                self._prepared[op.name] = datapath.prepare(PackedTernary.from_hf_bytes(weight.packed, weight.n))
            prepared, toggles, seed = self._prepared[op.name], self._toggles, self._seed
            calls = [
                datapath.execute(
                    x_q[rows], prepared, toggles=toggles, seed=seed, live=None if live is None else live[rows]
                )
                for rows in self._calls(op)
            ]
        self._book(op, calls)
        for done in calls:
            if done.deviation is not None:
                before = self.deviations.get(op.kind)
                self.deviations[op.kind] = done.deviation if before is None else before + done.deviation
        self.ledger.add_live_macs(op, live_macs(x_q, weight.n, live))
        return calls[0].y if len(calls) == 1 else np.concatenate([done.y for done in calls])

    def _calls(self, op: Operator) -> list[slice]:
        """The tokens of each call of the datapath, as the plan splits them."""
        ends = list(accumulate(self._place(op).blocks))
        return [slice(start, end) for start, end in pairwise([0, *ends])]

    def wide(self, op: Operator, a: Array, b: Array | FloatWeight) -> Array:
        datapath, toggles, seed = self.placement.wide, self._toggles, self._seed
        if self._wide_on_datapath:
            weights = [self._stored(op, b)] if isinstance(b, FloatWeight) else np.repeat(b, len(a) // len(b), axis=0)
            parts = [
                [datapath.execute(x[rows], w, toggles=toggles, seed=seed) for rows in self._calls(op)]
                for x, w in zip(a, weights, strict=True)
            ]
            self._book(op, list(chain.from_iterable(parts)))
            return np.stack([np.concatenate([done.y for done in calls]) for calls in parts])
        observed: list[Observation] = []
        for rows in self._calls(op):
            if isinstance(b, FloatWeight):
                observed.append(datapath.observe(a[0, rows], self._stored(op, b), toggles=toggles, seed=seed))
            else:
                observed.append(datapath.observe_all(a[:, rows], b, toggles=toggles, seed=seed))
        self._book(op, observed)
        return float_matmul(a, b)

    def _stored(self, op: Operator, weight: FloatWeight) -> Any:
        """A stored matrix as the wide datapath holds it, laid out at its first use."""
        if op.name not in self._prepared:
            whole = self._wide_on_datapath or self._toggles == "exact"
            self._prepared[op.name] = self.placement.wide.prepare_stored(weight, whole=whole)
        return self._prepared[op.name]

    def vector(self, op: Operator) -> None:
        if op.kind == "embedding":  # a new step begins
            self._position += self._step_tokens
        self._enter(op, self._place(op), _NOTHING)

    def _place(self, op: Operator) -> Placed:
        """Where `op` goes."""
        recent = self._recent.get(id(op))
        if recent is not None:
            return recent[1]
        placed = self.placement.place(op)
        if len(self._recent) > _MOST_RECENT:
            self._recent.clear()
        self._recent[id(op)] = (op, placed)
        return placed

    def _book(self, op: Operator, calls: Sequence[Observation]) -> None:
        """Book the calls of one operator: all blocks of tokens of the first repetition, then of the next."""
        self._step_tokens = op.m
        starts = [rows.start for rows in self._calls(op)]
        for i, done in enumerate(calls):
            if done.first_overflow is not None:
                count = done.events.of_unit("overflow").count()
                token = self._position + starts[i % len(starts)] + done.first_overflow.m
                first = replace(done.first_overflow, m=token)
                before = self.overflowed.get(op.name, (0, first))
                self.overflowed[op.name] = (before[0] + count, before[1])
        counted, columns = sum(done.toggle_columns for done in calls), op.n * op.repeat * len(starts)
        if counted < columns:
            before_counted, before_all = self.sampled.get(op.kind, (0, 0))
            self.sampled[op.kind] = (before_counted + counted, before_all + columns)
        events = calls[0].events if len(calls) == 1 else total([done.events for done in calls])
        self._enter(op, self._placed_as_executed(op, calls), events)
        if op.kind == "head" and (exchanged := self.placement.exchange(op)) is not None:
            self._enter(*exchanged, _NOTHING)

    def _enter(self, op: Operator, placed: Placed, counted: Events) -> None:
        self.ledger.add(op, placed, counted)
        if self._on_operator is not None:
            self._on_operator(op, placed)

    def _placed_as_executed(self, op: Operator, calls: Sequence[Observation]) -> Placed:
        """Where `op` goes, and how long it takes there on these operands."""
        return self.placement.paced(op, self._place(op), sum(done.cycles for done in calls))

    @property
    def deviation(self) -> Deviation | None:
        """How far all BitLinear sums were off; None of an exact datapath."""
        parts = list(self.deviations.values())
        return reduce(add, parts) if parts else None

    def toggle_notes(self) -> tuple[str, ...]:
        """Of which operators dear toggles were not counted, or on a sample of how many columns; nothing if all were."""
        what = "toggles of registers that see running sums"
        if not self.sampled:
            return ()
        if self._toggles == "off":
            return (f"{what} were not counted, so that their energy is missing: {', '.join(sorted(self.sampled))}",)
        sizes = ", ".join(f"{kind} ({n:,} of {of:,})" for kind, (n, of) in sorted(self.sampled.items()))
        return (
            f"{what}: counted exactly on a sample of the output columns, at most {SAMPLED_TILES} tiles of an operator, "
            f"drawn by seed {self._seed}, and scaled up: {sizes}",
        )


def live_macs(x_q: Array, n: int, live: Array | None) -> int:
    """Products with a non-zero code of `x_q` (M, K) that enter a needed output; `live`: bool (M, N), None: all are."""
    if live is None:
        return int(np.count_nonzero(x_q)) * n
    return int(np.count_nonzero(x_q, axis=1) @ np.count_nonzero(live, axis=1))
