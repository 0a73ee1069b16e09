"""The tile sizes that the mapper tries.

Multiples of a unit, the datapath's grain, and all of a dimension: other tiles leave parts of the datapath idle and
change what its registers do. All of them, if they make at most MOST_TILES tiles. Otherwise, for every number of tiles
of M, K and N, the smallest size that makes so many: larger ones need more room for as many transfers, and gain at most
what a shorter last tile saves. Where even these are too many, some of them. Dimensions that are `broken`: the same for
a unit of 1, with multiples of the grain and its halves down to 1 where there are too many.
"""

import math
from collections.abc import Sequence

import numpy as np

from bitsim.datapath.base import Array
from bitsim.schedule.plan import Tile
from bitsim.schedule.thinning import thinned, within

MOST_TILES = 4096  # candidates of one rank, if it is the only one
MOST_SIZES = 48  # candidates per dimension; with several ranks of buffers MOST_OUTER outside and MOST_INNER inside
MOST_OUTER, MOST_INNER = 8, 16
EACH = "one tile size for each number of tiles"


def candidates(
    dims: Tile,
    unit: Tile,
    rank: int,
    ranks: int,
    *,
    broken: tuple[bool, bool, bool],
    largest: Tile,
    most_shapes: int,
) -> tuple[list[Array], str]:
    """Tile sizes of M, K and N for one of `ranks` ranks, the largest first, and to what they are limited.

    `largest`: no larger tile has room. `most_shapes`: of full and last tiles, whose costs have to be known.
    """
    most = MOST_SIZES if ranks == 1 else MOST_OUTER if rank else MOST_INNER
    lists = [
        (_broken_lists if parts else _lists)(size, step, most, room)
        for size, step, parts, room in zip(dims, unit, broken, largest, strict=True)
    ]
    chosen = [0, 0, 0]
    for d in (0, 1, 2, 0, 1, 2):
        finer = [choice + (i == d) for i, choice in enumerate(chosen)]
        tiles = math.prod(len(lists[i][choice][0]) for i, choice in enumerate(finer))
        if tiles <= (MOST_TILES if ranks == 1 else most**3):
            chosen = finer
    found = within([lists[d][choice] for d, choice in enumerate(chosen)], largest, most_shapes)
    tried = [which for _, which in found if which]
    if ranks > 1:
        tried.append(f"inner loops that are best for a full outer tile, of at most {MOST_INNER} tile sizes")
    return [np.array(sizes, dtype=np.int64) for sizes, _ in found], "; ".join(dict.fromkeys(tried))


def _lists(size: int, unit: int, most: int, largest: int) -> list[tuple[Sequence[int], str]]:
    """Candidates of one dimension, the coarsest first, each with what is left out."""
    each = _sizes(size, unit)
    every = [min(units * unit, size) for units in range(-(-size // unit), 0, -1)]
    lists = [(each, EACH if len(each) < len(every) else ""), (every, "")]
    if len(each) > most:
        lists.insert(0, (thinned(each, most, largest), f"at most {most} tile sizes"))
    return [lists[0], lists[min(1, len(lists) - 1)], lists[-1]]


def _broken_lists(size: int, unit: int, most: int, largest: int) -> list[tuple[Sequence[int], str]]:
    """As `_lists`, of sizes that need not be multiples of the unit."""
    steps = set(_sizes(size, unit))
    half = unit
    while half > 1:
        half = -(-half // 2)
        steps.add(half)
    coarse, which = sorted(steps, reverse=True), "tile sizes in steps of the grain" if unit > 1 else EACH
    if len(coarse) > most:
        coarse, which = thinned(coarse, most, largest), f"at most {most} tile sizes"
    fine = sorted(steps.union(_sizes(size, 1)), reverse=True)
    tried = [(coarse, which), (fine, EACH), (range(size, 0, -1), "")]
    return [(sizes, left_out if len(sizes) < size else "") for sizes, left_out in tried]


def _sizes(size: int, unit: int) -> list[int]:
    """For each number of tiles that sizes in steps of `unit` can make, the smallest such size, the largest first."""
    units = -(-size // unit)
    sizes: list[int] = []
    tiles = 1
    while tiles <= units:
        per_tile = -(-units // tiles)
        sizes.append(min(per_tile * unit, size))
        if per_tile == 1:
            break
        tiles = max(tiles + 1, -(-units // (per_tile - 1)))
    return sizes


def sizes_of_tiles(size: int, tiles: Array) -> tuple[Array, Array]:
    """All sizes that tiles of one dimension have, sorted, and where in them each candidate's full and last tile are."""
    last = size - (-(-size // tiles) - 1) * tiles
    values = np.unique(np.concatenate([tiles, last]))
    return values, np.stack([np.searchsorted(values, tiles), np.searchsorted(values, last)], axis=1)
