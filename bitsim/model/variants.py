"""A model whose parts are stored otherwise: linears in another packing, embedding and head in fewer bits."""

from dataclasses import replace

import numpy as np

from bitsim.errors import ConfigError
from bitsim.model.checkpoint import Model
from bitsim.model.config import ModelConfig
from bitsim.model.decoded import ScaledIntegers
from bitsim.model.weights import FloatWeight
from bitsim.quant.layouts import packing as packing_named
from bitsim.quant.rounding import WeightRounding

TABLE_BITS = (16, 8, 4)
_BLOCK_ROWS = 8192


def stored_as(
    model: Model, *, packing: str | None = None, head_bits: int | None = None, embedding_bits: int | None = None
) -> Model:
    """`model` with other storage; None: as it is.

    * `packing`: of quantised linears, by name, see `bitsim.quant.layouts`: what they occupy and what is read.
    * `head_bits`, `embedding_bits`: 8 or 4: rows rounded to nearest, a scale for each, in what is executed and in what
      is counted; 16: as they are. A tied head of other bits than its embedding is stored beside it.

    Raises `ConfigError`, or `UnknownNameError` for a packing.
    """
    config, notes = model.config, list(model.notes)
    if packing is not None:
        config = _packed(config, packing)
        notes.append(f"linears are stored as {packing}, {float(config.weight_bits_per_weight):g} bits per weight")
    for name, bits in (("head_bits", head_bits), ("embedding_bits", embedding_bits)):
        if bits is not None and bits not in TABLE_BITS:
            raise ConfigError(f"{name}: expected one of {', '.join(map(str, TABLE_BITS))}, got {bits!r}")
    changed = {"head_bits": head_bits or config.head_bits, "embedding_bits": embedding_bits or config.embedding_bits}
    if changed == {"head_bits": config.head_bits, "embedding_bits": config.embedding_bits}:
        return replace(model, config=config, notes=tuple(notes))
    config = replace(config, **changed)  # type: ignore[arg-type]
    weights = model.weights
    if weights is not None:
        tied = weights.head is weights.embedding
        embedding = _table(weights.embedding, config.embedding_bits)
        same = tied and config.head_bits == config.embedding_bits
        head = embedding if same else _table(weights.head, config.head_bits)
        weights = replace(weights, embedding=embedding, head=head)
    notes.append(
        f"head in {config.head_bits} bits, embedding in {config.embedding_bits}: rows rounded to nearest, a scale each"
    )
    return replace(model, config=config, weights=weights, notes=tuple(notes))


def _packed(config: ModelConfig, name: str) -> ModelConfig:
    layout = packing_named(name)
    if not config.quantised or config.wide_weights:
        raise ConfigError(f"{config.name}: packing {name}: expected a model with ternary or binary linears")
    if layout.binary and not config.binary:
        raise ConfigError(f"{config.name}: packing {name}: holds -1 and 1, the linears are ternary")
    return replace(config, weight_bits_per_weight=layout.bits_per_weight)


def _table(weight: FloatWeight, bits: int) -> FloatWeight:
    if bits == 16:
        return weight
    rounding = WeightRounding(bits=bits)
    blocks = [rounding.codes(weight.rows(low, low + _BLOCK_ROWS)) for low in range(0, weight.n, _BLOCK_ROWS)]
    codes, scales = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return ScaledIntegers(codes, scales, bits=8 * weight.n * -(-weight.k * bits // 8))
