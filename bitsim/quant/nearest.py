"""What a float model is brought to instead of ternary weights, without training: W8A8, W4A8, W8A16 and W4A16.

Weights are rounded to nearest (`rounding`); activations become 8 bits per token, or stay as they are.
"""

import numpy as np
import numpy.typing as npt

from bitsim.quant.base import EPS, Contract, Float32, Int8, Sums, absmax_work, check_activations, store_mean
from bitsim.quant.hf import not_quantised, weights_of_tensors
from bitsim.quant.rounding import WeightRounding

_QMAX = np.float32(127)
_TOKENS = "mit-han-lab/smoothquant fake_quant.py, quantize_activation_per_token_absmax (arXiv 2211.10438)"
_WEIGHTS = (
    "mit-han-lab/llm-awq quantize/quantizer.py, pseudo_quantize_tensor without zero points (arXiv 2306.00978), in "
    "float32, the scale rounded to the FP16 in which kernels keep it"
)


def token_absmax(x: Float32) -> tuple[Int8, Float32]:
    """Per token: `s = f32(max(absmax, 1e-5) / 127)`, `q = rint(f32(x / s))`, which lies in -127..127.

    `x`: float32 (M, K) -> int8 (M, K) and float32 (M, 1), which multiplies. Raises `OperandError` for NaN or infinity.
    """
    check_activations(x)
    s = np.maximum(np.abs(x).max(axis=1, keepdims=True), EPS) / _QMAX
    return np.rint(x / s).astype(np.int8), s


def rescale_rows(acc: Sums, s: Float32, weight_scale: np.float32 | npt.NDArray[np.float32]) -> Float32:
    """`f32(f32(acc) * f32(s * weight_scale))`; `s` (M, 1), `weight_scale` (N,) or a number."""
    return acc.astype(np.float32, copy=False) * (s * weight_scale)


def _integers(name: str, bits: int) -> Contract:
    return Contract(
        name=name,
        linear_class=name,
        quantise_activations=token_absmax,
        rescale=rescale_rows,
        stored_scale=store_mean,
        quantise_weights=weights_of_tensors,
        weights=WeightRounding(bits=bits),
        code_range=(-127, 127),
        quantise_work=absmax_work,
        source=f"activations: {_TOKENS}; weights: {_WEIGHTS}",
        evidence="equal to its plain twin",
    )


def _weight_only(name: str, bits: int, group: int | None) -> Contract:
    return Contract(
        name=name,
        linear_class=name,
        quantise_activations=not_quantised,
        rescale=rescale_rows,
        stored_scale=store_mean,
        quantise_weights=weights_of_tensors,
        weights=WeightRounding(bits=bits, group=group),
        weight_only=True,
        activation_bits=16,
        source=f"weights: {_WEIGHTS}; activations as they are",
        evidence="equal to its plain twin",
    )


W8A8, W4A8 = _integers("w8a8", 8), _integers("w4a8", 4)
W8A16 = _weight_only("w8a16", 8, None)
W4A16 = tuple(_weight_only(f"w4a16_g{group}", 4, group) for group in (32, 64, 128))
