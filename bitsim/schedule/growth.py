"""An operator at many contexts, as a decode meets it: what all of them do together, without placing each.

Between multiples of the datapath's tiles all counts grow by the same amount from one context to the next. So a range of
contexts is cut into pieces in which every count does, each piece is placed at three of its contexts, and its counts are
summed as arithmetic series. Times are maxima of rounded quotients, which no series sums: they are evaluated for every
context from the counts, those of tile loops by the compiled nest.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from bitsim.datapath.base import Array
from bitsim.events import Events
from bitsim.model.operators import Operator
from bitsim.schedule.kernels import nest
from bitsim.schedule.matmul import DRAM
from bitsim.schedule.place import Placed, Placement
from bitsim.schedule.plan import WHOLE
from bitsim.schedule.transfers import STEPS

OperatorAt = Callable[[int], Operator]
Expected = Callable[[Operator, Placed], Events]
_SHORT = 4  # pieces of so few contexts are placed one by one


@dataclass(slots=True, kw_only=True)
class Grown:
    """Sums over contexts: executions, MACs, cycles (from start to end, of the unit, of the best bound) and events.

    `waits`: cycles by what was waited for; `plans`: cycles by plan.
    """

    calls: int = 0
    macs: int = 0
    cycles: int = 0
    unit_cycles: int = 0
    least_cycles: int = 0
    events: Events = field(default_factory=Events)
    waits: Counter[str] = field(default_factory=Counter)
    plans: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """One context: its operator and place, and the counts of these as plain numbers."""

    op: Operator
    placed: Placed
    counts: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """Contexts from `first` on, `size` of them, and of each count the first value and its growth per context."""

    first: int
    size: int
    start: _Sample
    growth: dict[str, int]

    def values(self, count: str) -> Array:
        first, step = self.start.counts.get(count, 0), self.growth.get(count, 0)
        steps: Array = np.arange(self.size, dtype=_kind(max(abs(first), abs(first + step * self.size))))
        return first + steps * step

    def total(self, count: str) -> int:
        return self.start.counts[count] * self.size + self.growth[count] * (self.size * (self.size - 1) // 2)


def grown(placement: Placement, operator_at: OperatorAt, first: int, number: int, expected: Expected) -> Grown:
    """The operator at `number` contexts from `first` on. `expected`: its data-dependent events at one of them.

    All sums are those of placing every context, but for `expected` events, which are taken to grow evenly in a piece.
    """
    samples: dict[int, _Sample] = {}

    def sample(context: int) -> _Sample:
        if context not in samples:
            op = operator_at(context)
            placed = placement.place(op)
            samples[context] = _Sample(op=op, placed=placed, counts=_counts(op, placed))
        return samples[context]

    done = Grown()
    for start, end in _stretches(placement, operator_at, first, first + number):
        for piece in _pieces(sample, start, end):
            last = sample(piece.first + piece.size - 1)
            _add(done, placement, piece, operator_at)
            ends = [expected(at.op, at.placed) for at in (piece.start, last)]
            names = dict.fromkeys(event for events in ends for event in events)  # in order: prices are summed in it
            done.events += Events({e: round(sum(events[e] for events in ends) * piece.size / 2) for e in names})
    return done


def _counts(op: Operator, placed: Placed) -> dict[str, int]:
    counts = {"macs": op.macs} | ({} if placed.plan is None else {"unit": placed.unit_cycles})
    counts |= {"M": op.m, "K": op.k, "N": op.n, "repeat": op.repeat, "stored": op.kv_read_bits}
    counts |= {f"needs {name}": amount for name, amount in placed.needs.items()}
    counts |= {f"least {name}": amount for name, amount in placed.least.items()}
    for event, count in (placed.events + placed.array_events).items():
        counts[f"event {event}"] = count
    return counts


def _stretches(placement: Placement, operator_at: OperatorAt, first: int, stop: int) -> Iterator[tuple[int, int]]:
    """Ranges of contexts that share a plan, a number of its tiles and, in the last of these, of the datapath's own."""
    start = first
    while start < stop:
        end = min(stop, (1 << (start - 1).bit_length()) + 1)
        op = operator_at(start)
        if op.is_matmul and not placement.on_host(op):
            axis, (_, plan, _) = (2 if op.kind == "qk" else 1), placement.schedule(op)
            tile, grain = plan.loops[0].tile[axis], placement.datapath(op).grain[axis]
            before = (start - 1) // tile * tile
            inside = before + min(tile, -(-(start - before) // grain) * grain)
            end = min(end, inside + 1) if inside - start >= _SHORT else end
        yield start, end
        start = end


def _pieces(sample: Callable[[int], _Sample], start: int, stop: int) -> Iterator[_Piece]:
    """The contexts start .. stop - 1 in pieces in which all counts grow evenly."""
    size, begin = stop - start, sample(start)
    if size <= _SHORT:
        for context in range(start, stop):
            yield _Piece(first=context, size=1, start=sample(context), growth=dict.fromkeys(sample(context).counts, 0))
        return
    second, end = sample(start + 1), sample(stop - 1)
    growth = {name: count - begin.counts.get(name, 0) for name, count in second.counts.items()}
    even = begin.counts.keys() == second.counts.keys() == end.counts.keys() and all(
        begin.counts[name] + step * (size - 1) == end.counts[name] for name, step in growth.items()
    )
    if even:
        yield _Piece(first=start, size=size, start=begin, growth=growth)
    else:
        middle = (start + stop) // 2
        yield from _pieces(sample, start, middle)
        yield from _pieces(sample, middle, stop)


def _add(done: Grown, placement: Placement, piece: _Piece, operator_at: OperatorAt) -> None:
    placed = piece.start.placed
    if placed.plan is None:
        cycles = np.max([_quotients(placed, piece, "needs", name) for name in placed.needs], axis=0)
    else:
        cycles = _nested(placement, piece, operator_at)
    least = np.max([_quotients(placed, piece, "least", name) for name in placed.least], axis=0)
    done.calls += piece.size
    done.macs += piece.total("macs")
    if placed.plan is None:
        done.unit_cycles += sum(_quotients(placed, piece, "needs", placed.unit).tolist())
    else:
        done.unit_cycles += piece.total("unit")
    done.cycles += sum(cycles.tolist())
    done.least_cycles += sum(least.tolist())
    done.events += Events({name[6:]: piece.total(name) for name in piece.start.counts if name.startswith("event ")})
    done.waits[placed.bound] += sum(cycles.tolist())
    if placed.plan is not None:
        done.plans[placed.plan.text()] += sum(cycles.tolist())


def _quotients(placed: Placed, piece: _Piece, what: str, name: str) -> Array:
    """Cycles for so much work or so many bits, of each context."""
    rate, amounts = placed.rates[name], piece.values(f"{what} {name}")
    amounts = amounts.astype(_kind(max(amounts.max(), rate.numerator) * rate.denominator))
    cycles: Array = -(-amounts * rate.denominator // rate.numerator)
    return cycles


def _kind(most: int) -> type:
    """The type of an array of integers up to `most`: Python's own where int64 is too narrow."""
    return np.int64 if most < 2**62 else object


def _nested(placement: Placement, piece: _Piece, operator_at: OperatorAt) -> Array:
    """Cycles of a matmul's tile loops at each context, all under one plan."""
    matmul, plan, schedule = placement.schedule(piece.start.op)
    if schedule.ranks > 1:
        return np.array([placement.place(operator_at(piece.first + i)).cycles for i in range(piece.size)])
    legs, loops = schedule.transfers(matmul)[0], plan.loops[0]
    dims = np.stack([piece.values(name) for name in ("M", "K", "N", "repeat")], axis=1)
    tiles = np.minimum(dims[:, :3], np.array(loops.tile))
    lasts = dims[:, :3] - (-(-dims[:, :3] // tiles) - 1) * tiles
    m, k, n = (np.stack([tiles[:, d], lasts[:, d]], axis=1) for d in range(3))
    sizes = [m[:, :, None, None], k[:, None, :, None], n[:, None, None, :]]
    single, holds = schedule.tiles(sizes), schedule.datapath.holds
    calls, used = single.cycles, np.ascontiguousarray(np.moveaxis(single.used[schedule.at(legs)], 0, -1))
    kept = np.array([plan.tiles((m, k, n), holds).kept for m, k, n in dims[:, :3].tolist()])
    if kept.any():
        staying = schedule.tiles(sizes, stays=True)
        left = kept[:, None, None, None] & np.array([True, False])[None, None, :, None]  # not of the last tile of K
        calls = np.where(left, staying.cycles, calls)
        used = np.where(left[..., None], np.moveaxis(staying.used[schedule.at(legs)], 0, -1), used)
    costs = np.broadcast_to(legs.cost, (piece.size, *legs.cost.shape)).copy()
    if DRAM in legs.ports and "weights" in legs.legs:
        elements = dims[:, 1] * dims[:, 2] * dims[:, 3]
        costs[:, legs.ports.index(DRAM), 0] = -(-piece.values("stored") * STEPS // elements)
    cycles = np.empty(piece.size, dtype=np.int64)
    nest.cycles_of_many(
        dims,
        tiles,
        (dims[0], tiles[0], nest.ORDERS[loops.order], loops.keep, WHOLE),
        np.broadcast_to(calls[:, None], (piece.size, 4, 2, 2, 2)),
        np.broadcast_to(used[:, None], (piece.size, 4, 2, 2, 2, used.shape[-1])),
        costs,
        legs.timing,
        cycles,
    )
    return cycles + placement.launch
