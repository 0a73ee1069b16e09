"""Float checkpoints whose linears are ternary already: every value is -s, 0 or +s, with s of a row or of a block of K.

TriLM is published so (arXiv 2407.12327): one magnitude for each shard of a matrix that training was spread over. Which
axis the shards lie along is told by no file, so that the magnitudes are found in the data.
"""

from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Literal

import numpy as np

from bitsim.errors import CheckpointError
from bitsim.model.decoded import ScaledTernary
from bitsim.model.files.opened import Checkpoint
from bitsim.model.weights import FloatWeight, LayerWeights
from bitsim.quant.packing import Float32, unpack_hf_rows
from bitsim.quant.repack import pack_hf_rows

Ternarise = Literal["exact", "absmean"]
_LOOKED_AT = 16  # rows of each matrix, before it is noticed
_LEAST_BLOCK = 32  # of K: with shorter ones chance would do
_BLOCK_ROWS = 1024
_MOST_SHARDS = 64
_SCALE_BITS = 16


def notes_on_floats(checkpoint: Checkpoint) -> tuple[str, ...]:
    """What a model without quantised linears is, and whether its values look ternary."""
    if checkpoint.config.linear_class is not None:
        return ()
    notes = (
        f"no quantised linears: the files' {checkpoint.packing} values are executed as floats, without quantisation of "
        "activations",
    )
    weights = [weight for layer in checkpoint.weights.layers for weight in layer.linears()]
    looked_at = (weight.rows(0, _LOOKED_AT) for weight in weights if isinstance(weight, FloatWeight))
    if not all(_block_of(rows, below=rows.shape[1] + 1) for rows in looked_at):
        return notes
    return (
        *notes,
        f"the first {_LOOKED_AT} rows of every linear hold -s, 0 and +s only, as in TriLM: --ternarise exact checks "
        "all rows and counts ternary weights instead of floats",
    )


def ternarised(checkpoint: Checkpoint) -> Checkpoint:
    """`checkpoint`, all of whose linears hold -s, 0 and +s only, as a weight-only ternary model (W1.58A16).

    Values stay equal bit for bit; codes are kept in 2 bits, scales as the data have them. Raises `CheckpointError` for
    the first linear that is not ternary.
    """
    config, names = checkpoint.config, [name for name, _, _ in checkpoint.config.linear_shapes()]
    if config.linear_class is not None:
        raise CheckpointError(
            f"{checkpoint.path}: --ternarise exact: expected a float model, got linear_class {config.linear_class}"
        )
    layers, blocks = [], set()
    for i, layer in enumerate(checkpoint.weights.layers):
        found = {}
        for name, weight in zip(names, layer.linears(), strict=True):
            assert isinstance(weight, FloatWeight)
            scaled = scaled_ternary(weight)
            if scaled is None:
                raise CheckpointError(
                    f"{checkpoint.path}: --ternarise exact: layer {i}, {name}: expected -s, 0 and +s only, s the same "
                    f"in a row or in blocks of K of at least {_LEAST_BLOCK}, got other values"
                )
            found[name] = scaled
            blocks.add(scaled.block)
        layers.append(_with_linears(layer, found))
    finest = min((k for rows, k in blocks if rows == 1), default=0)
    bits = Fraction(2) + (Fraction(_SCALE_BITS, finest) if finest else 0)
    shared = ", ".join(sorted(f"{rows} x {k}" for rows, k in blocks))
    note = f"ternarised exactly, with the values of the files; a scale serves blocks of {shared} weights"
    return replace(
        checkpoint,
        config=replace(config, linear_class="w158a16", weight_bits_per_weight=bits),
        weights=replace(checkpoint.weights, layers=tuple(layers)),
        packing="ternary",
        notes=(*checkpoint.notes, note),
    )


def scaled_ternary(weight: FloatWeight) -> ScaledTernary | None:
    """`weight` as ternary codes and a grid of scales with equal products, or None if it does not hold such values."""
    first, block, scales = weight.rows(0, _LOOKED_AT), weight.k + 1, None
    while scales is None:
        block = _block_of(first, below=block)
        if not block:
            return None
        scales = _scales(weight, block)
    scales = _merged(scales)
    gn, gk = weight.n // scales.shape[0], weight.k // scales.shape[1]
    packed = pack_hf_rows(lambda low, high: np.sign(weight.rows(low, high)).astype(np.int8), weight.n, weight.k)
    return ScaledTernary(
        partial(unpack_hf_rows, packed),
        scales,
        n=weight.n,
        k=weight.k,
        bits=8 * packed.size + _SCALE_BITS * (weight.n // gn) * (weight.k // gk),
    )


def _block_of(rows: Float32, below: int) -> int:
    """The longest block of K, shorter than `below`, that has one magnitude in each of `rows`.

    0 if there is none of at least `_LEAST_BLOCK` values, or of all K where K is less.
    """
    k = int(rows.shape[1])
    for parts in range(1, max(1, k // _LEAST_BLOCK) + 1):
        if k % parts == 0 and k // parts < below and _magnitudes(rows, k // parts) is not None:
            return k // parts
    return 0


def _magnitudes(rows: Float32, block: int) -> Float32 | None:
    """The magnitude of each block, (R, K / block), 0 of one that holds only zeros; None if a block has several."""
    values = np.abs(rows).reshape(len(rows), -1, block)
    greatest: Float32 = values.max(axis=2)
    return greatest if ((values == 0) | (values == greatest[:, :, None])).all() else None


def _scales(weight: FloatWeight, block: int) -> Float32 | None:
    found = []
    for low in range(0, weight.n, _BLOCK_ROWS):
        magnitudes = _magnitudes(weight.rows(low, low + _BLOCK_ROWS), block)
        if magnitudes is None:
            return None
        found.append(magnitudes)
    return np.concatenate(found)


def _merged(scales: Float32) -> Float32:
    """As few rows of the grid as say the same: those of up to `_MOST_SHARDS` equal shards of N, else all."""
    n = len(scales)
    for shards in range(1, min(_MOST_SHARDS, n) + 1):
        if n % shards == 0:
            values = scales.reshape(shards, n // shards, -1)
            greatest: Float32 = values.max(axis=1)
            if ((values == 0) | (values == greatest[:, None])).all():
                return greatest
    return scales


def _with_linears(layer: LayerWeights, found: dict[str, ScaledTernary]) -> LayerWeights:
    return replace(
        layer,
        q=found["self_attn.q_proj"],
        k=found["self_attn.k_proj"],
        v=found["self_attn.v_proj"],
        o=found["self_attn.o_proj"],
        gate=found.get("mlp.gate_proj"),
        up=found["mlp.up_proj"],
        down=found["mlp.down_proj"],
    )
