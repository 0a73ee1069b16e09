"""The executor that puts a model on a chip: every matmul runs on a datapath, every operator is placed and booked."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np

from bitsim.datapath.base import Array
from bitsim.datapath.outcomes import Deviation, Observation, Overflow
from bitsim.datapath.packed import PackedTernary
from bitsim.datapath.template import SAMPLED_TILES
from bitsim.datapath.tiled import Layout, TiledWeights, layout_of, prepare_stored_tiles, prepare_tiles
from bitsim.datapath.tiled_execution import execute_tiles, observe_all_tiles, observe_tiles
from bitsim.datapath.tiles import Tiles
from bitsim.events import Events, total
from bitsim.model.decoded import ScaledIntegers, ScaledTernary
from bitsim.model.executor import ReferenceExecutor
from bitsim.model.float_matmul import float_matmul
from bitsim.model.operators import Operator
from bitsim.model.weights import CodedWeight, FloatWeight
from bitsim.quant.packing import TernaryWeight
from bitsim.results.ledger import OperatorLedger
from bitsim.results.setup import Execution
from bitsim.schedule.place import Placed, Placement, naming

OnOperator = Callable[[Operator, Placed], None]
_MOST_RECENT = 8192
_LARGE_BLOCK = 31 * 2**20  # glibc's limit for this is 32 MiB
_NOTHING = Events()
_HOST = ReferenceExecutor()  # a host's own matmuls: the contract's float32, and exact sums of integers


class ChipExecutor:
    """Executes operators on the datapaths of a chip and keeps the ledger.

    `overflowed`: by operator, how many overflows and the first; its `m` counts all tokens executed so far. `sampled`:
    by kind of operator whose dear toggles were not counted on all output columns, on how many they were, of how many.
    `deviations`: by kind of operator, how far the sums of a BitLinear datapath that is not exact were off.

    Values of BitLinear, and of an integer wide datapath, are always the datapath's. Values of other wide matmuls are
    the contract's float32 (`wide="float32"`) or the wide datapath's (`wide="datapath"`); their events are those of the
    datapath on the real operands either way. What the chip's host computes itself is in float32, or exact.
    `on_operator` is called with each execution of an operator and its place.
    """

    def __init__(self, placement: Placement, execution: Execution, *, on_operator: OnOperator | None = None) -> None:
        _keep_freed_memory()
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
        self._prepared: dict[tuple[str, Layout], TiledWeights] = {}
        self._recent: dict[int, tuple[Operator, Placed]] = {}  # by identity: most operators recur in every step

    def bitlinear(self, op: Operator, x_q: Array, weight: CodedWeight, live: Array | None = None) -> Array:
        datapath, tiles = self.placement.bitlinear, self.tiles(op)
        with naming(op):
            laid = op.name, layout_of(datapath, tiles)
            prepared = self._prepared.get(laid)
            if prepared is None:
                prepared = self._prepared[laid] = prepare_tiles(datapath, _stored_codes(weight), laid[1])
            done = execute_tiles(datapath, x_q, prepared, tiles, toggles=self._toggles, seed=self._seed, live=live)
        self._book(op, [done])
        self._deviates(op, done.deviation)
        self.ledger.add_live_macs(op, live_macs(x_q, weight.n, live))
        return done.y

    def grouped(self, op: Operator, x: Array, weight: ScaledTernary) -> Array:
        datapath, tiles = self.placement.bitlinear, self.tiles(op)
        layout = layout_of(datapath, tiles)
        with naming(op):
            if (f"{op.name}.0", layout) not in self._prepared:
                for g, codes in enumerate(weight.groups(len(x))):
                    self._prepared[f"{op.name}.{g}", layout] = prepare_tiles(datapath, codes, layout)
            done = [
                execute_tiles(
                    datapath,
                    acts,
                    self._prepared[f"{op.name}.{g}", layout],
                    tiles,
                    toggles=self._toggles,
                    seed=self._seed,
                )
                for g, acts in enumerate(x)
            ]
        self._book(op, done)
        for one in done:
            self._deviates(op, one.deviation)
        self.ledger.add_live_macs(op, sum(live_macs(acts, weight.n, None) for acts in x))
        return np.stack([one.y for one in done])

    def _deviates(self, op: Operator, deviation: Deviation | None) -> None:
        if deviation is not None:
            before = self.deviations.get(op.kind)
            self.deviations[op.kind] = deviation if before is None else before + deviation

    def tiles(self, op: Operator) -> Tiles:
        """The calls of the datapath, as the plan has them."""
        tiles = self._place(op).tiles
        assert tiles is not None
        return tiles

    def wide(self, op: Operator, a: Array, b: Array | FloatWeight) -> Array:
        if self.placement.on_host(op):
            self._enter_apart(op)
            return _HOST.wide(op, a, b)
        datapath, tiles, toggles, seed = self.placement.wide, self.tiles(op), self._toggles, self._seed
        layout = layout_of(datapath, tiles)
        if self._wide_on_datapath:
            weights = (
                [self._stored(op, b, layout)]
                if isinstance(b, FloatWeight)
                else [one for w in b for one in [prepare_tiles(datapath, w, layout)] * (len(a) // len(b))]
            )
            done = [
                execute_tiles(datapath, x, w, tiles, toggles=toggles, seed=seed)
                for x, w in zip(a, weights, strict=True)
            ]
            self._book(op, done)
            return np.stack([one.y for one in done])
        if isinstance(b, FloatWeight):
            observed = observe_tiles(datapath, a[0], self._stored(op, b, layout), tiles, toggles=toggles, seed=seed)
        else:
            observed = observe_all_tiles(datapath, a, b, tiles, toggles=toggles, seed=seed)
        self._book(op, [observed])
        return float_matmul(a, b)

    def wide_codes(self, op: Operator, a: Array, b: Array | ScaledIntegers) -> Array:
        if self.placement.on_host(op):
            self._enter_apart(op)
            return _HOST.wide_codes(op, a, b)
        datapath, tiles = self.placement.wide, self.tiles(op)
        layout = layout_of(datapath, tiles)
        with naming(op):
            if isinstance(b, ScaledIntegers):
                if (op.name, layout) not in self._prepared:
                    self._prepared[op.name, layout] = prepare_tiles(datapath, b.values, layout)
                weights = [self._prepared[op.name, layout]]
            else:
                weights = [prepare_tiles(datapath, np.ascontiguousarray(w), layout) for w in b]
            sharing = len(a) // len(weights)
            done = [
                execute_tiles(datapath, x, weights[i // sharing], tiles, toggles=self._toggles, seed=self._seed)
                for i, x in enumerate(a)
            ]
        self._book(op, done)
        return np.stack([one.y for one in done])

    def _stored(self, op: Operator, weight: FloatWeight, layout: Layout) -> TiledWeights:
        """A stored matrix as the wide datapath holds it, laid out at its first use."""
        prepared = self._prepared.get((op.name, layout))
        if prepared is None:
            whole = self._wide_on_datapath or self._toggles == "exact"
            prepared = prepare_stored_tiles(self.placement.wide, weight, layout, whole=whole)
            self._prepared[op.name, layout] = prepared
        return prepared

    def vector(self, op: Operator) -> None:
        if op.kind == "embedding":  # a new step begins
            self._position, self._step_tokens = self._position + self._step_tokens, op.m
        self._enter_apart(op)

    def _enter_apart(self, op: Operator) -> None:
        """Book what no datapath does: work of the vector unit, or of the host."""
        self._enter(op, self._place(op), _NOTHING)
        self._exchange(op)

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

    def _book(self, op: Operator, repetitions: Sequence[Observation]) -> None:
        """Book what one operator did, in all of its repetitions together or one by one."""
        for done in repetitions:
            if done.first_overflow is not None:
                count = done.events.of_unit("overflow").count()
                first = replace(done.first_overflow, m=self._position + done.first_overflow.m)
                before = self.overflowed.get(op.name, (0, first))
                self.overflowed[op.name] = (before[0] + count, before[1])
        counted, columns = sum(done.toggle_columns for done in repetitions), op.n * op.repeat
        if counted < columns:
            before_counted, before_all = self.sampled.get(op.kind, (0, 0))
            self.sampled[op.kind] = (before_counted + counted, before_all + columns)
        events = repetitions[0].events if len(repetitions) == 1 else total([done.events for done in repetitions])
        self._enter(op, self._placed_as_executed(op, repetitions), events)
        self._exchange(op)

    def _exchange(self, op: Operator) -> None:
        if (exchanged := self.placement.exchange(op)) is not None:
            self._enter(*exchanged, _NOTHING)

    def _enter(self, op: Operator, placed: Placed, counted: Events) -> None:
        self.ledger.add(op, placed, counted)
        if self._on_operator is not None:
            self._on_operator(op, placed)

    def _placed_as_executed(self, op: Operator, repetitions: Sequence[Observation]) -> Placed:
        """Where `op` goes, and how long it takes there on these operands."""
        return self.placement.paced(op, self._place(op), sum(done.cycles for done in repetitions))

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


def _keep_freed_memory() -> None:
    """Free one large block, after which glibc gives no freed arrays below its size back to the system.

    Otherwise every step maps and clears the pages of its arrays anew: 30 % of the CPU time of an evaluation.
    """
    np.empty(_LARGE_BLOCK, np.uint8)


def _stored_codes(weight: CodedWeight) -> PackedTernary | Array:
    """What a datapath lays out: ternary codes as they are packed, wider integers one by one."""
    if isinstance(weight, TernaryWeight):
        return PackedTernary.from_hf_bytes(weight.packed, weight.n)
    return weight.codes()


def live_macs(x_q: Array, n: int, live: Array | None) -> int:
    """Products with a non-zero code of `x_q` (M, K) that enter a needed output; `live`: bool (M, N), None: all are."""
    if live is None:
        return int(np.count_nonzero(x_q)) * n
    return int(np.count_nonzero(x_q, axis=1) @ np.count_nonzero(live, axis=1))
