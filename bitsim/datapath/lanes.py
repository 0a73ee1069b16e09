"""What datapaths of L lanes share: K cut into groups of lanes, and weight registers through which the groups pass."""

from dataclasses import dataclass

import numpy as np

from bitsim.datapath.base import Array
from bitsim.datapath.registers import ones


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFacts:
    """Bits that flip in the weight registers: into the first group, from group to group, back to it, and to zero."""

    enter: int
    within: int
    again: int
    leave: int

    def toggles(self, blocks: int) -> int:
        """Toggles when the groups pass `blocks` times, one pass after the other."""
        return self.enter + blocks * self.within + (blocks - 1) * self.again + self.leave


def in_groups(values: Array, lanes: int) -> Array:
    """(rows, K) -> (rows, groups, lanes), zeros beyond K."""
    rows, k = values.shape
    groups = -(-k // lanes)
    padded = np.zeros((rows, groups * lanes), values.dtype)
    padded[:, :k] = values
    return padded.reshape(rows, groups, lanes)


def entering(values: Array, lanes: int, tokens: int) -> Array:
    """What `lanes` registers take, one row per cycle: blocks of `tokens` rows of (M, K), group by group in each."""
    groups = in_groups(values, lanes)
    blocks = [groups[m : m + tokens].swapaxes(0, 1) for m in range(0, groups.shape[0], tokens)]
    return np.concatenate([block.reshape(-1, lanes) for block in blocks])


def weight_facts(patterns: Array, lanes: int) -> WeightFacts:
    """`patterns`: unsigned (N, K), what the weight registers hold."""
    groups = in_groups(patterns, lanes)
    first, last = groups[:, 0], groups[:, -1]
    return WeightFacts(
        enter=ones(first),
        within=ones(groups[:, 1:] ^ groups[:, :-1]),
        again=ones(first ^ last),
        leave=ones(last),
    )
