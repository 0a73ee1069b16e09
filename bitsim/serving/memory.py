"""What a model needs in the memories of GPUs, part by part, and how many sequences that leaves room for."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitsim.errors import ConfigError
from bitsim.model.config import ModelConfig
from bitsim.model.footprint import embedding_bits, kv_bits, linears_bits
from bitsim.quant.kv import KVStorage
from bitsim.quant.recipes import Recipe, with_kv

Numbers = npt.NDArray[Any]
HALF_BYTES, LOGIT_BYTES = 2, 4
WORKSPACE = (
    "workspace: FP16 buffers of one layer (residual, its norm, and the larger of attention's and the FFN's) for the "
    "tokens of a step, FP32 logits of every sequence; attention scores are not stored"
)


def kv_storage(bits: int | None, recipe: Recipe) -> KVStorage:
    """How keys and values are stored: as asked, or as the numerics say, or 16 bits; raises `ConfigError`."""
    return with_kv(recipe, bits).kv or 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Bytes that a model needs, over all devices unless it says otherwise.

    * `linears`: packed; `embedding`: FP16 embedding and head; `kv_per_sequence`: at its full length.
    * `prompt_workspace`, `sequence_workspace`: per device; the larger of the first, for a prompt, and the second, for
      one token of each of B sequences. `logits_per_sequence`: per device.
    """

    linears: float
    embedding: float
    kv_per_sequence: float
    prompt_workspace: float
    sequence_workspace: float
    logits_per_sequence: float

    def parts(self, devices: Numbers | int, batch: Numbers | int) -> dict[str, Numbers]:
        """Bytes per device by part; `devices` and `batch` are broadcast."""
        devices, batch = np.asarray(devices, dtype=np.float64), np.asarray(batch, dtype=np.float64)
        one = np.ones(np.broadcast_shapes(devices.shape, batch.shape))
        buffers = np.maximum(self.prompt_workspace, self.sequence_workspace * batch)
        return {
            "linears": one * self.linears / devices,
            "embedding and head": one * self.embedding / devices,
            "kv cache": one * self.kv_per_sequence * batch / devices,
            "workspace": one * (buffers + self.logits_per_sequence * batch),
        }

    def total(self, devices: Numbers | int, batch: Numbers | int) -> Numbers:
        """Bytes per device."""
        return np.asarray(sum(self.parts(devices, batch).values()))

    def largest_batch(self, devices: int, capacity: float) -> int:
        """The most sequences that `capacity` bytes per device have room for; 0 if there is none."""
        if self.total(devices, 1) > capacity:
            return 0
        low, high = 1, 2
        while self.total(devices, high) <= capacity:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.total(devices, middle) <= capacity else (low, middle)
        return low

    def fewest_devices(self, capacity: float) -> int | None:
        """The fewest devices that hold one sequence; None if no number does, because of what each of them needs."""
        each = float(max(self.prompt_workspace, self.sequence_workspace) + self.logits_per_sequence)
        shared = self.linears + self.embedding + self.kv_per_sequence
        return None if each >= capacity else max(1, int(np.ceil(shared / (capacity - each))))


def needs_of(config: ModelConfig, storage: KVStorage, *, prompt: int, positions: int) -> Needs:
    """What `config` needs for prompts of `prompt` tokens, worked off one by one, and sequences of `positions`."""
    d, q, kv = config.hidden_size, config.q_size, config.kv_size
    ffn = (3 if config.ffn == "glu" else 2) * config.intermediate_size
    per_token = HALF_BYTES * (2 * d + max(2 * q + 2 * kv, ffn))
    return Needs(
        linears=linears_bits(config) / 8,
        embedding=embedding_bits(config) / 8,
        kv_per_sequence=kv_bits(config, storage, positions) / 8,
        prompt_workspace=per_token * prompt,
        sequence_workspace=per_token,
        logits_per_sequence=LOGIT_BYTES * config.vocab_size,
    )


def check_fits(config: ModelConfig, where: str, capacity: float, needs: Needs, devices: int) -> int:
    """The largest batch on `devices` of `capacity` bytes each; raises `ConfigError` if not even one sequence fits."""
    largest = needs.largest_batch(devices, capacity)
    if largest:
        return largest
    parts = ", ".join(f"{name} {float(size) / 1e9:.2f}" for name, size in needs.parts(devices, 1).items())
    enough = needs.fewest_devices(capacity)
    advice = "no number of devices is enough" if enough is None else f"take at least {enough} devices"
    raise ConfigError(
        f"{config.name} does not fit {devices} x {where}: one sequence needs {needs.total(devices, 1) / 1e9:.2f} GB "
        f"per device ({parts}), there are {capacity / 1e9:.2f}; {advice}, fewer bits or a shorter context"
    )
