"""A matmul worked off tile by tile: what is called apart, and what all calls of a datapath count.

A sum over K falls into tiles of K, whose sums are put together in one of three ways: in the datapath's own accumulators
(`sums_tiles`: those below the columns of an array, or an operand C), in registers that keep them from call to call
(`Tiles.kept`), or by an adder beside the buffer of sums (`joining`). Tiles that change nothing are executed at once:
those of N that begin where a tile of the datapath's own does, and such of K where it sums tiles itself.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from bitsim.datapath.base import Array, Statistics
from bitsim.datapath.packed import PackedTernary
from bitsim.datapath.protocol import Datapath
from bitsim.datapath.tiles import K, N, Tiles, slices
from bitsim.events import Events, total
from bitsim.model.weights import FloatWeight


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

    @property
    def whole(self) -> bool:
        """Whether all of K and N is executed at once."""
        return len(self.apart) == len(self.apart[0]) == 1


# Every step of a decode asks for the same tiles, and a growing context for a few new ones.
_asked_again = lru_cache(maxsize=4096)


@_asked_again
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
            if datapath.sums_tiles and parts and (tile.start - parts[-1].start) % datapath.tile_depth == 0:
                parts[-1] = Part(start=parts[-1].start, stop=tile.stop)
            else:
                parts.append(Part(start=tile.start, stop=tile.stop))
    return Layout(parts=tuple(parts), widths=widths)


def count_tiles(datapath: Datapath, tiles: Tiles) -> Events:
    """The data-independent events of all calls, in closed form."""
    events = total([_of(datapath, stays).count(*size) * times for (size, stays), times in tiles.shapes().items()])
    m, _, n = tiles.dims
    sums = Events({f"add.{datapath.arithmetic}": m * n * (len(tiles.sizes(K)) - 1)})
    return events + sums + joints_of(datapath, tiles)


@_asked_again
def cycles_of_tiles(datapath: Datapath, tiles: Tiles) -> int:
    """Cycles of all calls; where they depend on the operands, those of operands without zeros."""
    return sum(_of(datapath, stays).cycles(*size) * times for (size, stays), times in tiles.shapes().items())


@_asked_again
def joining_of(datapath: Datapath, tiles: Tiles) -> Events:
    """What a matmul counts beside the calls that are executed apart: the joints, and the additions that they are."""
    m, _, n = tiles.dims
    apart = len(layout_of(datapath, tiles).parts) - 1
    return joints_of(datapath, tiles) + Events({f"add.{datapath.arithmetic}": m * n * apart})


def joints_of(datapath: Datapath, tiles: Tiles) -> Events:
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
        chained = tuple(core.prepare(filled(core, codes[columns], layout)) for columns in layout.columns)
    return TiledWeights(layout=layout, apart=apart, chained=chained)


def prepare_stored_tiles(datapath: Datapath, weight: FloatWeight, layout: Layout, *, whole: bool) -> TiledWeights:
    """As `prepare_tiles`, from a stored float matrix; `whole`: every call will need all of it."""
    core = datapath.reset
    apart = []
    for columns in layout.columns:
        stored = [weight.part(columns, part.k) for part in layout.parts]
        pairs = zip(stored, layout.parts, strict=True)
        apart.append(tuple(core.prepare_stored(one, whole=whole, cuts=part.cuts) for one, part in pairs))
    chained: tuple[Any, ...] = ()
    if datapath.sums_tiles and len(layout.parts) > 1 and whole:
        blocks = [weight.rows(columns.start, columns.stop) for columns in layout.columns]
        chained = tuple(core.prepare(filled(core, block, layout)) for block in blocks)
    return TiledWeights(layout=layout, apart=tuple(apart), chained=chained)


def filled(datapath: Datapath, operand: Array, layout: Layout) -> Array:
    """The parts of K of `operand` (rows, K) one behind another, each filled up with zeros to whole units of K."""
    unit = datapath.tile_depth
    parts = [operand[:, part.k] for part in layout.parts]
    return np.concatenate([np.pad(part, ((0, 0), (0, -part.shape[1] % unit))) for part in parts], axis=1)
