"""Weights to one bit or one trit, per tensor: absmean (b1.58, eps added or clamped) and sign (b1, sign(0) = -1 or 0).

Every function takes float (N, K) and gives codes int8 (N, K) and the float32 mean |W| that rescales them.
"""

import numpy as np
import numpy.typing as npt

from bitsim.errors import OperandError
from bitsim.quant.exact_means import mean

Floats = npt.NDArray[np.floating]
Float32 = npt.NDArray[np.float32]
Int8 = npt.NDArray[np.int8]

_EPS = np.float32(1e-5)
_ONE = np.float32(1)


def ternarise(w: Floats) -> tuple[Int8, np.float32]:
    """Quantise a weight matrix per tensor to {-1, 0, +1}: absmean with eps as a clamp, as transformers and the FAQ.

    `w`: float (N, K) -> codes int8 (N, K) and `mean = max(mean|W|, 1e-5)`. The mean is exact but for its
    rounding to float32 (torch's own depends on its summation order in the last bits); codes are
    `clip(rint(w * f32(1 / mean)), -1, 1)`. The mean is transformers' `WeightQuant`'s to 2 ulp, and codes are equal but
    for weights within as much of a tie, |w| = mean / 2 (tests/peers met one in about a million random weights). Source:
    arXiv 2402.17764 eq. 1-3, with the eps of microsoft/unilm's FAQ (fig. 4).
    """
    w32 = as_float32(w)
    absmean = max(mean(np.abs(w32)), _EPS)
    with np.errstate(over="ignore"):  # an overflow to infinity clips to 1
        codes = np.rint(w32 * (_ONE / absmean))
    return np.clip(codes, -1, 1, out=codes).astype(np.int8), absmean


def ternarise_added(w: Floats) -> tuple[Int8, np.float32]:
    """Quantise per tensor to {-1, 0, +1}: absmean with eps added, as the papers print it.

    `clip(rint(f32(w / f32(a + 1e-5))), -1, 1)` with `a = mean|W|`, a true division. Returned is `a` itself: the papers
    multiply by the mean without eps (2411.04965 section 2, Q_w), so an all-zero tensor has scale 0. The papers give no
    value for eps; 1e-5 is the FAQ's. `a` is exact but for its rounding to float32, whatever the order of the elements.
    Source: arXiv 2402.17764 eq. 1-3; 2411.04965 section 2, Q_w.
    """
    w32 = as_float32(w)
    absmean = mean(np.abs(w32))
    with np.errstate(over="ignore"):  # an overflow to infinity clips to 1
        codes = np.rint(w32 / (absmean + _EPS))
    return np.clip(codes, -1, 1, out=codes).astype(np.int8), absmean


def binarise(w: Floats) -> tuple[Int8, np.float32]:
    """Quantise per tensor to {-1, +1}: `+1 if w > mean(W) else -1`, so sign(0) = -1; and beta = mean|W|.

    Both means are rounded once to float32, whatever the order of the elements; the comparison is exact. A constant
    tensor becomes all -1, whatever its sign. Source: arXiv 2310.11453 section 2.1, eq. 2.
    """
    w32 = as_float32(w)
    return signs_above(w32, mean(w32)), mean(np.abs(w32))


def signs_above(w32: Float32, alpha: np.float32) -> Int8:
    """`binarise`'s codes of float32 weights whose mean is `alpha`, of which `w32` may be a part."""
    return np.where(w32 > alpha, np.int8(1), np.int8(-1))


def binarise_faq(w: Floats) -> tuple[Int8, np.float32]:
    """Quantise per tensor to {-1, 0, +1}: `sign(w - mean(W))` with sign(0) = 0, as `torch.sign`; and mean|W|, no eps.

    Equal to the FAQ's codes where its float32 mean is; torch's mean depends on the summation order in the last 1-2 ulp.
    Source: microsoft/unilm 768a3c8, `The-Era-of-1-bit-LLMs__Training_Tips_Code_FAQ.pdf` (b1 code).
    """
    w32 = as_float32(w)
    alpha = mean(w32)
    return (w32 > alpha).astype(np.int8) - (w32 < alpha).astype(np.int8), mean(np.abs(w32))


def as_float32(w: Floats) -> Float32:
    """Checked weights in float32: raises `OperandError` for other shapes, NaN and infinities."""
    if w.ndim != 2 or w.dtype.kind != "f" or w.size == 0:
        raise OperandError(f"weights: expected floats (N, K), N and K >= 1, got {w.dtype} {w.shape}")
    with np.errstate(over="ignore"):  # float64 beyond float32 is reported below
        w32 = w.astype(np.float32, copy=False)
    finite = np.isfinite(w32)
    if not finite.all():
        n, k = (int(i) for i in np.argwhere(~finite)[0])
        raise OperandError(f"weights[{n}, {k}]: expected a finite number, got {w32[n, k]}")
    return w32
