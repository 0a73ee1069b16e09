"""bitnet.cpp's CPU kernels: I2_S multiplies 2-bit codes, TL1 and TL2 look up sums of activations.

I2_S, a dot product of one token and one row of weights (avx2: bytes of 256-bit registers, 16 int16 lanes)

    32 bytes of weights, 128 codes w + 1 of 0, 1, 2        128 bytes of activations, int8
       |      >> 2    >> 4    >> 6                           |       |       |       |
      & 3     & 3     & 3     & 3                            |       |       |       |
       |       |       |       |                             |       |       |       |
       +--maddubs: two products and their sum in one int16---+-------+-------+-------+
       |       |       |       |
       + - - - + - - - + - - - +  ->  16 int16 lanes, modulo 2^16; after 32 blocks (4096 weights) or at the end
                                      |
                                      madd with 1: 8 int32 lanes, added to those of the groups before
                                      |
                                      horizontal sum at the end of the row; its caller subtracts the sum of the codes

A lane adds up to 256 products of at most 254: twice what int16 holds. So I2_S is exact until a lane wraps, then off by
multiples of 2^16 (`bitsim.datapath.i2s_dot`). A lane of a group whose sum left int16 is one `overflow.lane`, at the
first k of its group; the register `acc` is the int32 sum. neon: 64 weights per block, `mlal` into 8 int16 lanes, 2048
weights per group.

TL1 (neon), 32 or 64 rows (`bmm`) of a block of `bk` columns and `bm` rows side by side

    a0 a1 ->  table of the pair: -a0-a1  -a0  -a0+a1  -a1  0  a1  a0-a1  a0  a0+a1     int16, as 16 high + 16 low bytes
                                  |                                  built once per token, for all rows of weights
    w0 w1 ->  4 bits: 3 w0 + w1 + 4 -> tbl (high), tbl (low) -> zip -> int16 -> + 16 rows' int16 sums over `bk`
                                                                                  | widen
                                                                                  + int32 sums in memory, per block

TL2 (avx2), 32 rows side by side: three weights are a sign and |9 w0 + 3 w1 + w2|, 0..13, so 5 bits; one table of 14
sums per triple; a negative entry is (x + s) XOR s with s = -1. K3 = K - K mod `bk` columns are taken so, the others in
pairs as in TL1, 32 at a time. int16 sums over `bk` or 32 columns, then int32.

TL1 and TL2 are exact for activations in -127..127, which their quantiser gives: an int16 sum of `bk` <= 256 products
can't wrap. -128 is refused.

Order of work: token after token, as in decoding; kernels that share the weights of 4 tokens or rows between loads
compute the same sums. All of a matmul is one tile: tables are built once for all rows.

K must be a multiple of a block (TL2: of 32), and N of `bm`: with `pad` both are filled up with zeros (exact, and
counted), without it the operands are refused: I2_S would leave out what remains of K, TL1 and TL2 have no kernel.

Events: `simd.{isa}.{op}` per vector instruction, see `bitsim.datapath.simd_counts`. They have no price: what was
found of single instructions is of scalar in-order cores, and measurements of vector code are of whole programs, so
that only the `arithmetic` convention has an energy. Nor does a source give the area of such a core by itself. Nothing
depends on the operands but wraps; there are no registers whose toggles could be known. Cycles: instructions over
`instructions_per_cycle`, rounded up: latencies, caches and scalar instructions are left out. With `threads`, cycles are
those of the core that has most rows; instructions are the same, since the tables of a token are built once for all.

Streams: what kernels load and store, caches not regarded; tables count as activations, int32 sums in memory as psums.

Source: microsoft/BitNet `16da220` (MIT), arXiv 2410.16144, arXiv 2502.11880. Evidence, in tests/datapath/
test_cpu_simd.py: sums of the compiled AVX2 I2_S (golden gguf/i2s_vectors.npz); packed weights, tables and sums of TL2
as its generator writes it, compiled, and of TL1 likewise with each NEON intrinsic replaced by a loop; the NEON I2_S
compiled in the same way wraps as here. All instruction counts equal those of the sources with every intrinsic counted.
"""

from collections.abc import Mapping
from fractions import Fraction
from math import ceil

import numpy as np

from bitsim.datapath.accumulation import WHOLE_ROW, Accumulation, Register, Summed
from bitsim.datapath.base import Array, Range, Streams, TileCosts, arithmetic_events
from bitsim.datapath.i2s_dot import VARIANTS, I2sVariant, i2s_matmul
from bitsim.datapath.matmul import int8_matmul
from bitsim.datapath.packed import PackedTernary
from bitsim.datapath.prepared import PreparedWeights
from bitsim.datapath.simd_counts import instructions, triple_columns
from bitsim.datapath.template import CountedDatapath
from bitsim.errors import OperandError
from bitsim.events import Events
from bitsim.hw.datapaths.cpu_simd import ACC_BITS, STRIPE, CpuSimdSpec

REGISTER_BITS = {"avx2": 256, "neon": 128}
TABLE_BITS = 32 * 8  # 16 int16 entries, for two or three activations
LANE = Register(name="lane", bits=16)
ACC = Register(name="acc", bits=ACC_BITS)


class CpuSimd(CountedDatapath[CpuSimdSpec]):
    """One of bitnet.cpp's kernels, as its `CpuSimdSpec` describes it."""

    has_dear_toggles = False

    def __init__(self, spec: CpuSimdSpec) -> None:
        super().__init__(spec)
        self.sums_tiles = spec.tables  # int32 sums are in memory, where each block of K adds to them
        if spec.tables:
            self.act_range = (-127, 127)

    @property
    def exact(self) -> bool:
        return self.spec.tables

    @property
    def remarks(self) -> tuple[str, ...]:
        wraps = () if self.exact else ("is not exact: it wraps int16 lanes as it sums",)
        cores = "one core that never waits" if self.spec.threads == 1 else "cores that never wait"
        return (*wraps, f"counts vector instructions of {cores}, one per intrinsic of the source")

    @property
    def accumulation(self) -> Accumulation:
        group = self.spec.block_k if self.spec.tables else self.variant.group
        return Accumulation(group=group, inner=LANE, outer=ACC, overflow="wrap")

    @property
    def variant(self) -> I2sVariant:
        """The I2_S kernel's blocks and lanes."""
        return VARIANTS[self.spec.kernel.removeprefix("i2s_")]

    @property
    def tile_columns(self) -> int:
        return WHOLE_ROW

    @property
    def grain(self) -> tuple[int, int, int]:
        """I2_S reduces the lanes at the end of a row: it takes all of K."""
        return (1, self.spec.step_k, self.spec.block_n) if self.spec.tables else (1, WHOLE_ROW, 1)

    @property
    def tile_depth(self) -> int:
        """TL2 takes whole blocks of K in triples, and the rest of a call in pairs."""
        return self.spec.block_k if self.spec.tables else WHOLE_ROW

    def padded(self, k: int, n: int) -> tuple[int, int]:
        """K and N of the matmul that the kernel computes; raises `OperandError` for those that it can't."""
        spec = self.spec
        sizes = []
        for name, size, step in (("K", k, spec.step_k), ("N", n, spec.block_n)):
            if size % step and not spec.pad:
                raise OperandError(
                    f"w: {name} = {size}: expected a multiple of {step}, which {spec.unit} needs; `pad: true` fills up "
                    "with zeros"
                )
            sizes.append(-(-size // step) * step)
        return sizes[0], sizes[1]

    def tile_costs(self, m: Array, k: Array, n: Array) -> TileCosts:
        """Tiles that are no multiples of the kernel's blocks cost as much as padded ones, whatever `pad` says."""
        if not self.spec.pad:
            return CpuSimd(self.spec.model_copy(update={"pad": True})).tile_costs(m, k, n)
        return super().tile_costs(m, k, n)

    def cycles(self, m: int, k: int, n: int) -> int:
        kp, np_ = self.padded(k, n)
        executed = sum(instructions(self.spec, m, kp, self.spec.busiest(np_)).values())
        return ceil(executed / Fraction(self.spec.instructions_per_cycle.nominal))

    def streams(self, m: int, k: int, n: int) -> Streams:
        """What the kernel loads and stores; its int32 outputs are read once more, by what rescales them."""
        spec, (kp, np_) = self.spec, self.padded(k, n)
        outputs = ACC_BITS * m * n
        if not spec.tables:
            weights = 2 * kp * np_
            return Streams(
                weight_writes=weights,
                weight_reads=weights * m,
                act_reads=8 * kp * np_ * m,
                psum_reads=outputs,
                psum_writes=outputs,
            )
        threes = triple_columns(spec, kp) if spec.kernel == "tl2" else 0
        weights = (threes * 5 // 3 + (kp - threes) * 2) * np_
        passes = np_ // (STRIPE if spec.kernel == "tl2" else spec.block_n)
        tables = (threes // 3 + (kp - threes) // 2) * TABLE_BITS * passes
        blocks = threes // spec.block_k + (kp - threes) // spec.step_k
        return Streams(
            weight_writes=weights,
            weight_reads=weights * m,
            act_reads=(8 * kp + tables) * m,
            psum_reads=ACC_BITS * np_ * blocks * m + outputs,
            psum_writes=ACC_BITS * np_ * blocks * m,
        )

    def data_independent(self, m: int, k: int, n: int) -> Events:
        executed = Events(instructions(self.spec, m, *self.padded(k, n)))
        return executed + arithmetic_events("int8", m, k, n, multiplies=False)

    @property
    def no_parts(self) -> str:
        return "are programs: no source gives the area of a CPU's core by itself"

    def chances(self, m: int, k: int, n: int) -> Mapping[str, int]:
        return {}

    def cheap_events(self, acts: Array, weights: PreparedWeights) -> Mapping[str, int]:
        return {}

    def weight_operand(self, w: Array | PackedTernary) -> tuple[Array | PackedTernary, Array]:
        operand, codes = super().weight_operand(w)
        n, k = codes.shape
        kp, _ = self.padded(k, n)
        if self.spec.tables or kp == k:
            return operand, codes
        return PackedTernary.from_codes(_filled(codes, kp)), codes

    def sums(self, acts: Array, weights: PreparedWeights) -> Summed:
        if self.spec.tables:
            return super().sums(acts, weights)
        kp, _ = self.padded(weights.k, weights.n)
        done = i2s_matmul(_filled(acts, kp), weights.operand, self.spec.kernel.removeprefix("i2s_"))
        wraps = {f"overflow.{LANE.name}": done.wrapped} if done.wrapped else {}
        return Summed(y=done.y, overflows=wraps, first=done.first)

    def exact_sums(self, x: Array, acts: Array, weights: PreparedWeights, summed: Summed) -> Array | None:
        if not summed.overflows:
            return summed.y
        kp, _ = self.padded(weights.k, weights.n)
        return super().exact_sums(x, _filled(acts, kp), weights, summed)

    def joining(self, m: int, n: int) -> Events:
        """A loop that adds the sums of a call to those in memory, a vector register at a time."""
        registers = m * -(-n * ACC_BITS // REGISTER_BITS[self.spec.isa])
        counts = {"load": 2 * registers, "add_int32": registers, "store": registers}
        return Events({f"simd.{self.spec.isa}.{op}": count for op, count in counts.items()})

    def bounds(self, k: int) -> Mapping[str, Range]:
        """I2_S: products of codes 0..2; what matters of a lane is its group's sum, because wraps before it cancel."""
        if self.spec.tables:
            return super().bounds(k)
        depth = int(np.bincount(self.variant.lane_of(np.arange(min(k, self.variant.group)))).max())
        low, high = 2 * self.act_range[0], 2 * self.act_range[1]
        return {
            LANE.name: Range(low=low * depth, high=high * depth),
            ACC.name: Range(low=low * k, high=high * k),
        }

    def seen(self, x: Array, w: Array | PreparedWeights) -> Mapping[str, Range]:
        if self.spec.tables:
            return super().seen(x, w)
        acts, weights = self._operands(x, w)
        doubled = weights.codes()[:, : weights.k] + np.int8(1)
        lane_of = self.variant.lane_of(np.arange(weights.k))
        lane, acc, total = Range(low=0, high=0), Range(low=0, high=0), np.zeros((len(acts), weights.n), np.int64)
        for start in range(0, weights.k, self.variant.group):
            for j in range(self.variant.lanes):
                chosen = np.flatnonzero(lane_of[start : start + self.variant.group] == j) + start
                if chosen.size:
                    part = int8_matmul(np.ascontiguousarray(acts[:, chosen]), np.ascontiguousarray(doubled[:, chosen]))
                    lane |= _range(part)
                    total += part
            acc |= _range(total)
        return {LANE.name: lane, ACC.name: acc}


def _filled(rows: Array, k: int) -> Array:
    """`rows` (R, K) with zeros up to `k` columns."""
    if rows.shape[1] == k:
        return rows
    filled = np.zeros((rows.shape[0], k), rows.dtype)
    filled[:, : rows.shape[1]] = rows
    return filled


def _range(values: Array) -> Range:
    return Range(low=min(0, int(values.min())), high=max(0, int(values.max())))
