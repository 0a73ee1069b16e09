"""The plain twin of the kernels, in Python and NumPy arithmetic: the specification.

`tests/floats` holds the kernels against these functions, bit for bit.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from bitsim.floats import functions

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
UInt8 = npt.NDArray[np.uint8]
Stored = npt.NDArray[np.float32] | npt.NDArray[np.uint16]


def multiply_add(a: Float32, b: Float32, c: Float32) -> Float32:
    """The fused `a * b + c` of float32 arrays: the sum is rounded to odd in float64, then to float32."""
    with np.errstate(invalid="ignore", over="ignore"):
        product = a.astype(np.float64) * b.astype(np.float64)
        total = product + c
        back = total - product
        lost = (product - (total - back)) + (c - back)
        bits = total.view(np.int64)
        inexact = ((lost < 0) | (lost > 0)) & (bits & 1 == 0)
        odd = bits + np.where(inexact, np.where((lost < 0) == (total < 0), 1, -1), 0)
        return odd.view(np.float64).astype(np.float32)


def widened(w: Stored) -> Float32:
    """float32 values of patterns of bfloat16, or `w` itself."""
    if w.dtype == np.uint16:
        return (w.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return w.astype(np.float32, copy=False)


def matmul(a: Float32, w: Stored) -> Float32:
    """Ascending k, one fused multiply-add at a time: (S, M, K) times (S, N, K) -> (S, M, N)."""
    values = widened(w)
    y = np.zeros((a.shape[0], a.shape[1], w.shape[1]), np.float32)
    for k in range(a.shape[2]):
        y = multiply_add(a[:, :, k, None], values[:, None, :, k], y)
    return y


def _horner(x: float, coefficients: Sequence[float]) -> float:
    """The polynomial with its lowest coefficient first."""
    y = float(coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        y = y * x + float(coefficient)
    return y


def exp(x: float) -> float:
    if x < functions.EXP_SMALLEST:
        return 0.0
    if x > functions.EXP_LARGEST:
        return math.inf
    n = round(x * float(functions.LOG2_E))
    r = (x - n * float(functions.LN2_HIGH)) - n * float(functions.LN2_LOW)
    return math.ldexp(1 + (r + r * r * _horner(r, functions.EXP[2:])), n)


def log(x: float) -> float:
    m, k = math.frexp(x)
    if m < math.sqrt(0.5):
        m, k = 2 * m, k - 1
    f = m - 1
    s = f / (2 + f)
    z = s * s
    r = _horner(z, functions.LOG) * z
    half_square = 0.5 * f * f
    low = s * (half_square + r) + k * float(functions.LN2_LOW)
    return k * float(functions.LN2_HIGH) - ((half_square - low) - f)


def cos_sin(x: float) -> tuple[float, float]:
    n = round(x * float(functions.TWO_OVER_PI))
    r = x
    for part in functions.HALF_PI:
        r -= n * float(part)
    z = r * r
    sine = r + r * z * _horner(z, functions.SIN)
    cosine = 1 - (0.5 * z - z * z * _horner(z, functions.COS))
    return [(cosine, sine), (-sine, cosine), (-cosine, -sine), (sine, -cosine)][n % 4]


def row_sum(values: Iterable[float]) -> float:
    """Eight partial sums, joined by halves."""
    s = [0.0] * 8
    for i, value in enumerate(values):
        s[i % 8] += float(value)
    for half in (4, 2, 1):
        s = [s[i] + s[i + half] for i in range(half)]
    return s[0]


def square_sums(x: Float32 | Float64) -> Float64:
    return np.array([[row_sum(row * row)] for row in x])


def softmax(scores: Float32, scale: np.float32, past: int) -> Float32:
    p = np.zeros_like(scores)
    for head, t in np.ndindex(scores.shape[:2]):
        s = scores[head, t, : past + t + 1] * scale
        e = np.array([np.float32(exp(float(v))) for v in s - s.max()])
        p[head, t, : len(s)] = e * (np.float32(1) / np.float32(row_sum(e)))
    return p


def gated(x: Float32, slope: np.float32) -> Float32:
    with np.errstate(over="ignore"):
        e = np.array([np.float32(exp(-float(v))) for v in (slope * x).ravel()], np.float32)
    return x / (np.float32(1) + e.reshape(x.shape))


def gelu_tanh(x: Float32) -> Float32:
    inner = [2 * math.sqrt(2 / math.pi) * (v + 0.044715 * v * v * v) for v in x.ravel().astype(float)]
    e = [exp(-v) for v in inner]
    return np.array([v / (1 + w) for v, w in zip(x.ravel().astype(float), e, strict=True)], np.float32).reshape(x.shape)


def cumulative_weights(logits: Float32, temperature: float) -> Float64:
    weights, total = [], 0.0
    for logit in logits:
        total += exp((float(logit) - float(logits.max())) / temperature)
        weights.append(total)
    return np.array(weights)


def log_losses(logits: Float32, targets: Int64) -> Float64:
    losses = []
    for row, target in zip(logits, targets, strict=True):
        shifted = [float(v) - float(row.max()) for v in row]
        losses.append(log(row_sum(exp(v) for v in shifted)) - shifted[target])
    return np.array(losses)


def scaled_rows(packed: UInt8, rows: Iterable[int], scales: Float32, block: tuple[int, int]) -> Float32:
    """Rows of 2-bit codes times a grid of scales, value by value."""
    quarter, values = len(packed), []
    for row in rows:
        codes = [(int(byte) >> 2 * (row // quarter) & 3) - 1 for byte in packed[row % quarter]]
        own = scales[row // block[0]]
        values.append([np.float32(code) * own[k // block[1]] for k, code in enumerate(codes)])
    return np.array(values, dtype=np.float32)
