"""The twin of bitnet.cpp's CPU kernels: every vector instruction, on lists of lanes. I2_S here, tables in `cpu_tables`.

A machine counts each instruction as it is executed. Casts, constants, zeros and what is no vector instruction cost
nothing.
"""

from math import ceil

from bitsim.datapath.base import Array
from bitsim.datapath.formats import integer_operand
from bitsim.datapath.reference import cpu_tables
from bitsim.datapath.reference.common import Ledger, Outcome, in_order, limit, paper_additions
from bitsim.datapath.reference.cpu_machine import Machine, filled
from bitsim.hw.datapaths.cpu_simd import CpuSimdSpec


def run(x: Array, w: Array, spec: CpuSimdSpec) -> Outcome:
    """One matmul on one core, or on several, of which the first has as many rows as any."""
    low = -127 if spec.tables else -128
    acts, weights = in_order(integer_operand("x", x, low, 127)), in_order(integer_operand("w", w, -1, 1))
    k, n, ledger = len(acts[0]), len(weights), Ledger()
    padded_acts = [filled(row, spec.step_k) for row in acts]
    padded = [filled(row, spec.step_k) for row in weights]
    while len(padded) % spec.block_n:
        padded.append([0] * len(padded[0]))
    machine = Machine(spec.isa, ledger)
    if spec.tables:
        packed = cpu_tables.Packed(padded, spec)
        ledger.moved["weight_writes"] = packed.bits
        y = [cpu_tables.run_token(row, packed, spec, machine)[:n] for row in padded_acts]
    else:
        ledger.moved["weight_writes"] = 2 * n * len(padded[0])
        y = [
            [i2s_dot(machine, q, row, (m, j)) - sum(q) for j, row in enumerate(padded)]
            for m, q in enumerate(padded_acts)
        ]
        ledger.moved["psum_writes"] = 32 * len(acts) * n
    ledger.moved["psum_reads"] += 32 * len(acts) * n  # by what rescales them
    paper_additions(ledger, len(acts), k, n)
    executed = sum(count for event, count in ledger.counts.items() if event.startswith("simd."))
    ledger.cycles = ceil(executed / spec.instructions_per_cycle.nominal)
    if spec.threads > 1:
        blocks = len(range(0, len(padded), spec.block_n))
        rows = spec.block_n * max(len(range(core, blocks, spec.threads)) for core in range(spec.threads))
        ledger.cycles = run(x, w[:rows], spec.model_copy(update={"threads": 1})).cycles
    return ledger.outcome(y)


def i2s_dot(machine: Machine, q: list[int], w: list[int], at: tuple[int, int]) -> int:
    """The kernel's sum of `(w + 1) * q`; a wrapped lane is booked for the output `at` = (m, n)."""
    width = 32 if machine.isa == "avx2" else 16
    block, total = 4 * width, [0] * (width // 4)
    for start in range(0, len(q), 32 * block):
        lanes, exact = [0] * (width // 2), [0] * (width // 2)
        for k0 in range(start, min(start + 32 * block, len(q)), block):
            add_block(machine, q[k0 : k0 + block], w[k0 : k0 + block], lanes, exact)
        for kept, whole in zip(lanes, exact, strict=True):
            if kept != whole:
                machine.ledger.counts["overflow.lane"] += 1
                machine.ledger.overflows.append((at[0], start, at[1]))
        if machine.isa == "avx2":
            pairs = machine.does("madd", [lanes[2 * i] + lanes[2 * i + 1] for i in range(8)])
            total = machine.does("add_int32", [a + b for a, b in zip(total, pairs, strict=True)])
        else:
            for half in (lanes[:4], lanes[4:]):
                wide = machine.does("widen", half)
                total = machine.does("add_int32", [a + b for a, b in zip(total, wide, strict=True)])
    if machine.isa == "neon":
        return machine.does("sum_across", [sum(total)])[0]
    high = machine.does("extract", total[4:])
    four = machine.does("add_int32", [a + b for a, b in zip(total[:4], high, strict=True)])
    upper = machine.does("unpack", four[2:])
    two = machine.does("add_int32", [a + b for a, b in zip(four[:2], upper, strict=True)])
    odd = machine.does("shuffle", two[1:])
    return machine.does("move", machine.does("add_int32", [two[0] + odd[0]]))[0]


def add_block(machine: Machine, q: list[int], w: list[int], lanes: list[int], exact: list[int]) -> None:
    """Four registers of codes times four of activations, added to the int16 lanes; `exact`: what they should hold."""
    width = len(q) // 4
    stored = [
        (w[p] + 1) << 6 | (w[p + width] + 1) << 4 | (w[p + 2 * width] + 1) << 2 | (w[p + 3 * width] + 1)
        for p in range(width)
    ]
    read = machine.load(stored, 8, "weight_reads")
    shifted = [machine.does("shift", [byte >> s for byte in read]) for s in (6, 4, 2)] + [read]
    products = []
    for g, register in enumerate(shifted):
        codes = machine.does("and", [byte & 3 for byte in register])
        acts = machine.load(q[g * width : (g + 1) * width], 8, "act_reads")
        each = [c * a for c, a in zip(codes, acts, strict=True)]
        if machine.isa == "avx2":
            products.append(machine.does("maddubs", [each[2 * i] + each[2 * i + 1] for i in range(width // 2)]))
            continue
        for half in (each[: width // 2], each[width // 2 :]):
            lanes[:] = machine.does("mlal", [limit(a + b, 16, "wrap")[0] for a, b in zip(lanes, half, strict=True)])
            exact[:] = [a + b for a, b in zip(exact, half, strict=True)]
    for first in range(0, len(products), 2):
        pair = machine.does("add_int16", [a + b for a, b in zip(*products[first : first + 2], strict=True)])
        lanes[:] = machine.does("add_int16", [limit(a + b, 16, "wrap")[0] for a, b in zip(lanes, pair, strict=True)])
        exact[:] = [a + b for a, b in zip(exact, pair, strict=True)]
