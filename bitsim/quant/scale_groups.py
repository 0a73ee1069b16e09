"""Ternary weights with several scales along K: the sums of each group of K are scaled, and added up as floats.

So an integer datapath, or one that adds floats, computes what files of block types hold (TQ1_0, TQ2_0 with a scale for
each 256 weights of a row) without multiplying weights by their scales first.
"""

from typing import Any

import numpy as np

from bitsim.quant.base import Contract, Float32, Sums, store_mean
from bitsim.quant.hf import absmax_int8


def add_groups(parts: Sums, scales: Float32) -> Float32:
    """`y = f32(f32(part_0) * scale_0)`, then `y = f32(y + f32(f32(part_g) * scale_g))`, g ascending.

    `parts` (G, M, N): the sums of each group; `scales`: float32 (N, G). Returns float32 (M, N).
    """
    y: Float32 = parts[0].astype(np.float32) * scales[:, 0]
    for part, scale in zip(parts[1:], scales.T[1:], strict=True):
        y = y + part.astype(np.float32) * scale
    return y


def _rescale(acc: Sums, s: Float32, weight_scale: Any) -> Float32:
    """`f32(added groups / s)`; `acc` (G, M, N) with `weight_scale` (N, G), or (M, N) with one scale or (N,)."""
    if acc.ndim == 3:
        return add_groups(acc, weight_scale) / s
    n = acc.shape[1]
    scales = np.broadcast_to(np.asarray(weight_scale, np.float32), (n,))
    return add_groups(acc[None], scales[:, None]) / s


W158A8 = Contract(
    name="w158a8",
    linear_class="w158a8",
    quantise_activations=absmax_int8,
    rescale=_rescale,
    stored_scale=store_mean,
    source=(
        "activations: transformers 5.23.0, integrations/bitnet.py, BitLinear.activation_quant; weights as a file has "
        "them, by code and scale; the order of groups: ours"
    ),
    evidence=(
        "logits within 1e-4 of transformers 5.24.0 in float32: golden families/gguf_llama_tq1_0_rope, and "
        "gguf_llama_tq2_0 but for two codes at ties (tests/study/test_scaled_ternary.py)"
    ),
)
