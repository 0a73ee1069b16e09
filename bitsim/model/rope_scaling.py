"""How RoPE's frequencies are changed for contexts longer than those of pretraining: the parameters.

What is done with them is in `bitsim.model.rotary`. Logarithms are taken in decimal, the same on every machine.
"""

import math
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, ClassVar, Literal

from bitsim.errors import ConfigError

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


RopeScaling = LinearScaling | Llama3Scaling | YarnScaling | FrequencyFactors


def yarn_amplitude(factor: float, weight: float = 1.0) -> float:
    """`0.1 weight ln(factor) + 1`, and 1 for a factor of at most 1 (arXiv 2309.00071 eq. 22)."""
    return 1.0 if factor <= 1 else 0.1 * weight * logarithm(factor) + 1.0


def logarithm(value: float) -> float:
    """The natural logarithm, rounded once."""
    return float(Decimal(value).ln())
