"""What a checkpoint holds: per linear its shape, type, bits per weight, share of zeros and scale."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bitsim.model.config import SELDOM, ModelConfig
from bitsim.model.files.opened import Checkpoint
from bitsim.model.weights import IntegerWeight, LinearWeight
from bitsim.quant.packing import TernaryWeight, UInt8

_BLOCK_ROWS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearContents:
    """`kind`: the type in the file; `bits_per_weight`: of its bytes there, padding and scales inside them included.

    `zero_fraction`: of the codes (of the values, for a float model). `scale`: as the linear class stores it, or None.
    """

    layer: int
    name: str
    kind: str
    n: int
    k: int
    size_bytes: int
    bits_per_weight: float
    zero_fraction: float
    scale: float | None


def linear_contents(checkpoint: Checkpoint) -> list[LinearContents]:
    """One record per linear, layer by layer in the order of execution."""
    weights = [(i, weight) for i, layer in enumerate(checkpoint.weights.layers) for weight in layer.linears()]
    return [
        LinearContents(
            layer=i,
            name=stored.name,
            kind=stored.kind,
            n=weight.n,
            k=weight.k,
            size_bytes=stored.size_bytes,
            bits_per_weight=8 * stored.size_bytes / (weight.n * weight.k),
            zero_fraction=_zeros(weight) / (weight.n * weight.k),
            scale=float(weight.scale) if isinstance(weight, TernaryWeight) else None,
        )
        for (i, weight), stored in zip(weights, checkpoint.linears, strict=True)
    ]


def contents(checkpoint: Checkpoint) -> dict[str, Any]:
    """The whole as plain values for JSON: model, packing, totals, the range of the scales, linears and tensors."""
    linears = linear_contents(checkpoint)
    config, scales = checkpoint.config, [linear.scale for linear in linears if linear.scale is not None]
    count, size = sum(linear.n * linear.k for linear in linears), sum(linear.size_bytes for linear in linears)
    return {
        "path": str(checkpoint.path),
        "digest": checkpoint.digest,
        "packing": checkpoint.packing,
        "linear_class": config.linear_class,
        "numerics": config.default_numerics,
        "hidden_act": config.hidden_act,
        **_seldom(config),
        "layers": config.num_layers,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "heads": config.num_heads,
        "kv_heads": config.num_kv_heads,
        "vocab_size": config.vocab_size,
        "tie_embeddings": config.tie_embeddings,
        "size_bytes": sum(tensor.size_bytes for tensor in checkpoint.stored),
        "linear_weights": count,
        "linear_bytes": size,
        "linear_bits_per_weight": 8 * size / count,
        "zero_fraction": sum(linear.zero_fraction * linear.n * linear.k for linear in linears) / count,
        "scale": _spread(scales) if scales else None,
        "absent_keys": dict(checkpoint.absent),
        "ignored": list(checkpoint.ignored),
        "notes": list(checkpoint.notes),
        "linears": [asdict(linear) for linear in linears],
        "tensors": [asdict(tensor) for tensor in checkpoint.stored],
    }


def _seldom(config: ModelConfig) -> dict[str, Any]:
    """What most models lack, where this one has it."""
    values = {name: getattr(config, name) for name, lacking in SELDOM.items() if getattr(config, name) != lacking}
    for name in ("head_bits", "embedding_bits"):
        if name in values:
            values[name] = float(values[name])
    if config.rope_scaling is not None:
        values["rope_scaling"] = asdict(config.rope_scaling)
    return values


def _spread(scales: Sequence[float]) -> dict[str, float]:
    values = np.array(scales)
    return {
        "min": float(values.min()),
        "median": float(np.median(values)),
        "mean": math.fsum(scales) / len(scales),
        "max": float(values.max()),
    }


def _zeros(weight: LinearWeight) -> int:
    """How many weights are 0. Padding rows of packed codes read as -1, so they don't count."""
    if isinstance(weight, TernaryWeight):
        packed = weight.packed
        return sum(_zero_codes(packed[i : i + _BLOCK_ROWS]) for i in range(0, len(packed), _BLOCK_ROWS))
    if isinstance(weight, IntegerWeight):
        return int((weight.values == 0).sum())
    starts = range(0, weight.n, _BLOCK_ROWS)
    return sum(int((weight.rows(i, i + _BLOCK_ROWS) == 0).sum()) for i in starts)


def _zero_codes(packed: UInt8) -> int:
    """Number of 2-bit codes 1 among the codes 0, 1, 2: those with their low bit set."""
    return int(np.bitwise_count(packed & np.uint8(0x55)).sum(dtype=np.int64))
