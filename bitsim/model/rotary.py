"""Rotary position embedding, half-rotation (NeoX) form: dimension j is paired with j + head_dim / 2."""

import math
from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np

from bitsim.floats.functions import cosines_and_sines
from bitsim.model.rope_scaling import LinearScaling, Llama3Scaling, RopeScaling, YarnScaling, logarithm
from bitsim.quant.packing import Float32

_ONE = np.float32(1)
_DIGITS = 40  # of the powers, before they are rounded


def rotary_frequencies(head_dim: int, theta: float) -> Float32:
    """`f32(1) / f32(theta ** x)` for `x = f32(2j / head_dim)`, float32 (head_dim / 2,).

    Both are rounded, as in transformers, which takes the reciprocal of a float32 power. Powers are the nearest float32
    (of torch's about one in a hundred is its neighbour), computed in decimal, the same everywhere.
    """
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    with localcontext() as context:
        context.prec = _DIGITS
        powers = [float(Decimal(theta) ** Decimal(float(x))) for x in exponents]
    frequencies: Float32 = np.float32(1) / np.array(powers, dtype=np.float32)
    return frequencies


def scaled_frequencies(frequencies: Float32, scaling: RopeScaling, theta: float) -> Float32:
    """Inverse frequencies as `scaling` changes them, both float32 (head_dim / 2,), the fastest first.

    Formulas and roundings are those of transformers 5.24.0, `modeling_rope_utils.py`.
    """
    if isinstance(scaling, LinearScaling):
        return frequencies / np.float32(scaling.factor)
    if isinstance(scaling, Llama3Scaling):
        return _llama3(frequencies, scaling)
    if isinstance(scaling, YarnScaling):
        return _yarn(frequencies, scaling, theta)
    factors: Float32 = np.array(scaling.factors, dtype=np.float32)
    return frequencies / factors


def _llama3(frequencies: Float32, scaling: Llama3Scaling) -> Float32:
    length, factor = np.float32(scaling.original_positions), np.float32(scaling.factor)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    waves = np.float32(2 * math.pi) / frequencies
    mix = (length / waves - np.float32(low)) / np.float32(high - low)
    mixed = (_ONE - mix) * frequencies / factor + mix * frequencies
    slowed = np.where(waves > np.float32(scaling.original_positions / low), frequencies / factor, mixed)
    kept: Float32 = np.where(waves < np.float32(scaling.original_positions / high), frequencies, slowed)
    return kept


def _yarn(frequencies: Float32, scaling: YarnScaling, theta: float) -> Float32:
    half = len(frequencies)

    def dimension(turns: float) -> float:
        """Which one turns so many times in the original positions."""
        return half * logarithm(scaling.original_positions / (turns * 2 * math.pi)) / logarithm(theta)

    low, high = dimension(scaling.beta_fast), dimension(scaling.beta_slow)
    if scaling.truncate:
        low, high = float(math.floor(low)), float(math.ceil(high))
    low, high = max(low, 0.0), min(high, 2 * half - 1.0)
    if low == high:
        high += 0.001
    ramp = (np.arange(half, dtype=np.float32) - np.float32(low)) / np.float32(high - low)
    kept = _ONE - np.clip(ramp, np.float32(0), _ONE)
    slowed = _ONE / (np.float32(scaling.factor) * (_ONE / frequencies))
    mixed: Float32 = slowed * (_ONE - kept) + frequencies * kept
    return mixed


@lru_cache(maxsize=8)
def rotary_table(
    head_dim: int, theta: float, positions: int, scaling: RopeScaling | None = None
) -> tuple[Float32, Float32]:
    """cos and sin, float32 (positions, head_dim); `scaling` changes the frequencies, and may multiply both.

    Frequencies and angles are rounded to float32 as in the reference; the functions are evaluated in float64 by
    `bitsim.floats` and rounded, so that the table is the same on every machine. Up to position 32,767 they agree with
    transformers' to 6e-8 wherever the frequency is the same.
    """
    frequencies = rotary_frequencies(head_dim, theta)
    if scaling is not None:
        frequencies = scaled_frequencies(frequencies, scaling, theta)
    half = np.arange(positions, dtype=np.float32)[:, None] * frequencies
    cos, sin = (np.concatenate((values, values), axis=1) for values in cosines_and_sines(half))
    if scaling is not None and scaling.amplitude != 1:
        cos, sin = cos * np.float32(scaling.amplitude), sin * np.float32(scaling.amplitude)
    cos.flags.writeable = sin.flags.writeable = False
    return cos, sin


def rotate(x: Float32, cos: Float32, sin: Float32) -> Float32:
    """`x * cos + [-x2, x1] * sin`. `x`: float32 (heads, T, head_dim); `cos`, `sin`: (T, head_dim)."""
    half = x.shape[-1] // 2
    turned = np.concatenate((-x[..., half:], x[..., :half]), axis=-1)
    return x * cos + turned * sin
