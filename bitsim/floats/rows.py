"""Sums and functions along rows: norms, softmax, gates, and what a token costs.

A row's float64 sum is eight partial sums, number l adding elements l, l + 8, l + 16, .. in order; then l + 4 is added
to l, l + 2 to l and 1 to 0. Threads share rows, so that a row depends on itself alone.
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from bitsim._jit import inlined, kernel, parallel_kernel, team
from bitsim.floats.functions import exp, log

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

_WORTH_A_TEAM = 2**16  # exponentials
_ONE = np.float32(1)
GELU_SLOPE = np.float64(1.5957691216057308)  # 2 sqrt(2 / pi)
GELU_CUBIC = np.float64(0.044715)


def square_sums(x: Float32 | Float64) -> Float64:
    """The sum of squares of each row of `x` (M, K) -> float64 (M, 1); a square is rounded to the type of `x`."""
    y = np.empty((len(x), 1))
    with np.errstate(over="ignore", invalid="ignore"):
        _square_sums(np.ascontiguousarray(x), y)
    return y


def softmax(scores: Float32, scale: np.float32, past: int) -> Float32:
    """Softmax of `f32(scores * scale)`, float32 (H, T, C); row t sees the first `past + t + 1` columns.

    `e = f32(exp(f32(s - max)))`, divided as `f32(e * f32(1 / f32(sum)))`; columns not seen are 0.
    """
    heads, tokens, context = scores.shape
    p = np.empty((heads * tokens, context), np.float32)
    rows = np.ascontiguousarray(scores).reshape(p.shape)
    with team(p.size, _WORTH_A_TEAM), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        _softmax(rows, np.float32(scale), past, tokens, p)
    return p.reshape(scores.shape)


def gated(x: Float32, slope: np.float32) -> Float32:
    """`x * sigmoid(slope x)` as `f32(x / f32(1 + f32(exp(-f32(slope x)))))`, float32 of any shape."""
    y = np.empty(x.shape, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        _gated(np.ascontiguousarray(x).reshape(-1), np.float32(slope), y.reshape(-1))
    return y


def gelu_tanh(x: Float32) -> Float32:
    """GELU by its tanh form, `0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`, float32 of any shape.

    As `x * sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3))`, which is the same function; inside in float64, then rounded.
    """
    y = np.empty(x.shape, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        _gelu_tanh(np.ascontiguousarray(x).reshape(-1), y.reshape(-1))
    return y


def cumulative_weights(logits: Float32, temperature: float) -> Float64:
    """Running sums, in order, of `exp((logit - max) / temperature)`; `logits` float32 (V,) finite -> float64 (V,)."""
    y = np.empty(logits.size)
    with np.errstate(over="ignore"):
        _cumulative_weights(np.ascontiguousarray(logits), np.float64(temperature), y)
    return y


def log_losses(logits: Float32, targets: Int64) -> Float64:
    """`log(sum exp(logit - max)) - (logit[target] - max)` of each row, `logits` float32 (T, V) -> float64 (T,)."""
    y = np.empty(len(logits))
    with np.errstate(over="ignore", invalid="ignore"):
        _log_losses(np.ascontiguousarray(logits), targets, y)
    return y


@inlined
def _joined(s_0: Any, s_1: Any, s_2: Any, s_3: Any, s_4: Any, s_5: Any, s_6: Any, s_7: Any) -> Any:
    return ((s_0 + s_4) + (s_2 + s_6)) + ((s_1 + s_5) + (s_3 + s_7))


@inlined
def _sum(x: Any, size: int) -> Any:
    """The row sum of the first `size` elements."""
    s_0 = s_1 = s_2 = s_3 = s_4 = s_5 = s_6 = s_7 = np.float64(0)
    whole = size // 8 * 8
    for i in range(0, whole, 8):
        s_0 += np.float64(x[i])
        s_1 += np.float64(x[i + 1])
        s_2 += np.float64(x[i + 2])
        s_3 += np.float64(x[i + 3])
        s_4 += np.float64(x[i + 4])
        s_5 += np.float64(x[i + 5])
        s_6 += np.float64(x[i + 6])
        s_7 += np.float64(x[i + 7])
    left = size - whole
    s_0 += np.float64(x[whole]) if left > 0 else np.float64(0)
    s_1 += np.float64(x[whole + 1]) if left > 1 else np.float64(0)
    s_2 += np.float64(x[whole + 2]) if left > 2 else np.float64(0)
    s_3 += np.float64(x[whole + 3]) if left > 3 else np.float64(0)
    s_4 += np.float64(x[whole + 4]) if left > 4 else np.float64(0)
    s_5 += np.float64(x[whole + 5]) if left > 5 else np.float64(0)
    s_6 += np.float64(x[whole + 6]) if left > 6 else np.float64(0)
    return _joined(s_0, s_1, s_2, s_3, s_4, s_5, s_6, s_7)


@inlined
def _largest(x: Any, size: int) -> Any:
    """The largest of the first `size` elements, which are not NaN; -infinity of none."""
    low = x.dtype.type(-np.inf)
    m_0 = m_1 = m_2 = m_3 = low
    whole = size // 4 * 4
    for i in range(0, whole, 4):
        m_0 = max(m_0, x[i])
        m_1 = max(m_1, x[i + 1])
        m_2 = max(m_2, x[i + 2])
        m_3 = max(m_3, x[i + 3])
    for i in range(whole, size):
        m_0 = max(m_0, x[i])
    return max(max(m_0, m_1), max(m_2, m_3))


@kernel
def _square_sums(x: Any, y: Any) -> None:
    squares = np.empty(x.shape[1], x.dtype)
    for m in range(x.shape[0]):
        row = x[m]
        for k in range(row.size):
            squares[k] = row[k] * row[k]
        y[m, 0] = _sum(squares, row.size)


@parallel_kernel
def _softmax(scores: Any, scale: Any, past: int, tokens: int, p: Any) -> None:
    for r in numba.prange(scores.shape[0]):
        row, out = scores[r], p[r]
        seen = past + r % tokens + 1
        for i in range(seen):
            out[i] = row[i] * scale
        most = _largest(out, seen)
        for i in range(seen):
            out[i] = np.float32(exp(np.float64(out[i] - most)))
        share = _ONE / np.float32(_sum(out, seen))
        for i in range(seen):
            out[i] = out[i] * share
        for i in range(seen, row.size):
            out[i] = np.float32(0)


@kernel
def _gated(x: Any, slope: Any, y: Any) -> None:
    for i in range(x.size):
        y[i] = x[i] / (_ONE + np.float32(exp(-np.float64(slope * x[i]))))


@kernel
def _gelu_tanh(x: Any, y: Any) -> None:
    for i in range(x.size):
        wide = np.float64(x[i])
        inner = GELU_SLOPE * (wide + GELU_CUBIC * wide * wide * wide)
        y[i] = np.float32(wide / (np.float64(1) + exp(-inner)))


@kernel
def _cumulative_weights(logits: Any, temperature: Any, y: Any) -> None:
    most, total = np.float64(_largest(logits, logits.size)), np.float64(0)
    for i in range(logits.size):
        total += exp((np.float64(logits[i]) - most) / temperature)
        y[i] = total


@kernel
def _log_losses(logits: Any, targets: Any, y: Any) -> None:
    powers = np.empty(logits.shape[1])
    for t in range(logits.shape[0]):
        row = logits[t]
        most = np.float64(_largest(row, row.size))
        for i in range(row.size):
            powers[i] = exp(np.float64(row[i]) - most)
        y[t] = log(_sum(powers, row.size)) - (np.float64(row[targets[t]]) - most)
