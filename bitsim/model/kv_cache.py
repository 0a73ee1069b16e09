"""Keys and values of the positions seen so far, in arrays that grow by doubling."""

from typing import Any

import numpy as np
import numpy.typing as npt

from bitsim.errors import ConfigError, OperandError
from bitsim.model.config import ModelConfig
from bitsim.quant.kv import KV_OF_BITS, KVStorage
from bitsim.quant.packing import Float32

KV_BITS = (32, 16, *KV_OF_BITS)
_FIRST_CAPACITY = 64


class KVCache:
    """The cache of one sequence.

    `kind`: 32 keeps float32 values, 16 stores float16 (rounded to nearest even); a `KVFormat`, or 8, 4 or 3 for `kv8`,
    `kv4` or `kv3_bos4`, quantises every head and position to unsigned codes and keeps the values that the codes read
    back as. `stored_as`: what the operators count in DRAM: the format's codes and steps, else 16 bits per value.
    `name`: the format's, or the bits of a value.

    Stored per layer as (kv_heads, positions, head_dim). All layers of a step append the same positions; `length` moves
    on when the last one has.
    """

    def __init__(self, config: ModelConfig, kind: KVStorage = 16) -> None:
        if isinstance(kind, int) and kind not in KV_BITS:
            known = ", ".join(str(known) for known in KV_BITS)
            raise ConfigError(f"{config.name}: a KV cache that runs has one of {known} bits per value (got {kind})")
        self._half = kind == 16
        self._format = KV_OF_BITS.get(kind) if isinstance(kind, int) else kind
        self.stored_as: KVStorage = self._format or 16
        self.name = str(kind) if self._format is None else self._format.name
        self.length = 0
        self._config = config
        self.capacity = min(_FIRST_CAPACITY, config.max_position_embeddings)
        self._stores = [self._empty() for _ in range(config.num_layers)]

    def _empty(self) -> tuple[npt.NDArray[Any], ...]:
        """Keys and values, then of a format the step of each head and position."""
        shape = (self._config.num_kv_heads, self.capacity, self._config.head_dim)
        sizes = (shape, shape) if self._format is None else (shape, shape, (*shape[:2], 1), (*shape[:2], 1))
        return tuple(np.empty(size, dtype=np.float16 if self._half else np.float32) for size in sizes)

    def reserve(self, positions: int) -> None:
        """Make room for `positions` in total; at most the model's `max_position_embeddings`."""
        limit = self._config.max_position_embeddings
        if positions > limit:
            raise OperandError(f"{self._config.name}: expected at most {limit} positions, got {positions}")
        if positions <= self.capacity:
            return
        self.capacity = min(max(positions, 2 * self.capacity), limit)
        grown = [self._empty() for _ in self._stores]
        for old_pair, new_pair in zip(self._stores, grown, strict=True):
            for old, new in zip(old_pair, new_pair, strict=True):
                new[:, : self.length] = old[:, : self.length]
        self._stores = grown

    def append(self, layer: int, keys: Float32, values: Float32) -> tuple[Float32, Float32]:
        """Store new `keys` and `values`, (kv_heads, T, head_dim); return all of them, as stored, in float32."""
        end = self.length + keys.shape[1]
        stored = []
        stores, steps = self._stores[layer][:2], self._stores[layer][2:]
        for i, (store, new, what) in enumerate(zip(stores, (keys, values), ("keys", "values"), strict=True)):
            if self._format is not None:
                codes = self._format.quantise(np.ascontiguousarray(new), self.length)
                new, steps[i][:, self.length : end] = codes.values(), codes.step
            with np.errstate(over="ignore"):
                store[:, self.length : end] = new
            if self._half and not np.isfinite(store[:, self.length : end]).all():
                raise OperandError(f"layers.{layer}: {what} leave the range of float16; use a 32-bit KV cache")
            stored.append(store[:, :end].astype(np.float32, copy=False))
        return stored[0], stored[1]

    def steps(self, layer: int, positions: int) -> tuple[Float32, Float32]:
        """The steps of keys and values at the first `positions`, (kv_heads, positions, 1); only of a format's."""
        keys, values = self._stores[layer][2:]
        return keys[:, :positions], values[:, :positions]

    def advance(self, tokens: int) -> None:
        """All layers have appended `tokens` positions."""
        self.length += tokens
