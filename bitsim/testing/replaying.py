"""Plans worked off call by call, as law 11 asks: each tile executed by itself, and what they did added up."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from bitsim.datapath.base import Array
from bitsim.datapath.pe_array.cycle_model import run_array
from bitsim.datapath.protocol import Datapath
from bitsim.datapath.tiles import Call, slices
from bitsim.events import Events, is_data_dependent, total
from bitsim.testing.design import Design, executed
from bitsim.testing.laws import Replay, added

DRAINED = "reg.psum.toggle"  # of sums that stay in their registers between tiles of K


def by_calls(core: Design) -> Replay:
    """Replays `answer.calls`, objects with the slices `m`, `k`, `n`, on `core`: sums, events and cycles add up."""

    def replayed(answer: Any, x_q: Array, w: Array) -> Any:
        calls = list(answer.calls)
        parts = [executed(core, x_q[call.m, call.k], w[call.n, call.k]) for call in calls]
        y = np.zeros((len(x_q), len(w)), np.int64)
        for call, part in zip(calls, parts, strict=True):
            y[call.m, call.n] += part.y
        told = SimpleNamespace(y=y)
        if all(part.events is not None for part in parts):
            told.events = added(part.events or {} for part in parts)
        if all(part.cycles is not None for part in parts):
            told.cycles = sum(part.cycles or 0 for part in parts)
        if any(part.first for part in parts):
            told.first_overflow = next(part.first for part in parts if part.first)
        return told

    return replayed


def by_tiles(datapath: Datapath) -> Replay:
    """Replays the `tiles` of a `bitsim.Executed` on the chip's datapath, every call from reset.

    Counts that follow from shapes are those of each call and of the additions that join tiles of K. Where sums stay in
    registers between tiles of K, their toggles are those of an execution of these tiles at once; where registers keep
    their values between all tiles, those of the array stepped clock by clock. Outputs that are rounded are not formed.
    """
    core: Any = datapath.reset

    def replayed(answer: Any, x_q: Array, w: Array) -> Any:
        calls = list(answer.tiles.walk())
        parts = [core.execute(x_q[call.m, call.k], w[call.n, call.k]) for call in calls]
        counts = dict(_of_operands(total([part.events for part in parts])))
        if answer.tiles.kept:
            counts[DRAINED] = sum(_drained(core, x_q, w, answer.tiles, call) for call in calls if not call.k.start)
        if core is not datapath:
            stepped = run_array(x_q, w, core.spec.model_copy(update={"between_tiles": "keep"}), answer.tiles)[1]
            counts |= {name: n for name, n in stepped.items() if name.endswith(".toggle")}
        of_shapes = [_counting(core, call).count(*call.size) for call in calls]
        y = np.zeros((len(x_q), len(w)), np.int64)
        for call, part in zip(calls, parts, strict=True):
            y[call.m, call.n] += part.y.astype(np.int64) if datapath.exact else 0
        cycles = [part.cycles for part in parts]
        if not datapath.cycles_vary:
            cycles = [_counting(core, call).cycles(*call.size) for call in calls]
        return SimpleNamespace(
            y=y if datapath.exact else answer.y,
            events=Events(counts) + total(of_shapes) + joints(core, calls),
            cycles=sum(cycles),
            first_overflow=next((part.first_overflow for part in parts if part.first_overflow is not None), None),
        )

    return replayed


def _of_operands(events: Events) -> dict[str, int]:
    return {name: n for name, n in events.items() if is_data_dependent(name)}


def _counting(datapath: Any, call: Call) -> Any:
    return datapath.staying if call.stays else datapath


def _drained(datapath: Any, x_q: Array, w: Array, tiles: Any, call: Call) -> int:
    """Toggles of the sums of one call's M and N, over each range of K in which they stay."""
    ranges = slices(tuple(sum(chain) for chain in tiles.chains))
    return sum(int(datapath.execute(x_q[call.m, k], w[call.n, k]).events[DRAINED]) for k in ranges)


def joints(datapath: Any, calls: list[Call]) -> Events:
    """The additions that put sums over K together: what the papers count, and the adder where one is beside."""
    found, stayed = [], False
    for call in calls:
        m, _, n = call.size
        if call.k.start:
            found.append(Events({f"add.{datapath.arithmetic}": m * n}))
            if not datapath.sums_tiles and not stayed:
                found.append(datapath.joining(m, n))
        stayed = call.stays
    return total(found)
