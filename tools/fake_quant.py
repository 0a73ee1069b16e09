"""Fake quantisers with straight-through gradients, one per published formula; `train_tiny.py` trains through them.

Each takes and returns float32 and equals, value by value, codes times scale of the contract in `bitsim.quant` that it
names, but for the order of float32 roundings. Activations: (..., K), per token. Weights: (N, K), per tensor.
"""

import math

import torch
from torch import Tensor

EPS = 1e-5


def _straight_through(x: Tensor, quantised: Tensor) -> Tensor:
    return x + (quantised - x).detach()


def ternary(w: Tensor) -> Tensor:
    """Absmean, eps clamped (contract `hf_autobitlinear`)."""
    scale = w.abs().mean().clamp(min=EPS)
    return _straight_through(w, (w / scale).round().clamp(-1, 1) * scale)


def ternary_added(w: Tensor) -> Tensor:
    """Absmean, eps added (contracts `a48_*` and `v2_*`)."""
    scale = w.abs().mean()
    return _straight_through(w, (w / (scale + EPS)).round().clamp(-1, 1) * scale)


def binary(w: Tensor) -> Tensor:
    """Sign of the centred weight, sign(0) = -1, times mean |W| (contract `b1`)."""
    return _straight_through(w, torch.where(w > w.mean(), 1.0, -1.0) * w.abs().mean())


def int8(x: Tensor) -> Tensor:
    """Absmax to 127, eps clamped (contract `hf_autobitlinear`)."""
    scale = 127.0 / x.abs().amax(-1, keepdim=True).clamp(min=EPS)
    return _straight_through(x, (x * scale).round().clamp(-128, 127) / scale)


def int8_floor(x: Tensor) -> Tensor:
    """Absmax to 128, rounded by floor (contract `b1`)."""
    step = x.abs().amax(-1, keepdim=True).clamp(min=EPS) / 128.0
    return _straight_through(x, (x / step).floor().clamp(-128, 127) * step)


def int8_added(x: Tensor) -> Tensor:
    """Absmax to 127, eps added (contracts `a48_int8` and `v2_int8`)."""
    largest = x.abs().amax(-1, keepdim=True)
    return _straight_through(x, (x * (127.0 / (largest + EPS))).round().clamp(-128, 127) * (largest / 127.0))


def int4(x: Tensor) -> Tensor:
    """Absmean to sqrt 7 (contracts `a48_int4` and `v2_int4`)."""
    mean, level = x.abs().mean(-1, keepdim=True), math.sqrt(7)
    return _straight_through(x, (x * (level / (mean + EPS))).round().clamp(-8, 7) * (mean / level))


def top_half_int8(x: Tensor) -> Tensor:
    """`int8_added` of the larger half of the magnitudes, zero elsewhere (contract `a48_topk_int8`).

    Of equal magnitudes the first ones stay: sums of 4-bit codes are small integers, so that ties are frequent.
    """
    kept = x.abs().argsort(dim=-1, descending=True, stable=True)[..., : (x.shape[-1] + 1) // 2]
    mask = torch.zeros_like(x).scatter_(-1, kept, 1.0)
    return _straight_through(x, int8_added(x).detach() * mask)


def hadamard(x: Tensor) -> Tensor:
    """The normalised transform over the last axis, a power of two, as two small products (`H_ab = H_a (x) H_b`)."""
    n = x.shape[-1]
    a = 1 << (n.bit_length() - 1) // 2
    y = x.reshape(*x.shape[:-1], a, n // a) @ _matrix(n // a).to(x)
    return (y.transpose(-1, -2) @ _matrix(a).to(x)).transpose(-1, -2).reshape(x.shape) / math.sqrt(n)


def _matrix(n: int) -> Tensor:
    h = torch.ones(1, 1)
    while len(h) < n:
        h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)], 0)
    return h


def hadamard_int8(x: Tensor) -> Tensor:
    """Contract `v2_hadamard_int8`."""
    return int8_added(hadamard(x))


def hadamard_int4(x: Tensor) -> Tensor:
    """Contract `v2_hadamard_int4`."""
    return int4(hadamard(x))
