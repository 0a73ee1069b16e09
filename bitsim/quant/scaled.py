"""One integer quantiser, described by data: scale by a measure of the token, round, clip.

INT8 absmax (b1, b1.58, a4.8, v2) and INT4 absmean (a4.8, v2) differ only in the values of these fields. Each written
operation is one float32 rounding; the papers print real numbers, so the order is ours: first the scale, one division
per token, then one multiplication per value.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bitsim.errors import OperandError
from bitsim.quant.base import EPS, Float32, Int8, check_activations
from bitsim.quant.exact_means import row_means

Measure = Literal["absmax", "absmean", "twice_absmean"]
EpsRule = Literal["added", "clamped"]
Rounding = Literal["rint", "floor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledQuantiser:
    """`q = clip(round(f32(x * s)), low, high)` with `s = f32(level / guarded(t))`, t a measure of the token.

    * `scaled_by`: max |x|, mean |x| (exact, rounded once to float32) or twice that mean.
    * `level`: the code that the measure is scaled to, rounded to float32.
    * `eps`: "added": `guarded(t) = f32(t + 1e-5)` and the returned step is `f32(t / level)`, as the papers print it:
      eps is in the quantising scale and not in the dequantising one. "clamped": `guarded(t) = max(t, 1e-5)` and the
      step is `f32(guarded(t) / level)`, as in the public code.
    * `rounding`: "rint" is to nearest, ties to even; "floor" is towards minus infinity.

    Called with `x`, float32 (M, K), it returns codes int8 (M, K) and steps float32 (M, 1), which multiply.
    Raises `OperandError` for other shapes and dtypes, NaN, infinities, and a measure beyond float32.
    """

    scaled_by: Measure
    level: float
    eps: EpsRule
    rounding: Rounding = "rint"
    low: int
    high: int

    def __call__(self, x: Float32) -> tuple[Int8, Float32]:
        check_activations(x)
        return self.quantise(x, self.measure(x))

    def quantise(self, x: Float32, t: Float32) -> tuple[Int8, Float32]:
        """Codes and steps of tokens whose measure is `t` (M, 1), of which `x` may be a part."""
        level = np.float32(self.level)
        guarded = np.add(t, EPS) if self.eps == "added" else np.maximum(t, EPS)
        scale: Float32 = np.divide(level, guarded)
        step: Float32 = np.divide(t if self.eps == "added" else guarded, level)
        return round_codes(x * scale, self.rounding, self.low, self.high), step

    def measure(self, x: Float32) -> Float32:
        """The measure of each token, float32 (M, 1)."""
        magnitude = np.abs(x)
        if self.scaled_by == "absmax":
            largest: Float32 = magnitude.max(axis=1, keepdims=True)
            return largest
        mean = row_means(magnitude).astype(np.float32)
        if self.scaled_by == "absmean":
            return mean
        with np.errstate(over="ignore"):
            twice = mean + mean
        if not np.isfinite(twice).all():
            row = int(np.argmin(np.isfinite(twice)))
            raise OperandError(f"activations[{row}]: twice the mean |x| ({mean[row, 0]}) is beyond float32")
        return twice


def round_codes(v: Float32, rounding: Rounding, low: int, high: int) -> Int8:
    """`clip(round(v), low, high)` as int8; `v` float32 of any shape is left as it is."""
    codes = np.rint(v) if rounding == "rint" else np.floor(v)
    return np.clip(codes, low, high, out=codes).astype(np.int8)
