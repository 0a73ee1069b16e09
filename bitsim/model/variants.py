"""A model whose parts are stored otherwise: linears in another packing, embedding and head in fewer bits."""

from dataclasses import replace
from fractions import Fraction

import numpy as np

from bitsim.errors import ConfigError
from bitsim.model.checkpoint import Model
from bitsim.model.config import ModelConfig
from bitsim.model.decoded import ScaledIntegers
from bitsim.model.weights import FloatWeight
from bitsim.quant.layouts import packing as packing_named
from bitsim.quant.packing import Float32, Int8
from bitsim.quant.rounding import WeightRounding

FLOAT_BITS = 16
TERNARY_BITS = 2
TABLE_BITS = (FLOAT_BITS, 8, 4)
_BLOCK_ROWS = 8192


def stored_as(
    model: Model,
    *,
    packing: str | None = None,
    head_bits: int | None = None,
    embedding_bits: int | None = None,
    ternary_head: bool = False,
) -> Model:
    """`model` with other storage; None: as it is.

    * `packing`: of quantised linears, by name, see `bitsim.quant.layouts`: what they occupy and what is read.
    * `head_bits`, `embedding_bits`: 8 or 4: rows rounded to nearest, a scale for each, in what is executed and in what
      is counted; 16: the values as they are, counted in 16 bits. A tied head of other bits than its embedding is stored
      beside it.
    * `ternary_head`: the head in codes of -1, 0 and 1, 2 bits each, in place of `head_bits`: each row divided by the
      mean of its magnitudes, rounded and clipped, without training.

    Raises `ConfigError`, or `UnknownNameError` for a packing.
    """
    config, notes = model.config, list(model.notes)
    if packing is not None:
        config = _packed(config, packing)
        notes.append(f"linears are stored as {packing}, {float(config.weight_bits_per_weight):g} bits per weight")
    for name, bits in (("head_bits", head_bits), ("embedding_bits", embedding_bits)):
        if bits is not None and bits not in TABLE_BITS:
            raise ConfigError(f"{name}: expected one of {', '.join(map(str, TABLE_BITS))}, got {bits!r}")
    if ternary_head:
        return _with_ternary_head(stored_as(model, packing=packing, embedding_bits=embedding_bits))
    asked = {"head": head_bits or config.head_bits, "embedding": embedding_bits or config.embedding_bits}
    own = {"head": config.head_bits, "embedding": config.embedding_bits}
    if asked == own:
        return replace(model, config=config, notes=tuple(notes))
    weights = model.weights
    if weights is not None:
        tied = weights.head is weights.embedding and own["head"] == own["embedding"]
        embedding = _table(weights.embedding, own["embedding"], asked["embedding"])
        same = tied and asked["head"] == asked["embedding"]
        head = embedding if same else _table(weights.head, own["head"], asked["head"])
        weights = replace(weights, embedding=embedding, head=head)
    config = replace(config, head_bits=asked["head"], embedding_bits=asked["embedding"])
    notes.extend(_note(table, own[table], asked[table]) for table in own if own[table] != asked[table])
    return replace(model, config=config, weights=weights, notes=tuple(notes))


def _with_ternary_head(model: Model) -> Model:
    weights, note = model.weights, "head ternary, 2 bits per weight: rows rounded by their mean magnitude, not trained"
    if weights is not None:
        head = weights.head
        blocks = [ternary_rows(head.rows(low, low + _BLOCK_ROWS)) for low in range(0, head.n, _BLOCK_ROWS)]
        codes, scales = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        bits = 8 * head.n * -(-head.k * TERNARY_BITS // 8)
        weights = replace(weights, head=ScaledIntegers(codes, scales, bits=bits))
    config = replace(model.config, head_bits=TERNARY_BITS)
    return replace(model, config=config, weights=weights, notes=(*model.notes, note))


def ternary_rows(rows: Float32) -> tuple[Int8, Float32]:
    """float32 (N, K) -> int8 codes -1, 0, 1 (N, K) and float32 scales (N, 1): `rint(f32(w / mean |w|))`, clipped.

    The rounding of arXiv 2402.17764 eq. 1-3, with a scale for each row; a row of zeros has the scale 1.
    """
    scales = np.abs(rows).mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    scales[scales == 0] = 1
    return np.clip(np.rint(rows / scales), -1, 1).astype(np.int8), scales


def _note(table: str, own: int | Fraction, asked: int | Fraction) -> str:
    if asked == FLOAT_BITS:
        return f"{table} counted in {asked} bits, its values as {float(own):g} bits hold them"
    return f"{table} in {asked} bits: rows rounded to nearest, a scale each"


def _packed(config: ModelConfig, name: str) -> ModelConfig:
    layout = packing_named(name)
    if not config.quantised or config.wide_weights:
        raise ConfigError(f"{config.name}: packing {name}: expected a model with ternary or binary linears")
    if layout.binary and not config.binary:
        raise ConfigError(f"{config.name}: packing {name}: holds -1 and 1, the linears are ternary")
    return replace(config, weight_bits_per_weight=layout.bits_per_weight)


def _table(weight: FloatWeight, own: int | Fraction, asked: int | Fraction) -> FloatWeight:
    """Rounded to as many bits as are asked for, if they are others than its own."""
    if asked in (own, FLOAT_BITS):
        return weight
    bits = int(asked)
    rounding = WeightRounding(bits=bits)
    blocks = [rounding.codes(weight.rows(low, low + _BLOCK_ROWS)) for low in range(0, weight.n, _BLOCK_ROWS)]
    codes, scales = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return ScaledIntegers(codes, scales, bits=8 * weight.n * -(-weight.k * bits // 8))
