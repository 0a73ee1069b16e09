"""The twin of the tensor cores: every instruction, fetch and accumulator, tile by tile.

It shares the rounding of float operands (`encode`) with the datapath; that is tested against ml_dtypes. Scales of
blocks are chosen here anew, number by number.
"""

import math
from typing import Any

import numpy as np

from bitsim.datapath.base import Array
from bitsim.datapath.reference.common import Ledger, Outcome, limit
from bitsim.datapath.tensor_core.encode import encode
from bitsim.datapath.tensor_core.float_formats import ACC_FORMATS, OPERAND_FORMATS
from bitsim.datapath.tensor_core.prepare import Request, prepare
from bitsim.datapath.tensor_core.reference import mma_reference, unpack
from bitsim.hw.datapaths.tensor_core import TensorCoreSpec
from bitsim.hw.tensor_core import SCALE_BLOCKS

UNIT_SCALES = {"mxf4": 127, "mxe4m3": 127, "mxe5m2": 127, "nvf4": 0x38}


def run(x: Array, w: Array, spec: TensorCoreSpec) -> Outcome:
    """`x` (M, K), `w` (N, K): legal operands."""
    machine, (tile_m, tile_n, tile_k) = _Machine(x, w, spec), spec.shape
    tokens, outputs, depth = machine.m, machine.n, machine.k
    for group in range(0, outputs, spec.units * tile_n):
        active = [n0 for n0 in range(group, group + spec.units * tile_n, tile_n) if n0 < outputs]
        for block in range(0, tokens, spec.row_tiles * tile_m):
            rows = [m0 for m0 in range(block, block + spec.row_tiles * tile_m, tile_m) if m0 < tokens]
            for k0 in range(0, depth, tile_k):
                for n0 in active:
                    machine.fetch_weights(k0, n0)
                for m0 in rows:
                    machine.fetch_activations(m0, k0)
                    for n0 in active:
                        machine.instruction(m0, k0, n0)
                    machine.ledger.cycles += spec.instruction_cycles
    return machine.finish()


def encoded(values: Array, spec: TensorCoreSpec, *, constant: bool) -> tuple[Any, list[list[int]] | None]:
    """Codes (rows, K), and the codes of the scales of each row's blocks; `constant`: all scales are 1."""
    if spec.integer:
        return values, None
    name, fmt = spec.format, OPERAND_FORMATS[spec.format]
    numbers = values.astype(np.float32)
    if fmt.scale is None:
        return encode(numbers, fmt.element), None
    scales: list[list[int]] = [[] for _ in numbers]
    for row, codes in zip(numbers, scales, strict=True):
        for k0 in range(0, len(row), fmt.scale_block):
            block = row[k0 : k0 + fmt.scale_block]
            code = block_scale(max(abs(float(v)) for v in block), name) if not constant else UNIT_SCALES[name]
            codes.append(code)
            scale = unpack(code, fmt.scale)
            factor = math.ldexp(float(scale.significand), scale.exponent)
            block /= np.float32(factor) if factor else np.float32(1)
    return encode(numbers, fmt.element), scales


def block_scale(largest: float, name: str) -> int:
    """The code of the scale of a block of finite numbers."""
    if not largest:
        return 0
    if name == "nvf4":
        ue4m3: Any = OPERAND_FORMATS["e4m3"].element
        return int(encode(np.array([np.float32(largest) / np.float32(6)]), ue4m3)[0])
    top_exponent = {"mxf4": 2, "mxe4m3": 8, "mxe5m2": 15}[name]
    return 127 + (math.frexp(largest)[1] - 1) - top_exponent


class _Machine:
    """Accumulators (codes of floats, or integers) and the ledger."""

    def __init__(self, x: Array, w: Array, spec: TensorCoreSpec) -> None:
        self.spec, self.ledger = spec, Ledger()
        (self.m, self.k), self.n = x.shape, w.shape[0]
        self.block = SCALE_BLOCKS.get(spec.format, 0)
        ternary = spec.weights == "ternary"
        self.x, self.x_scales = encoded(x, spec, constant=False)
        self.w, self.w_scales = encoded(w, spec, constant=ternary)
        self.acc: list[list[int]] = [[0] * self.n for _ in range(self.m)]
        self.ledger.moved["weight_writes"] = self.k * self.n * (2 if ternary else spec.operand_bits)
        if self.block and not ternary:
            self.ledger.moved["weight_writes"] += 8 * self.n * len(range(0, self.k, self.block))

    def count(self, event: str, number: int) -> None:
        self.ledger.counts[event] += number

    def fetch_weights(self, k0: int, n0: int) -> None:
        spec, (_, tile_n, tile_k) = self.spec, self.spec.shape
        stored = 2 if spec.weights == "ternary" else spec.operand_bits
        if self.block and spec.weights == "full":
            for k in range(k0, k0 + tile_k, self.block):
                self.ledger.moved["weight_reads"] += 8 * (min(n0 + tile_n, self.n) - n0) * (k < self.k)
                self.count("regfile.write_bits", 8 * tile_n)
        for k in range(k0, k0 + tile_k):
            for n in range(n0, n0 + tile_n):
                self.ledger.moved["weight_reads"] += stored * (k < self.k and n < self.n)
                self.count("regfile.write_bits", stored)
                if spec.weights == "ternary":
                    self.count("regfile.read_bits", 2)
                    self.count(f"dequant.{spec.format}", 1)
                    self.count("regfile.write_bits", spec.operand_bits)

    def fetch_activations(self, m0: int, k0: int) -> None:
        rows, ks = min(m0 + self.spec.shape[0], self.m) - m0, range(k0, min(k0 + self.spec.shape[2], self.k))
        self.ledger.moved["act_reads"] += rows * len(ks) * self.spec.operand_bits
        if self.block:
            self.ledger.moved["act_reads"] += rows * 8 * len(ks[:: self.block])

    def instruction(self, m0: int, k0: int, n0: int) -> None:
        spec, (tile_m, tile_n, tile_k) = self.spec, self.spec.shape
        bits, sums = spec.operand_bits, tile_m * tile_n * spec.acc_bits
        self.count("regfile.write_bits", tile_m * tile_k * bits + sums)
        self.count("regfile.read_bits", tile_m * tile_k * bits + tile_k * tile_n * bits + sums)
        if self.block:
            scales = 8 * (tile_k // self.block)
            self.count("regfile.write_bits", tile_m * scales)
            self.count("regfile.read_bits", tile_m * scales + (tile_n * scales if spec.weights == "full" else 0))
        for m in range(m0, m0 + tile_m):
            for n in range(n0, n0 + tile_n):
                exists = m < self.m and n < self.n
                real = min(tile_k, self.k - k0) if exists else 0
                self.count(f"mma.{spec.unit}.mac", tile_k)
                self.count(f"mma.{spec.unit}.padding", tile_k - real)
                if exists:
                    self.acc[m][n] = self.dot(m, k0, n)

    def dot(self, m: int, k0: int, n: int) -> int:
        """The accumulator after one instruction."""
        spec, k1, c = self.spec, k0 + self.spec.shape[2], self.acc[m][n]
        if spec.integer:
            exact = c + sum(int(a) * int(b) for a, b in zip(self.x[m, k0:k1], self.w[n, k0:k1], strict=True))
            kept, left = limit(exact, spec.acc_bits, spec.overflow)
            if left:
                self.count("overflow.acc", 1)
                self.ledger.overflows.append((m, k0, n))
            return kept
        acc_name = f"fp{spec.acc_bits}"
        a, b = np.zeros((1, k1 - k0), self.x.dtype), np.zeros((k1 - k0, 1), self.w.dtype)
        a[0, : self.k - k0], b[: self.k - k0, 0] = self.x[m, k0:k1], self.w[n, k0:k1]
        start = np.full((1, 1), c, ACC_FORMATS[acc_name].dtype)
        scale_a, scale_b = self.scales(self.x_scales, m, k0), self.scales(self.w_scales, n, k0)
        asked = Request(
            a=a,
            b=b,
            c=start,
            arch=spec.core,
            a_format=spec.format,
            acc_format=acc_name,
            scale_a=scale_a,
            scale_b=None if scale_b is None else scale_b.T,
            instruction_k=k1 - k0,
        )
        return int(mma_reference(prepare(asked))[0, 0])

    def scales(self, codes: Any, row: int, k0: int) -> Any:
        """Those of one row for one instruction, (1, k / block); 0 where there are no operands. None without scales."""
        if codes is None:
            return None
        found = codes[row][k0 // self.block : (k0 + self.spec.k) // self.block]
        return np.array([found + [0] * (self.spec.k // self.block - len(found))], np.uint8)

    def finish(self) -> Outcome:
        """Sums leave; the additions (and multiplications) as the papers count them."""
        spec, arithmetic = self.spec, "int8" if self.spec.integer else "fp16"
        y: list[list[Any]] = [[self.value(code) for code in row] for row in self.acc]
        for m in range(self.m):
            for n in range(self.n):
                self.ledger.moved["psum_writes"] += spec.acc_bits
                self.ledger.moved["psum_reads"] += spec.acc_bits
                self.count(f"add.{arithmetic}", self.k - 1)
                if not spec.integer or spec.weights == "full":
                    self.count(f"mul.{arithmetic}", self.k)
                if not math.isfinite(y[m][n]):
                    self.count("overflow.output", 1)
                    self.ledger.overflows.append((m, self.k - 1, n))
        return self.ledger.outcome(y, np.int64 if spec.integer else np.float32)

    def value(self, code: int) -> Any:
        """What an accumulator holds, as a number."""
        if self.spec.integer:
            return code
        number = unpack(code, ACC_FORMATS[f"fp{self.spec.acc_bits}"])
        if number.special is not None:
            return number.special
        return math.ldexp(float(number.significand), number.exponent)
