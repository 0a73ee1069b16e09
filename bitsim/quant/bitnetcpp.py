"""The contract of bitnet.cpp's I2_S kernels (CPU): one rounding in the activation scale, two in the rescale.

The kernel multiplies codes 0, 1, 2, so that its sum is `rawdot = acc + sum(q)`, and the caller computes
`((f32(rawdot) - f32(sum q)) / s) * w_scale` from left to right. Here `acc = rawdot - sum(q)` comes as one integer, and
`f32(acc)` is the same number whenever rawdot and sum(q) are at most 2^24 in magnitude: then both conversions are exact
and the subtraction rounds the exact difference once. That holds for every input with K <= 65,536 (256 K <= 2^24; the
int16 wraps of the kernel only make |rawdot| smaller). Beyond it the two can differ in the last bit of a float32.

Those wraps are not part of the contract but of the datapath that forms the sums: `bitsim.datapath.i2s_dot`.
"""

import numpy as np

from bitsim.quant.base import Contract, Float32, Int8, check_activations, divide_then_multiply, store_mean


def absmax_int8_i2s(x: Float32) -> tuple[Int8, Float32]:
    """Quantise per token: `s = f32(127.0 / max(absmax, 1e-5))`, `q = clip(rint(f32(x * s)), -128, 127)`.

    `x`: float32 (M, K) -> int8 (M, K), float32 (M, 1), which divides. The division is in float64 and rounded to
    float32, which gives the correctly rounded quotient; torch's reciprocal times 127 (`hf.absmax_int8`) differs in its
    last bit for a quarter of random tokens. Raises `OperandError` for other shapes and dtypes, NaN and infinities.

    A compiler that contracts `x * s` with the addition of the C code's rounding constant into one fused operation skips
    the rounding of the product; codes can then differ where `x * s` is within half an ulp of a tie. Here the product is
    rounded, as the source is written.
    """
    check_activations(x)
    absmax = np.abs(x).max(axis=1, keepdims=True).astype(np.float64)
    s = (127.0 / np.maximum(absmax, 1e-5)).astype(np.float32)
    q = np.rint(x * s)
    return np.clip(q, -128, 127, out=q).astype(np.int8), s


# Of this contract only the sums were measured on the compiled kernel (golden gguf/i2s_vectors.npz, rawdot); quantiser
# and rescale were read in its source, and the golden q, s and out were computed from that reading.
BITNETCPP_I2S = Contract(
    name="bitnetcpp_i2s",
    linear_class="autobitlinear",
    quantise_activations=absmax_int8_i2s,
    rescale=divide_then_multiply,
    stored_scale=store_mean,
    source="microsoft/BitNet 16da220, quantize_row_i8_s and the I2_S rescale, as read in the source",
    evidence="golden gguf/i2s_vectors.npz (tests/quant/test_bitnetcpp.py): sums of a run, the rest a second reading",
)
