"""llama.cpp's ternary block formats TQ1_0 and TQ2_0: 256 weights along K and one float16 scale per block.

* TQ2_0, 66 bytes: byte `32 h + m` (h < 2, m < 32) holds elements `128 h + m + 32 n` at bits 2n, n < 4; then the scale.
* TQ1_0, 54 bytes: five trits per byte, most significant first, as `ceil(v * 256 / 243)`, which decodes by multiplying:
  48 bytes hold elements `m + 32 n` (m < 32) and `160 + m + 16 n` (m < 16), n < 5; 4 bytes hold `240 + j + 4 n`, n < 4,
  with a fifth digit 0; then the scale.

A trit is `code + 1`, a weight `code * scale`. Rows are padded to whole blocks with code 0; ggml has no such rows. The
scale of a block without a non-zero code is 0, as ggml writes it. Bytes equal ggml 0.25.3 and gguf-py 0.19.0.
Source: ggml `ggml-common.h`, `ggml-quants.c` (MIT).
"""

import numpy as np
import numpy.typing as npt

from bitsim.errors import OperandError
from bitsim.quant.packing import Int8, UInt8, check_codes

Float16 = npt.NDArray[np.float16]

BLOCK = 256
TQ1_0_BYTES = 54
TQ2_0_BYTES = 66
# The runs of a TQ1_0 block: first byte, first element, bytes, trits per byte.
_TQ1_0_RUNS = ((0, 0, 32, 5), (32, 160, 16, 5), (48, 240, 4, 4))


def _digits() -> UInt8:
    """The trits of each byte of TQ1_0, uint8 (5, 256), as ggml decodes them: `((byte * 3^n & 255) * 3) >> 8`."""
    byte, power = np.arange(256, dtype=np.uint32), 3 ** np.arange(5, dtype=np.uint32)[:, None]
    return ((byte * power & 255) * 3 >> 8).astype(np.uint8)


def _blocks(codes: Int8) -> UInt8:
    """Codes int8 (N, K) as trits, uint8 (N, ceil(K/256), 256)."""
    check_codes(codes)
    n, k = codes.shape
    trits = np.ones((n, -(-k // BLOCK) * BLOCK), dtype=np.uint8)
    trits[:, :k] = codes + 1
    return trits.reshape(n, -1, BLOCK)


def _write_scales(data: UInt8, trits: UInt8, scale: float) -> UInt8:
    scales = np.where((trits != 1).any(axis=2), np.float16(scale), np.float16(0))
    data[..., -2:] = scales.astype("<f2")[..., None].view(np.uint8)
    return data.reshape(len(data), -1)


def _split(data: UInt8, k: int, block_bytes: int, name: str) -> tuple[UInt8, Float16]:
    """Rows uint8 (N, bytes) as blocks uint8 (N, B, block_bytes) and their scales float16 (N, B)."""
    blocks = -(-k // BLOCK)
    if data.ndim != 2 or data.dtype != np.uint8 or data.shape[1] != blocks * block_bytes:
        raise OperandError(f"{name}: expected uint8 (N, {blocks * block_bytes}), got {data.dtype} {data.shape}")
    split = np.ascontiguousarray(data).reshape(len(data), blocks, block_bytes)
    return split, np.ascontiguousarray(split[..., -2:]).view("<f2")[..., 0].astype(np.float16)


def pack_tq2_0(codes: Int8, scale: float = 1.0) -> UInt8:
    """Pack ternary `codes`, int8 (N, K), into uint8 (N, 66 * ceil(K/256)) with one `scale`, rounded to float16."""
    trits = _blocks(codes)
    data = np.zeros((*trits.shape[:2], TQ2_0_BYTES), dtype=np.uint8)
    quarters = trits.reshape(*trits.shape[:2], 2, 4, 32)
    stored = data[..., :64].reshape(*trits.shape[:2], 2, 32)  # a copy: a slice of the last axis can't be reshaped
    for i in range(4):
        stored |= quarters[..., i, :] << np.uint8(2 * i)
    data[..., :64] = stored.reshape(*trits.shape[:2], 64)
    return _write_scales(data, trits, scale)


def unpack_tq2_0(data: UInt8, k: int) -> tuple[Int8, Float16]:
    """Unpack uint8 (N, 66 * ceil(K/256)) into codes int8 (N, K) and block scales float16 (N, ceil(K/256)).

    Raises `OperandError` on code 3, which is not a ternary value.
    """
    split, scales = _split(data, k, TQ2_0_BYTES, "TQ2_0")
    stored = split[..., :64].reshape(*split.shape[:2], 2, 32)
    if (stored & (stored >> np.uint8(1)) & np.uint8(0x55)).any():
        row, block, *_ = (int(i) for i in np.argwhere(stored & (stored >> np.uint8(1)) & np.uint8(0x55))[0])
        raise OperandError(f"TQ2_0: row {row}, block {block}: expected 2-bit codes 0, 1 or 2, got code 3")
    trits = np.empty((*split.shape[:2], 2, 4, 32), dtype=np.uint8)
    for i in range(4):
        np.bitwise_and(stored >> np.uint8(2 * i), np.uint8(3), out=trits[..., i, :])
    return _codes(trits, k), scales


def pack_tq1_0(codes: Int8, scale: float = 1.0) -> UInt8:
    """Pack ternary `codes`, int8 (N, K), into uint8 (N, 54 * ceil(K/256)) with one `scale`, rounded to float16."""
    trits = _blocks(codes)
    data = np.zeros((*trits.shape[:2], TQ1_0_BYTES), dtype=np.uint8)
    for at, element, width, digits in _TQ1_0_RUNS:
        run = trits[..., element : element + width * digits].reshape(*trits.shape[:2], digits, width)
        value = np.zeros((*trits.shape[:2], width), dtype=np.uint16)
        for i in range(digits):
            value += run[..., i, :] * np.uint16(3 ** (4 - i))
        data[..., at : at + width] = (value * np.uint32(256) + np.uint32(242)) // np.uint32(243)
    return _write_scales(data, trits, scale)


def unpack_tq1_0(data: UInt8, k: int) -> tuple[Int8, Float16]:
    """Unpack uint8 (N, 54 * ceil(K/256)) into codes int8 (N, K) and block scales float16 (N, ceil(K/256)).

    Every byte is valid: the 13 values that no packer writes decode as ggml decodes them.
    """
    split, scales = _split(data, k, TQ1_0_BYTES, "TQ1_0")
    trits, table = np.empty((*split.shape[:2], BLOCK), dtype=np.uint8), _digits()
    for at, element, width, digits in _TQ1_0_RUNS:
        stored = split[..., at : at + width]
        for i in range(digits):
            trits[..., element + i * width : element + (i + 1) * width] = table[i][stored]
    return _codes(trits, k), scales


def _codes(trits: UInt8, k: int) -> Int8:
    codes = trits.reshape(len(trits), -1).view(np.int8)
    codes -= 1
    return codes[:, :k]
