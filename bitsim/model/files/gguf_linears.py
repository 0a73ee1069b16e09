"""The linears of a GGUF file: one pass that checks each and finds its scales, then weights in the form that fits.

| types | linear |
|---|---|
| TQ1_0, TQ2_0, IQ1_BN, IQ2_BN, STQ1_0 with one scale in a whole tensor; I2_S; floats -s, 0, +s | BitLinear |
| the same with other scales in other blocks; Q1_0, Q2_0, PQ2_0, PTQ1_0 | weight-only: activations as they are |

One weight-only linear makes the whole model so. Block scales tell because a BitLinear has one scale; the last four
types are those of Bonsai, which has no activation quantiser. A file says no more, so a caller may ask for weight-only.
Blocks with scale 0 hold zeros. A tensor `<linear>.scale` multiplies. Rows of q and k of architecture llama are put back
from the order of RoPE on neighbouring pairs (file row `2 j + t` of a head is row `t d/2 + j`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from bitsim.errors import CheckpointError, OperandError
from bitsim.model.decoded import ScaledTernary
from bitsim.model.files.gguf_file import GgufFile
from bitsim.model.files.gguf_types import I2S_TAIL_BYTES
from bitsim.model.on_demand import TernaryOnDemand
from bitsim.quant.block_rows import half_at
from bitsim.quant.ggml_types import TYPES
from bitsim.quant.i2s import I2S_RUN, unpack_i2s
from bitsim.quant.packing import Float32, Int8, UInt8
from bitsim.quant.repack import pack_hf_rows

Int64 = npt.NDArray[np.int64]
Index = slice | Int64
WEIGHT_ONLY_TYPES = ("Q1_0", "Q2_0", "PQ2_0", "PTQ1_0")
_PLAIN = ("F32", "F16", "BF16")
_BLOCK_ROWS = 1024
_I2S_ZEROS = np.uint8(0x55)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """What a pass over a linear found. `one`: the scale of all blocks but those of scale 0; None: there is none, or
    more than one if `several`. `zeros`: some blocks have scale 0."""

    one: np.float32 | None
    several: bool = False
    zeros: bool = False


def unpermuted(heads: int, head_dim: int) -> Int64:
    """The file's row for each row of q or k in the order of RoPE on halves, int64 (heads * head_dim,)."""
    row = np.arange(head_dim)
    inside = 2 * (row % (head_dim // 2)) + row // (head_dim // 2)
    return (np.arange(heads)[:, None] * head_dim + inside).reshape(-1)


class StoredLinear:
    """One linear's tensor, (N, K). `order`: the file's row for each row; None: they are in order.

    Opening it makes the pass over its bytes. Raises `CheckpointError` naming the tensor.
    """

    def __init__(self, file: GgufFile, name: str, order: Int64 | None = None) -> None:
        self.file, self.name, self.order = file, name, order
        tensor = file.tensors[name]
        self.kind, (self.n, self.k) = tensor.kind, tensor.shape
        self._block_type = TYPES.get(self.kind)
        try:
            self.scales = self._survey()
        except OperandError as error:
            raise self.fail(error) from None

    def fail(self, problem: object) -> CheckpointError:
        return CheckpointError(f"{self.file.path}: {self.name}: {problem}")

    @property
    def weight_only(self) -> bool:
        """Whether this linear can't be a BitLinear."""
        return self.scales.several or self.kind in WEIGHT_ONLY_TYPES

    def _survey(self) -> Scales:
        known = self._block_type
        if self.kind == "I2_S":
            return self._survey_i2s()
        if known is not None and known.codes is not None:
            return self._survey_blocks()
        if self.kind in _PLAIN:
            return self._survey_floats()
        raise self.fail(
            f"type: expected ternary or binary weights, got {self.kind}, which holds others (llama.cpp's quantiser "
            f"takes such a type where K is no multiple of a ternary type's block)"
        )

    def _survey_i2s(self) -> Scales:
        layout, end = self.file.i2s, self.file.tensors[self.name].size_bytes - I2S_TAIL_BYTES
        if layout is None:
            raise self.fail(
                "type 36 is I2_S in bitnet.cpp's files, and its layout depends on the machine that the file is for: "
                "say which with --i2s-layout x86 (bitnet.cpp's own converter) or --i2s-layout arm"
            )
        if self.n * self.k % I2S_RUN[layout]:
            raise self.fail(f"I2_S {layout}: expected a multiple of {I2S_RUN[layout]} weights, got {(self.n, self.k)}")
        scale = np.float32(self.file.read(self.name, end, end + 4).view("<f4")[0])
        if not 0 < scale < np.inf:
            raise self.fail(f"I2_S scale: expected a finite number > 0, got {scale}")
        only_zeros = True
        for piece in self.file.pieces(self.name, without_last=I2S_TAIL_BYTES):
            only_zeros = only_zeros and bool((piece == _I2S_ZEROS).all())
            if holds_code_3(piece):
                unpack_i2s(self.file.data(self.name)[:end], self.n, self.k, layout)  # raises, with the byte
        return Scales(one=None if only_zeros else scale)

    def _survey_blocks(self) -> Scales:
        known = self._block_type
        assert known is not None
        found: set[float] = set()
        row_size = known.row_size(self.k)
        for piece in self.file.pieces(self.name, row_size if known.row_bytes else known.block_bytes):
            scales, codes = self._parts(piece)
            if not ((scales >= 0) & (scales < np.inf)).all():
                bad = scales[~((scales >= 0) & (scales < np.inf))][0]
                raise self.fail(f"block scales: expected finite numbers >= 0, got {bad}")
            if len(found) < 3:
                found |= set(np.unique(scales)[:3].tolist())
            if known.two_bits is not None and holds_code_3(codes[..., known.two_bits]):
                self.codes(self.file.data(self.name), slice(None))  # raises, with row and block
        others = sorted(found - {0.0})
        one = np.float32(others[0]) if len(others) == 1 else None
        return Scales(one=one, several=len(others) > 1, zeros=0.0 in found)

    def _parts(self, piece: UInt8) -> tuple[npt.NDArray[Any], UInt8]:
        """Scales of whole blocks or rows, and the blocks, uint8 (..., bytes)."""
        known = self._block_type
        assert known is not None
        if not known.row_bytes:
            blocks = piece.reshape(1, -1, known.block_bytes)
            return half_at(blocks, known.halves[0]), blocks
        rows = piece.reshape(-1, known.row_size(self.k))
        scales = np.ascontiguousarray(rows[:, : known.row_bytes]).view("<f4" if known.row_bytes == 4 else "<f2")
        return scales, rows[:, known.row_bytes :].reshape(-1, known.block_bytes)

    def _survey_floats(self) -> Scales:
        known, largest = self._block_type, np.float32(0)
        assert known is not None
        rows = self.file.data(self.name).reshape(self.n, -1)
        for low in range(0, self.n, _BLOCK_ROWS):
            magnitudes = np.abs(known.decoded(rows[low : low + _BLOCK_ROWS], self.k))
            if not np.isfinite(magnitudes).all():
                row, k = (int(i) for i in np.argwhere(~np.isfinite(magnitudes))[0])
                raise self.fail(f"[{low + row}, {k}]: expected a finite number, got NaN or infinity")
            largest = max(largest, magnitudes.max())
        for low in range(0, self.n, _BLOCK_ROWS):
            values = known.decoded(rows[low : low + _BLOCK_ROWS], self.k)
            other = (values != 0) & (np.abs(values) != largest)
            if other.any():
                row, k = (int(i) for i in np.argwhere(other)[0])
                raise self.fail(
                    f"[{low + row}, {k}]: expected a ternary matrix of -s, 0 and +s with s = {largest}, got "
                    f"{values[row, k]}; master weights are read from Hugging Face directories (mode online)"
                )
        return Scales(one=largest if largest > 0 else None)

    def codes(self, data: UInt8, rows: Index) -> Int8:
        """The codes of these rows of the file, int8 (R, K), zeros where a block's scale is 0. `data`: all its bytes."""
        if self.kind == "I2_S":
            return self._i2s_codes(data, rows)
        stored = data.reshape(self.n, -1)[rows]
        known = self._block_type
        assert known is not None
        if known.codes is None:
            signs: Int8 = np.sign(known.decoded(stored, self.k)).astype(np.int8)
            return signs
        codes, scales = known.codes(stored, self.k)
        if self.scales.zeros:
            codes = codes * np.repeat(scales != 0, self.k // scales.shape[1], axis=1)
        return codes

    def _i2s_codes(self, data: UInt8, rows: Index) -> Int8:
        layout = self.file.i2s
        assert layout is not None
        stored = data[:-I2S_TAIL_BYTES]
        if self.k % I2S_RUN[layout]:  # runs go on from row to row
            return unpack_i2s(stored, self.n, self.k, layout)[rows]
        some = stored.reshape(self.n, -1)[rows]
        return unpack_i2s(some.reshape(-1), len(some), self.k, layout)

    def ternary(self, scale: np.float32) -> TernaryOnDemand:
        """A BitLinear's weight, whose codes are read and repacked when they are used."""
        return TernaryOnDemand(packed=self._packed, n=self.n, k=self.k, scale=scale)

    def _packed(self) -> UInt8:
        data = self.file.read(self.name)
        if self.kind == "I2_S" and self.order is None and self.k % I2S_RUN[self.file.i2s or "x86"]:
            whole = self.codes(data, slice(None))
            return pack_hf_rows(lambda low, high: whole[low:high], self.n, self.k)

        def rows(low: int, high: int) -> Int8:
            return self.codes(data, slice(low, high) if self.order is None else self.order[low:high])

        return pack_hf_rows(rows, self.n, self.k)

    def scaled(self, factor: np.float32 | None = None) -> ScaledTernary:
        """A weight-only matrix, decoded from the mapped file when it is used; `factor` multiplies all its scales."""
        grid = self._grid()
        if factor is not None:
            grid = grid * factor
        codes = partial(self.codes, self.file.data(self.name))
        order = self.order
        codes_at: Callable[[Int64], Int8] = codes if order is None else lambda rows: codes(order[rows])
        bits = 8 * self.file.tensors[self.name].size_bytes
        return ScaledTernary(codes_at, grid, n=self.n, k=self.k, bits=bits)

    def _grid(self) -> Float32:
        """The scales, float32 (rows, columns), as coarse as they allow."""
        if not self.scales.several:
            return np.full((1, 1), 1 if self.scales.one is None else self.scales.one, dtype=np.float32)
        known = self._block_type
        assert known is not None
        multiple = known.row_size(self.k) if known.row_bytes else known.block_bytes
        parts = [self._parts(piece)[0].reshape(-1) for piece in self.file.pieces(self.name, multiple)]
        grid = np.concatenate(parts).astype(np.float32).reshape(self.n, -1)
        return coarsest(grid if self.order is None else grid[self.order])


def coarsest(grid: Float32) -> Float32:
    """The same scales on the coarsest grid that holds them: neighbours along K joined in pairs, then all rows."""
    while grid.shape[1] % 2 == 0 and (grid[:, ::2] == grid[:, 1::2]).all():
        grid = np.ascontiguousarray(grid[:, ::2])
    return grid[:1] if (grid == grid[:1]).all() else grid


def holds_code_3(packed: UInt8) -> bool:
    """Whether any 2-bit field is 3, which is no ternary code."""
    return bool((packed & (packed >> np.uint8(1)) & np.uint8(0x55)).any())
