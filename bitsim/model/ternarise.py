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
from bitsim.model.config import Dtype
from bitsim.model.decoded import ScaledTernary
from bitsim.model.files.opened import Checkpoint
from bitsim.model.weights import FloatWeight, LayerWeights, Stored, to_float32
from bitsim.quant.packing import Float32, Int8, unpack_hf_rows
from bitsim.quant.repack import pack_hf_rows

Ternarise = Literal["exact", "absmean"]
_MAYBE_MASTER = "; master weights of BitLinear, which no file tells from others, need --ternarise absmean"
_LOOKED_AT = 16  # rows of each matrix, before it is noticed
_LEAST_BLOCK = 32  # of K: with shorter ones chance would do
_BLOCK_VALUES = 1 << 17  # looked at together, so that they stay in a cache
_MOST_SHARDS = 64
_SCALE_BITS = 16
_NEAR, _NEAR_BLOCK = 0.01, 128  # Bonsai's unpacked files: PrismML-Eng/Bonsai-demo 196ae9f, MODEL-FORMATS.md
_NEARLY = (
    f"the first {_LOOKED_AT} rows of every linear hold -s, 0 and +s within 1 % in blocks of {_NEAR_BLOCK}, as in "
    "Bonsai's unpacked files: --ternarise exact takes equal magnitudes only; the family's GGUF files hold the ternary "
    "weights themselves"
)


def notes_on_floats(checkpoint: Checkpoint) -> tuple[str, ...]:
    """What a model without quantised linears is, and whether its values look ternary."""
    if checkpoint.config.linear_class is not None:
        return ()
    notes = (
        f"no quantised linears: the files' {checkpoint.packing} values are executed as floats, without quantisation of "
        "activations" + (_MAYBE_MASTER if checkpoint.path.is_dir() else ""),
    )
    weights = [weight for layer in checkpoint.weights.layers for weight in layer.linears()]
    floats = [weight for weight in weights if isinstance(weight, FloatWeight)]
    looked_at = (_Patterns(one.rows(0, _LOOKED_AT), "float32") for one in floats)
    if not all(rows.block_of(_LOOKED_AT, below=rows.stored.shape[1] + 1) for rows in looked_at):
        return (*notes, _NEARLY) if all(_nearly_ternary(one.rows(0, _LOOKED_AT)) for one in floats) else notes
    return (
        *notes,
        f"the first {_LOOKED_AT} rows of every linear hold -s, 0 and +s only, as in TriLM: --ternarise exact checks "
        "all rows and counts ternary weights instead of floats",
    )


def _nearly_ternary(rows: Float32) -> bool:
    """Whether each block of `_NEAR_BLOCK` along K has one magnitude beside 0, but for `_NEAR` of it.

    Noise of any shape has values all the way down to 0.
    """
    if rows.shape[1] % _NEAR_BLOCK:
        return False
    magnitudes = np.abs(rows).reshape(len(rows), -1, _NEAR_BLOCK)
    least = magnitudes.max(axis=2, keepdims=True) * np.float32(1 - _NEAR)
    return bool(magnitudes.any() and ((magnitudes == 0) | (magnitudes >= least)).all())


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
    n, k, patterns = weight.n, weight.k, _Patterns(weight.stored, weight.dtype)
    block, scales = k + 1, None
    while scales is None:
        block = patterns.block_of(_LOOKED_AT, below=block)
        if not block:
            return None
        scales = patterns.scales(block)
    scales = _merged(scales)
    packed = pack_hf_rows(patterns.codes, n, k)
    bits = 8 * packed.size + _SCALE_BITS * scales.size
    return ScaledTernary(partial(unpack_hf_rows, packed), scales, n=n, k=k, bits=bits, packed=packed)


class _Patterns:
    """A stored float matrix (N, K), looked at as bit patterns: equal magnitudes have equal ones."""

    def __init__(self, stored: Stored, dtype: Dtype) -> None:
        self.stored, self.dtype = stored.view(np.uint32) if dtype == "float32" else stored, dtype
        self._magnitude = np.array(0x7FFFFFFF if dtype == "float32" else 0x7FFF, self.stored.dtype)

    def block_of(self, rows: int, below: int) -> int:
        """The longest block of K, shorter than `below`, that has one magnitude in each of the first `rows`.

        0 if there is none of at least `_LEAST_BLOCK` values, or of all K where K is less.
        """
        first, k = self.stored[:rows], int(self.stored.shape[1])
        for parts in range(1, max(1, k // _LEAST_BLOCK) + 1):
            if k % parts == 0 and k // parts < below and self._greatest(first, k // parts) is not None:
                return k // parts
        return 0

    def scales(self, block: int) -> Float32 | None:
        """The magnitude of each block of K in each row, (N, K / block), 0 of zeros; None if a block has several."""
        step, found = max(1, _BLOCK_VALUES // self.stored.shape[1]), []
        for low in range(0, len(self.stored), step):
            greatest = self._greatest(self.stored[low : low + step], block)
            if greatest is None:
                return None
            found.append(greatest)
        patterns = np.concatenate(found)
        return to_float32(patterns.view(np.float32) if self.dtype == "float32" else patterns, self.dtype)

    def _greatest(self, rows: Stored, block: int) -> Stored | None:
        values = (rows & self._magnitude).reshape(len(rows), -1, block)
        greatest: Stored = values.max(axis=2)
        return greatest if ((values == greatest[:, :, None]) | (values == 0)).all() else None

    def codes(self, low: int, high: int) -> Int8:
        """Signs of rows `low` to `high - 1`, 0 of zeros."""
        rows = self.stored[low:high]
        codes: Int8 = (rows & self._magnitude).astype(np.bool_).view(np.int8)
        return codes * (np.int8(1) - np.int8(2) * (rows > self._magnitude).view(np.int8))


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
