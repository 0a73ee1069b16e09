"""The tensor types of GGUF files by name and id: how many bytes they take, and how rows of them are decoded.

An id alone does not say what a tensor is: forks gave 36 and 42 to types of their own. So an id has one or more types,
and the bytes between tensors decide (`bitsim.model.files.gguf_types`). Types without a decoder are known by their size,
so that a file that holds them can be looked through.
Source: ggml 0.25.3 `ggml.h` and gguf-py 0.19.0 `constants.py` (ids and sizes); the forks' types: see their decoders.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from bitsim.quant.iq_bn import (
    IQ1_BN_BYTES,
    IQ1_BN_ROW_BYTES,
    IQ2_BN_BYTES,
    IQ2_BN_ROW_BYTES,
    IQ_BN_BLOCK,
    unpack_iq1_bn,
    unpack_iq2_bn,
)
from bitsim.quant.packing import Float32, Int8, UInt8, bf16_to_f32
from bitsim.quant.q_float import (
    K_BLOCK,
    Q4_0_BYTES,
    Q4_K_BYTES,
    Q5_0_BYTES,
    Q5_K_BYTES,
    Q6_K_BYTES,
    Q8_0_BYTES,
    Q_BLOCK,
    decode_q4_0,
    decode_q4_k,
    decode_q5_0,
    decode_q5_k,
    decode_q6_k,
    decode_q8_0,
)
from bitsim.quant.q_ternary import (
    PQ2_0_BLOCK,
    Q1_0_BLOCK,
    Q1_0_BYTES,
    Q2_0_BLOCK,
    q2_0_bytes,
    unpack_q1_0,
    unpack_q2_0,
)
from bitsim.quant.stq import STQ1_0_BLOCK, STQ1_0_BYTES, unpack_stq1_0
from bitsim.quant.tq import (
    BLOCK,
    PTQ1_0_BLOCK,
    PTQ1_0_BYTES,
    TQ1_0_BYTES,
    TQ2_0_BYTES,
    unpack_ptq1_0,
    unpack_tq1_0,
    unpack_tq2_0,
)

CodesDecoder = Callable[[UInt8, int], tuple[Int8, np.ndarray]]
FloatsDecoder = Callable[[UInt8, int], Float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class GgmlType:
    """One type. `block` weights along K take `block_bytes`; each row starts with `row_bytes` of its own.

    * `codes(data, k)`: for ternary and binary types, rows uint8 (N, bytes) -> codes int8 (N, K) and scales of runs of
      equal length along K, (N, runs) of a float type. `binary`: the codes are -1 and +1 only.
    * `floats(data, k)`: for float types, rows -> float32 (N, K).
    * `halves`: where in a block its float16 scales begin, from the end if negative. If all are finite, all values are.
    * `two_bits`: the bytes of a block that hold four 2-bit codes each, of which 3 is none.
    """

    name: str
    block: int = 1
    block_bytes: int
    row_bytes: int = 0
    codes: CodesDecoder | None = None
    floats: FloatsDecoder | None = None
    binary: bool = False
    halves: tuple[int, ...] = ()
    two_bits: slice | None = None

    def fits(self, k: int) -> bool:
        """Whether rows of `k` weights are whole blocks."""
        return k % self.block == 0

    def row_size(self, k: int) -> int:
        """Bytes of a row of `k` weights."""
        return self.row_bytes + k // self.block * self.block_bytes

    def decoded(self, data: UInt8, k: int) -> Float32:
        """Rows uint8 (N, bytes) as float32 (N, K), each code times its scale rounded once."""
        if self.floats is not None:
            return self.floats(data, k)
        assert self.codes is not None
        codes, scales = self.codes(data, k)
        return scaled(codes, scales.astype(np.float32))


def scaled(codes: Int8, scales: Float32) -> Float32:
    """Codes int8 (N, K) times scales float32 (N, runs), runs of ceil(K / runs) along K -> float32 (N, K)."""
    k, runs = codes.shape[1], scales.shape[1]
    values: Float32 = codes * np.repeat(scales, -(-k // runs), axis=1)[:, :k]
    return values


def _plain(dtype: str) -> FloatsDecoder:
    return lambda data, k: np.ascontiguousarray(data).view(dtype).astype(np.float32)


TQ1_0 = GgmlType(name="TQ1_0", block=BLOCK, block_bytes=TQ1_0_BYTES, codes=unpack_tq1_0, halves=(-2,))
TQ2_0 = GgmlType(
    name="TQ2_0", block=BLOCK, block_bytes=TQ2_0_BYTES, codes=unpack_tq2_0, halves=(-2,), two_bits=slice(0, 64)
)
Q1_0 = GgmlType(name="Q1_0", block=Q1_0_BLOCK, block_bytes=Q1_0_BYTES, codes=unpack_q1_0, binary=True, halves=(0,))
Q2_0 = GgmlType(
    name="Q2_0",
    block=Q2_0_BLOCK,
    block_bytes=q2_0_bytes(Q2_0_BLOCK),
    codes=unpack_q2_0,
    halves=(0,),
    two_bits=slice(2, 18),
)
PQ2_0 = GgmlType(
    name="PQ2_0",
    block=PQ2_0_BLOCK,
    block_bytes=q2_0_bytes(PQ2_0_BLOCK),
    codes=partial(unpack_q2_0, block=PQ2_0_BLOCK),
    halves=(0,),
    two_bits=slice(2, 34),
)
PTQ1_0 = GgmlType(name="PTQ1_0", block=PTQ1_0_BLOCK, block_bytes=PTQ1_0_BYTES, codes=unpack_ptq1_0, halves=(-2,))
STQ1_0 = GgmlType(name="STQ1_0", block=STQ1_0_BLOCK, block_bytes=STQ1_0_BYTES, codes=unpack_stq1_0, halves=(-2,))
IQ1_BN = GgmlType(
    name="IQ1_BN", block=IQ_BN_BLOCK, block_bytes=IQ1_BN_BYTES, row_bytes=IQ1_BN_ROW_BYTES, codes=unpack_iq1_bn
)
IQ2_BN = GgmlType(
    name="IQ2_BN",
    block=IQ_BN_BLOCK,
    block_bytes=IQ2_BN_BYTES,
    row_bytes=IQ2_BN_ROW_BYTES,
    codes=unpack_iq2_bn,
    two_bits=slice(0, 16),
)
_FLOATS = (
    GgmlType(name="F32", block_bytes=4, floats=_plain("<f4")),
    GgmlType(name="F16", block_bytes=2, floats=_plain("<f2")),
    GgmlType(
        name="BF16",
        block_bytes=2,
        floats=lambda data, k: bf16_to_f32(np.ascontiguousarray(data).view("<u2")),
    ),
    GgmlType(name="Q4_0", block=Q_BLOCK, block_bytes=Q4_0_BYTES, floats=decode_q4_0, halves=(0,)),
    GgmlType(name="Q5_0", block=Q_BLOCK, block_bytes=Q5_0_BYTES, floats=decode_q5_0, halves=(0,)),
    GgmlType(name="Q8_0", block=Q_BLOCK, block_bytes=Q8_0_BYTES, floats=decode_q8_0, halves=(0,)),
    GgmlType(name="Q4_K", block=K_BLOCK, block_bytes=Q4_K_BYTES, floats=decode_q4_k, halves=(0, 2)),
    GgmlType(name="Q5_K", block=K_BLOCK, block_bytes=Q5_K_BYTES, floats=decode_q5_k, halves=(0, 2)),
    GgmlType(name="Q6_K", block=K_BLOCK, block_bytes=Q6_K_BYTES, floats=decode_q6_k, halves=(-2,)),
)
_TERNARY = (TQ1_0, TQ2_0, Q1_0, Q2_0, PQ2_0, PTQ1_0, STQ1_0, IQ1_BN, IQ2_BN)
TYPES: Mapping[str, GgmlType] = {known.name: known for known in (*_FLOATS, *_TERNARY)}

_IDS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q5_0": 6, "Q8_0": 8, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14, "BF16": 30}
_IDS |= {"TQ1_0": 34, "TQ2_0": 35, "Q1_0": 41, "PQ2_0": 142, "PTQ1_0": 143, "IQ1_BN": 134, "IQ2_BN": 135}
# Known by their size only: id -> name, weights and bytes of a block.
_SIZES: Mapping[int, tuple[str, int, int]] = {
    3: ("Q4_1", 32, 20),
    7: ("Q5_1", 32, 24),
    9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
}
# Every type that an id may mean, the most usual first. I2_S (36) is no block type: its scale stands behind all codes.
TYPES_OF_ID: Mapping[int, tuple[GgmlType, ...]] = {
    **{number: (GgmlType(name=name, block=k, block_bytes=size),) for number, (name, k, size) in _SIZES.items()},
    **{number: (TYPES[name],) for name, number in _IDS.items()},
    42: (Q2_0, PQ2_0, STQ1_0),
    43: (STQ1_0,),
}
Kind = Literal["codes", "floats"]


def kinds_with(what: Kind) -> tuple[str, ...]:
    """The names of the types that decode to codes and scales, or to floats."""
    return tuple(name for name, known in TYPES.items() if getattr(known, what) is not None)
