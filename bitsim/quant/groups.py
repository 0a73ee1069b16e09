"""Group quantisation and normalisation: G devices that never exchange a scale or a mean.

b1 divides weights and activations into G groups along the dimension that model parallelism partitions and gives each
group its own alpha, beta, gamma, eta, mean and variance. The law that follows, and for which it was made: shard g of
the grouped quantisation equals the quantisation of shard g by itself, bit for bit, so that a device needs its shard and
nothing else. What remains to be exchanged are outputs: sums when K is split, nothing when N is.

Everything takes any contract; the paper does it with its own. Source: arXiv 2310.11453 section 2, "Model parallelism
with Group Quantization and Normalization".
"""

from typing import Literal

import numpy as np

from bitsim.errors import OperandError
from bitsim.quant.base import Contract, Float32, Int8, Sums
from bitsim.quant.exact_means import NORM_EPS, layer_norm
from bitsim.quant.weights import Floats

Axis = Literal["n", "k"]


def group_norm(x: Float32, groups: int, eps: float = NORM_EPS) -> Float32:
    """LayerNorm without affine within each of `groups` equal parts of a token, float32 (M, K) -> float32 (M, K)."""
    return layer_norm(_stacked(x, groups), eps).reshape(x.shape)


def quantise_activation_groups(contract: Contract, x: Float32, groups: int) -> tuple[Int8, Float32]:
    """Codes int8 (M, K) and scales float32 (M, G), `x` float32 (M, K) divided along K; errors as the contract's."""
    codes, scales = contract.quantise_activations(_stacked(x, groups))
    return codes.reshape(x.shape), scales.reshape(len(x), groups)


def quantise_weight_groups(contract: Contract, w: Floats, groups: int, axis: Axis) -> tuple[Int8, Float32]:
    """Codes int8 (N, K) and mean |W| float32 (G,) of float (N, K) divided along N or K."""
    if w.ndim != 2:
        raise OperandError(f"weights: expected floats (N, K), got {w.dtype} {w.shape}")
    along = 0 if axis == "n" else 1
    _check_groups(w.shape[along], groups, axis.upper())
    parts = [contract.quantise_weights(part) for part in np.split(w, groups, axis=along)]
    return np.concatenate([codes for codes, _ in parts], axis=along), np.array([mean for _, mean in parts], np.float32)


def rescale_groups(contract: Contract, acc: Sums, s: Float32, weight_scales: Float32, axis: Axis) -> Float32:
    """Outputs float32 (M, N) of integer sums, as device g would rescale its own.

    * axis "n": `acc` (M, N), `s` (M, 1): every device has the whole token and N / G outputs; nothing is summed.
    * axis "k": `acc` (G, M, N), `s` (M, G): every device has its part of the token; the G partial outputs are added in
      float32, g ascending. The paper leaves the order of that all-reduce open.

    `weight_scales`: float32 (G,), as the contract stores them.
    """
    groups = len(weight_scales)
    if axis == "n":
        if acc.ndim != 2:
            raise OperandError(f"sums: expected (M, N), got {acc.shape}")
        _check_groups(acc.shape[1], groups, "N")
        n = acc.shape[1] // groups
        outputs = [contract.rescale(acc[:, g * n : (g + 1) * n], s, weight_scales[g]) for g in range(groups)]
        return np.concatenate(outputs, axis=1)
    if acc.ndim != 3 or len(acc) != groups or s.shape != (acc.shape[1], groups):
        raise OperandError(
            f"grouped sums: expected (G, M, N) and scales (M, G) with G = {groups}, got {acc.shape}, {s.shape}"
        )
    y = contract.rescale(acc[0], s[:, :1], weight_scales[0])
    for g in range(1, groups):
        y = y + contract.rescale(acc[g], s[:, g : g + 1], weight_scales[g])
    return y


def _stacked(x: Float32, groups: int) -> Float32:
    """(M, K) -> (M * G, K / G): each group of a token as a row of its own."""
    if x.ndim != 2:
        raise OperandError(f"activations: expected float32 (M, K), got {x.dtype} {x.shape}")
    _check_groups(x.shape[1], groups, "K")
    return x.reshape(len(x) * groups, x.shape[1] // groups)


def _check_groups(size: int, groups: int, what: str) -> None:
    if groups < 1 or size % groups:
        raise OperandError(f"groups: expected a divisor of {what} = {size}, got {groups}")
