"""The contracts of the public code: transformers' two BitLinear classes and the authors' FAQ."""

import numpy as np

from bitsim.errors import ConfigError, OperandError
from bitsim.quant.base import (
    EPS,
    Contract,
    Float32,
    Int8,
    Sums,
    divide_then_multiply,
    store_mean,
    store_reciprocal,
)
from bitsim.quant.weights import Floats, binarise_faq

_ONE = np.float32(1.0)
_QMAX = np.float32(127.0)
_FAQ = "microsoft/unilm 768a3c8, bitnet/The-Era-of-1-bit-LLMs__Training_Tips_Code_FAQ.pdf"


def absmax_int8(x: Float32) -> tuple[Int8, Float32]:
    """Quantise per token: `s = f32(f32(1 / max(absmax, 1e-5)) * 127)`, `q = clip(rint(f32(x * s)), -128, 127)`.

    `x`: float32 (M, K) -> int8 (M, K), float32 (M, 1). The scale is rounded twice, because torch computes
    `127 / tensor` as `reciprocal * 127`. Bit-exact with transformers' `BitLinear.activation_quant` in float32.
    Raises `OperandError` for NaN or infinite inputs, whose codes are undefined.
    Source: transformers 5.23.0 `integrations/bitnet.py` (tests/peers); arXiv 2402.17764 section 2.
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


def _rescale_faq(acc: Sums, s: Float32, weight_scale: np.float32) -> Float32:
    """`f32(f32(acc / weight_scale) / s)`: two divisions, the weights' first; the stored scale is 1 / mean|W|."""
    return (acc.astype(np.float32, copy=False) / np.float32(weight_scale)) / s


def not_quantised(*_: object) -> tuple[Int8, Float32]:
    """The activation quantiser of contracts without one."""
    raise ConfigError(
        "numerics such as 'float' have no quantised activations; choose a contract of the model's linear_class"
    )


def weights_of_tensors(w: Floats) -> tuple[Int8, np.float32]:
    """The weight quantiser of contracts whose weights have no single scale."""
    raise ConfigError(
        "numerics such as 'float' quantise no weights per tensor; choose a contract of the model's linear_class"
    )


def _no_rescale(acc: Sums, s: Float32, weight_scale: np.float32) -> Float32:
    raise ConfigError(
        "numerics such as 'float' have no quantised activations; choose a contract of the model's linear_class"
    )


HF_BITLINEAR_FP32 = Contract(
    name="hf_bitlinear_fp32",
    linear_class="bitlinear",
    quantise_activations=absmax_int8,
    rescale=_rescale_bitlinear,
    stored_scale=store_reciprocal,
    source="transformers 5.23.0, integrations/bitnet.py, BitLinear in float32",
    evidence=(
        "equal bit for bit: golden layer/act_vectors.npz (tests/quant/test_contracts.py) and hf/A "
        "trace_packed_bitlinear_fp32_eager.npz (tests/model/test_hf_golden.py), layers and models run by transformers "
        "(tests/peers)"
    ),
)
# The reference class never forms integers: it multiplies the float matrices q/s and W in the BLAS's summation order.
# Codes, scales and the last multiplication are bit-exact with it; f32(acc / s) agrees with its GEMM to tolerance only
# (about 4e-3 of the maximum for a bfloat16 GEMM, 1e-6 for float32).
HF_AUTOBITLINEAR = Contract(
    name="hf_autobitlinear",
    linear_class="autobitlinear",
    quantise_activations=absmax_int8,
    rescale=divide_then_multiply,
    stored_scale=store_mean,
    source="transformers 5.23.0, integrations/bitnet.py, AutoBitLinear, float32 or bfloat16",
    evidence=(
        "codes, scales and the last multiplication equal bit for bit, the float product to tolerance: golden hf/A "
        "trace_packed_autobitlinear_bf16_eager.npz (tests/model/test_hf_golden.py), layers and models run by "
        "transformers, offline and online (tests/peers)"
    ),
)
FAQ = Contract(
    name="faq",
    linear_class="bitlinear",
    quantise_activations=absmax_int8,
    rescale=_rescale_faq,
    stored_scale=store_reciprocal,
    source=f"{_FAQ}, fig. 4 (inference)",
    evidence=(
        "codes and sums equal bit for bit, outputs with the stored scale, which ours is within 2 ulp of: golden "
        "layer/faq_vectors.npz (tests/quant/test_b1.py)"
    ),
)
# The FAQ's b1 code stops at the fake weights sign * mean|W|; it has no inference form. The rescale is therefore the one
# that multiplies by mean|W|: its reciprocal would be infinite for an all-zero tensor, for which this code has no eps.
FAQ_B1 = Contract(
    name="faq_b1",
    linear_class="b1",
    quantise_activations=absmax_int8,
    rescale=divide_then_multiply,
    stored_scale=store_mean,
    quantise_weights=binarise_faq,
    source=f"{_FAQ}, b1 code",
    evidence=(
        "codes and sums equal: golden layer/faq_vectors.npz (tests/quant/test_b1.py); for the rescale there is no "
        "reference"
    ),
)
W158A16 = Contract(
    name="w158a16",
    linear_class="w158a16",
    weight_only=True,
    quantise_activations=not_quantised,
    rescale=_no_rescale,
    stored_scale=store_mean,
    quantise_weights=weights_of_tensors,
    activation_bits=16,
    source="torch nn.Linear on weights that are code times scale, as TriLM is published (arXiv 2407.12327)",
    evidence="logits within 1e-5 of transformers 5.24.0 in float32: shared/golden/families/trilm",
)
FLOAT = Contract(
    name="float",
    linear_class=None,
    quantise_activations=not_quantised,
    rescale=_no_rescale,
    stored_scale=store_mean,
    quantise_weights=weights_of_tensors,
)
