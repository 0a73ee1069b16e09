"""Five trits per byte, 1.6 bits per weight: `byte = sum of t_i * 3^i`, i < 5, along K; values 243..255 are unused.

Two conventions for t are in use, and a file does not tell which:

* `offset`: -1, 0, +1 -> 0, 1, 2 (t81dev/ternary-fabric `c50a7c0`, its Python codec PT-5);
* `sign`: -1, 0, +1 -> 2, 0, 1 (Neumann-Labs/ternfpga `5def915` `ternary_unpack5`, and ternary-fabric's RTL).

A byte 0 is five times -1 in `offset` and five times 0 in `sign`. Rows are padded to whole bytes with code 0.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from bitsim.errors import OperandError
from bitsim.quant.packing import Int8, UInt8, check_codes

TritConvention = Literal["offset", "sign"]
_TRITS = 5
TRIT_VALUES = 3**_TRITS
# Trit of codes -1, 0, +1, and code of trits 0, 1, 2.
_TRIT_OF_CODE: Mapping[str, tuple[int, int, int]] = {"offset": (0, 1, 2), "sign": (2, 0, 1)}
_CODE_OF_TRIT: Mapping[str, tuple[int, int, int]] = {"offset": (-1, 0, 1), "sign": (0, 1, -1)}


def pack_trits(codes: Int8, convention: TritConvention) -> UInt8:
    """Pack ternary `codes`, int8 (N, K), into uint8 (N, ceil(K/5))."""
    check_codes(codes)
    n, k = codes.shape
    padded = np.ones((n, -(-k // _TRITS), _TRITS), dtype=np.uint8)
    padded.reshape(n, -1)[:, :k] = codes + 1
    trits = np.array(_TRIT_OF_CODE[convention], dtype=np.uint8)[padded]
    packed = trits[..., 0].copy()
    for i in range(1, _TRITS):
        packed += trits[..., i] * np.uint8(3**i)
    return packed


def unpack_trits(packed: UInt8, k: int, convention: TritConvention) -> Int8:
    """Unpack uint8 (N, ceil(K/5)) into codes int8 (N, K); raises `OperandError` on a byte above 242."""
    if packed.ndim != 2 or packed.dtype != np.uint8 or packed.shape[1] != -(-k // _TRITS):
        raise OperandError(
            f"five trits per byte: expected uint8 (N, {-(-k // _TRITS)}), got {packed.dtype} {packed.shape}"
        )
    outside = packed >= TRIT_VALUES
    if outside.any():
        row, at = (int(i) for i in np.argwhere(outside)[0])
        raise OperandError(f"five trits per byte[{row}, {at}]: expected 0..{TRIT_VALUES - 1}, got {packed[row, at]}")
    trits = np.arange(TRIT_VALUES)[:, None] // 3 ** np.arange(_TRITS) % 3
    table = np.array(_CODE_OF_TRIT[convention], dtype=np.int8)[trits]
    return table[packed].reshape(len(packed), -1)[:, :k]
