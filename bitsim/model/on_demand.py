"""Weights that are formed when they are asked for and not kept: one copy of a model in memory, the one that is used."""

from collections.abc import Callable

import numpy as np

from bitsim.model.config import Dtype
from bitsim.model.weights import FloatWeight, Stored
from bitsim.quant.packing import TernaryWeight, UInt8


class TernaryOnDemand(TernaryWeight):
    """A `TernaryWeight` whose `packed` calls a function at every access.

    The function returns uint8 (ceil(N/4), K), always the same values; an array takes its place as well.
    """

    __slots__ = ("_packed",)
    _packed: UInt8 | Callable[[], UInt8]

    def __init__(self, *, packed: UInt8 | Callable[[], UInt8], n: int, k: int, scale: np.float32) -> None:
        for name, value in {"_packed": packed, "n": n, "k": k, "scale": scale}.items():
            object.__setattr__(self, name, value)

    @property
    def packed(self) -> UInt8:
        return self._packed() if callable(self._packed) else self._packed

    @property
    def bits(self) -> int:
        return 8 * -(-self.n // 4) * self.k


class FloatOnDemand(FloatWeight):
    """A `FloatWeight` (N, K) whose `stored` calls `make` at every access: for passing on, not for computing with."""

    __slots__ = ("_make", "_shape")
    _make: Callable[[], Stored]
    _shape: tuple[int, int]

    def __init__(self, make: Callable[[], Stored], *, n: int, k: int, dtype: Dtype) -> None:
        for name, value in {"_make": make, "_shape": (n, k), "dtype": dtype}.items():
            object.__setattr__(self, name, value)

    @property
    def stored(self) -> Stored:
        return self._make()

    @property
    def n(self) -> int:
        return self._shape[0]

    @property
    def k(self) -> int:
        return self._shape[1]

    @property
    def bits(self) -> int:
        return self.n * self.k * (32 if self.dtype == "float32" else 16)
