"""The contract of microsoft/BitNet's GPU code: a converter that ternarises in bfloat16, and an INT8 x 2-bit kernel.

The converter reads bfloat16 weights and rounds every step to bfloat16, so that some codes (up to 0.2 % of normal
weights, by their spread) are not those of `weights.ternarise`, which computes in float32. What it stores is the
reciprocal of its own rounded reciprocal. It does so for each matrix by itself before it joins q, k and v, or gate and
up: the scale of an output is that of its own matrix. (The kernel's index into the scales of joined matrices is another
one for q, k and v; it is not modelled.)

Activations are quantised by a method that `torch.compile` fuses, the formula of transformers' BitLinear: it is taken
to round as `hf_bitlinear_bf16_compiled` does, which was found on a CPU. The kernel keeps sums in int32 and rescales
them in float32, `bf(f32(f32(f32(acc) / s) * weight_scale))`. No GPU was compared.
"""

import numpy as np

from bitsim.errors import OperandError
from bitsim.quant.base import EPS, Contract, Float32, Int8, Sums, divide_then_multiply, store_mean
from bitsim.quant.exact_means import mean
from bitsim.quant.hf_bf16 import absmax_int8_bf16_compiled
from bitsim.quant.packing import round_to_bf16
from bitsim.quant.weights import Floats, as_float32

_ONE = np.float32(1)


def ternarise_bf16(w: Floats) -> tuple[Int8, np.float32]:
    """Quantise per tensor to {-1, 0, +1}: `clip(rint(bf(w * s)), -1, 1)`, `s = bf(1 / max(bf(mean|W|), bf(1e-5)))`.

    `w`: float (N, K), rounded to bfloat16 -> codes int8 (N, K) and the weight scale that is stored, `bf(1 / s)`. The
    mean is exact before it is rounded (torch's depends on its order of summation, which rarely changes a bfloat16).
    Bit-exact with the converter's formula run by torch (tests/peers). Raises `OperandError` for other shapes and dtypes
    and for weights, or a scale, beyond bfloat16. Source: microsoft/BitNet 16da220, gpu/convert_checkpoint.py.
    """
    w16 = round_to_bf16(as_float32(w))
    if not np.isfinite(w16).all():
        raise OperandError(f"weights: the largest magnitude, {np.abs(w).max()}, is beyond bfloat16")
    guarded = np.maximum(round_to_bf16(np.array([mean(np.abs(w16)), EPS])), 0).max()
    s = _bf16(_ONE / guarded)
    with np.errstate(over="ignore"):  # an overflow to infinity clips to 1
        codes = np.rint(round_to_bf16(w16 * s))
        stored = _bf16(_ONE / s)
    if not np.isfinite(stored):
        raise OperandError(f"weights: the reciprocal of their scale {s} is beyond bfloat16")
    return np.clip(codes, -1, 1, out=codes).astype(np.int8), stored


def _bf16(value: np.float32) -> np.float32:
    return np.float32(round_to_bf16(np.array([value], np.float32))[0])


def _rescale(acc: Sums, s: Float32, weight_scale: np.float32) -> Float32:
    return round_to_bf16(divide_then_multiply(acc, s, _bf16(weight_scale)))


BITNET_GPU = Contract(
    name="bitnet_gpu",
    linear_class="autobitlinear",
    quantise_activations=absmax_int8_bf16_compiled,
    rescale=_rescale,
    stored_scale=store_mean,
    quantise_weights=ternarise_bf16,
    source="microsoft/BitNet 16da220, gpu/convert_checkpoint.py, gpu/model.py, gpu/bitnet_kernels, as read",
    evidence=(
        "weight codes and scales: equal to the converter's formula run by torch 2.13.0 (tests/peers); activations and "
        "rescale: plain-Python twin of what was read (tests/quant/test_twins.py), no run of the kernel"
    ),
)
