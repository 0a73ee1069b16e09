"""The twin of the popcount array: every gate's word, counter and register, cycle by cycle."""

from bitsim.datapath.base import Array
from bitsim.datapath.formats import integer_operand
from bitsim.datapath.reference.common import Ledger, Outcome, Register, in_order, in_pairs, in_tiles, limit
from bitsim.hw.datapaths.popcount import PopcountSpec

# Binary: the bit says that the value is 1. Ternary: bit 0 says that it is not 0, bit 1 that it is negative.
CODES = {"binary": {-1: 0, 1: 1}, "ternary": {0: 0b00, 1: 0b01, -1: 0b11}}


def run(x: Array, w: Array, spec: PopcountSpec) -> Outcome:
    """One matmul on the array."""
    zero = spec.operands == "ternary"
    acts, weights = (in_order(integer_operand(name, v, -1, 1, zero=zero)) for name, v in (("x", x), ("w", w)))
    written = spec.code_bits * len(weights) * len(weights[0])
    return in_tiles(acts, weights, spec.cols, spec, run_tile, written)


def run_tile(
    acts: list[list[int]],
    weights: list[list[int]],
    columns: range,
    spec: PopcountSpec,
    ledger: Ledger,
    y: list[list[int]],
) -> None:
    """One output per column, from reset until all registers are back at zero."""
    codes = CODES[spec.operands]
    inputs = [Register(ledger, "act", spec.code_bits) for _ in range(spec.lanes)]
    held = {n: [Register(ledger, "weight", spec.code_bits) for _ in range(spec.lanes)] for n in columns}
    used = min(spec.tokens, len(acts))
    accumulators = {(i, n): Register(ledger, "psum", spec.acc_bits) for i in range(used) for n in columns}
    for m0 in range(0, len(acts), spec.tokens):
        for k0 in range(0, len(acts[0]), spec.lanes):
            for n in columns:
                entering = [codes[weight] for weight in weights[n][k0 : k0 + spec.lanes]]
                load(held[n], entering, ledger)
                ledger.moved["weight_reads"] += spec.code_bits * len(entering)
            for m in range(m0, min(m0 + spec.tokens, len(acts))):
                ledger.cycles += 1
                entering = [codes[act] for act in acts[m][k0 : k0 + spec.lanes]]
                load(inputs, entering, ledger)
                ledger.moved["act_reads"] += spec.code_bits * len(entering)
                for n in columns:
                    total = products(inputs, held[n], len(entering), spec, ledger)
                    before = y[m][n] if k0 else 0
                    y[m][n], overflowed = limit(before + total, spec.acc_bits, spec.overflow)
                    count_adder(spec.acc_bits, spec, ledger)
                    take(accumulators[m - m0, n], y[m][n], ledger)
                    if overflowed:
                        ledger.counts["overflow.acc"] += 1
                        ledger.overflows.append((m, k0, n))
    load(inputs, [], ledger)
    for n in columns:
        load(held[n], [], ledger)
    for accumulator in accumulators.values():
        take(accumulator, 0, ledger)
    ledger.cycles += 2  # fill the operand registers, hand over the sums
    ledger.moved["psum_writes"] += len(acts) * len(columns) * spec.acc_bits


def products(acts: list[Register], weights: list[Register], valid: int, spec: PopcountSpec, ledger: Ledger) -> int:
    """The sum of the products of the first `valid` lanes, by counting ones."""
    pairs = [(act.held, weight.held) for act, weight in zip(acts, weights, strict=True)]
    if spec.operands == "binary":
        agreeing = [int(act == weight and lane < valid) for lane, (act, weight) in enumerate(pairs)]
        total = 2 * count_ones(agreeing, spec, ledger) - valid
    else:
        both = [act & weight & 1 for act, weight in pairs]
        differing = [(act ^ weight) >> 1 for act, weight in pairs]
        plus = [nonzero & (1 - sign) for nonzero, sign in zip(both, differing, strict=True)]
        minus = [nonzero & sign for nonzero, sign in zip(both, differing, strict=True)]
        total = count_ones(plus, spec, ledger) - count_ones(minus, spec, ledger)
    count_adder(spec.levels + 2, spec, ledger)
    return total


def count_ones(nodes: list[int], spec: PopcountSpec, ledger: Ledger) -> int:
    """A tree of adders over single bits."""
    bits = 1
    while len(nodes) > 1:
        bits += 1
        count_adder(len(nodes) // 2 * bits, spec, ledger)
        nodes = in_pairs(nodes)
        assert max(nodes).bit_length() <= bits
    return nodes[0]


def count_adder(bits: int, spec: PopcountSpec, ledger: Ledger) -> None:
    ledger.counts[f"popcount.depth{spec.depth}.add_bits"] += bits


def load(registers: list[Register], codes: list[int], ledger: Ledger) -> None:
    """Lanes take their codes, those beyond K zeros."""
    for i, register in enumerate(registers):
        take(register, codes[i] if i < len(codes) else 0, ledger)


def take(register: Register, value: int, ledger: Ledger) -> None:
    register.take(value)
    ledger.counts["reg.clock"] += register.bits
