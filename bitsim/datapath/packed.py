"""Ternary weights at 2 bits each, in the order in which the matmul kernels read them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitsim._jit import team
from bitsim.datapath.kernels.pack import LANES, pack_codes, pack_hf_bytes, unpack_rows
from bitsim.errors import OperandError

_LINE_K = 16
_LINE_BYTES = 64
_WORTH_A_TEAM = 2**14  # weights


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PackedTernary:
    """Weights -1, 0, 1 of shape (N, K) in the P16 layout (`bitsim.datapath.kernels.pack`).

    `packed`: uint8 (ceil(N/16), ceil(K/16), 64), one cache line per 16 x 16 weights; the padding holds weight 0.
    """

    packed: NDArray[np.uint8]
    n: int
    k: int

    def __post_init__(self) -> None:
        want = _packed_shape(self.n, self.k)
        if self.packed.dtype != np.uint8 or self.packed.shape != want or not self.packed.flags.c_contiguous:
            raise OperandError(
                f"packed weights: expected contiguous uint8 {want} for N={self.n}, K={self.k}, "
                f"got {self.packed.dtype} {self.packed.shape}"
            )

    @classmethod
    def from_codes(cls, w_ternary: NDArray[np.int8]) -> "PackedTernary":
        """Pack `w_ternary`: int8 (N, K) of -1, 0 and 1; lossless, `codes` is the inverse."""
        if w_ternary.dtype != np.int8 or w_ternary.ndim != 2:
            raise OperandError(f"w_ternary: expected int8 (N, K), got {w_ternary.dtype} {w_ternary.shape}")
        if w_ternary.size and (w_ternary.min() < -1 or w_ternary.max() > 1):
            raise OperandError(f"w_ternary: expected -1, 0 or 1, got {w_ternary.min()} to {w_ternary.max()}")
        n, k = w_ternary.shape
        packed = np.empty(_packed_shape(n, k), np.uint8)
        with team(w_ternary.size, _WORTH_A_TEAM):
            pack_codes(np.ascontiguousarray(w_ternary), packed)
        return cls(packed=packed, n=n, k=k)

    @classmethod
    def from_hf_bytes(cls, packed: NDArray[np.uint8], n: int) -> "PackedTernary":
        """Repack the weights of a Hugging Face BitNet checkpoint, block by block.

        `packed`: uint8 (R, K) with R = ceil(n/4); bits 2i and 2i + 1 of packed[r, c] hold W[i * R + r, c] + 1.
        """
        want_rows = -(-n // 4)
        if packed.dtype != np.uint8 or packed.ndim != 2 or packed.shape[0] != want_rows:
            raise OperandError(
                f"packed weights: expected uint8 ({want_rows}, K) for N={n}, got {packed.dtype} {packed.shape}"
            )
        k = packed.shape[1]
        p16 = np.empty(_packed_shape(n, k), np.uint8)
        with team(n * k, _WORTH_A_TEAM):
            invalid = pack_hf_bytes(np.ascontiguousarray(packed), n, p16)
        if invalid:
            raise OperandError(f"packed weights: expected codes 0, 1 and 2, got code 3 in {invalid} blocks of 16 rows")
        return cls(packed=p16, n=n, k=k)

    def codes(self) -> NDArray[np.int8]:
        """The weights as int8 (N, K)."""
        return self.rows(np.arange(self.n))

    def rows(self, chosen: NDArray[np.integer[Any]]) -> NDArray[np.int8]:
        """The weights of some output features: int8 (len(chosen), K); indices 0 to N - 1, in any order."""
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < self.n:
            raise OperandError(f"rows: expected indices 0 to {self.n - 1}, got {chosen.min()} to {chosen.max()}")
        w_ternary = np.empty((chosen.size, self.k), np.int8)
        with team(w_ternary.size, _WORTH_A_TEAM):
            unpack_rows(self.packed, chosen.astype(np.int64), w_ternary)
        return w_ternary

    @property
    def nbytes(self) -> int:
        """Bytes held, padding included."""
        return self.packed.nbytes


def _packed_shape(n: int, k: int) -> tuple[int, int, int]:
    return -(-n // LANES), -(-k // _LINE_K), _LINE_BYTES
