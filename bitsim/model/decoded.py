"""Matrices whose float values are formed from what is stored, rows at a time, whenever they are used."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from bitsim.errors import OperandError
from bitsim.floats.ternary import scaled_rows
from bitsim.model.weights import FloatWeight, Stored
from bitsim.quant.packing import Float32, Int8, UInt8, pack_hf
from bitsim.quant.repack import pack_hf_rows

Int64 = npt.NDArray[np.int64]
_BLOCK_VALUES = 1 << 22
_MOST_KEPT = 1.25  # of the stored bits, in codes of 2 bits


class DecodedWeight(FloatWeight):
    """A `FloatWeight` (N, K) whose values come from `decode`, for types that numpy does not have.

    `decode`: row numbers, int64 (R,) -> float32 (R, K), always the same. `bits`: stored bits of the matrix. Only the
    rows that are asked for are formed, and none is kept.
    """

    __slots__ = ("_bits", "_shape", "decode")
    decode: Callable[[Int64], Float32]
    _shape: tuple[int, int]
    _bits: int

    def __init__(self, decode: Callable[[Int64], Float32], *, n: int, k: int, bits: int) -> None:
        for name, value in {"decode": decode, "_shape": (n, k), "_bits": bits, "dtype": "float32"}.items():
            object.__setattr__(self, name, value)

    @property
    def stored(self) -> Stored:
        """All values at once."""
        return self.rows(0, self.n)

    @property
    def n(self) -> int:
        return self._shape[0]

    @property
    def k(self) -> int:
        return self._shape[1]

    @property
    def bits(self) -> int:
        return self._bits

    @property
    def block_rows(self) -> int:
        """So many rows are 16 MiB of values."""
        return max(1, _BLOCK_VALUES // self.k)

    def rows(self, low: int, high: int) -> Float32:
        return self.decode(np.arange(low, min(high, self.n)))

    def take(self, rows: Int64) -> Float32:
        return self.decode(rows)

    def part(self, rows: slice, k: slice) -> "DecodedWeight":
        first, last, _ = rows.indices(self.n)
        start, stop, _ = k.indices(self.k)
        bits = self.bits * (last - first) * (stop - start) // (self.n * self.k)
        return DecodedWeight(
            lambda chosen: np.ascontiguousarray(self.decode(chosen + first)[:, start:stop]),
            n=last - first,
            k=stop - start,
            bits=bits,
        )

    def digested(self) -> Iterator[Stored | bytes]:
        yield f"float32 {self.n} {self.k}".encode()
        for low in range(0, self.n, self.block_rows):
            yield self.rows(low, low + self.block_rows)


class ScaledIntegers(DecodedWeight):
    """Integers with several scales, multiplied with activations that are not quantised.

    `values`: int8 (N, K). `scales`: float32 (N, groups), each of a group of K; a value is `f32(integer * scale)`.
    `bits`: of integers and scales as they are stored.
    """

    __slots__ = ("scales", "values")
    values: Int8
    scales: Float32

    def __init__(self, values: Int8, scales: Float32, *, bits: int) -> None:
        n, k = values.shape
        super().__init__(self._scaled, n=n, k=k, bits=bits)
        for name, value in {"values": values, "scales": scales}.items():
            object.__setattr__(self, name, value)

    def _scaled(self, rows: Int64) -> Float32:
        grouped = self.values[rows].astype(np.float32).reshape(len(rows), self.scales.shape[1], -1)
        values: Float32 = grouped * self.scales[rows][:, :, None]
        return values.reshape(len(rows), self.k)

    def digested(self) -> Iterator[Stored | bytes]:
        yield f"scaled integers {self.n} {self.k} {self.scales.shape}".encode()
        yield from (self.values, self.scales)


class ScaledTernary(DecodedWeight):
    """Ternary (or binary) weights with several scales, multiplied with activations that are not quantised: W1.58A16.

    `codes_at`: row numbers, int64 (R,) -> codes -1, 0, +1, int8 (R, K), always the same. `scales`: float32
    (N / gn, K / gk); each multiplies a block of gn x gk codes, so that a value is `f32(code * scale)`, which is exact.
    `bits`: of codes and scales as they are stored. `packed`: the codes as `pack_hf` packs them, if they are at hand;
    else they are packed when all rows are first asked for and kept, unless that takes more than a quarter beside what
    is stored. Raises `OperandError` for a grid that does not divide the matrix.
    """

    __slots__ = ("_packed", "codes_at", "scales")
    codes_at: Callable[[Int64], Int8]
    scales: Float32
    _packed: UInt8 | None

    def __init__(
        self,
        codes_at: Callable[[Int64], Int8],
        scales: Float32,
        *,
        n: int,
        k: int,
        bits: int,
        packed: UInt8 | None = None,
    ) -> None:
        if scales.ndim != 2 or scales.dtype != np.float32 or n % scales.shape[0] or k % scales.shape[1]:
            raise OperandError(
                f"scales of ternary weights ({n}, {k}): expected a float32 grid that divides them, got {scales.dtype} "
                f"{scales.shape}"
            )
        super().__init__(self._scaled, n=n, k=k, bits=bits)
        for name, value in {"codes_at": codes_at, "scales": scales, "_packed": packed}.items():
            object.__setattr__(self, name, value)

    @property
    def block(self) -> tuple[int, int]:
        """Rows and positions of K that share a scale: (gn, gk)."""
        return self.n // self.scales.shape[0], self.k // self.scales.shape[1]

    def groups(self, count: int) -> list[Int8]:
        """The codes in `count` equal parts of K, int8 (N, K / count) each."""
        codes = self.codes_at(np.arange(self.n))
        return [np.ascontiguousarray(part) for part in np.split(codes, count, axis=1)]

    def scales_of(self, groups: int) -> Float32:
        """The scale of each row and group of K, float32 (N, groups); `groups`: a multiple of the grid's columns."""
        rows, columns = self.scales.shape
        return self.scales.repeat(self.n // rows, axis=0).repeat(groups // columns, axis=1)

    def rows(self, low: int, high: int) -> Float32:
        if self._packed is None and 2 * self.n * self.k <= _MOST_KEPT * self.bits:
            kept = pack_hf_rows(lambda first, last: self.codes_at(np.arange(first, last)), self.n, self.k)
            object.__setattr__(self, "_packed", kept)
        return super().rows(low, high)

    def _scaled(self, rows: Int64) -> Float32:
        if self._packed is not None:
            return scaled_rows(self._packed, rows, self.scales, self.block)
        gn, gk = self.block
        codes = self.codes_at(rows).reshape(len(rows), self.k // gk, gk)
        values: Float32 = np.multiply(codes, self.scales[rows // gn][:, :, None], dtype=np.float32)
        return values.reshape(len(rows), self.k)

    def digested(self) -> Iterator[Stored | bytes]:
        yield f"scaled ternary {self.n} {self.k} {self.scales.shape}".encode()
        for low in range(0, self.n, self.block_rows):
            yield pack_hf(self.codes_at(np.arange(low, min(low + self.block_rows, self.n))))
        yield self.scales
