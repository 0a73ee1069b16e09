"""How RoPE's frequencies are changed for contexts longer than those of pretraining.

Formulas and roundings are those of transformers 5.24.0, `modeling_rope_utils.py`; inverse frequencies are float32
(head_dim / 2,), the fastest first. Logarithms are taken in decimal, so that they are the same on every machine.
"""

import math
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, ClassVar, Literal

import numpy as np

from bitsim.errors import ConfigError
from bitsim.quant.packing import Float32

_NO_OTHER_KEYS = {"extra": "forbid"}  # for pydantic, where a shape file brings one in


def _check_positive(scaling: Any) -> None:
    for field in fields(scaling):
        value = getattr(scaling, field.name)
        if isinstance(value, int | float) and not isinstance(value, bool) and not 0 < value < math.inf:
            raise ConfigError(f"rope_scaling: {field.name}: must be a finite number > 0 (got {value})")


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearScaling:
    """Positions are divided by `factor` (arXiv 2306.15595)."""

    __pydantic_config__: ClassVar[Any] = _NO_OTHER_KEYS
    kind: Literal["linear"] = "linear"
    factor: float

    def __post_init__(self) -> None:
        _check_positive(self)

    @property
    def amplitude(self) -> float:
        """What cos and sin are multiplied by."""
        return 1.0

    def scaled(self, frequencies: Float32, theta: float) -> Float32:
        return frequencies / np.float32(self.factor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Llama3Scaling:
    """Llama 3.1: waves longer than `original_positions / low_freq_factor` are slowed down by `factor`, those shorter
    than `original_positions / high_freq_factor` are left, those between are mixed."""

    __pydantic_config__: ClassVar[Any] = _NO_OTHER_KEYS
    kind: Literal["llama3"] = "llama3"
    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_positions: int

    def __post_init__(self) -> None:
        _check_positive(self)
        if not self.low_freq_factor < self.high_freq_factor:
            raise ConfigError(
                f"rope_scaling: high_freq_factor: must be greater than low_freq_factor = {self.low_freq_factor} "
                f"(got {self.high_freq_factor})"
            )

    @property
    def amplitude(self) -> float:
        """What cos and sin are multiplied by."""
        return 1.0

    def scaled(self, frequencies: Float32, theta: float) -> Float32:
        one, length, factor = np.float32(1), np.float32(self.original_positions), np.float32(self.factor)
        low, high = self.low_freq_factor, self.high_freq_factor
        waves = np.float32(2 * math.pi) / frequencies
        mix = (length / waves - np.float32(low)) / np.float32(high - low)
        mixed = (one - mix) * frequencies / factor + mix * frequencies
        slowed = np.where(waves > np.float32(self.original_positions / low), frequencies / factor, mixed)
        kept: Float32 = np.where(waves < np.float32(self.original_positions / high), frequencies, slowed)
        return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class YarnScaling:
    """YaRN (arXiv 2309.00071): dimensions that turn more than `beta_fast` times in `original_positions` are left, those
    that turn less than `beta_slow` times are slowed down by `factor`, with a ramp between; `truncate` rounds its ends
    to whole dimensions. `attention_factor` multiplies cos and sin; None: 0.1 ln(factor) + 1."""

    __pydantic_config__: ClassVar[Any] = _NO_OTHER_KEYS
    kind: Literal["yarn"] = "yarn"
    factor: float
    original_positions: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    truncate: bool = True

    def __post_init__(self) -> None:
        _check_positive(self)

    @property
    def amplitude(self) -> float:
        """What cos and sin are multiplied by."""
        return yarn_amplitude(self.factor) if self.attention_factor is None else self.attention_factor

    def scaled(self, frequencies: Float32, theta: float) -> Float32:
        half = len(frequencies)

        def dimension(turns: float) -> float:
            return 2 * half * _log(self.original_positions / (turns * 2 * math.pi)) / (2 * _log(theta))

        low, high = dimension(self.beta_fast), dimension(self.beta_slow)
        if self.truncate:
            low, high = float(math.floor(low)), float(math.ceil(high))
        low, high = max(low, 0.0), min(high, 2 * half - 1.0)
        if low == high:
            high += 0.001
        ramp = (np.arange(half, dtype=np.float32) - np.float32(low)) / np.float32(high - low)
        kept = np.float32(1) - np.clip(ramp, np.float32(0), np.float32(1))
        slowed = np.float32(1) / (np.float32(self.factor) * (np.float32(1) / frequencies))
        mixed: Float32 = slowed * (np.float32(1) - kept) + frequencies * kept
        return mixed


@dataclass(frozen=True, slots=True, kw_only=True)
class FrequencyFactors:
    """One factor for each of the head_dim / 2 frequencies, which it divides: GGUF's `rope_freqs.weight`."""

    __pydantic_config__: ClassVar[Any] = _NO_OTHER_KEYS
    kind: Literal["factors"] = "factors"
    factors: tuple[float, ...]

    def __post_init__(self) -> None:
        for i, factor in enumerate(self.factors):
            if not 0 < factor < math.inf:
                raise ConfigError(f"rope_scaling: factors[{i}]: must be a finite number > 0 (got {factor})")

    @property
    def amplitude(self) -> float:
        """What cos and sin are multiplied by."""
        return 1.0

    def scaled(self, frequencies: Float32, theta: float) -> Float32:
        factors: Float32 = np.array(self.factors, dtype=np.float32)
        return frequencies / factors


RopeScaling = LinearScaling | Llama3Scaling | YarnScaling | FrequencyFactors


def yarn_amplitude(factor: float, weight: float = 1.0) -> float:
    """`0.1 weight ln(factor) + 1`, and 1 for a factor of at most 1 (arXiv 2309.00071 eq. 22)."""
    return 1.0 if factor <= 1 else 0.1 * weight * _log(factor) + 1.0


def _log(value: float) -> float:
    return float(Decimal(value).ln())
