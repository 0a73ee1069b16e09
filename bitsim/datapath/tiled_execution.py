"""A matmul executed tile by tile: every call of the datapath that the tiles ask for, and what they count together."""

from dataclasses import replace
from typing import TypeVar

from bitsim.datapath.base import Array, Toggles
from bitsim.datapath.joined import joined, one_behind_another, side_by_side
from bitsim.datapath.outcomes import Execution, Observation
from bitsim.datapath.protocol import Datapath
from bitsim.datapath.tiled import TiledWeights, cycles_of_tiles, joining_of, layout_of, prepare_tiles
from bitsim.datapath.tiles import M, Tiles, slices
from bitsim.errors import OperandError
from bitsim.events import Events, total

Done = TypeVar("Done", bound=Observation)


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
    if w.whole and len(tiles.sizes(M)) == 1:
        done = core.execute(x, w.apart[0][0], toggles=toggles, seed=seed, live=live)
        return _finished(datapath, w, tiles, done)
    tokens = slices(tiles.sizes(M))
    for rows in tokens:
        ranges = []
        for j, columns in enumerate(w.layout.columns):
            needed = None if live is None else live[rows, columns]
            parts = [
                core.execute(x[rows, part.k], weights, toggles=toggles, seed=seed, live=needed)
                for part, weights in zip(w.layout.parts, w.apart[j], strict=True)
            ]
            ranges.append(joined(core, x[rows], w, j, parts, needed))
        blocks.append(side_by_side(ranges, [columns.start for columns in w.layout.columns]))
    return _finished(datapath, w, tiles, one_behind_another(blocks, [rows.start for rows in tokens]))


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
    joining = joining_of(datapath, tiles)
    events = done.events + joining * repeat if joining else done.events
    if w is not None and datapath.reset is not datapath:
        events = Events({**dict(events.items()), **datapath.between(w.apart, tiles)})
    cycles = done.cycles if datapath.cycles_vary else cycles_of_tiles(datapath, tiles) * repeat
    unchanged = events is done.events and cycles == done.cycles
    return done if unchanged else replace(done, events=events, cycles=cycles)


def _added(datapath: Datapath, done: list[Observation], tiles: Tiles, repeat: int = 1) -> Observation:
    """All calls of one matmul together, or of `repeat`; toggles were counted on as many columns in each of them."""
    calls = len(done) // len(layout_of(datapath, tiles).widths)
    return Observation(
        events=total([one.events for one in done]),
        cycles=sum(one.cycles for one in done),
        toggle_columns=sum(one.toggle_columns for one in done) // calls,
    )
