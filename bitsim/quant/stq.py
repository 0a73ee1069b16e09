"""Tencent's STQ1_0 ("Sherry"): three non-zero weights out of four, 42 bytes for 256 along K with one float16 scale.

32 bytes of nibbles, 8 of sign bits, then the scale. Group g of 64 holds the weights `64 (g / 16) + g % 16 + 16 p`,
p < 4; its nibble is in byte `g / 2` (low half first), its sign bit in byte `g / 8` at bit `g % 8`. Nibble and sign
choose a pattern of four codes with exactly one zero; the patterns of sign 1 are those of sign 0 negated.
Source: llama.cpp pull request #22836, which describes it; no file of its own writer was at hand.
"""

import numpy as np

from bitsim.quant.block_rows import Float16, half_at, split_blocks
from bitsim.quant.packing import Int8, UInt8

STQ1_0_BLOCK = 256
STQ1_0_BYTES = 42
# Four 2-bit fields `code + 1`, the first in the lowest bits; entry = 16 * sign + nibble.
CODEBOOK = bytes.fromhex("a9892909a68626069a921a126a624a42 012181a1042484a41018909840486068")


def _patterns() -> Int8:
    """The codes of each entry, int8 (32, 4)."""
    fields = np.frombuffer(CODEBOOK, dtype=np.uint8)[:, None] >> np.arange(0, 8, 2, dtype=np.uint8)
    return (fields & np.uint8(3)).view(np.int8) - np.int8(1)


def unpack_stq1_0(data: UInt8, k: int) -> tuple[Int8, Float16]:
    """Unpack uint8 (N, 42 * ceil(K/256)) into codes int8 (N, K) and block scales float16 (N, ceil(K/256)).

    Every byte is valid.
    """
    split = split_blocks(data, k, STQ1_0_BLOCK, STQ1_0_BYTES, "STQ1_0")
    nibbles = np.stack((split[..., :32] & np.uint8(15), split[..., :32] >> np.uint8(4)), axis=-1)
    signs = np.unpackbits(split[..., 32:40], axis=2, bitorder="little")
    entries = nibbles.reshape(signs.shape) | signs << np.uint8(4)
    patterns = _patterns()[entries].reshape(*entries.shape[:2], 4, 16, 4)
    return np.ascontiguousarray(patterns.swapaxes(3, 4)).reshape(len(split), -1)[:, :k], half_at(split, -2)
