"""Token generation on a CPU: weights stream from memory once per token, and each layer has an overhead.

    time = layers x overhead + bytes / (bandwidth x efficiency), but no less than the vector units need
    energy = power x time + bytes x energy per byte

Bytes are the packed linears and the FP16 head. The two parameters of either line are found from two measured sizes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bitsim.errors import ConfigError
from bitsim.hw.cpu import Cpu
from bitsim.model.config import ModelConfig
from bitsim.model.footprint import head_bits, linears_bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Two parameters of time: seconds per layer, and the efficiency of memory."""

    layer_s: float
    efficiency: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Consumption:
    """Two parameters of energy: watts as long as a token takes, and joules per byte of weights."""

    watts: float
    joules_per_byte: float

    def joules(self, config: ModelConfig, time_s: float) -> float:
        return self.watts * time_s + self.joules_per_byte * token_bytes(config)


def token_bytes(config: ModelConfig) -> float:
    """Weights that one token reads: linears at their packing's bits, and the head in FP16."""
    return (linears_bits(config) + head_bits(config)) / 8


def stated_speed(cpu: Cpu) -> Speed:
    """What the CPU's description says."""
    return Speed(layer_s=cpu.layer_overhead.nominal * 1e-6, efficiency=cpu.efficiency.nominal)


def token_time(cpu: Cpu, config: ModelConfig, speed: Speed) -> float:
    """Seconds per token. Raises `ConfigError` for an efficiency that is not in (0, 1] or a model that does not fit."""
    if not 0 < speed.efficiency <= 1:
        raise ConfigError(f"{cpu.name}: efficiency: expected 0 < efficiency <= 1, got {speed.efficiency:g}")
    if speed.layer_s < 0:
        raise ConfigError(f"{cpu.name}: overhead of a layer: expected >= 0, got {speed.layer_s:g} s")
    moved = token_bytes(config)
    if moved > cpu.capacity.nominal * 1e9:
        raise ConfigError(
            f"{cpu.name}: {config.name} needs {moved:,.0f} bytes, there are {cpu.capacity.nominal * 1e9:,.0f}"
        )
    rate = cpu.int8_rate if config.quantised else cpu.fp16_rate
    computed = 2 * config.linear_weights / (rate.nominal * 1e12)
    computed += 2 * config.vocab_size * config.hidden_size / (cpu.fp16_rate.nominal * 1e12)
    streamed = moved / (cpu.bandwidth.nominal * speed.efficiency * 1e9)
    return config.num_layers * speed.layer_s + max(streamed, computed)


def fit_speed(cpu: Cpu, measured: Sequence[tuple[ModelConfig, float]]) -> Speed:
    """The parameters for which two measured times (seconds per token) come out exactly; `token_time` checks them."""
    layers = [config.num_layers for config, _ in measured]
    layer_s, per_byte = _solved(layers, [token_bytes(config) for config, _ in measured], [t for _, t in measured])
    return Speed(layer_s=layer_s, efficiency=1 / (per_byte * cpu.bandwidth.nominal * 1e9))


def fit_consumption(measured: Sequence[tuple[ModelConfig, float]], times: Sequence[float]) -> Consumption:
    """The parameters for which two measured energies (joules per token) come out exactly, given the times."""
    sizes = [token_bytes(config) for config, _ in measured]
    watts, per_byte = _solved(times, sizes, [energy for _, energy in measured])
    return Consumption(watts=watts, joules_per_byte=per_byte)


def _solved(a: Sequence[float], b: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """x and y of `a x + b y = value`, twice."""
    if not len(a) == len(b) == len(values) == 2:
        raise ConfigError(f"calibration of two parameters: expected two measurements, got {len(values)}")
    determinant = a[0] * b[1] - a[1] * b[0]
    if not determinant:
        raise ConfigError("calibration of two parameters: the two models differ in size only, not in shape")
    return (values[0] * b[1] - values[1] * b[0]) / determinant, (a[0] * values[1] - a[1] * values[0]) / determinant
