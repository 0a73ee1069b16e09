"""A GPU's tensor cores as a datapath: U of them compute matmuls in tiles of one `mma` instruction.

    weights buffer (2 bits or the format)        activations buffer
           |  k x n codes                               |  m x k, the same for all units
           v                                            v
    [ registers ] -> dequantise -> [ B: k x n ]   [ A: m x k ]      register file of unit u
                                        |             |
                                        +--> [ mma ] <+<-- [ C: m x n ]  accumulators stay here while K passes
                                               |              ^
                                               +------ D -----+

Order of work: for each group of U tiles of n outputs, one tile per unit; for each block of `row_tiles` tiles of m
tokens; for each k: every unit with outputs fetches (and dequantises) its weights once, then the row tiles of the block
follow, one instruction per unit each. An instruction keeps its unit busy for m n k / `unit_macs` cycles. Only that is
counted: fetches, dequantisation and the latency of an instruction are taken to be hidden behind other instructions,
which is the best case. Chains over K start from c = 0; D is rounded or limited after every instruction.

M, N and K are padded with zeros to whole instructions. Padding is work (`mma.*.mac`, register file, dequantisation) and
is reported as `mma.*.padding`; buffers are not read for it. A product of two zeros has exponent -252, below that of any
c, so that padding K moves no alignment.

* Integers: exact while no sum leaves the accumulator; with its 32 bits and ternary weights none can below K = 2^24
  (int8), and with int8 weights below K = 2^17. Beyond, it wraps or saturates at the end of an instruction, as
  `bitsim.mma` does (where inside an instruction is not specified by PTX); reported at the instruction's first k.
* Floating point: operands are rounded to the format, sums are `bitsim.mma`'s (convention `mmasim`), not exact in
  general. int8 times ternary in fp16 with fp32 sums is exact while partial sums stay below 2^24; in 8 and 4 bits
  activations lose bits before they are multiplied. Executions report how far sums of integers are off. Outputs that are
  not finite are counted as overflows at the last k.
* Block-scaled formats (mxf4, nvf4, mxe4m3, mxe5m2): every block of 32 or 16 activations along k gets a scale by its
  largest (`blocks`), which travels with it (8 bits); ternary weights have the constant scale 1. Choosing scales is not
  counted: it belongs to where activations are quantised. E2M1 activations of a4.8 (`a48_e2m1`) fit into mxf4 exactly.

Bits of the register file are those of operands that instructions and dequantisation read and write, padding included;
the first C of a chain is counted as read. (Hopper's wgmma reads B from shared memory; it is counted as if from
registers.) Nothing here depends on data but overflows: toggles of operands are not counted.

Prices: no tensor core was synthesised, and no source gives the energy of one apart from a whole board. `mma.*.mac` is
put together from synthesised multipliers, trees and floating-point adders (tools/derive_tensor_cores.py), for random
operands; shifters that align products, pipeline registers and control are left out. INT8 and INT4 rebuild study A's 16-
lane dot products within 15 % (tests/hw/test_rebuilt_prices.py); floating point has no unit to be compared with.
`regfile.*` (a bank is a small SRAM) and `dequant.*` (an adder) are assumed; the instructions that a GPU needs for
dequantisation are not. Area is that of multipliers and adders, and of the part of the register file that holds the
operands of one block of row tiles.

Sources: NVIDIA PTX ISA, mma (shapes, operands in registers, satfinite); docs/tensor_cores.md for the arithmetic.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bitsim.datapath.accumulation import Summed
from bitsim.datapath.base import Array, Streams, arithmetic_events, as_matrix
from bitsim.datapath.formats import integer_operand
from bitsim.datapath.packed import PackedTernary
from bitsim.datapath.prepared import PreparedWeights
from bitsim.datapath.template import GroupSums
from bitsim.datapath.tensor_core.blocks import codes_and_scales, scaled_words
from bitsim.datapath.tensor_core.encode import encode
from bitsim.datapath.tensor_core.float_formats import ACC_FORMATS, OPERAND_FORMATS
from bitsim.datapath.tensor_core.mma import mma
from bitsim.datapath.tensor_core.prepare import INTEGER_RANGES
from bitsim.errors import OperandError
from bitsim.events import Events
from bitsim.hw.datapaths.tensor_core import TERNARY_BITS, TensorCoreSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """How one matmul falls into instructions: tiles of tokens, outputs and k, groups and blocks of them."""

    rows: int
    columns: int
    depth: int
    groups: int
    blocks: int

    @property
    def instructions(self) -> int:
        return self.rows * self.columns * self.depth


class TensorCores(GroupSums[TensorCoreSpec]):
    """Tensor cores as their `TensorCoreSpec` describes them."""

    takes_arrays = True
    has_dear_toggles = False
    sums_tiles = True

    def __init__(self, spec: TensorCoreSpec) -> None:
        super().__init__(spec)
        if spec.integer:
            self.act_range = INTEGER_RANGES[spec.format]
        self.weight_range = self.act_range if spec.weights == "full" else (-1, 1)

    @property
    def exact(self) -> bool:
        return self.spec.integer

    @property
    def grain(self) -> tuple[int, int, int]:
        return self.spec.shape[0] * self.spec.row_tiles, self.spec.shape[2], self.spec.units * self.spec.shape[1]

    def tiles(self, m: int, k: int, n: int) -> Tiles:
        (tile_m, tile_n, tile_k), spec = self.spec.shape, self.spec
        rows, columns = -(-m // tile_m), -(-n // tile_n)
        return Tiles(
            rows=rows,
            columns=columns,
            depth=-(-k // tile_k),
            groups=-(-columns // spec.units),
            blocks=-(-rows // spec.row_tiles),
        )

    def cycles(self, m: int, k: int, n: int) -> int:
        tiles = self.tiles(m, k, n)
        return tiles.groups * tiles.rows * tiles.depth * self.spec.instruction_cycles

    def streams(self, m: int, k: int, n: int) -> Streams:
        """Weights are read once per block of tokens, activations once per group, sums written and read once."""
        spec, tiles = self.spec, self.tiles(m, k, n)
        weights, sums = k * n * spec.weight_bits + spec.weight_scale_bits(n, k), m * n * spec.acc_bits
        return Streams(
            weight_writes=weights,
            weight_reads=weights * tiles.blocks,
            act_reads=(m * k * spec.operand_bits + spec.scale_bits(m, k)) * tiles.groups,
            psum_reads=sums,
            psum_writes=sums,
        )

    def parts(self) -> Mapping[str, int]:
        """Multiply-accumulates per cycle, and the bits of the register file that one block of row tiles needs.

        Not counted: what dequantises (vector lanes of the GPU), the rest of the register file, control.
        """
        spec, (tile_m, tile_n, tile_k) = self.spec, self.spec.shape
        rows = spec.row_tiles * tile_m
        held = rows * (tile_k * spec.operand_bits + tile_n * spec.acc_bits)
        held += tile_k * tile_n * (spec.operand_bits + (TERNARY_BITS if spec.weights == "ternary" else 0))
        return {f"mma.{spec.unit}.mac": spec.macs_per_cycle, "regfile.bit": spec.units * held}

    def data_independent(self, m: int, k: int, n: int) -> Events:
        spec, tiles = self.spec, self.tiles(m, k, n)
        tile_m, tile_n, tile_k = spec.shape
        a = tile_m * tile_k * spec.operand_bits + spec.scale_bits(tile_m, tile_k)
        b = tile_k * tile_n * spec.operand_bits + spec.weight_scale_bits(tile_n, tile_k)
        c = tile_m * tile_n * spec.acc_bits
        macs, fetches = tiles.instructions * spec.macs_per_instruction, tiles.blocks * tiles.columns * tiles.depth
        counts = {
            f"mma.{spec.unit}.mac": macs,
            f"mma.{spec.unit}.padding": macs - m * k * n,
            "regfile.read_bits": tiles.instructions * (a + b + c),
            "regfile.write_bits": tiles.instructions * (a + c) + fetches * b,
        }
        if spec.weights == "ternary":
            dequantised = fetches * tile_k * tile_n
            counts[f"dequant.{spec.format}"] = dequantised
            counts["regfile.read_bits"] += TERNARY_BITS * dequantised
            counts["regfile.write_bits"] += TERNARY_BITS * dequantised
        arithmetic = "int8" if spec.integer else "fp16"  # no source prices narrower formats
        multiplies = not spec.integer or spec.weights == "full"
        return Events(counts) + arithmetic_events(arithmetic, m, k, n, multiplies=multiplies)

    def chances(self, m: int, k: int, n: int) -> Mapping[str, int]:
        return {}

    def cheap_events(self, acts: Array, weights: PreparedWeights) -> Mapping[str, int]:
        return {}

    def act_operand(self, x: Array) -> Array:
        return super().act_operand(x) if self.spec.integer else self._codes("x", x)

    def weight_operand(self, w: Array | PackedTernary) -> tuple[Array | PackedTernary, Array]:
        if self.spec.integer:
            return super().weight_operand(w)
        values = w.codes() if isinstance(w, PackedTernary) else w
        ternary = self.spec.weights == "ternary"
        if ternary:
            values = integer_operand("w", values, *self.weight_range)
        codes = self._codes("w", values, unit_scale=ternary)
        return codes, codes

    def _codes(self, name: str, values: Array, *, unit_scale: bool = False) -> Array:
        """`values` (rows, K) rounded to the format, as codes, or as words of a code and its block's scale."""
        array = as_matrix(name, values)
        if array.dtype.kind not in "iuf":
            raise OperandError(f"{name}: expected numbers, got {array.dtype}")
        numbers, fmt = array.astype(np.float32), OPERAND_FORMATS[self.spec.format]
        return encode(numbers, fmt.element) if fmt.scale is None else scaled_words(numbers, fmt, unit_scale=unit_scale)

    def sums(self, acts: Array, weights: PreparedWeights) -> Summed:
        return super().sums(acts, weights) if self.spec.integer else self._rounded_sums(acts, weights.codes())

    def _rounded_sums(self, acts: Array, w: Array) -> Summed:
        """The outputs of chained instructions for the codes `acts` (M, K) and `w` (N, K), as float32."""
        spec, acc_name = self.spec, f"fp{self.spec.acc_bits}"
        fmt, padding = OPERAND_FORMATS[spec.format], ((0, 0), (0, -acts.shape[1] % spec.k))
        a, b = (np.pad(codes, padding) for codes in (acts, w))
        of_a, of_b = None, None
        if fmt.scale is not None:
            (a, of_a), (b, of_b) = codes_and_scales(a, fmt), codes_and_scales(b, fmt)
            of_b = np.ascontiguousarray(of_b.T)
        zeros = np.zeros((len(acts), len(w)), ACC_FORMATS[acc_name].dtype)
        words = mma(
            a,
            b.T,
            zeros,
            spec.core,
            spec.format,
            acc_format=acc_name,
            scale_a=of_a,
            scale_b=of_b,
            instruction_k=spec.k,
        )
        y = words.view(f"float{spec.acc_bits}").astype(np.float32)
        lost = np.argwhere(~np.isfinite(y))
        if not len(lost):
            return Summed(y=y, overflows={})
        first = (int(lost[0, 0]), acts.shape[1] - 1, int(lost[0, 1]))
        return Summed(y=y, overflows={"overflow.output": len(lost)}, first=first)
