"""The float32 kernels of `bitsim.floats` beside the BLAS, in one run: prefill of 512 tokens and decode, the 2B4T shape.

    python bench/floats.py     (a minute; 1.3 GB)

Both take turns on all threads, and the best of each counts: quote the ratios. The BLAS adds in an order that
depends on the CPU; a stored bfloat16 head is converted for it in blocks, as no BLAS reads it.
"""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bitsim.floats.matmul import matmul
from bitsim.floats.rows import softmax

LAYERS, HEADS, KV_HEADS, HEAD_DIM, HIDDEN, VOCAB = 30, 20, 5, 128, 2560, 128256
TOKENS = 512
BLOCK_ROWS = 8192
Float32 = NDArray[np.float32]


def best(*functions: Callable[[], object], repeats: int) -> list[float]:
    """Best wall time of each function; they take turns, and the first round compiles."""
    times = [float("inf")] * len(functions)
    for _ in range(repeats + 1):
        for i, function in enumerate(functions):
            start = time.perf_counter()
            function()
            times[i] = min(times[i], time.perf_counter() - start)
    return times


def blas_of_stored(a: Float32, w: NDArray[np.uint16]) -> Float32:
    y = np.empty((len(a), len(w)), np.float32)
    for low in range(0, len(w), BLOCK_ROWS):
        block = (w[low : low + BLOCK_ROWS].astype(np.uint32) << np.uint32(16)).view(np.float32)
        np.matmul(a, block.T, out=y[:, low : low + BLOCK_ROWS])
    return y


def row(what: str, macs: int, ours: float, blas: float) -> None:
    rates = f"{macs / ours / 1e9:8.1f} {macs / blas / 1e9:8.1f} GMAC/s"
    print(f"{what:34} {1e3 * ours:9.2f} {1e3 * blas:9.2f} ms {rates} {ours / blas:6.2f}")


def attention(rng: np.random.Generator, rows: int, context: int) -> tuple[float, float]:
    """QK^T and PV of one layer; all query heads that share a KV head are rows of one matrix."""
    a = rng.standard_normal((KV_HEADS, rows, HEAD_DIM)).astype(np.float32)
    p = rng.random((KV_HEADS, rows, context), np.float32)
    keys, values = (rng.standard_normal((KV_HEADS, context, HEAD_DIM)).astype(np.float32) for _ in range(2))
    turned, macs = values.swapaxes(1, 2), KV_HEADS * rows * context * HEAD_DIM
    repeats = 10 if rows > HEADS else 300
    qk = best(lambda: matmul(a, keys), lambda: np.matmul(a, keys.swapaxes(1, 2)), repeats=repeats)
    pv = best(lambda: matmul(p, turned), lambda: np.matmul(p, values), repeats=repeats)
    row(f"QK^T, {rows} rows, {context} positions", macs, *qk)
    row(f"PV, {rows} rows, {context} positions", macs, *pv)
    return qk[0] + pv[0], qk[1] + pv[1]


def head(rng: np.random.Generator, tokens: int) -> tuple[float, float]:
    a = rng.standard_normal((1, tokens, HIDDEN)).astype(np.float32)
    w = (rng.standard_normal((1, VOCAB, HIDDEN), np.float32).view(np.uint32) >> 16).astype(np.uint16)
    ours, blas = best(lambda: matmul(a, w), lambda: blas_of_stored(a[0], w[0]), repeats=2 if tokens > 1 else 5)
    row(f"head, {tokens} token(s)", tokens * HIDDEN * VOCAB, ours, blas)
    return ours, blas


def old_softmax(scores: Float32, hidden: NDArray[np.bool_]) -> Float32:
    """The same in numpy, whose exp is the CPU's."""
    scores = scores * np.float32(HEAD_DIM**-0.5)
    scores[:, hidden] = -np.inf
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores *= np.float32(1) / np.add.reduce(scores, axis=-1, dtype=np.float64, keepdims=True).astype(np.float32)
    return scores


def main() -> None:
    rng = np.random.default_rng(0)
    print(f"{'':34} {'ours':>9} {'BLAS':>9}    {'ours':>8} {'BLAS':>8}        ours / BLAS in time")
    layer = attention(rng, HEADS // KV_HEADS * TOKENS, TOKENS)
    last = head(rng, TOKENS)
    ours, blas = (LAYERS * once + of_head for once, of_head in zip(layer, last, strict=True))
    print(f"prefill of {TOKENS}, all float matmuls: {ours:.2f} s and {blas:.2f} s: {ours / blas:.2f} (target 1.3)")
    attention(rng, HEADS // KV_HEADS, TOKENS)
    head(rng, 1)
    scores = rng.standard_normal((HEADS, TOKENS, TOKENS)).astype(np.float32)
    hidden = np.arange(TOKENS) > np.arange(TOKENS)[:, None]
    scale = np.float32(HEAD_DIM**-0.5)
    ours, numpys = best(lambda: softmax(scores, scale, 0), lambda: old_softmax(scores, hidden), repeats=5)
    print(f"softmax of {HEADS} heads: {1e3 * ours:.1f} ms, in numpy {1e3 * numpys:.1f} ms: {ours / numpys:.2f}")


if __name__ == "__main__":
    main()
