"""Models to compare with, slow and obvious: unlimited integers, a stated accumulator, the twin of a datapath."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from bitsim.datapath.accumulation import WHOLE_ROW, Accumulation, Register
from bitsim.datapath.base import Array
from bitsim.datapath.reference.common import Ledger, Outcome, limit
from bitsim.hw.datapaths import DatapathDescription
from bitsim.hw.datapaths.base import OverflowMode
from bitsim.testing.design import Design


def accumulator(bits: int, overflow: OverflowMode = "wrap", *, lanes: int = 1) -> Accumulation:
    """An accumulator of `bits` bits that takes the exact sum of `lanes` products at a time and wraps or saturates.

    For two accumulators in a row build an `Accumulation` with `inner` and `outer`.
    """
    return Accumulation(group=lanes, inner=None, outer=Register(name="acc", bits=bits), overflow=overflow)


def reference(how: Accumulation | DatapathDescription | None = None) -> Design:
    """The model of a design: what `execute` must give.

    * None: the int64 matmul.
    * an `Accumulation` (see `accumulator`): sums group by group in registers of its widths, in order of k; overflows as
      events `overflow.*` and the first of them at its (m, k, n): the first k of its group.
    * a description of a datapath (`load_chip(...).bitlinear`): its twin, with all events and cycles.
    """
    if how is None:
        return _Exact()
    return _Stepwise(how) if isinstance(how, Accumulation) else _Twin(how)


@dataclass(frozen=True, slots=True)
class _Answer:
    y: Array


@dataclass(frozen=True, slots=True)
class _Exact:
    def execute(self, x_q: Array, w: Array) -> _Answer:
        return _Answer(x_q.astype(np.int64) @ w.astype(np.int64).T)


@dataclass(frozen=True, slots=True)
class _Answered:
    """A stepwise sum tells no cycles."""

    y: Array
    events: Any
    first_overflow: Any


@dataclass(frozen=True, slots=True)
class _Stepwise:
    how: Accumulation

    def execute(self, x_q: Array, w: Array) -> _Answered:
        ledger = Ledger()
        y = [[self._sum(ledger, x_q.tolist(), w.tolist(), m, n) for n in range(len(w))] for m in range(len(x_q))]
        done = ledger.outcome(y)
        return _Answered(done.y, done.events, done.first_overflow)

    def _sum(self, ledger: Ledger, acts: list[list[int]], weights: list[list[int]], m: int, n: int) -> int:
        """One output; each register takes sums one by one."""

        def put(register: Register | None, total: int, k: int) -> int:
            if register is None:
                return total
            held, lost = limit(total, register.bits, self.how.overflow)
            if lost:
                ledger.counts[f"overflow.{register.name}"] += 1
                ledger.overflows.append((m, k, n))
            return held

        total, depth = 0, len(acts[m])
        for k0 in range(0, depth, min(self.how.group, WHOLE_ROW)):
            inner = 0
            for k in range(k0, min(k0 + self.how.group, depth)):
                inner = put(self.how.inner, inner + acts[m][k] * weights[n][k], k)
            total = put(self.how.outer, total + inner, k0)
        return total


@dataclass(frozen=True, slots=True)
class _Twin:
    spec: DatapathDescription

    def execute(self, x_q: Array, w: Array) -> Outcome:
        module = import_module(f"bitsim.datapath.reference.{self.spec.kind}")
        done: Outcome = module.run(x_q, w, self.spec)
        return done
