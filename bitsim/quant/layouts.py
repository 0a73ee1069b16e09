"""The byte layouts of ternary and binary weights by name, with their bits per weight as exact fractions.

| name | bits per weight | where |
|---|---|---|
| `2bit` | 2 | Hugging Face safetensors; four rows a quarter apart per byte |
| `tq2_0` | 2 + 1/16 | GGUF; float16 scale per 256 |
| `tq1_0` | 1 + 11/16 | GGUF; float16 scale per 256 |
| `q2_0` | 2 + 1/4 | GGUF; float16 scale per 64 |
| `pq2_0` | 2 + 1/8 | PrismML's GGUF; float16 scale per 128 |
| `ptq1_0` | 1 + 3/4 | PrismML's GGUF; float16 scale per 128 |
| `q1_0` | 1 + 1/8 | GGUF; binary weights, float16 scale per 128 |
| `i2_s_x86`, `i2_s_arm` | 2 | bitnet.cpp's GGUF; one float32 scale per tensor, not counted |
| `trits5_offset`, `trits5_sign` | 8/5 | five trits per byte, two conventions |
| `1bit` | 1 | binary weights, eight signs per byte |
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from bitsim.errors import UnknownNameError
from bitsim.quant.i2s import i2s_bytes, pack_i2s, unpack_i2s
from bitsim.quant.packing import Int8, UInt8, pack_hf, unpack_hf
from bitsim.quant.q_ternary import (
    PQ2_0_BLOCK,
    Q1_0_BLOCK,
    Q1_0_BYTES,
    Q2_0_BLOCK,
    pack_q1_0,
    pack_q2_0,
    q2_0_bytes,
    unpack_q1_0,
    unpack_q2_0,
)
from bitsim.quant.signs import pack_signs, unpack_signs
from bitsim.quant.tq import (
    BLOCK,
    PTQ1_0_BLOCK,
    PTQ1_0_BYTES,
    TQ1_0_BYTES,
    TQ2_0_BYTES,
    pack_ptq1_0,
    pack_tq1_0,
    pack_tq2_0,
    unpack_ptq1_0,
    unpack_tq1_0,
    unpack_tq2_0,
)
from bitsim.quant.trits import pack_trits, unpack_trits


@dataclass(frozen=True, slots=True, kw_only=True)
class Packing:
    """A lossless byte layout of ternary codes, or if `binary` of codes -1 and +1 only.

    * `bits_per_weight`: of whole blocks, block scales included; padding comes on top.
    * `pack(codes)`: int8 (N, K) -> uint8; formats with block scales get scale 1.
    * `unpack(data, n, k)`: the codes, int8 (N, K). Both raise `OperandError`.
    * `size_bytes(n, k)`: the bytes of an (N, K) matrix, padding included.
    """

    name: str
    bits_per_weight: Fraction
    pack: Callable[[Int8], UInt8]
    unpack: Callable[[UInt8, int, int], Int8]
    size_bytes: Callable[[int, int], int]
    binary: bool = False


PACKINGS = {
    packing.name: packing
    for packing in (
        Packing(
            name="2bit",
            bits_per_weight=Fraction(2),
            pack=pack_hf,
            unpack=lambda data, n, k: unpack_hf(data, n),
            size_bytes=lambda n, k: -(-n // 4) * k,
        ),
        Packing(
            name="tq2_0",
            bits_per_weight=Fraction(8 * TQ2_0_BYTES, BLOCK),
            pack=pack_tq2_0,
            unpack=lambda data, n, k: unpack_tq2_0(data, k)[0],
            size_bytes=lambda n, k: n * -(-k // BLOCK) * TQ2_0_BYTES,
        ),
        Packing(
            name="tq1_0",
            bits_per_weight=Fraction(8 * TQ1_0_BYTES, BLOCK),
            pack=pack_tq1_0,
            unpack=lambda data, n, k: unpack_tq1_0(data, k)[0],
            size_bytes=lambda n, k: n * -(-k // BLOCK) * TQ1_0_BYTES,
        ),
        Packing(
            name="q2_0",
            bits_per_weight=Fraction(8 * q2_0_bytes(Q2_0_BLOCK), Q2_0_BLOCK),
            pack=pack_q2_0,
            unpack=lambda data, n, k: unpack_q2_0(data, k)[0],
            size_bytes=lambda n, k: n * -(-k // Q2_0_BLOCK) * q2_0_bytes(Q2_0_BLOCK),
        ),
        Packing(
            name="pq2_0",
            bits_per_weight=Fraction(8 * q2_0_bytes(PQ2_0_BLOCK), PQ2_0_BLOCK),
            pack=lambda codes: pack_q2_0(codes, block=PQ2_0_BLOCK),
            unpack=lambda data, n, k: unpack_q2_0(data, k, PQ2_0_BLOCK)[0],
            size_bytes=lambda n, k: n * -(-k // PQ2_0_BLOCK) * q2_0_bytes(PQ2_0_BLOCK),
        ),
        Packing(
            name="ptq1_0",
            bits_per_weight=Fraction(8 * PTQ1_0_BYTES, PTQ1_0_BLOCK),
            pack=pack_ptq1_0,
            unpack=lambda data, n, k: unpack_ptq1_0(data, k)[0],
            size_bytes=lambda n, k: n * -(-k // PTQ1_0_BLOCK) * PTQ1_0_BYTES,
        ),
        Packing(
            name="q1_0",
            bits_per_weight=Fraction(8 * Q1_0_BYTES, Q1_0_BLOCK),
            pack=pack_q1_0,
            unpack=lambda data, n, k: unpack_q1_0(data, k)[0],
            size_bytes=lambda n, k: n * -(-k // Q1_0_BLOCK) * Q1_0_BYTES,
            binary=True,
        ),
        Packing(
            name="i2_s_x86",
            bits_per_weight=Fraction(2),
            pack=lambda codes: pack_i2s(codes, "x86"),
            unpack=lambda data, n, k: unpack_i2s(data, n, k, "x86"),
            size_bytes=lambda n, k: i2s_bytes(n, k, "x86"),
        ),
        Packing(
            name="i2_s_arm",
            bits_per_weight=Fraction(2),
            pack=lambda codes: pack_i2s(codes, "arm"),
            unpack=lambda data, n, k: unpack_i2s(data, n, k, "arm"),
            size_bytes=lambda n, k: i2s_bytes(n, k, "arm"),
        ),
        Packing(
            name="trits5_offset",
            bits_per_weight=Fraction(8, 5),
            pack=lambda codes: pack_trits(codes, "offset"),
            unpack=lambda data, n, k: unpack_trits(data, k, "offset"),
            size_bytes=lambda n, k: n * -(-k // 5),
        ),
        Packing(
            name="trits5_sign",
            bits_per_weight=Fraction(8, 5),
            pack=lambda codes: pack_trits(codes, "sign"),
            unpack=lambda data, n, k: unpack_trits(data, k, "sign"),
            size_bytes=lambda n, k: n * -(-k // 5),
        ),
        Packing(
            name="1bit",
            bits_per_weight=Fraction(1),
            pack=pack_signs,
            unpack=lambda data, n, k: unpack_signs(data, k),
            size_bytes=lambda n, k: n * -(-k // 8),
            binary=True,
        ),
    )
}


def packing(name: str) -> Packing:
    """The byte layout called `name`; raises `UnknownNameError`."""
    if name not in PACKINGS:
        raise UnknownNameError("packing", name, PACKINGS)
    return PACKINGS[name]
