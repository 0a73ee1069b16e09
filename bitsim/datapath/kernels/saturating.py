"""Partial-sum toggles of arrays whose sums saturate: the scalar kernels for data that really overflows.

A sum that wraps differs from the exact one only above its width, so that the fast kernels serve it with a mask; a
sum that saturates depends on its history and must be formed step by step.
"""

from typing import Any

import numpy as np

from bitsim._jit import kernel


@kernel
def popcount(value: Any) -> Any:
    """Set bits of a non-negative int64."""
    count = np.int64(0)
    while value:
        value &= value - 1
        count += 1
    return count


@kernel
def ws_saturating_toggles(x: Any, w: Any, rows: int, acc_bits: int) -> Any:
    """Weight-stationary: `x` int8 (M, K), `w` int8 (N, K), tiles of `rows`; registers start and end each tile at 0."""
    m_size, k_size = x.shape
    top = (np.int64(1) << (acc_bits - 1)) - 1
    mask = (np.int64(1) << acc_bits) - 1
    toggles = np.int64(0)
    held = np.zeros(rows, np.int64)
    for n in range(w.shape[0]):
        for k0 in range(0, k_size, rows):
            held[:] = 0
            for m in range(m_size):
                psum = np.int64(0)
                for r in range(rows):
                    if k0 + r < k_size:
                        psum += np.int64(x[m, k0 + r]) * np.int64(w[n, k0 + r])
                        psum = max(-top - 1, min(top, psum))
                    toggles += popcount((psum ^ held[r]) & mask)
                    held[r] = psum
            for r in range(rows):
                toggles += popcount(held[r] & mask)
    return toggles


@kernel
def os_saturating_toggles(x: Any, w: Any, acc_bits: int) -> Any:
    """Output-stationary: one running sum per output over all of K, from 0, without the drain."""
    m_size, k_size = x.shape
    top = (np.int64(1) << (acc_bits - 1)) - 1
    mask = (np.int64(1) << acc_bits) - 1
    toggles = np.int64(0)
    for m in range(m_size):
        for n in range(w.shape[0]):
            psum = np.int64(0)
            for k in range(k_size):
                following = psum + np.int64(x[m, k]) * np.int64(w[n, k])
                following = max(-top - 1, min(top, following))
                toggles += popcount((psum ^ following) & mask)
                psum = following
    return toggles
