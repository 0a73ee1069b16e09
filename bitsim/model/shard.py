"""What one device holds of a model that several share: heads and FFN columns by tensor, layers by pipeline stage."""

from dataclasses import dataclass, fields

from bitsim.errors import ConfigError
from bitsim.model.config import ModelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard(ModelConfig):
    """The model as one device of a tensor-parallel group sees it: the full hidden size, its own heads and FFN columns.

    q, k, v, gate and up are split by columns, o and down by rows. Norms and quantisers in front of o and down have the
    device's part of the token; embedding, residuals and the other norms are on every device.
    """

    def __post_init__(self) -> None:
        """A `ModelConfig` was checked before it was divided; a shard's sub norms are narrower than the hidden size."""


def shard(config: ModelConfig, *, tensor: int, pipeline: int = 1) -> Shard:
    """One of `tensor` x `pipeline` devices; raises `ConfigError` if they don't divide heads, FFN or layers."""
    if tensor < 1 or pipeline < 1:
        raise ConfigError(f"{config.name}: expected degrees >= 1, got tensor {tensor}, pipeline {pipeline}")
    divided = {
        "attention heads": (config.num_heads, tensor, "tensor"),
        "key/value heads": (config.num_kv_heads, tensor, "tensor"),
        "FFN columns": (config.intermediate_size, tensor, "tensor"),
        "layers": (config.num_layers, pipeline, "pipeline"),
    }
    for what, (size, degree, kind) in divided.items():
        if size % degree:
            raise ConfigError(f"{config.name}: {kind} {degree}: expected a divisor of {size} {what}")
    whole = {field.name: getattr(config, field.name) for field in fields(config)}
    return Shard(
        **whole
        | {
            "num_heads": config.num_heads // tensor,
            "num_kv_heads": config.num_kv_heads // tensor,
            "intermediate_size": config.intermediate_size // tensor,
            "num_layers": config.num_layers // pipeline,
        }
    )


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
        f"{config.name}: no tensor x pipeline = {devices} divides {config.num_heads} attention heads, "
        f"{config.num_kv_heads} key/value heads, {config.intermediate_size} FFN columns and {config.num_layers} layers"
    )
