"""When the lanes of a sparse array take which activation: simulated from the activations, lane by lane."""

from dataclasses import dataclass

import numpy as np

from bitsim.datapath.base import Array
from bitsim.datapath.kernels.lane_schedule import look_ahead


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
    steps, first = np.empty((m, intervals * lanes), np.int64), np.zeros((m, k), np.bool_)
    look_ahead(np.ascontiguousarray(acts), depth, lookahead, steps, first)
    return LaneSchedule(steps=steps.reshape(m, intervals, lanes), taken=acts != 0, first=first)
