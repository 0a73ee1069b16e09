"""Token generation on a CPU: weights stream from memory once per token, and each layer has an overhead.

    time = layers x overhead + bytes / (bandwidth x efficiency), but no less than the vector units need
    energy = power x time + bytes x energy per byte

Bytes are the packed linears and the FP16 head. The two parameters of either line are found from two measured sizes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bitsim.errors import ConfigError
from bitsim.hw.cpu import Cpu
from bitsim.model.config import ModelConfig
from bitsim.model.footprint import head_bits, linears_bits

_DEPENDENT = 1e-9  # relative, below which a determinant is rounding


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
    """The parameters for which two measured times (seconds per token) come out exactly.

    Raises `ConfigError` if no machine has them: a layer that takes negative time, or memory faster than its peak.
    """
    points = [_Point(c.name, c.num_layers, token_bytes(c), time) for c, time in measured]
    layer_s, per_byte = _solved(points)
    _physical(points, layer_s, "seconds per layer", ("layers", "bytes", "seconds"))
    _physical(points, per_byte, "seconds per byte", ("bytes", "layers", "seconds"), positive=True)
    efficiency = 1 / (per_byte * cpu.bandwidth.nominal * 1e9)
    if efficiency > 1:
        raise ConfigError(
            f"fit of {_names(points)}: efficiency of memory: expected at most 1, got {efficiency:g}: {cpu.name} moves "
            f"{cpu.bandwidth.text()} at its peak, the points {1e-9 / per_byte:.4g} GB/s"
        )
    return Speed(layer_s=layer_s, efficiency=efficiency)


def fit_consumption(measured: Sequence[tuple[ModelConfig, float]], times: Sequence[float]) -> Consumption:
    """The parameters for which two measured energies (joules per token) come out exactly, given the times.

    Raises `ConfigError` if no machine has them: negative power, or a byte that gives energy back.
    """
    if len(measured) != len(times):
        raise ConfigError(f"calibration of two parameters: expected as many times as energies, got {len(times)}")
    points = [_Point(c.name, time, token_bytes(c), joules) for (c, joules), time in zip(measured, times, strict=True)]
    watts, per_byte = _solved(points)
    _physical(points, watts, "W", ("seconds", "bytes", "joules"))
    _physical(points, per_byte, "J per byte", ("bytes", "seconds", "joules"))
    return Consumption(watts=watts, joules_per_byte=per_byte)


class _Point(NamedTuple):
    """A measured `value` of a model, to be `a x + b y`."""

    model: str
    a: float
    b: float
    value: float


def _names(points: Sequence[_Point]) -> str:
    return " and ".join(point.model for point in points)


def _physical(
    points: Sequence[_Point], found: float, unit: str, words: tuple[str, str, str], *, positive: bool = False
) -> None:
    """Raise if a parameter is negative; `words`: what it is per, the other cause, and what was measured.

    It is negative where the model that has more of its own cause, relative to the other one, has less of what was
    measured, relative to the other one as well.
    """
    if found > 0 or (found == 0 and not positive):
        return
    cause, other, value = words
    first = words[0] in ("layers", "seconds")
    rows = [(p.model, (p.a, p.b) if first else (p.b, p.a), p.value) for p in points]
    more, less = sorted(rows, key=lambda row: row[1][0] / row[1][1], reverse=True)
    raise ConfigError(
        f"fit of {_names(points)}: expected {'more than' if positive else 'at least'} 0 {unit}, got {found:.4g}: "
        f"{more[0]} has more {cause} per {_one(other)} ({more[1][0] / more[1][1]:.4g} against "
        f"{less[1][0] / less[1][1]:.4g}) and takes fewer {value} per {_one(other)} ({more[2] / more[1][1]:.4g} against "
        f"{less[2] / less[1][1]:.4g}); one of the points is wrong, or the machine is not that simple"
    )


def _one(words: str) -> str:
    return words.removesuffix("s")


def _solved(points: Sequence[_Point]) -> tuple[float, float]:
    """x and y of `a x + b y = value`, twice."""
    if len(points) != 2:
        raise ConfigError(f"calibration of two parameters: expected two measurements, got {len(points)}")
    for point in points:
        if not (math.isfinite(point.value) and point.value > 0 and math.isfinite(point.a) and point.a > 0):
            raise ConfigError(
                f"calibration of two parameters: {point.model}: expected positive measurements, got {point.value:g}"
            )
    (_, a, b, value), (_, c, d, other) = points
    determinant = a * d - c * b
    if abs(determinant) <= _DEPENDENT * max(abs(a * d), abs(c * b)):
        raise ConfigError("calibration of two parameters: the two models differ in size only, not in shape")
    return (value * d - other * b) / determinant, (a * other - c * value) / determinant
