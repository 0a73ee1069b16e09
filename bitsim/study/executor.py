"""The executor that puts a model on a chip: every matmul runs on a datapath, every operator is placed and booked."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bitsim.datapath.base import Array, Datapath, Observation, Overflow, Toggles
from bitsim.datapath.packed import PackedTernary
from bitsim.events import Events, total
from bitsim.model.operators import Operator
from bitsim.model.weights import FloatWeight
from bitsim.quant.packing import TernaryWeight
from bitsim.schedule.place import Placed, Placement
from bitsim.study.float_matmul import float_matmul
from bitsim.study.ledger import OperatorLedger


class ChipExecutor:
    """Executes operators on the datapaths of a chip and keeps the ledger.

    `overflowed`: by operator, how many overflows and the first; its `m` counts all tokens executed so far. `sampled`:
    by kind of operator whose dear toggles were sampled, on how many output columns they were counted, and of how many.

    BitLinear values are always the datapath's. Values of wide matmuls are the contract's float32 (`wide="float32"`) or
    the wide datapath's (`wide="datapath"`); their events are those of the datapath on the real operands either way.
    """

    def __init__(self, placement: Placement, *, toggles: Toggles, wide: str, seed: int) -> None:
        self.placement = placement
        self.ledger = OperatorLedger()
        self.overflowed: dict[str, tuple[int, Overflow]] = {}
        self.sampled: dict[str, tuple[int, int]] = {}
        self._toggles: Toggles = toggles
        self._wide_on_datapath = wide == "datapath"
        self._seed = seed
        self._position = 0
        self._step_tokens = 0
        self._prepared: dict[str, Any] = {}
        self._placed: dict[tuple[object, ...], Placed] = {}

    def bitlinear(self, op: Operator, x_q: Array, weight: TernaryWeight, live: Array | None = None) -> Array:
        datapath = self.placement.bitlinear
        if op.name not in self._prepared:
            self._prepared[op.name] = datapath.prepare(PackedTernary.from_hf_bytes(weight.packed, weight.n))
        done = datapath.execute(x_q, self._prepared[op.name], toggles=self._toggles, seed=self._seed, live=live)
        self._book(op, [done])
        self.ledger.add_live_macs(op, live_macs(x_q, weight.n, live))
        return done.y

    def wide(self, op: Operator, a: Array, b: Array | FloatWeight) -> Array:
        datapath, toggles, seed = self.placement.wide, self._toggles, self._seed
        pairs = list(zip(a, [self._stored(op, b)] if isinstance(b, FloatWeight) else b, strict=True))
        if self._wide_on_datapath:
            executions = [datapath.execute(x, w, toggles=toggles, seed=seed) for x, w in pairs]
            self._book(op, executions)
            return np.stack([done.y for done in executions])
        self._book(op, [datapath.observe(x, w, toggles=toggles, seed=seed) for x, w in pairs])
        return float_matmul(a, b)

    def _stored(self, op: Operator, weight: FloatWeight) -> Any:
        """A stored matrix as the wide datapath holds it, laid out at its first use."""
        if op.name not in self._prepared:
            self._prepared[op.name] = prepare_float(self.placement.wide, weight)
        return self._prepared[op.name]

    def vector(self, op: Operator) -> None:
        if op.kind == "embedding":  # a new step begins
            self._position += self._step_tokens
        self.ledger.add(op, self._place(op), Events())

    def _place(self, op: Operator) -> Placed:
        """Where `op` goes; operators that differ in name, layer and phase only share their place."""
        shape = (op.kind, op.m, op.k, op.n, op.repeat, op.weight_format, op.weight_bits)
        moved = (op.values_read, op.values_written, op.kv_read_bits, op.kv_write_bits, op.dram_read_bits)
        key = (*shape, *moved, *op.vector.items())
        placed = self._placed.get(key)
        if placed is None:
            placed = self._placed[key] = self.placement.place(op)
        return placed

    def _book(self, op: Operator, executions: Sequence[Observation]) -> None:
        self._step_tokens = op.m
        for done in executions:
            if done.first_overflow is not None:
                count = sum(n for event, n in done.events.items() if event.startswith("overflow."))
                first = replace(done.first_overflow, m=self._position + done.first_overflow.m)
                before = self.overflowed.get(op.name, (0, first))
                self.overflowed[op.name] = (before[0] + count, before[1])
        counted = sum(done.toggle_columns for done in executions)
        if counted < op.n * len(executions):
            before_counted, before_all = self.sampled.get(op.kind, (0, 0))
            self.sampled[op.kind] = (before_counted + counted, before_all + op.n * len(executions))
        events = executions[0].events if len(executions) == 1 else total([done.events for done in executions])
        self.ledger.add(op, self._placed_as_executed(op, executions), events)

    def _placed_as_executed(self, op: Operator, executions: Sequence[Observation]) -> Placed:
        """Where `op` goes, and how long it takes there on these operands."""
        placed, busy = self._place(op), sum(done.cycles for done in executions)
        return placed if busy == placed.unit_cycles else replace(placed, unit_cycles=busy)

    def sample_note(self) -> str:
        """On how many columns the dear toggles of which operators were counted."""
        sizes = ", ".join(f"{kind} ({n:,} of {of:,})" for kind, (n, of) in sorted(self.sampled.items()))
        return (
            "toggles of registers that see running sums: counted exactly on a sample of the output columns, at most 8 "
            f"tiles of an operator, drawn by seed {self._seed}, and scaled up: {sizes}"
        )


def live_macs(x_q: Array, n: int, live: Array | None) -> int:
    """Products with a non-zero code of `x_q` (M, K) that enter a needed output; `live`: bool (M, N), None: all are."""
    codes = np.count_nonzero(x_q, axis=1)
    return int(codes.sum()) * n if live is None else int(codes @ np.count_nonzero(live, axis=1))


def prepare_float(datapath: Datapath, weight: FloatWeight) -> Any:
    """A stored float matrix laid out for the wide datapath: FP16, rounded once."""
    if weight.dtype == "float16":
        return datapath.prepare(weight.stored.view(np.float16))
    halves = np.empty((weight.n, weight.k), np.float16)
    for low in range(0, weight.n, 4096):
        halves[low : low + 4096] = weight.rows(low, low + 4096)
    return datapath.prepare(halves)
