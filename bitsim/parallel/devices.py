"""How several devices share a model, as far as the time of a step depends on it: the seam for links and parallelism."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bitsim.hw.link import Link
from bitsim.model.config import ModelConfig
from bitsim.model.shard import degrees, shared_heads
from bitsim.parallel.communication import Sync, step_communication

Numbers = npt.NDArray[Any]
# (config, devices, tokens of a step), the last two broadcast -> one number per step.
StepFunction = Callable[[ModelConfig, Numbers, Numbers], Numbers]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSplit:
    """Weights, KV cache and work are split evenly over devices.

    * `busy`: the share of the devices that work at the same time, > 0 and <= 1.
    * `communication_s`: seconds that a step waits for links. `communication_bytes`: what they move for it.
    * `kv_copies`: how often keys and values are stored, on average over the heads; 1 if each is on one device.
    * `note`: what was assumed; it appears in results.
    """

    name: str
    note: str
    busy: StepFunction
    communication_s: StepFunction
    communication_bytes: StepFunction
    kv_copies: Callable[[ModelConfig, int], float] = lambda config, devices: 1.0


def _ones(_config: ModelConfig, devices: Numbers, tokens: Numbers) -> Numbers:
    return np.ones(np.broadcast_shapes(devices.shape, tokens.shape))


def _zeros(_config: ModelConfig, devices: Numbers, tokens: Numbers) -> Numbers:
    return np.zeros(np.broadcast_shapes(devices.shape, tokens.shape))


def _copies(config: ModelConfig, devices: int) -> float:
    """Of devices that are split as `degrees` says."""
    tensor, _ = degrees(config, devices)
    return sum(map(len, shared_heads(config, tensor))) / config.num_kv_heads


def _one_at_a_time(_config: ModelConfig, devices: Numbers, tokens: Numbers) -> Numbers:
    return 1.0 / (devices * np.ones(np.broadcast_shapes(devices.shape, tokens.shape)))


EVEN = DeviceSplit(
    name="even",
    note="devices share weights, KV cache and work evenly, all of them work all the time and wait for no link: a bound",
    busy=_ones,
    communication_s=_zeros,
    communication_bytes=_zeros,
)
SERIAL = DeviceSplit(
    name="serial",
    note="a pipeline without overlap: a step passes through one device after the other and waits for no link",
    busy=_one_at_a_time,
    communication_s=_zeros,
    communication_bytes=_zeros,
)
SPLITS = {split.name: split for split in (EVEN, SERIAL)}


def linked(link: Link, sync: Sync = "grouped") -> DeviceSplit:
    """Tensor parallelism as far as heads and FFN allow, pipeline stages without overlap beyond, over `link`.

    Device counts that divide neither raise `ConfigError`. `sync`: see `bitsim.parallel.communication`.
    """

    def busy(config: ModelConfig, devices: Numbers, tokens: Numbers) -> Numbers:
        counts, _ = np.broadcast_arrays(devices, tokens)
        share = {int(count): degrees(config, int(count))[0] / int(count) for count in np.unique(counts)}
        shares: Numbers = np.vectorize(share.__getitem__, otypes=[np.float64])(counts)
        return shares

    return DeviceSplit(
        name=f"linked by {link.name}",
        note=f"devices split heads and FFN and wait for each all-reduce over {link.name} ({sync}); "
        "pipeline stages, where heads do not divide further, work one after the other",
        busy=busy,
        communication_s=lambda config, devices, tokens: step_communication(
            config, devices, tokens, link=link, sync=sync
        )[0],
        kv_copies=_copies,
        communication_bytes=lambda config, devices, tokens: step_communication(
            config, devices, tokens, link=link, sync=sync
        )[1],
    )
