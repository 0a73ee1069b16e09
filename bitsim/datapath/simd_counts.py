"""How many vector instructions bitnet.cpp's kernels execute, in closed form.

One instruction per intrinsic of the source, and two for NEON's `vzipq`, which gives two registers. Not counted: what is
no vector instruction of the kernel (loops, addresses, constants and zeros, the clearing and copying of C), and what
other operators do (quantising the activations, the subtraction of their sum, the scales).
Evidence: the compiled sources with every intrinsic counted, tests/datapath/test_cpu_simd.py.
Source: microsoft/BitNet `16da220` (MIT): `src/ggml-bitnet-mad.cpp`, `ggml_vec_dot_i2_i8_s_1x1`; `utils/codegen_tl1.py`;
`utils/codegen_tl2.py` with batch size 1.
"""

from collections import Counter

from bitsim.hw.datapaths.cpu_simd import PAIR_COLUMNS, STRIPE, CpuSimdSpec

Counts = Counter[str]
GROUP_BLOCKS = 32  # I2_S widens its int16 lanes after so many blocks

# I2_S: one block of weights, one widening of the lanes, one output.
_I2S_BLOCK = {
    "avx2": Counter(load=5, shift=3, and_=4, maddubs=4, add_int16=4),
    "neon": Counter(load=5, shift=3, and_=4, mlal=8),
}
_I2S_GROUP = {"avx2": Counter(madd=1, add_int32=1), "neon": Counter(widen=2, add_int32=2)}
_I2S_OUTPUT = {"avx2": Counter(extract=1, add_int32=3, unpack=1, shuffle=1, move=1), "neon": Counter(sum_across=1)}

# TL1: the tables of 16 activations; 16 bytes of weights, i.e. 2 pairs of 16 rows; the int32 sums of 8 rows.
_TL1_TABLES = Counter(add_int16=8, zip=48, tbl=16, store=32)
_TL1_BYTES = Counter(load=1, shift=1, and_=1, tbl=4, zip=4, add_int16=4)
_TL1_WIDEN = Counter(widen=2, load=2, add_int32=2, store=2)

# TL2: the tables of 24 activations in triples or of 16 in pairs; 32 bytes of weights, i.e. 2 triples or pairs of 32
# rows, which are loaded once per stripe and block; the int32 sums of 32 rows.
_TL2_TABLES = Counter(permute=64, unpack=32, pack=8, shuffle=8, store=8)
_TL2_TRIPLES = _TL2_TABLES + Counter(add_int32=14)
_TL2_PAIRS = _TL2_TABLES + Counter(add_int32=8)
_TL2_LOOKUPS = Counter(load=4, insert=4, shift=1, and_=2, shuffle=4, unpack=4, add_int16=4)
_TL2_SIGNS = Counter(shift=8, add_int16=4, xor=4)
_TL2_WIDEN = Counter(load=4, extract=2, widen=4, add_int32=4, store=4)


def instructions(spec: CpuSimdSpec, m: int, k: int, n: int) -> dict[str, int]:
    """By event, the instructions of a matmul M x K x N whose K and N are what the kernel needs."""
    count = {"i2s_avx2": _i2s, "i2s_neon": _i2s, "tl1": _tl1, "tl2": _tl2}[spec.kernel]
    return {f"simd.{spec.isa}.{op.rstrip('_')}": m * number for op, number in count(spec, k, n).items()}


def triple_columns(spec: CpuSimdSpec, k: int) -> int:
    """The columns of a row that TL2 takes in triples: whole blocks; the others are taken in pairs."""
    return k - k % spec.block_k


def _i2s(spec: CpuSimdSpec, k: int, n: int) -> Counts:
    blocks = k // spec.block_k
    groups = -(-blocks // GROUP_BLOCKS)
    row = _times(_I2S_BLOCK[spec.isa], blocks) + _times(_I2S_GROUP[spec.isa], groups) + _I2S_OUTPUT[spec.isa]
    return _times(row, n)


def _tl1(spec: CpuSimdSpec, k: int, n: int) -> Counts:
    """Per block of bm x bk: all its tables are loaded, then each stripe of rows zeroes and fills its accumulators."""
    registers, weight_bytes = spec.stripe // 8, spec.block_k * spec.stripe // 4
    stripe = Counter(and_=registers) + _times(_TL1_BYTES, weight_bytes // 16) + _times(_TL1_WIDEN, registers)
    block = Counter(load=spec.block_k) + _times(stripe, spec.block_n // spec.stripe)
    return _times(_TL1_TABLES, k // 16) + _times(block, (n // spec.block_n) * (k // spec.block_k))


def _tl2(spec: CpuSimdSpec, k: int, n: int) -> Counts:
    threes = triple_columns(spec, k)
    twos, stripes = k - threes, n // STRIPE
    groups, pairs = threes // 6, twos // 4  # of 2 triples, of 2 pairs: 32 bytes of weights each
    work = _times(_TL2_LOOKUPS, groups + pairs) + _times(_TL2_SIGNS, groups)
    work += Counter(load=groups + groups // 4 + pairs)
    work += _times(_TL2_WIDEN, threes // spec.block_k + twos // PAIR_COLUMNS)
    return _times(_TL2_TRIPLES, threes // 24) + _times(_TL2_PAIRS, twos // 16) + _times(work, stripes)


def _times(counts: Counts, number: int) -> Counts:
    return Counter({op: count * number for op, count in counts.items()})
