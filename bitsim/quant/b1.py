"""BitNet (b1): binary weights, absmax activations with Qb = 2^(b-1) = 128, and the non-negative form.

Equation 4 prints `Clip(x * Qb / gamma, -Qb + eps, Qb - eps)` and no rounding. `b1` rounds by floor, because only then
does eps do what the paper says it is for, to keep the clipped value from overflowing: floor(Qb - eps) = 127 and
floor(-Qb + eps) = -128 are the ends of int8. With rint the largest value would become +128; `b1_rint` is that reading
with the code held at 127, as the authors' later code rounds. Floor followed by an integer clip to -128..127 (0..127 for
the non-negative form) equals the printed float clip followed by floor for every finite value and every eps <= 1.

The papers guard nothing against gamma = 0; here gamma is clamped at 1e-5 as in the authors' code. Scales are per token,
the paper's choice for inference. LayerNorm without affine comes before (`exact_means.layer_norm`).
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from bitsim.errors import OperandError
from bitsim.quant.base import EPS, Contract, Float32, Int8, check_activations, multiply_scales, store_mean
from bitsim.quant.scaled import Rounding, ScaledQuantiser, round_codes
from bitsim.quant.weights import binarise

QB = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class NonNegativeQuantiser:
    """`q = clip(round(f32(f32(x - eta) * s)), 0, 127)` with `eta = min x` and `s = f32(128 / max(gamma, 1e-5))`.

    For activations before a non-linearity. `gamma`: "absmax" is max |x| as the paper prints it; as x - eta reaches
    up to 2 gamma, all values above gamma + eta saturate. "range" is `max(x) - min(x)`, which nothing exceeds; it is not
    in the paper.

    `with_offset(x)`: float32 (M, K) -> codes int8 (M, K), steps `f32(gamma / 128)` and offsets eta, float32 (M, 1).
    Calling it leaves out eta, as the paper's output `W~ x~ * beta * gamma / Qb` does; to restore it, add
    `eta * weight_scale * (row sum of W~)`. Raises `OperandError` for NaN, infinities and a range beyond float32.
    """

    gamma: Literal["absmax", "range"]
    rounding: Rounding = "floor"

    def __call__(self, x: Float32) -> tuple[Int8, Float32]:
        codes, step, _ = self.with_offset(x)
        return codes, step

    def with_offset(self, x: Float32) -> tuple[Int8, Float32, Float32]:
        """Codes, steps and the offsets eta."""
        check_activations(x)
        return self.quantise(x, *self.measure(x))

    def measure(self, x: Float32) -> tuple[Float32, Float32]:
        """Of each token its least value, and max |x| or the largest value (of which `quantise` makes gamma)."""
        largest = np.abs(x) if self.gamma == "absmax" else x
        return x.min(axis=1, keepdims=True), largest.max(axis=1, keepdims=True)

    def quantise(self, x: Float32, eta: Float32, largest: Float32) -> tuple[Int8, Float32, Float32]:
        """`with_offset` of tokens that measure `eta` and `largest`, of which `x` may be a part."""
        with np.errstate(over="ignore"):
            shifted = x - eta
            t = largest if self.gamma == "absmax" else largest - eta
        if not (np.isfinite(shifted).all() and np.isfinite(t).all()):
            row = int(np.argmin((np.isfinite(shifted) & np.isfinite(t)).all(axis=1)))
            raise OperandError(f"activations[{row}]: max - min is beyond float32 (min {eta[row, 0]})")
        guarded: Float32 = np.maximum(t, EPS)
        level = np.float32(QB)
        return round_codes(shifted * (level / guarded), self.rounding, 0, QB - 1), guarded / level, eta


def nonnegative_work(k: int) -> dict[str, int]:
    """As `absmax_work`, with a search for the minimum and its subtraction."""
    return {"max": 2 * k, "add": k, "div": 1, "cvt": k}


B1 = Contract(
    name="b1",
    linear_class="b1",
    quantise_activations=ScaledQuantiser(
        scaled_by="absmax", level=QB, eps="clamped", rounding="floor", low=-QB, high=QB - 1
    ),
    rescale=multiply_scales,
    stored_scale=store_mean,
    quantise_weights=binarise,
    source="arXiv 2310.11453 section 2.1, eq. 2 and 4; rounding by floor (not printed)",
    evidence="plain-Python twin of the formula (tests/quant/test_twins.py); no official code of this form is public",
)
B1_RINT = replace(
    B1,
    name="b1_rint",
    quantise_activations=ScaledQuantiser(scaled_by="absmax", level=QB, eps="clamped", low=-QB, high=QB - 1),
    source="arXiv 2310.11453 section 2.1, eq. 2 and 4; rounding to nearest even, +128 held at 127 (not printed)",
)
B1_NONNEGATIVE = replace(
    B1,
    name="b1_nonnegative",
    quantise_activations=NonNegativeQuantiser(gamma="absmax"),
    quantise_work=nonnegative_work,
    code_range=(0, QB - 1),
    source="arXiv 2310.11453 section 2.1, before non-linear functions; rounding by floor (not printed)",
)
B1_NONNEGATIVE_RANGE = replace(
    B1_NONNEGATIVE,
    name="b1_nonnegative_range",
    quantise_activations=NonNegativeQuantiser(gamma="range"),
    source="arXiv 2310.11453 section 2.1, before non-linear functions, with gamma = max - min (not the paper's)",
)
