"""transformers' BitLinear in bfloat16, which is two functions: run eagerly every operation rounds to bfloat16, compiled
by `torch.compile` (the default) a whole method computes in float32 and rounds its result once.

Arrays are float32 that hold bfloat16 values; all rounding is `packing.round_to_bf16`. Both contracts round what comes
in to bfloat16 first and give bfloat16 values. They fix the linears only: in bitsim's forward pass norms, attention,
residuals and the head stay float32, so that its logits under these contracts are not those of a bfloat16 model. Given
the same bfloat16 input, a linear's codes, scales and outputs are transformers' own, bit for bit.

The sum that is rounded is transformers' own too: its GEMM of integers in bfloat16 adds in float32, exactly while
K * 127 < 2^24, and rounds once.
"""

import numpy as np

from bitsim.errors import OperandError
from bitsim.quant.base import EPS, Contract, Float32, Int8, Sums, check_activations, store_reciprocal
from bitsim.quant.packing import round_to_bf16

_ONE = np.float32(1.0)
_QMAX = np.float32(127.0)


def absmax_int8_bf16_eager(x: Float32) -> tuple[Int8, Float32]:
    """`s = bf(bf(1 / max(absmax, bf(1e-5))) * 127)`, `q = clip(rint(bf(x * s)), -128, 127)`: every step rounds.

    `x`: float32 (M, K), rounded to bfloat16 -> int8 (M, K), bfloat16 values (M, 1). Raises `OperandError` for other
    shapes and dtypes and for values that are not finite in bfloat16.
    """
    x = _as_bf16(x)
    reciprocal: Float32 = np.divide(_ONE, np.maximum(_absmax(x), round_to_bf16(np.array([EPS]))))
    s = round_to_bf16(round_to_bf16(reciprocal) * _QMAX)
    return _codes(round_to_bf16(x * s)), s


def absmax_int8_bf16_compiled(x: Float32) -> tuple[Int8, Float32]:
    """`s = bf(f32(f32(1 / max(absmax, 1e-5)) * 127))`, `q = clip(rint(f32(x * s)), -128, 127)`.

    Only the scale is rounded to bfloat16, the product with it is not. `x` and errors as `absmax_int8_bf16_eager`.
    """
    x = _as_bf16(x)
    reciprocal: Float32 = np.divide(_ONE, np.maximum(_absmax(x), EPS))
    s = round_to_bf16(reciprocal * _QMAX)
    return _codes(x * s), s


def _rescale_eager(acc: Sums, s: Float32, weight_scale: np.float32) -> Float32:
    """`bf(bf(acc) / bf(weight_scale * s))`; the stored scale is 1 / mean|W|, in bfloat16."""
    return round_to_bf16(_summed(acc) / round_to_bf16(_stored(weight_scale) * s))


def _rescale_compiled(acc: Sums, s: Float32, weight_scale: np.float32) -> Float32:
    """`bf(f32(bf(acc) / f32(weight_scale * s)))`: the product of the scales is not rounded to bfloat16."""
    return round_to_bf16(_summed(acc) / (_stored(weight_scale) * s))


def _as_bf16(x: Float32) -> Float32:
    check_activations(x)
    rounded = round_to_bf16(x)
    finite = np.isfinite(rounded)
    if not finite.all():
        row, k = (int(i) for i in np.argwhere(~finite)[0])
        raise OperandError(f"activations[{row}, {k}]: {x[row, k]} is beyond bfloat16")
    return rounded


def _absmax(x: Float32) -> Float32:
    largest: Float32 = np.abs(x).max(axis=1, keepdims=True)
    return largest


def _codes(v: Float32) -> Int8:
    codes = np.rint(v)
    return np.clip(codes, -128, 127, out=codes).astype(np.int8)


def _summed(acc: Sums) -> Float32:
    return round_to_bf16(acc.astype(np.float32, copy=False))


def _stored(weight_scale: np.float32) -> Float32:
    return round_to_bf16(np.array([weight_scale], np.float32))


_SOURCE = "transformers 5.23.0, integrations/bitnet.py, BitLinear in bfloat16 on torch 2.13.0 (CPU)"
_EVIDENCE = (
    "equal bit for bit: golden layer/act_vectors.npz (tests/quant/test_hf_bf16.py), random layers and every linear of "
    "random models run by transformers (tests/peers)"
)

HF_BITLINEAR_BF16_EAGER = Contract(
    name="hf_bitlinear_bf16_eager",
    linear_class="bitlinear",
    quantise_activations=absmax_int8_bf16_eager,
    rescale=_rescale_eager,
    stored_scale=store_reciprocal,
    source=f"{_SOURCE}, methods run eagerly",
    evidence=_EVIDENCE,
)
HF_BITLINEAR_BF16_COMPILED = Contract(
    name="hf_bitlinear_bf16_compiled",
    linear_class="bitlinear",
    quantise_activations=absmax_int8_bf16_compiled,
    rescale=_rescale_compiled,
    stored_scale=store_reciprocal,
    source=f"{_SOURCE}, methods compiled (the default)",
    evidence=_EVIDENCE,
)
