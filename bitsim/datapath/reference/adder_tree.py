"""The twin of the adder tree: every lane, adder, register and carry, cycle by cycle."""

from itertools import pairwise

from bitsim.datapath.base import Array
from bitsim.datapath.formats import integer_operand
from bitsim.datapath.reference.common import Ledger, Outcome, Register, in_order, in_tiles, limit
from bitsim.hw.datapaths.adder_tree import AdderTreeSpec

WEIGHT_CODES = {0: 0b00, 1: 0b01, -1: 0b11}  # bit 0 passes the activation on, bit 1 inverts it
Node = tuple[int, int]  # a sum and the carry that is still to be added to it


class Tree:
    """One tree with its weight, pipeline and accumulator registers."""

    def __init__(self, spec: AdderTreeSpec, ledger: Ledger) -> None:
        self.spec, self.ledger = spec, ledger
        self.weights = [Register(ledger, "weight", 2) for _ in range(spec.lanes)]
        self.ranks = {
            level: [Register(ledger, f"tree{level}", 8 + level + 1) for _ in range(-(-spec.lanes // 2**level))]
            for level in spec.ranks
        }
        self.accumulators = [Register(ledger, "psum", spec.acc_bits) for _ in range(spec.tokens)]

    def load(self, weights: list[int]) -> None:
        for register, weight in zip(self.weights, weights, strict=True):
            register.take(WEIGHT_CODES[weight])
            self.clock(2)

    def clock(self, bits: int) -> None:
        if self.spec.clock_gating:
            self.ledger.counts["reg.clock"] += bits

    def pass_rank(self, level: int, nodes: list[Node]) -> None:
        if level in self.ranks:
            for register, (value, carry) in zip(self.ranks[level], nodes, strict=True):
                register.take((value << 1) | carry)
                self.clock(register.bits)

    def add_up(self, acts: list[int]) -> Node:
        """The sum of the lanes, each one passed on, inverted or blocked by its weight, and the last carry."""
        codes = [register.held for register in self.weights]
        nodes: list[Node] = [
            (0 if code == 0 else ~act if code >> 1 else act, code >> 1) for act, code in zip(acts, codes, strict=True)
        ]
        for level in range(1, self.spec.levels + 1):
            # An adder has one carry input: its left child's carry is added, its right child's waits for the next one.
            # A node without a partner passes on.
            alone = nodes[len(nodes) // 2 * 2 :]
            pairs = [(nodes[i], nodes[i + 1]) for i in range(0, len(nodes) - 1, 2)]
            nodes = [(left + right + carry, waiting) for (left, carry), (right, waiting) in pairs] + alone
            assert all(-(1 << (7 + level)) <= value < 1 << (7 + level) for value, _ in nodes)
            self.count_bits(level, len(pairs) * (8 + level))
            self.pass_rank(level, nodes)
        self.count_bits(self.spec.levels + 1, self.spec.acc_bits)
        return nodes[0]

    def count_bits(self, level: int, bits: int) -> None:
        """Book the adders of a level under the number of adders in a row that its pipeline stage has."""
        edges = [0, *self.spec.ranks, self.spec.levels + 1]
        depth = next(end - start for start, end in pairwise(edges) if start < level <= end)
        self.ledger.counts[f"tree.depth{depth}.add_bits"] += bits


def run(x: Array, w: Array, spec: AdderTreeSpec) -> Outcome:
    """One matmul on the trees."""
    acts, weights = in_order(integer_operand("x", x, -128, 127)), in_order(integer_operand("w", w, -1, 1))
    written = 2 * len(weights) * len(weights[0])
    return in_tiles(acts, weights, spec.trees, spec, run_tile, written)


def run_tile(
    acts: list[list[int]],
    weights: list[list[int]],
    columns: range,
    spec: AdderTreeSpec,
    ledger: Ledger,
    y: list[list[int]],
) -> None:
    """One output column per tree, from reset until all registers are back at zero."""
    trees = {n: Tree(spec, ledger) for n in columns}
    inputs = [Register(ledger, "act", 8) for _ in range(spec.lanes)]
    start = ledger.cycles
    for m0 in range(0, len(acts), spec.tokens):
        for k0 in range(0, len(acts[0]), spec.lanes):
            for n, tree in trees.items():
                tree.load(lanes_of(weights[n], k0, spec.lanes))
                ledger.moved["weight_reads"] += 2 * len(weights[n][k0 : k0 + spec.lanes])
            for m in range(m0, min(m0 + spec.tokens, len(acts))):
                ledger.cycles += spec.interval
                ledger.moved["act_reads"] += 8 * len(acts[m][k0 : k0 + spec.lanes])
                entering = lanes_of(acts[m], k0, spec.lanes)
                for register, act in zip(inputs, entering, strict=True):
                    register.take(act)
                    ledger.counts["reg.clock"] += 8 * spec.clock_gating
                for n, tree in trees.items():
                    value, carry = tree.add_up(entering)
                    before = y[m][n] if k0 else 0
                    y[m][n], overflowed = limit(before + value + carry, spec.acc_bits, spec.overflow)
                    tree.accumulators[m - m0].take(y[m][n])
                    tree.clock(spec.acc_bits)
                    if overflowed:
                        ledger.counts["overflow.acc"] += 1
                        ledger.overflows.append((m, k0, n))
    drain(trees, inputs, spec, ledger, used=min(spec.tokens, len(acts)))
    ledger.cycles += spec.interval * (1 + spec.pipeline + 1)  # fill the operands, pass the ranks, hand over the sums
    ledger.moved["psum_writes"] += len(acts) * len(trees) * spec.acc_bits
    if not spec.clock_gating:
        bits = 8 * spec.lanes
        for _ in range(spec.trees):
            tree = Tree(spec, Ledger())
            registers = [*tree.weights, *tree.accumulators, *(r for rank in tree.ranks.values() for r in rank)]
            bits += sum(register.bits for register in registers)
        ledger.counts["reg.clock"] += bits * (ledger.cycles - start)


def drain(trees: dict[int, Tree], inputs: list[Register], spec: AdderTreeSpec, ledger: Ledger, used: int) -> None:
    """Zeros follow the last operands through all registers, and the accumulators are cleared."""
    for register in inputs:
        register.take(0)
        ledger.counts["reg.clock"] += 8 * spec.clock_gating
    for tree in trees.values():
        tree.load([0] * spec.lanes)
        for level in spec.ranks:
            tree.pass_rank(level, [(0, 0)] * len(tree.ranks[level]))
        for accumulator in tree.accumulators[:used]:
            accumulator.take(0)
            tree.clock(spec.acc_bits)


def lanes_of(row: list[int], k0: int, lanes: int) -> list[int]:
    """`row[k0 : k0 + lanes]`, filled up with zeros."""
    part = row[k0 : k0 + lanes]
    return part + [0] * (lanes - len(part))
