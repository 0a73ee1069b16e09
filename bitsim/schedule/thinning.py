"""Fewer tile sizes, where there are too many to try: evenly spread, by ratio, over those that have room."""

from collections.abc import Sequence

import numpy as np

from bitsim.schedule.plan import Tile

Found = tuple[Sequence[int], str]  # sizes of one dimension, the largest first, and to what they are limited
TILES_OF_A_SIZE = 2  # a full one and a last one


def thinned(sizes: Sequence[int], most: int, largest: int) -> list[int]:
    """At most `most` of `sizes`, which come and go the largest first: the ends, and steps of about equal ratio.

    Sizes above `largest`, for which there is no room, are left out unless all are.
    """
    fitting = [size for size in sizes if size <= largest] or [sizes[-1]]
    if len(fitting) <= most:
        return fitting
    steps = np.geomspace(fitting[0], fitting[-1], most)
    ascending = np.array(fitting[::-1])
    nearest = np.clip(np.searchsorted(ascending, steps), 1, ascending.size - 1)
    nearest -= (steps - ascending[nearest - 1]) < (ascending[nearest] - steps)
    return sorted(set(ascending[nearest].tolist()), reverse=True)


def within(found: Sequence[Found], largest: Tile, most_shapes: int) -> list[Found]:
    """The lists of M, K and N, of which the longest are thinned until they make at most `most_shapes` tiles."""
    lists = list(found)
    while np.prod([TILES_OF_A_SIZE * len(sizes) for sizes, _ in lists]) > most_shapes:
        d = max(range(len(lists)), key=lambda i: len(lists[i][0]))
        most = 7 * len(lists[d][0]) // 8
        lists[d] = thinned(lists[d][0], most, largest[d]), f"at most {most} tile sizes"
    return lists
