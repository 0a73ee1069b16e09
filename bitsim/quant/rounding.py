"""Weights to integers by rounding to nearest: symmetric, by the largest magnitude of a row of K or of a group in it."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from bitsim.errors import OperandError
from bitsim.quant.weights import Float32, Floats, Int8, as_float32

SCALE_BITS = 16
_EPS = np.float32(1e-5)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightRounding:
    """Weights to `bits`, a scale for each `group` of K; None: for each row."""

    bits: int
    group: int | None = None

    @property
    def bits_per_weight(self) -> Fraction:
        """Stored, with the scales of groups; those of rows are not counted, as those of tensors are not."""
        return Fraction(self.bits) + (Fraction(SCALE_BITS, self.group) if self.group else 0)

    @property
    def most(self) -> int:
        return int((1 << self.bits - 1) - 1)

    def codes(self, w: Floats) -> tuple[Int8, Float32]:
        """`w`: float (N, K) -> codes int8 (N, K) and scales float32 (N, groups), which are FP16 values.

        `s = f16(f32(max(absmax, 1e-5) / most))`, `q = clip(rint(f32(w / s)), -most - 1, most)`. Raises `OperandError`
        for a K that groups don't divide, for values that are not finite and for scales beyond FP16.
        """
        w32 = as_float32(w)
        n, k = w32.shape
        group = self.group or k
        if k % group:
            raise OperandError(f"weights: expected a K that groups of {group} divide, got {k}")
        parts = w32.reshape(n, -1, group)
        largest = np.abs(parts).max(axis=2, initial=np.float32(0))
        with np.errstate(over="ignore"):
            scales = (np.maximum(largest, _EPS) / np.float32(self.most)).astype(np.float16).astype(np.float32)
        if not np.isfinite(scales).all():
            row, at = (int(i) for i in np.argwhere(~np.isfinite(scales))[0])
            raise OperandError(
                f"weights: row {row}, group {at}: expected values whose scale is finite in FP16, got {largest[row, at]}"
            )
        q = np.clip(np.rint(parts / scales[:, :, None]), -self.most - 1, self.most)
        return q.astype(np.int8).reshape(n, k), scales
