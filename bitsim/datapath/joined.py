"""What calls of a datapath give together: parts of K added up, ranges of columns and blocks of tokens side by side."""

from dataclasses import replace

import numpy as np

from bitsim.datapath.base import Array, Range
from bitsim.datapath.formats import HALF_BITS
from bitsim.datapath.outcomes import Execution, Overflow
from bitsim.datapath.protocol import Datapath
from bitsim.datapath.tiled import Layout, TiledWeights, filled
from bitsim.events import Events, total


def joined(
    datapath: Datapath, x: Array, w: TiledWeights, j: int, parts: list[Execution], live: Array | None
) -> Execution:
    """The parts of K of some rows and columns: their sums added up, as the datapath or what is beside it does."""
    if len(parts) == 1:
        return parts[0]
    events, starts = total([part.events for part in parts]), [part.start for part in w.layout.parts]
    found = [_moved(part.first_overflow, k=start) for part, start in zip(parts, starts, strict=True)]
    if w.chained:
        summed = datapath.execute(filled(datapath, x, w.layout), w.chained[j], toggles="off", live=live)
        y, overflows = summed.y, summed.events.of_unit("overflow")
        events = events.apart_from("overflow")
        found = [_unfilled(summed.first_overflow, w.layout, datapath.tile_depth)]
    else:
        y, overflows, first = add_up([part.y for part in parts], datapath, starts)
        found.append(first)
    exact = [part.exact_y for part in parts if part.exact_y is not None]
    return Execution(
        y=y,
        events=events + overflows,
        cycles=sum(part.cycles for part in parts),
        toggle_columns=parts[0].toggle_columns,
        first_overflow=_first(found),
        exact_y=np.sum(exact, axis=0) if len(exact) == len(parts) else None,
    )


def add_up(sums: list[Array], datapath: Datapath, starts: list[int]) -> tuple[Array, Events, Overflow | None]:
    """The sums (M, N) of parts of K, added in their order by an adder that wraps or saturates as the datapath does.

    Returns the outputs, the overflows and the first of them, at the first k of the part that was added (`starts`).
    """
    limits = datapath.output_range
    y, found, count = sums[0], list[Overflow | None](), 0
    for part, start in zip(sums[1:], starts[1:], strict=True):
        y, lost = _add(y, part, limits, datapath)
        count += len(lost)
        if len(lost):
            found.append(Overflow(m=int(lost[0][0]), k=start, n=int(lost[0][1])))
    return y, Events({datapath.join_overflow: count}), _first(found)


def _add(y: Array, part: Array, limits: Range | None, datapath: Datapath) -> tuple[Array, Array]:
    """The sum of two matrices, in the format of the buffer, and where it overflows."""
    if limits is None:
        sums = np.float16 if datapath.sum_bits == HALF_BITS else np.float32
        with np.errstate(over="ignore", invalid="ignore"):
            joined = (y.astype(sums) + part.astype(sums)).astype(np.float32)
        return joined, np.argwhere(~np.isfinite(joined) & np.isfinite(y) & np.isfinite(part))
    wide = y.astype(np.int64) + part
    lost = (wide < limits.low) | (wide > limits.high)
    if not lost.any():
        return wide.astype(y.dtype), np.argwhere(lost)
    if datapath.saturates:
        return np.clip(wide, limits.low, limits.high).astype(y.dtype), np.argwhere(lost)
    held = (wide - limits.low) % (-2 * limits.low) + limits.low
    return held.astype(y.dtype), np.argwhere(lost)


def side_by_side(ranges: list[Execution], starts: list[int]) -> Execution:
    """Ranges of columns together."""
    if len(ranges) == 1:
        return ranges[0]
    found = [_moved(one.first_overflow, n=start) for one, start in zip(ranges, starts, strict=True)]
    exact = [one.exact_y for one in ranges if one.exact_y is not None]
    return Execution(
        y=np.concatenate([one.y for one in ranges], axis=1),
        events=total([one.events for one in ranges]),
        cycles=sum(one.cycles for one in ranges),
        toggle_columns=sum(one.toggle_columns for one in ranges),
        first_overflow=_first(found),
        exact_y=np.concatenate(exact, axis=1) if exact else None,
    )


def one_behind_another(blocks: list[Execution], starts: list[int]) -> Execution:
    """Blocks of tokens together."""
    if len(blocks) == 1:
        return blocks[0]
    found = [_moved(one.first_overflow, m=start) for one, start in zip(blocks, starts, strict=True)]
    exact = [one.exact_y for one in blocks if one.exact_y is not None]
    return Execution(
        y=np.concatenate([one.y for one in blocks]),
        events=total([one.events for one in blocks]),
        cycles=sum(one.cycles for one in blocks),
        toggle_columns=blocks[0].toggle_columns,
        first_overflow=_first(found),
        exact_y=np.concatenate(exact) if exact else None,
    )


def _first(found: list[Overflow | None]) -> Overflow | None:
    return min((one for one in found if one is not None), key=lambda one: (one.m, one.k, one.n), default=None)


def _moved(found: Overflow | None, *, m: int = 0, k: int = 0, n: int = 0) -> Overflow | None:
    return None if found is None else Overflow(m=found.m + m, k=found.k + k, n=found.n + n)


def _unfilled(found: Overflow | None, layout: Layout, unit: int) -> Overflow | None:
    """An overflow in operands that were filled up, in terms of those that were not."""
    if found is None:
        return None
    before = 0
    for part in layout.parts:
        size = part.stop - part.start
        filled = -(-size // unit) * unit
        if found.k < before + filled:
            return replace(found, k=part.start + min(found.k - before, size - 1))
        before += filled
    raise AssertionError(f"overflow at {found} behind the last k")
