"""A large float matrix as a binary16 datapath holds it, without a second copy: rounded where it is looked at."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitsim.datapath.base import Array
from bitsim.datapath.formats import round_to_half
from bitsim.datapath.prepared import PreparedWeights
from bitsim.model.weights import FloatWeight

_BLOCK_ROWS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredHalves(PreparedWeights):
    """Prepared weights that stay as they are stored, often memory-mapped; patterns are formed on demand, not kept.

    `operand`: without rows.
    """

    weight: FloatWeight

    def codes(self) -> Array:
        return np.concatenate(list(half_blocks(self.weight)))

    def columns(self, chosen: Array, seed: int) -> Array:
        return round_to_half(self.weight.take(chosen)).view(np.uint16)


def half_blocks(weight: FloatWeight) -> Iterator[npt.NDArray[np.uint16]]:
    """The binary16 patterns of a stored matrix (N, K), 2048 rows at a time."""
    for low in range(0, weight.n, _BLOCK_ROWS):
        yield round_to_half(weight.rows(low, low + _BLOCK_ROWS)).view(np.uint16)
