"""What the host adds to a matmul and to a forward pass: cycles and bits; see `bitsim.hw.host`."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from typing import Any

from bitsim.events import Events
from bitsim.hw.chip import Chip
from bitsim.hw.constants import Constant
from bitsim.hw.host import Burst, CallsSpec, WorkSpec
from bitsim.model.operators import Operator
from bitsim.schedule.homes import VALUE_BITS
from bitsim.schedule.matmul import Matmul
from bitsim.schedule.transfers import STEPS

HOST = "host"
TOKEN_BITS = 32  # a token id


def cycles_of(time: Constant, chip: Chip) -> Fraction:
    """A time in us or ns as cycles of the chip's clock."""
    per_ns = Fraction(repr(chip.clock.nominal)) * (1000 if time.unit == "us" else 1)
    return Fraction(repr(time.nominal)) * per_ns


class Calls:
    """The host's calls of the BitLinear datapath on one chip; `m`, `k`, `n`: int64 arrays of shapes, or integers."""

    def __init__(self, chip: Chip, spec: CallsSpec) -> None:
        self.spec = spec
        self._write, self._read = (-int(-cycles_of(burst.time, chip) * STEPS // 1) for burst in (spec.write, spec.read))

    def cycles(self, m: Any, k: Any, n: Any) -> Any:
        """What the host needs for all calls of a tile, rounded up."""
        spec = self.spec
        writes = _bursts(k, spec.k, spec.write) * -(-n // spec.n)
        reads = _bursts(n, spec.n, spec.read) * -(-k // spec.k)
        return -(-m * (writes * self._write + reads * self._read) // STEPS)

    def least(self, m: int, k: int, n: int) -> int:
        """What no tiling goes below: bursts that are full, in as few calls as there can be."""
        spec = self.spec
        writes, reads = -(-k // spec.write.values) * -(-n // spec.n), -(-n // spec.read.values) * -(-k // spec.k)
        return -(-m * (writes * self._write + reads * self._read) // STEPS)

    def of(self, matmul: Matmul, parts: Sequence[Sequence[int]]) -> tuple[int, Events]:
        """Cycles and bits of all tiles of a matmul; `parts`: M, K and N in tiles."""
        sizes = [Counter(sizes).items() for sizes in parts]
        cycles = writes = reads = 0
        for (m, times_m), (k, times_k), (n, times_n) in product(*sizes):
            times = times_m * times_k * times_n * matmul.repeat
            cycles += times * int(self.cycles(m, k, n))
            writes += times * m * k * -(-n // self.spec.n)
            reads += times * m * n * -(-k // self.spec.k)
        bits = {"host.write_bits": writes * matmul.act_bits, "host.read_bits": reads * matmul.sum_bits}
        return cycles, Events(bits)


def _bursts(values: Any, most: int, burst: Burst) -> Any:
    """Bursts for `values` numbers, in calls of at most `most`."""
    full, rest = values // most, values % most
    return full * -(-most // burst.values) + -(-rest // burst.values)


def launch_cycles(chip: Chip) -> int:
    """Cycles that pass before a matmul starts."""
    if chip.host is None or chip.host.matmul_latency is None:
        return 0
    return -int(-cycles_of(chip.host.matmul_latency, chip) // 1)


def step_exchange(chip: Chip, op: Operator) -> tuple[Events, int] | None:
    """Bits and cycles of what a step exchanges with its host; None: nothing.

    Token ids go in before the embedding, after the latency; the head's answers come out behind it.
    """
    if chip.host is None or chip.host.step is None:
        return None
    step = chip.host.step
    if op.kind == "embedding":
        event, bits, latency = "host.write_bits", op.m * TOKEN_BITS, cycles_of(step.latency, chip)
    elif op.kind == "head":
        answer = TOKEN_BITS if step.returns == "token" else op.n * VALUE_BITS
        event, bits, latency = "host.read_bits", op.m * answer, Fraction(0)
    else:
        return None
    per_cycle = Fraction(repr(step.bandwidth.nominal)) * 8 / Fraction(repr(chip.clock.nominal))
    return Events({event: bits}), -int(-(latency + bits / per_cycle) // 1)


def worked_on(chip: Chip, op: Operator) -> tuple[int, int] | None:
    """What the host computes of an operator in place of the chip: values (MACs of a matmul), and steps of its time.

    A cycle has `STEPS` of them. None: the chip computes it.
    """
    if chip.host is None or op.kind == "linear" or op.kind == "host" or op.kind not in chip.host.work:
        return None
    rows, values = rows_and_values(op)
    return values, _work_steps(chip, chip.host.work[op.kind], rows, values)


def _work_steps(chip: Chip, spec: WorkSpec, rows: int, values: int) -> int:
    """Each time is rounded up to a step, so that the sum grows evenly with rows and values."""
    parts = ((spec.call, 1), (spec.row, rows), (spec.value, values))
    return sum(-int(-cycles_of(time, chip) * STEPS // 1) * times for time, times in parts if time is not None)


def rows_and_values(op: Operator) -> tuple[int, int]:
    """The rows of an operator, and the values that it writes or only reads, or the MACs of a matmul."""
    if op.is_matmul:
        return op.m * op.repeat, op.macs
    return op.rows, sum(tensor.values for tensor in op.writes or op.reads)
