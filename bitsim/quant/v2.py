"""BitNet v2: a4.8's INT8 and INT4 on every linear, and a Hadamard transform before o_proj and down_proj (H-BitLinear).

The normalised Hadamard transform spreads outliers over all channels before the quantiser sees them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from bitsim.errors import OperandError
from bitsim.quant.a48 import A48_INT4, A48_INT8, INT4_ABSMEAN, INT8_ABSMAX
from bitsim.quant.base import (
    ActivationQuantiser,
    Float32,
    Int8,
    VectorWork,
    absmax_work,
    absmean_work,
    check_activations,
)


def hadamard(x: Float32) -> Float32:
    """`x H_m` over the last axis, `H_m = [[H, H], [H, -H]] / sqrt 2` of `H = H_(m-1)`; float32 (..., 2^m) -> the same.

    O(n log n): additions in float32 with strides 1, 2, 4, .., n/2, then one multiplication by `f32(2^(-m/2))`, a power
    of two when m is even. (The definition divides by sqrt 2 at every stage, which would round m times more.) H is
    symmetric and its own inverse. Raises `OperandError` if the last axis is not a power of two, or if the additions
    leave float32. Source: arXiv 2504.18415 section 2.
    """
    n = x.shape[-1] if x.ndim else 0
    if x.dtype != np.float32 or n == 0:
        raise OperandError(f"hadamard: expected float32 (..., n), n >= 1, got {x.dtype} {x.shape}")
    if n & (n - 1):
        below = 1 << (n.bit_length() - 1)
        raise OperandError(f"hadamard: expected a power of two of values, got {n} (nearest: {below} and {2 * below})")
    y = np.ascontiguousarray(x)
    stride = 1
    with np.errstate(over="ignore", invalid="ignore"):
        while stride < n:
            pairs = y.reshape(*x.shape[:-1], n // (2 * stride), 2, stride)
            y = np.stack([pairs[..., 0, :] + pairs[..., 1, :], pairs[..., 0, :] - pairs[..., 1, :]], axis=-2)
            stride *= 2
    if not np.isfinite(y).all() and np.isfinite(x).all():
        raise OperandError(f"hadamard: a sum of the {n} values is beyond float32")
    return y.reshape(x.shape) * np.float32(sqrt(1 / n))


@dataclass(frozen=True, slots=True, kw_only=True)
class HadamardQuantiser:
    """`quantiser(hadamard(x))`: the activations of H-BitLinear, float32 (M, K) with K a power of two.

    The normalisation before it is the model's (SubLN); weights are trained for rotated inputs and not rotated.
    Raises `OperandError` as `hadamard` and the quantiser do.
    """

    quantiser: ActivationQuantiser

    def __call__(self, x: Float32) -> tuple[Int8, Float32]:
        check_activations(x)
        return self.quantiser(hadamard(x))


def _with_hadamard(work: VectorWork) -> VectorWork:
    """`work` after a Hadamard transform: n log2 n additions and n multiplications by the norm."""

    def total(k: int) -> Mapping[str, int]:
        counts = dict(work(k))
        counts["add"] = counts.get("add", 0) + k * (k.bit_length() - 1)
        counts["mul"] = counts.get("mul", 0) + k
        return counts

    return total


_PAPER = "arXiv 2504.18415 section 2"

V2_INT8 = replace(A48_INT8, name="v2_int8", linear_class="v2", source=f"{_PAPER}, INT8 absmax (q, k, v, gate, up)")
V2_INT4 = replace(A48_INT4, name="v2_int4", linear_class="v2", source=f"{_PAPER}, INT4 absmean (q, k, v, gate, up)")
V2_HADAMARD_INT8 = replace(
    V2_INT8,
    name="v2_hadamard_int8",
    quantise_activations=HadamardQuantiser(quantiser=INT8_ABSMAX),
    power_of_two=True,
    quantise_work=_with_hadamard(absmax_work),
    source=f"{_PAPER}, H-BitLinear, INT8 absmax (o, down)",
)
V2_HADAMARD_INT4 = replace(
    V2_INT4,
    name="v2_hadamard_int4",
    quantise_activations=HadamardQuantiser(quantiser=INT4_ABSMEAN),
    power_of_two=True,
    quantise_work=_with_hadamard(absmean_work),
    source=f"{_PAPER}, H-BitLinear, INT4 absmean (o, down)",
)
