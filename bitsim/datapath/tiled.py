"""A matmul worked off tile by tile: what its calls of a datapath count and give together.

A sum over K falls into tiles of K, whose sums are put together in one of three ways: in the datapath's own accumulators
(`sums_tiles`: those below the columns of an array, or an operand C), in registers that keep them from call to call
(`Tiles.kept`), or by an adder beside the buffer of sums (`joining`). Tiles that change nothing are executed at once:
those of N that begin where a tile of the datapath's own does, and such of K where it sums tiles itself.
"""

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from bitsim.datapath.base import Array, Range, Statistics, Toggles
from bitsim.datapath.outcomes import Execution, Observation, Overflow
from bitsim.datapath.packed import PackedTernary
from bitsim.datapath.protocol import Datapath
from bitsim.datapath.tiles import K, M, N, Tiles, slices
from bitsim.errors import OperandError
from bitsim.events import Events, total
from bitsim.model.weights import FloatWeight

Done = TypeVar("Done", bound=Observation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A range of K that is executed at once; `cuts`: its tiles, if sums stay in the datapath between them."""

    start: int
    stop: int
    cuts: tuple[int, ...] = ()

    @property
    def k(self) -> slice:
        return slice(self.start, self.stop)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What is executed apart: parts of K, and ranges of N (as their sizes)."""

    parts: tuple[Part, ...]
    widths: tuple[int, ...]

    @property
    def columns(self) -> list[slice]:
        return slices(self.widths)


@dataclass(frozen=True, slots=True, kw_only=True)
class TiledWeights:
    """Weights laid out for the calls of a datapath: `apart[j][i]` are those of the j-th columns and the i-th part of K.

    `chained`: by columns, all of K, parts filled up to whole units of the datapath, where it sums parts itself.
    """

    layout: Layout
    apart: tuple[tuple[Any, ...], ...]
    chained: tuple[Any, ...] = ()


def layout_of(datapath: Datapath, tiles: Tiles) -> Layout:
    """What must be executed apart so that everything is counted as in all tiles one by one."""
    widths = tiles.sizes(N)
    if all(columns.start % datapath.tile_columns == 0 for columns in slices(widths)):
        widths = (tiles.dims[N],)
    if tiles.kept:
        ranges = slices(tuple(sum(chain) for chain in tiles.chains))
        parts = [Part(start=k.start, stop=k.stop, cuts=cuts) for k, cuts in zip(ranges, tiles.chains, strict=True)]
    else:
        parts = []
        for tile in slices(tiles.sizes(K)):
            if datapath.sums_tiles and parts and (tile.start - parts[-1].start) % datapath.grain[1] == 0:
                parts[-1] = Part(start=parts[-1].start, stop=tile.stop)
            else:
                parts.append(Part(start=tile.start, stop=tile.stop))
    return Layout(parts=tuple(parts), widths=widths)


def count_tiles(datapath: Datapath, tiles: Tiles) -> Events:
    """The data-independent events of all calls, in closed form."""
    events = total([_of(datapath, stays).count(*size) * times for (size, stays), times in tiles.shapes().items()])
    m, _, n = tiles.dims
    sums = Events({f"add.{datapath.arithmetic}": m * n * (len(tiles.sizes(K)) - 1)})
    return events + sums + _joints(datapath, tiles)


def cycles_of_tiles(datapath: Datapath, tiles: Tiles) -> int:
    """Cycles of all calls; where they depend on the operands, those of operands without zeros."""
    return sum(_of(datapath, stays).cycles(*size) * times for (size, stays), times in tiles.shapes().items())


def _joints(datapath: Datapath, tiles: Tiles) -> Events:
    """What joins sums that left the datapath."""
    number = 0 if datapath.sums_tiles else len(tiles.chains) - 1
    return total([datapath.joining(m, n) * times for (m, n), times in tiles.joints(number).items()])


def expect_tiles(datapath: Datapath, tiles: Tiles, statistics: Statistics) -> Events:
    """The data-dependent events of all calls that `statistics` predict."""
    calls = tiles.shapes().items()
    return total([_of(datapath, stays).expect(*size, statistics) * times for (size, stays), times in calls])


def _of(datapath: Datapath, stays: bool) -> Datapath:
    return datapath.staying if stays else datapath


def prepare_tiles(datapath: Datapath, w: Array | PackedTernary, layout: Layout) -> TiledWeights:
    """Lay out the weights `w` (N, K) once, for all calls."""
    core = datapath.reset
    if len(layout.parts) == len(layout.widths) == 1:
        return TiledWeights(layout=layout, apart=((core.prepare(w, layout.parts[0].cuts),),))
    codes = w.codes() if isinstance(w, PackedTernary) else w
    apart = tuple(
        tuple(core.prepare(np.ascontiguousarray(codes[columns, part.k]), part.cuts) for part in layout.parts)
        for columns in layout.columns
    )
    chained: tuple[Any, ...] = ()
    if datapath.sums_tiles and len(layout.parts) > 1:
        chained = tuple(core.prepare(_filled(core, codes[columns], layout)) for columns in layout.columns)
    return TiledWeights(layout=layout, apart=apart, chained=chained)


def prepare_stored_tiles(datapath: Datapath, weight: FloatWeight, layout: Layout, *, whole: bool) -> TiledWeights:
    """As `prepare_tiles`, from a stored float matrix; `whole`: every call will need all of it."""
    core = datapath.reset
    apart = []
    for columns in layout.columns:
        stored = [FloatWeight(stored=weight.stored[columns, part.k], dtype=weight.dtype) for part in layout.parts]
        pairs = zip(stored, layout.parts, strict=True)
        apart.append(tuple(core.prepare_stored(one, whole=whole, cuts=part.cuts) for one, part in pairs))
    chained: tuple[Any, ...] = ()
    if datapath.sums_tiles and len(layout.parts) > 1 and whole:
        blocks = [weight.rows(columns.start, columns.stop) for columns in layout.columns]
        chained = tuple(core.prepare(_filled(core, block, layout)) for block in blocks)
    return TiledWeights(layout=layout, apart=tuple(apart), chained=chained)


def _filled(datapath: Datapath, operand: Array, layout: Layout) -> Array:
    """The parts of K of `operand` (rows, K) one behind another, each filled up with zeros to whole units of K."""
    unit = datapath.grain[1]
    parts = [operand[:, part.k] for part in layout.parts]
    return np.concatenate([np.pad(part, ((0, 0), (0, -part.shape[1] % unit))) for part in parts], axis=1)


def execute_tiles(
    datapath: Datapath,
    x: Array,
    w: TiledWeights,
    tiles: Tiles,
    *,
    toggles: Toggles = "exact",
    seed: int = 0,
    live: Array | None = None,
) -> Execution:
    """Run `x` (M, K) through the datapath in `tiles`, with weights that were prepared for them."""
    _check(x, tiles)
    core, blocks = datapath.reset, []
    for rows in slices(tiles.sizes(M)):
        ranges = []
        for j, columns in enumerate(w.layout.columns):
            needed = None if live is None else live[rows, columns]
            parts = [
                core.execute(x[rows, part.k], weights, toggles=toggles, seed=seed, live=needed)
                for part, weights in zip(w.layout.parts, w.apart[j], strict=True)
            ]
            ranges.append(_joined(core, x[rows], w, j, parts, needed))
        blocks.append(_side_by_side(ranges, [columns.start for columns in w.layout.columns]))
    return _finished(datapath, w, tiles, _one_behind_another(blocks, [rows.start for rows in slices(tiles.sizes(M))]))


def observe_tiles(
    datapath: Datapath, x: Array, w: TiledWeights, tiles: Tiles, *, toggles: Toggles = "exact", seed: int = 0
) -> Observation:
    """As `execute_tiles` where outputs need not be formed; overflows are found only where they are."""
    if datapath.exact:
        return execute_tiles(datapath, x, w, tiles, toggles=toggles, seed=seed)
    _check(x, tiles)
    done = [
        datapath.reset.observe(x[rows, part.k], weights, toggles=toggles, seed=seed)
        for rows in slices(tiles.sizes(M))
        for row in w.apart
        for part, weights in zip(w.layout.parts, row, strict=True)
    ]
    return _finished(datapath, w, tiles, _added(datapath, done, tiles))


def observe_all_tiles(
    datapath: Datapath, x: Array, w: Array, tiles: Tiles, *, toggles: Toggles = "exact", seed: int = 0
) -> Observation:
    """`observe_tiles` on many pairs, added up: `x` (R, M, K), `w` (S, N, K), each for R / S of `x` in a row."""
    layout, core, sharing = layout_of(datapath, tiles), datapath.reset, len(x) // len(w)
    if core is not datapath or datapath.exact:
        pairs = [
            observe_tiles(
                datapath, one, prepare_tiles(datapath, w[i // sharing], layout), tiles, toggles=toggles, seed=seed
            )
            for i, one in enumerate(x)
        ]
        return Observation(
            events=total([one.events for one in pairs]),
            cycles=sum(one.cycles for one in pairs),
            toggle_columns=sum(one.toggle_columns for one in pairs),
            first_overflow=next((one.first_overflow for one in pairs if one.first_overflow is not None), None),
        )
    done = [
        core.observe_all(x[:, rows, part.k], w[:, columns, part.k], toggles=toggles, seed=seed, cuts=part.cuts)
        for rows in slices(tiles.sizes(M))
        for columns in layout.columns
        for part in layout.parts
    ]
    return _finished(datapath, None, tiles, _added(datapath, done, tiles, len(x)), len(x))


def _check(x: Array, tiles: Tiles) -> None:
    if x.shape != tiles.dims[:2]:
        raise OperandError(f"x: expected (M, K) = {tiles.dims[:2]}, as the tiles are, got {x.shape}")


def _finished(datapath: Datapath, w: TiledWeights | None, tiles: Tiles, done: Done, repeat: int = 1) -> Done:
    """With the additions that join parts of K, and what registers do that keep their values between tiles."""
    m, _, n = tiles.dims
    apart = len(layout_of(datapath, tiles).parts) - 1
    events = done.events + (_joints(datapath, tiles) + Events({f"add.{datapath.arithmetic}": m * n * apart})) * repeat
    if w is not None and datapath.reset is not datapath:
        events = Events({**dict(events.items()), **datapath.between(w.apart, tiles)})
    cycles = done.cycles if datapath.cycles_vary else cycles_of_tiles(datapath, tiles) * repeat
    return replace(done, events=events, cycles=cycles)


def _added(datapath: Datapath, done: list[Observation], tiles: Tiles, repeat: int = 1) -> Observation:
    """All calls of one matmul together, or of `repeat`; toggles were counted on as many columns in each of them."""
    calls = len(done) // len(layout_of(datapath, tiles).widths)
    return Observation(
        events=total([one.events for one in done]),
        cycles=sum(one.cycles for one in done),
        toggle_columns=sum(one.toggle_columns for one in done) // calls,
    )


def _joined(
    datapath: Datapath, x: Array, w: TiledWeights, j: int, parts: list[Execution], live: Array | None
) -> Execution:
    """The parts of K of some rows and columns: their sums added up, as the datapath or what is beside it does."""
    if len(parts) == 1:
        return parts[0]
    events, starts = total([part.events for part in parts]), [part.start for part in w.layout.parts]
    found = [_moved(part.first_overflow, k=start) for part, start in zip(parts, starts, strict=True)]
    if w.chained:
        summed = datapath.execute(_filled(datapath, x, w.layout), w.chained[j], toggles="off", live=live)
        y, overflows = summed.y, {e: n for e, n in summed.events.items() if e.startswith("overflow.")}
        events = Events({e: n for e, n in events.items() if not e.startswith("overflow.")})
        found = [_unfilled(summed.first_overflow, w.layout, datapath.grain[1])]
    else:
        y, overflows, first = add_up([part.y for part in parts], datapath, starts)
        found.append(first)
    exact = [part.exact_y for part in parts if part.exact_y is not None]
    return Execution(
        y=y,
        events=events + Events(overflows),
        cycles=sum(part.cycles for part in parts),
        toggle_columns=parts[0].toggle_columns,
        first_overflow=_first(found),
        exact_y=np.sum(exact, axis=0) if len(exact) == len(parts) else None,
    )


def add_up(sums: list[Array], datapath: Datapath, starts: list[int]) -> tuple[Array, dict[str, int], Overflow | None]:
    """The sums (M, N) of parts of K, added in their order by an adder that wraps or saturates as the datapath does.

    Returns the outputs, the overflows and the first of them, at the first k of the part that was added (`starts`).
    """
    limits = datapath.output_range
    y, found, count = sums[0], list[Overflow | None](), 0
    for part, start in zip(sums[1:], starts[1:], strict=True):
        y, lost = _add(y, part, limits, datapath.saturates)
        count += len(lost)
        if len(lost):
            found.append(Overflow(m=int(lost[0][0]), k=start, n=int(lost[0][1])))
    return y, {datapath.join_overflow: count} if count else {}, _first(found)


def _add(y: Array, part: Array, limits: Range | None, saturate: bool) -> tuple[Array, Array]:
    """The sum of two matrices, in the format of the buffer, and where it overflows."""
    if limits is None:  # binary16
        with np.errstate(over="ignore", invalid="ignore"):
            joined = (y.astype(np.float16) + part.astype(np.float16)).astype(np.float32)
        return joined, np.argwhere(~np.isfinite(joined) & np.isfinite(y) & np.isfinite(part))
    wide = y.astype(np.int64) + part
    lost = (wide < limits.low) | (wide > limits.high)
    if not lost.any():
        return wide.astype(y.dtype), np.argwhere(lost)
    held = np.clip(wide, limits.low, limits.high) if saturate else (wide - limits.low) % (-2 * limits.low) + limits.low
    return held.astype(y.dtype), np.argwhere(lost)


def _side_by_side(ranges: list[Execution], starts: list[int]) -> Execution:
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


def _one_behind_another(blocks: list[Execution], starts: list[int]) -> Execution:
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
