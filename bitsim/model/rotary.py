"""Rotary position embedding, half-rotation (NeoX) form: dimension j is paired with j + head_dim / 2."""

from functools import lru_cache

import numpy as np

from bitsim.floats.functions import cosines_and_sines
from bitsim.floats.scalars import power
from bitsim.quant.packing import Float32


@lru_cache(maxsize=8)
def rotary_table(head_dim: int, theta: float, positions: int) -> tuple[Float32, Float32]:
    """cos and sin, float32 (positions, head_dim).

    Frequencies and angles are rounded to float32 as in the reference; the functions are evaluated in float64 by
    `bitsim.floats` and rounded, so that the table is the same on every machine (it agrees with torch's to about 1e-6).
    """
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    inverse = (1.0 / np.array([power(float(theta), float(x)) for x in exponents])).astype(np.float32)
    half = np.arange(positions, dtype=np.float32)[:, None] * inverse
    cos, sin = (np.concatenate((values, values), axis=1) for values in cosines_and_sines(half))
    cos.flags.writeable = sin.flags.writeable = False
    return cos, sin


def rotate(x: Float32, cos: Float32, sin: Float32) -> Float32:
    """`x * cos + [-x2, x1] * sin`. `x`: float32 (heads, T, head_dim); `cos`, `sin`: (T, head_dim)."""
    half = x.shape[-1] // 2
    turned = np.concatenate((-x[..., half:], x[..., :half]), axis=-1)
    return x * cos + turned * sin
