"""The twin of the tensor cores: every instruction, fetch and accumulator, tile by tile.

It shares the rounding of float operands (`encode`) with the datapath; that is tested against ml_dtypes.
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


class _Machine:
    """Accumulators (codes of floats, or integers) and the ledger."""

    def __init__(self, x: Array, w: Array, spec: TensorCoreSpec) -> None:
        self.spec, self.ledger = spec, Ledger()
        (self.m, self.k), self.n = x.shape, w.shape[0]
        element = None if spec.integer else OPERAND_FORMATS[spec.format].element
        self.x, self.w = (v if element is None else encode(v.astype(np.float32), element) for v in (x, w))
        self.acc: list[list[int]] = [[0] * self.n for _ in range(self.m)]
        self.ledger.moved["weight_writes"] = self.k * self.n * (2 if spec.weights == "ternary" else spec.operand_bits)

    def count(self, event: str, number: int) -> None:
        self.ledger.counts[event] += number

    def fetch_weights(self, k0: int, n0: int) -> None:
        spec, (_, tile_n, tile_k) = self.spec, self.spec.shape
        stored = 2 if spec.weights == "ternary" else spec.operand_bits
        for k in range(k0, k0 + tile_k):
            for n in range(n0, n0 + tile_n):
                self.ledger.moved["weight_reads"] += stored * (k < self.k and n < self.n)
                self.count("regfile.write_bits", stored)
                if spec.weights == "ternary":
                    self.count("regfile.read_bits", 2)
                    self.count(f"dequant.{spec.format}", 1)
                    self.count("regfile.write_bits", spec.operand_bits)

    def fetch_activations(self, m0: int, k0: int) -> None:
        real = (min(m0 + self.spec.shape[0], self.m) - m0) * (min(k0 + self.spec.shape[2], self.k) - k0)
        self.ledger.moved["act_reads"] += real * self.spec.operand_bits

    def instruction(self, m0: int, k0: int, n0: int) -> None:
        spec, (tile_m, tile_n, tile_k) = self.spec, self.spec.shape
        bits, sums = spec.operand_bits, tile_m * tile_n * spec.acc_bits
        self.count("regfile.write_bits", tile_m * tile_k * bits + sums)
        self.count("regfile.read_bits", tile_m * tile_k * bits + tile_k * tile_n * bits + sums)
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
        asked = Request(
            a=a, b=b, c=start, arch=spec.core, a_format=spec.format, acc_format=acc_name, instruction_k=k1 - k0
        )
        return int(mma_reference(prepare(asked))[0, 0])

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
