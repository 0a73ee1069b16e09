"""What one device holds of a model that several share: heads and FFN columns by tensor, layers by pipeline stage.

Heads go as in vLLM (@8c94938 `QKVParallelLinear`) and Megatron-LM: each device has as many query heads as any other, in
order, and the key/value heads that these attend with. Where devices don't divide the key/value heads, some of these are
on several devices; vLLM and Megatron have that for devices that are a multiple of them, and refuse the rest. Layers go
as in vLLM (`get_pp_indices`): what is left over goes to the stages before the last, which has the head to compute.
"""

from collections import Counter
from dataclasses import dataclass, fields

from bitsim.errors import ConfigError
from bitsim.model.config import ModelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard(ModelConfig):
    """The model as one device of a tensor-parallel group sees it: the full hidden size, its own heads and FFN columns.

    q, k, v, gate and up are split by columns, o and down by rows. Norms and quantisers in front of o and down have the
    device's part of the token; embedding, residuals and the other norms are on every device.

    `sharing`: for each key/value head on the device, how many of its query heads attend with it. Of devices that differ
    it is one with the most key/value heads, and with the most layers.
    """

    sharing: tuple[int, ...]

    def __post_init__(self) -> None:
        """A `ModelConfig` was checked before it was divided; a shard's sub norms are narrower than the hidden size."""


def shard(config: ModelConfig, *, tensor: int, pipeline: int = 1) -> Shard:
    """The fullest one of `tensor` x `pipeline` devices; raises `ConfigError` if they don't divide heads or FFN."""
    if tensor < 1 or pipeline < 1:
        raise ConfigError(f"{config.name}: expected degrees >= 1, got tensor {tensor}, pipeline {pipeline}")
    divided = {"attention heads": config.num_heads, "FFN columns": config.intermediate_size}
    for what, size in divided.items():
        if size % tensor:
            raise ConfigError(f"{config.name}: tensor {tensor}: expected a divisor of {size} {what}")
    if pipeline > config.num_layers:
        raise ConfigError(f"{config.name}: pipeline {pipeline}: expected at most {config.num_layers}, one per layer")
    fullest = max(shared_heads(config, tensor), key=lambda sharing: (len(sharing), max(sharing)))
    whole = {field.name: getattr(config, field.name) for field in fields(config)}
    return Shard(
        **whole
        | {
            "num_heads": config.num_heads // tensor,
            "num_kv_heads": len(fullest),
            "intermediate_size": config.intermediate_size // tensor,
            "num_layers": max(stage_layers(config, pipeline)),
        },
        sharing=fullest,
    )


def shared_heads(config: ModelConfig, tensor: int) -> list[tuple[int, ...]]:
    """For each of `tensor` devices, how many of its query heads attend with each key/value head that it has."""
    own, group = config.num_heads // tensor, config.num_heads // config.num_kv_heads
    devices = [Counter(head // group for head in range(d * own, (d + 1) * own)) for d in range(tensor)]
    return [tuple(counted.values()) for counted in devices]


def stage_layers(config: ModelConfig, pipeline: int) -> tuple[int, ...]:
    """Layers of each stage, as even as they get; those left over are with the stages before the last."""
    each, over = divmod(config.num_layers, pipeline)
    return tuple(each + (pipeline - 1 - over <= stage < pipeline - 1) for stage in range(pipeline))


def degrees(config: ModelConfig, devices: int) -> tuple[int, int]:
    """Tensor and pipeline degrees of `devices`: the largest tensor degree that fits. Raises `ConfigError`."""
    for tensor in range(min(devices, config.num_heads), 0, -1):
        if devices % tensor:
            continue
        try:
            shard(config, tensor=tensor, pipeline=devices // tensor)
        except ConfigError:
            continue
        return tensor, devices // tensor
    raise ConfigError(
        f"{config.name}: no tensor x pipeline = {devices} has a tensor degree that divides {config.num_heads} "
        f"attention heads and {config.intermediate_size} FFN columns, and at most {config.num_layers} stages"
    )
