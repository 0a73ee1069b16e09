"""How many threads a parallel kernel gets."""

from collections.abc import Iterator
from contextlib import contextmanager

import numba


@contextmanager
def team(macs: int, worth: int, threads: int | None = None) -> Iterator[None]:
    """Numba's number of threads, at most `threads`; one thread when there are fewer than `worth` MACs to do.

    Waking a team takes about as long as `worth` MACs take, and on a busy machine a thousand times longer.
    """
    before = numba.get_num_threads()
    wanted = (before if threads is None else min(threads, before)) if macs >= worth else 1
    if wanted == before:
        yield
        return
    numba.set_num_threads(wanted)
    try:
        yield
    finally:
        numba.set_num_threads(before)
