"""Numerics contracts: which float32 roundings happen between a layer's input, its integer sums and its output.

The public implementations of BitLinear differ in the last bit, so a result always names its contract.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitsim.errors import ConfigError, OperandError, UnknownNameError

Float32 = npt.NDArray[np.float32]
Int8 = npt.NDArray[np.int8]
Sums = npt.NDArray[np.int32] | npt.NDArray[np.int64] | npt.NDArray[np.float32]

EPS = np.float32(1e-5)
_ONE = np.float32(1.0)
_QMAX = np.float32(127.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One BitLinear, rounding by rounding.

    * `quantise_activations(x)`: float32 (M, K) -> codes int8 (M, K) and scales float32 (M, 1).
    * `rescale(acc, s, weight_scale)`: integer sums (M, N), as int32, int64 or float32 -> float32 (M, N).
    * `stored_scale(mean)`: the weight scale that a checkpoint of this contract stores for a tensor of mean |W|.
    * `linear_class`: the Hugging Face class that computes it (None: no quantised linears).
    """

    name: str
    linear_class: str | None
    quantise_activations: Callable[[Float32], tuple[Int8, Float32]]
    rescale: Callable[[Sums, Float32, np.float32], Float32]
    stored_scale: Callable[[np.float32], np.float32]


def absmax_int8(x: Float32) -> tuple[Int8, Float32]:
    """Quantise per token: `s = f32(f32(1 / max(absmax, 1e-5)) * 127)`, `q = clip(rint(f32(x * s)), -128, 127)`.

    `x`: float32 (M, K) -> int8 (M, K), float32 (M, 1). The scale is rounded twice, because torch computes
    `127 / tensor` as `reciprocal * 127`. Bit-exact with transformers' `BitLinear.activation_quant` in float32.
    Raises `OperandError` for NaN or infinite inputs, whose codes are undefined.
    Source: facts of transformers 5.23.0 `integrations/bitnet.py`; arXiv 2402.17764 section 2.
    """
    if x.ndim != 2 or x.dtype != np.float32:
        raise OperandError(f"activations: expected float32 (M, K), got {x.dtype} {x.shape}")
    absmax = np.abs(x).max(axis=1, keepdims=True, initial=np.float32(0))
    if not np.isfinite(absmax).all():
        row, k = (int(i) for i in np.argwhere(~np.isfinite(x))[0])
        raise OperandError(f"activations[{row}, {k}]: expected a finite number, got {x[row, k]}")
    s = (_ONE / np.maximum(absmax, EPS)) * _QMAX
    q = np.rint(x * s)
    return np.clip(q, -128, 127, out=q).astype(np.int8), s


def _rescale_bitlinear(acc: Sums, s: Float32, weight_scale: np.float32) -> Float32:
    """`f32(acc) / f32(weight_scale * s)`; the stored scale is 1 / mean|W|."""
    return acc.astype(np.float32, copy=False) / (np.float32(weight_scale) * s)


def _rescale_autobitlinear(acc: Sums, s: Float32, weight_scale: np.float32) -> Float32:
    """`f32(f32(acc / s) * weight_scale)`; the stored scale is mean|W|."""
    return (acc.astype(np.float32, copy=False) / s) * np.float32(weight_scale)


def _not_quantised(*_: object) -> tuple[Int8, Float32]:
    raise ConfigError("numerics 'float' has no quantised linears; choose a contract of the model's linear_class")


def _no_rescale(acc: Sums, s: Float32, weight_scale: np.float32) -> Float32:
    raise ConfigError("numerics 'float' has no quantised linears; choose a contract of the model's linear_class")


HF_BITLINEAR_FP32 = Contract(
    name="hf_bitlinear_fp32",
    linear_class="bitlinear",
    quantise_activations=absmax_int8,
    rescale=_rescale_bitlinear,
    stored_scale=lambda mean: _ONE / mean,
)
# The reference class never forms integers: it multiplies the float matrices q/s and W in the BLAS's summation order.
# Codes, scales and the last multiplication are bit-exact with it; f32(acc / s) agrees with its GEMM to tolerance only
# (about 4e-3 of the maximum for a bfloat16 GEMM, 1e-6 for float32).
HF_AUTOBITLINEAR = Contract(
    name="hf_autobitlinear",
    linear_class="autobitlinear",
    quantise_activations=absmax_int8,
    rescale=_rescale_autobitlinear,
    stored_scale=lambda mean: mean,
)
FLOAT = Contract(
    name="float",
    linear_class=None,
    quantise_activations=_not_quantised,
    rescale=_no_rescale,
    stored_scale=lambda mean: mean,
)
CONTRACTS = {c.name: c for c in (HF_BITLINEAR_FP32, HF_AUTOBITLINEAR, FLOAT)}


def contract(name: str) -> Contract:
    """The contract called `name`; raises `UnknownNameError`."""
    if name not in CONTRACTS:
        raise UnknownNameError("numerics contract", name, CONTRACTS)
    return CONTRACTS[name]


def ternarise(w: npt.NDArray[np.floating]) -> tuple[Int8, np.float32]:
    """Quantise a weight matrix per tensor to {-1, 0, +1}: absmean, as BitNet b1.58.

    `w`: float (N, K) -> codes int8 (N, K) and `mean = max(mean|W|, 1e-5)`. The mean is the float64 mean rounded once
    to float32 (torch's own depends on its summation order in the last bit); codes are `clip(rint(w * f32(1 / mean)),
    -1, 1)`. Codes are equal to transformers' `WeightQuant`, the mean to 2 ulp. Source: arXiv 2402.17764 eq. 1-3.
    """
    if w.ndim != 2 or w.dtype.kind != "f" or w.size == 0:
        raise OperandError(f"weights: expected floats (N, K), N and K >= 1, got {w.dtype} {w.shape}")
    w32 = w.astype(np.float32, copy=False)
    mean = np.float32(np.abs(w32).mean(dtype=np.float64))
    if not np.isfinite(mean):
        n, k = (int(i) for i in np.argwhere(~np.isfinite(w32))[0])
        raise OperandError(f"weights[{n}, {k}]: expected a finite number, got {w32[n, k]}")
    mean = max(mean, EPS)
    with np.errstate(over="ignore"):  # an overflow to infinity clips to 1
        codes = np.rint(w32 * (_ONE / mean))
    return np.clip(codes, -1, 1, out=codes).astype(np.int8), mean
