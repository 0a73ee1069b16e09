"""When the lanes of a sparse array take which activation: simulated from the activations, lane by lane."""

from dataclasses import dataclass

import numpy as np

from bitsim.datapath.base import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSchedule:
    """How lanes pass through the activations (M, K) of a matmul, once.

    `steps`: int64 (M, intervals, lanes), cycles until a lane has seen its slice; `taken`: bool (M, K), activations
    that are not zero; `first`: bool (M, K), those among them that are taken in the first cycle of an interval.
    """

    steps: Array
    taken: Array
    first: Array

    @property
    def cycles(self) -> Array:
        """Cycles of each token, int64 (M,): in every interval those of the slowest lane."""
        found: Array = self.steps.max(axis=2).sum(axis=1)
        return found


def lane_schedule(acts: Array, lanes: int, depth: int, lookahead: int) -> LaneSchedule:
    """Simulate the lanes on `acts` int8 (M, K).

    Lane l has the activations [l depth, (l + 1) depth) of each interval of `lanes` x `depth`. In one cycle it looks at
    the next `lookahead` of them and takes the first that is not zero, dropping the zeros before it; if all of them are
    zero it drops them all.
    """
    m, k = acts.shape
    intervals = -(-k // (lanes * depth))
    taken = acts != 0
    padded = np.zeros((m, intervals * lanes * depth), np.bool_)
    padded[:, :k] = taken
    slices = padded.reshape(-1, depth)
    numbers = np.where(slices, np.arange(depth, dtype=np.int64), depth)
    following = np.minimum.accumulate(numbers[:, ::-1], axis=1)[:, ::-1]
    lengths = np.tile(np.clip(k - depth * np.arange(intervals * lanes), 0, depth), m)
    position, steps = np.zeros(len(slices), np.int64), np.zeros(len(slices), np.int64)
    while (still := np.flatnonzero(position < lengths)).size:
        at = position[still]
        found = following[still, at]
        position[still] = np.where(found < at + lookahead, found, at + lookahead - 1) + 1
        steps[still] += 1
    at_once = slices & (np.arange(depth) == following[:, :1]) & (np.arange(depth) < lookahead)
    first = at_once.reshape(m, -1)[:, :k]
    return LaneSchedule(steps=steps.reshape(m, intervals, lanes), taken=taken, first=first)
