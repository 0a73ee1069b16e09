"""The twin of the PE arrays, in plain Python integers and scalars of binary16 and binary32.

Outputs and events can be read off the text; `bitsim.datapath.pe_array.cycle_model` steps the same array clock by clock.
"""

import numpy as np

from bitsim.datapath.base import Array
from bitsim.datapath.formats import PE_FORMATS, fp16_operand, integer_operand
from bitsim.datapath.kernels.simd_half import HALF_NAN
from bitsim.datapath.kernels.ternary_float_array import SINGLE_NAN
from bitsim.datapath.pe_array.geometry import Tiling
from bitsim.datapath.reference.common import Ledger, Outcome, limit, pattern
from bitsim.hw.datapaths import PEArraySpec

Number = int | np.float16 | np.float32


class Arithmetic:
    """The operations of one PE and the bits that its registers hold."""

    def __init__(self, spec: PEArraySpec) -> None:
        self.spec = spec
        self.floats = spec.pe in ("fp16", "ternary_fp16", "ternary_bf16")
        self.sum_type = np.float32 if spec.acc_bits == 32 else np.float16
        self.zero: Number = self.sum_type(0) if self.floats else 0

    def operand(self, name: str, values: Array) -> list[list[Number]]:
        if self.spec.pe == "fp16" or (name == "x" and self.spec.pe == "ternary_fp16"):
            return [[np.float16(v) for v in row] for row in fp16_operand(name, values).view(np.float16)]
        if name == "x" and self.spec.pe == "ternary_bf16":
            return [[nearest_bfloat16(v) for v in row] for row in values.astype(np.float32)]
        low, high = (-1, 1) if name == "w" and self.spec.pe.startswith("ternary") else (-128, 127)
        return [[int(v) for v in row] for row in integer_operand(name, values, low, high)]

    def multiply_add(self, psum: Number, a: Number, w: Number) -> tuple[Number, bool]:
        if self.floats:
            total = self.sum_type(psum)
            with np.errstate(over="ignore", invalid="ignore", under="ignore"):
                if self.spec.pe == "fp16":
                    return total + np.float16(a) * np.float16(w), False
                if w == 0:
                    return total, False
                return (total + self.sum_type(a) if w > 0 else total - self.sum_type(a)), False
        return limit(int(psum) + int(a) * int(w), self.spec.acc_bits, self.spec.overflow)

    def accumulate(self, column: Number, psum: Number) -> tuple[Number, bool]:
        if self.floats:
            with np.errstate(over="ignore", invalid="ignore"):
                return self.sum_type(column) + self.sum_type(psum), False
        return limit(int(column) + int(psum), self.spec.column_acc_bits, self.spec.overflow)

    def join(self, earlier: Number, psum: Number) -> Number:
        """The sums of two tiles of K that left an output-stationary array, added beside the buffer of sums."""
        if self.floats:
            return self.accumulate(earlier, psum)[0]
        return self.multiply_add(earlier, psum, 1)[0]

    def pattern(self, value: Number, bits: int) -> int:
        """The bits of a register of `bits` bits that holds `value`: 16 of a float are binary16, or bfloat16's."""
        if isinstance(value, np.float16):
            return HALF_NAN if np.isnan(value) else int(value.view(np.uint16))
        if isinstance(value, np.float32):
            word = SINGLE_NAN if np.isnan(value) else int(value.view(np.uint32))
            return word >> 16 if bits == 16 else word
        return pattern(int(value), bits)

    def count_operation(self, ledger: Ledger, w: Number, first: bool, before: Number = 1) -> None:
        """One PE operation on a real weight; `first`: it starts an output, which saves the paper one addition.

        `before`: the weight that met the same sum in the cycle before, if the PE holds its sum.
        """
        fmt = PE_FORMATS[self.spec.pe]
        if fmt.multiplies:
            ledger.counts[f"pe.{self.spec.unit}.mac"] += 1
            ledger.counts[f"mul.{self.spec.arithmetic}"] += 1
        else:
            action = {1: "add", -1: "sub", 0: "skip" if before else "idle"}[int(w)]
            ledger.counts[f"pe.{self.spec.unit}.{action}"] += 1
        if not first:
            ledger.counts[f"add.{self.spec.arithmetic}"] += 1


def nearest_bfloat16(value: float) -> np.float32:
    """`value` with 8 significant bits, ties to even, as float32; infinity and NaN as they are."""
    exact = np.float32(value)
    if not np.isfinite(exact):
        return exact
    word = int(exact.view(np.uint32))
    below = word & 0xFFFF
    word -= below
    if below > 0x8000 or (below == 0x8000 and word & 0x10000):
        word += 0x10000
    return np.uint32(word).view(np.float32)


def run(x: Array, w: Array, spec: PEArraySpec) -> Outcome:
    """Outputs (M, N), events and the first overflow (m, k, n) of one matmul on the array."""
    arithmetic = Arithmetic(spec)
    acts, weights = arithmetic.operand("x", x), arithmetic.operand("w", w)
    ledger = Ledger()
    walk = weight_stationary if spec.dataflow == "weight_stationary" else output_stationary
    y = walk(arithmetic, acts, weights, ledger)
    fmt = PE_FORMATS[spec.pe]
    m, k, n = len(acts), len(acts[0]), len(weights)
    tiling = Tiling(dataflow=spec.dataflow, rows=spec.rows, cols=spec.cols, m=m, k=k, n=n, interval=spec.interval)
    ledger.counts["reg.clock"] = tiling.clocked_bits(fmt.act_bits, fmt.weight_bits, spec.acc_bits, spec.clock_gating)
    if arithmetic.floats:
        lost = [(m, len(acts[0]) - 1, n) for m, row in enumerate(y) for n, v in enumerate(row) if not np.isfinite(v)]
        ledger.counts["overflow.output"] += len(lost)
        ledger.overflows += lost
    walk_streams(ledger, spec, tiling)
    return ledger.outcome(y, np.float32 if arithmetic.floats else np.int64)


def walk_streams(ledger: Ledger, spec: PEArraySpec, tiling: Tiling) -> None:
    """Walk the tiles one by one and move every value that a tile needs."""
    fmt, moved = PE_FORMATS[spec.pe], ledger.moved
    sum_bits = spec.column_acc_bits if tiling.weight_stationary and spec.integer else spec.acc_bits
    moved["weight_writes"] += tiling.n * tiling.k * fmt.weight_bits
    for n0 in range(0, tiling.n, spec.cols):
        columns = min(spec.cols, tiling.n - n0)
        if tiling.weight_stationary:
            for k0 in range(0, tiling.k, spec.rows):
                rows = min(spec.rows, tiling.k - k0)
                moved["weight_reads"] += rows * columns * fmt.weight_bits
                for _ in range(tiling.m):
                    moved["act_reads"] += rows * fmt.act_bits
                    moved["psum_reads"] += columns * sum_bits if k0 else 0
                    moved["psum_writes"] += columns * sum_bits
        else:
            for m0 in range(0, tiling.m, spec.rows):
                tokens = min(spec.rows, tiling.m - m0)
                moved["weight_reads"] += tiling.k * columns * fmt.weight_bits
                moved["act_reads"] += tokens * tiling.k * fmt.act_bits
                moved["psum_writes"] += tokens * columns * sum_bits
        moved["psum_reads"] += tiling.m * columns * sum_bits


def padded(row: list[Number], start: int, size: int, zero: Number) -> list[Number]:
    """`row[start : start + size]`, filled up with `zero`: unused rows and columns hold zeros."""
    part = row[start : start + size]
    return part + [zero] * (size - len(part))


def stream(arithmetic: Arithmetic, ledger: Ledger, register: str, values: list[Number], bits: int, copies: int) -> None:
    """`values` pass through `copies` registers that hold 0 before and after."""
    held = 0
    for value in [*values, arithmetic.zero]:
        new = arithmetic.pattern(value, bits)
        ledger.counts[f"reg.{register}.toggle"] += copies * (held ^ new).bit_count()
        held = new


def shift_down(ledger: Ledger, register: str, chain: list[int], incoming: list[int]) -> None:
    """Shift `incoming` into the top of a chain of registers, one value per cycle."""
    for value in incoming:
        moved = [value, *chain[:-1]]
        for old, new in zip(chain, moved, strict=True):
            ledger.flip(register, old, new)
        chain[:] = moved


def weight_stationary(
    arithmetic: Arithmetic, acts: list[list[Number]], weights: list[list[Number]], ledger: Ledger
) -> list[list[Number]]:
    spec, fmt, zero = arithmetic.spec, PE_FORMATS[arithmetic.spec.pe], arithmetic.zero
    m_size, k_size, n_size = len(acts), len(acts[0]), len(weights)
    y = [[zero] * n_size for _ in acts]
    chains = [[0] * spec.rows for _ in range(spec.cols)]
    for n0 in range(0, n_size, spec.cols):
        for k0 in range(0, k_size, spec.rows):
            ledger.cycles += spec.interval * (spec.rows + m_size + spec.rows + spec.cols - 1)
            for r in range(spec.rows):
                entering = [acts[m][k0 + r] if k0 + r < k_size else zero for m in range(m_size)]
                stream(arithmetic, ledger, "act", entering, fmt.act_bits, spec.cols)
            for c, chain in enumerate(chains):
                column = weights[n0 + c] if n0 + c < n_size else []
                patterns = [arithmetic.pattern(v, fmt.weight_bits) for v in padded(column, k0, spec.rows, zero)]
                shift_down(ledger, "weight", chain, patterns[::-1])
                if spec.between_tiles == "reset":
                    chain[:] = [0] * spec.rows
            for n in range(n0, min(n0 + spec.cols, n_size)):
                held = padded(weights[n], k0, spec.rows, zero)
                registers = [0] * spec.rows
                for m in range(m_size):
                    psum = zero
                    for r in range(spec.rows):
                        if k0 + r < k_size:
                            arithmetic.count_operation(ledger, held[r], first=k0 + r == 0)
                            psum, overflowed = arithmetic.multiply_add(psum, acts[m][k0 + r], held[r])
                            if overflowed:
                                ledger.counts["overflow.psum"] += 1
                                ledger.overflows.append((m, k0 + r, n))
                        new = arithmetic.pattern(psum, spec.acc_bits)
                        ledger.flip("psum", registers[r], new)
                        registers[r] = new
                    y[m][n], overflowed = arithmetic.accumulate(y[m][n], psum)
                    ledger.counts[f"acc.add.{spec.column_format}"] += 1
                    if overflowed:
                        ledger.counts["overflow.column"] += 1
                        ledger.overflows.append((m, k0, n))
                for last in registers:
                    ledger.flip("psum", last, 0)
    return y


def output_stationary(
    arithmetic: Arithmetic, acts: list[list[Number]], weights: list[list[Number]], ledger: Ledger
) -> list[list[Number]]:
    spec, fmt, zero = arithmetic.spec, PE_FORMATS[arithmetic.spec.pe], arithmetic.zero
    m_size, k_size, n_size = len(acts), len(acts[0]), len(weights)
    y = [[zero] * n_size for _ in acts]
    for m0 in range(0, m_size, spec.rows):
        for n0 in range(0, n_size, spec.cols):
            ledger.cycles += spec.interval * (k_size + spec.rows + spec.cols - 1 + spec.rows)
            tokens = range(m0, min(m0 + spec.rows, m_size))
            for m in tokens:
                stream(arithmetic, ledger, "act", acts[m], fmt.act_bits, spec.cols)
            for n in range(n0, min(n0 + spec.cols, n_size)):
                stream(arithmetic, ledger, "weight", weights[n], fmt.weight_bits, spec.rows)
                chain = [0] * spec.rows
                for m in tokens:
                    psum, register = zero, 0
                    for k in range(k_size):
                        before = weights[n][k - 1] if k else zero
                        arithmetic.count_operation(ledger, weights[n][k], first=k == 0, before=before)
                        psum, overflowed = arithmetic.multiply_add(psum, acts[m][k], weights[n][k])
                        if overflowed:
                            ledger.counts["overflow.psum"] += 1
                            ledger.overflows.append((m, k, n))
                        new = arithmetic.pattern(psum, spec.acc_bits)
                        ledger.flip("psum", register, new)
                        register = new
                    chain[m - m0] = register
                    y[m][n] = psum
                shift_down(ledger, "psum", chain, [0] * spec.rows)
    return y
