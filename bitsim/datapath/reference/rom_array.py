"""The twin of the computing ROM: every bank, word, register and gate, cycle by cycle."""

from bitsim.datapath.base import Array
from bitsim.datapath.formats import integer_operand
from bitsim.datapath.reference.common import Ledger, Outcome, Register, in_order, limit, paper_additions
from bitsim.hw.datapaths.rom_array import RomArraySpec


class Bank:
    """An awake bank: the words of one slice of K and one tile of outputs."""

    def __init__(self, spec: RomArraySpec, ledger: Ledger, words: list[list[int]], k0: int) -> None:
        self.spec, self.ledger, self.words, self.k0 = spec, ledger, words, k0
        self.act = Register(ledger, "act", 8)
        self.accumulators = [Register(ledger, "psum", spec.acc_bits) for _ in words[0]]
        self.values = [0] * len(words[0])
        ledger.counts["rom.wakes"] += 1

    def read(self, r: int, act: int, m: int, n0: int) -> None:
        """One cycle: word `r` meets an activation of token `m`."""
        self.ledger.moved["act_reads"] += 8
        if act == 0 and self.spec.zero_gating:
            return
        self.act.take(act)
        self.ledger.counts["reg.gated.clock"] += 8
        for c, weight in enumerate(self.words[r]):
            self.ledger.counts["rom.read_bits"] += 2
            if weight == 0:
                self.ledger.counts["gate.closed"] += 1
                continue
            self.ledger.counts[f"pe.{self.spec.unit}.{'add' if weight == 1 else 'sub'}"] += 1
            product = act if weight == 1 else -act
            self.values[c], overflowed = limit(self.values[c] + product, self.spec.acc_bits, self.spec.overflow)
            if overflowed:
                self.ledger.counts["overflow.psum"] += 1
                self.ledger.overflows.append((m, self.k0 + r, n0 + c))
            self.accumulators[c].take(self.values[c])
            self.ledger.counts["reg.gated.clock"] += self.spec.acc_bits

    def hand_over(self) -> list[int]:
        """The sums of a token; the accumulators are cleared."""
        sums, self.values = self.values, [0] * len(self.values)
        for accumulator in self.accumulators:
            accumulator.take(0)
            self.ledger.counts["reg.clock"] += self.spec.acc_bits
        return sums

    def sleep(self) -> None:
        self.act.take(0)
        self.ledger.counts["reg.clock"] += 8


def run(x: Array, w: Array, spec: RomArraySpec) -> Outcome:
    """One matmul on the banks."""
    acts, weights = in_order(integer_operand("x", x, -128, 127)), in_order(integer_operand("w", w, -1, 1))
    ledger = Ledger()
    y = [[0] * len(weights) for _ in acts]
    for n0 in range(0, len(weights), spec.cols):
        columns = weights[n0 : n0 + spec.cols]
        starts = range(0, len(acts[0]), spec.rows)
        for i in range(0, len(starts), spec.banks):
            run_round(acts, columns, n0, list(starts[i : i + spec.banks]), spec, ledger, y)
    paper_additions(ledger, len(acts), len(acts[0]), len(weights))
    return ledger.outcome(y)


def run_round(
    acts: list[list[int]],
    columns: list[list[int]],
    n0: int,
    starts: list[int],
    spec: RomArraySpec,
    ledger: Ledger,
    y: list[list[int]],
) -> None:
    """All tokens through the banks whose slices begin at `starts`, from waking them until they sleep."""
    slices = [
        [list(word) for word in zip(*(row[k0 : k0 + spec.rows] for row in columns), strict=True)] for k0 in starts
    ]
    banks = [Bank(spec, ledger, words, k0) for words, k0 in zip(slices, starts, strict=True)]
    cycles = spec.wake_cycles + 1
    for m, row in enumerate(acts):
        for r in range(max(len(bank.words) for bank in banks)):
            cycles += 1
            for bank in banks:
                if r < len(bank.words):
                    bank.read(r, row[bank.k0 + r], m, n0)
        for bank in banks:
            cycles += 1
            for c, value in enumerate(bank.hand_over()):
                total, overflowed = limit(y[m][n0 + c] + value, spec.column_acc_bits, spec.overflow)
                y[m][n0 + c] = total
                ledger.counts[f"acc.add.{spec.column_format}"] += 1
                if overflowed:
                    ledger.counts["overflow.column"] += 1
                    ledger.overflows.append((m, bank.k0, n0 + c))
        for moved in ("psum_writes", "psum_reads"):  # read by the next round, and by the vector unit after the last
            ledger.moved[moved] += len(columns) * spec.column_acc_bits
    for bank in banks:
        bank.sleep()
    ledger.cycles += cycles
    ledger.counts["rom.awake_bank_cycles"] += cycles * len(banks)
