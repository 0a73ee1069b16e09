"""Weight registers that keep their values between tiles: what they flip in all tiles of a matmul, one after another.

The weights of a tile are shifted into a column from above while those of the tile before leave at its end:

    r = 0    new 0 ... new R-1 | old 0 ... old R-1      each of R shifts moves the line down by one register

So the pair of neighbours (r, r + 1) of a tile flips r + 1 registers on its way in and R - 1 - r on its way out, and the
old weight of the first row and the new one of the last row flip R. The first tile of a matmul finds zeros, and the last
one stays. Unused rows and columns take zeros in and give the old weights out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitsim.datapath.base import Array
from bitsim.datapath.tiles import Call, Tiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """What matters of the tiles of some weights (N, K) to those that come before and after.

    `first`, `last`: patterns in the rows 0 and R - 1 of each tile, unsigned (tiles of K, N). `enter`: flips on the way
    in, behind zeros; `leave`: flips of a tile's own pairs on the way out; int64 (tiles of K, N).
    """

    first: Array
    last: Array
    enter: Array
    leave: Array


def edges(patterns: Array, rows: int) -> Edges:
    """The tiles of `rows` of K of the unsigned register contents `patterns` (N, K)."""
    n, k = patterns.shape
    tiles = np.zeros((n, -(-k // rows) * rows), patterns.dtype)
    tiles[:, :k] = patterns
    lines = tiles.reshape(n, -1, rows).swapaxes(0, 1)
    pairs = np.bitwise_count(lines[..., 1:] ^ lines[..., :-1]).astype(np.int64)
    last = np.ascontiguousarray(lines[..., -1])
    way_in = np.arange(1, rows, dtype=np.int64)
    return Edges(
        first=np.ascontiguousarray(lines[..., 0]),
        last=last,
        enter=pairs @ way_in + rows * np.bitwise_count(last).astype(np.int64),
        leave=pairs @ way_in[::-1],
    )


def joined(parts: Sequence[Edges], axis: int) -> Edges:
    """Tiles of further outputs (axis 1) or of further K (0)."""
    names = ("first", "last", "enter", "leave")
    return Edges(**{name: np.concatenate([getattr(part, name) for part in parts], axis=axis) for name in names})


def kept_toggles(parts: Sequence[Sequence[Edges]], depths: Sequence[int], tiles: Tiles, rows: int, cols: int) -> int:
    """Weight-register toggles of a whole matmul on an array of `rows` x `cols` that is never reset between `tiles`.

    `parts[j][i]`: the edges of the j-th columns and the i-th part of K, in the order of their beginnings; the parts
    are `depths` long.
    """
    columns = [joined(row, 0) for row in parts]
    found = joined([_whole_tiles(one, cols) for one in columns], 1)
    down, across = _grid(depths, rows), _grid([one.last.shape[1] for one in columns], cols)
    order = np.concatenate([_visited(call, down, across) for call in tiles.walk()])
    first, last = (ends.reshape(-1, cols) for ends in (found.first, found.last))
    enter, leave = (flips.reshape(-1, cols).sum(axis=1) for flips in (found.enter, found.leave))
    before, after = first[order[:-1]], last[order[1:]]
    seams = int(np.bitwise_count(before ^ after).sum(dtype=np.int64))
    seams -= int(np.bitwise_count(after).sum(dtype=np.int64))  # they find the old weights and no zeros
    return int(enter[order].sum()) + int(leave[order[:-1]].sum()) + rows * seams


def _whole_tiles(found: Edges, cols: int) -> Edges:
    """With zeros in the unused columns of the last tile of N."""
    padding = ((0, 0), (0, -found.last.shape[1] % cols))
    names = ("first", "last", "enter", "leave")
    return Edges(**{name: np.pad(getattr(found, name), padding) for name in names})


def _grid(sizes: Sequence[int], unit: int) -> Array:
    """Where the array's own tiles begin in ranges of these sizes, one behind another."""
    starts = np.cumsum([0, *sizes[:-1]])
    return np.concatenate([np.arange(start, start + size, unit) for start, size in zip(starts, sizes, strict=True)])


def _visited(call: Call, down: Array, across: Array) -> Array:
    """The array's tiles in one call, in their order, as places in a grid of `down` x `across`: those of K inside."""
    k = np.flatnonzero((down >= call.k.start) & (down < call.k.stop))
    n = np.flatnonzero((across >= call.n.start) & (across < call.n.stop))
    places: Array = (k[None, :] * across.size + n[:, None]).ravel()
    return places
