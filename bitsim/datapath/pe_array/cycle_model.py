"""The golden model: the PE array register by register, stepped clock by clock, as RTL would be.

It knows nothing of closed forms: edges are driven cycle by cycle, every register's next value is computed from the
present ones, and toggles, clocked bits and cycles are counted while it runs. One tile at a time, as a plan calls it.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from bitsim.datapath.base import Array
from bitsim.datapath.formats import PE_FORMATS
from bitsim.datapath.reference.pe_array import Arithmetic, Number, padded
from bitsim.datapath.tiles import Call, Tiles
from bitsim.events import Events
from bitsim.hw.datapaths import PEArraySpec

Grid = list[list[Number]]


@dataclass
class SteppedArray:
    """Registers of an R x C array after reset: activation, weight and sum of each PE, and which hold valid values."""

    arithmetic: Arithmetic
    counts: Counter[str] = field(default_factory=Counter)
    cycles: int = 0

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """All registers are at 0 at once, which is no toggle."""
        spec = self.arithmetic.spec
        zeros = [[self.arithmetic.zero] * spec.cols for _ in range(spec.rows)]
        self.act, self.weight, self.psum = ([row.copy() for row in zeros] for _ in range(3))
        self.act_valid, self.weight_valid = ([[False] * spec.cols for _ in range(spec.rows)] for _ in range(2))

    def latch(self, register: str, old: Grid, new: Grid, bits: int, clocked: list[list[bool]]) -> None:
        """Count the toggles from `old` to `new` and the register bits that the clock reaches in this cycle."""
        spec = self.arithmetic.spec
        for r, row in enumerate(new):
            for c, value in enumerate(row):
                before, after = (self.arithmetic.pattern(v, bits) for v in (old[r][c], value))
                self.counts[f"reg.{register}.toggle"] += (before ^ after).bit_count()
                if clocked[r][c]:
                    # Gated registers are clocked once in a slow step, others in all of its cycles.
                    self.counts["reg.clock"] += bits * (1 if spec.clock_gating else spec.interval)
                elif before != after:
                    raise AssertionError(f"{register} register ({r}, {c}) changes while its clock is gated")

    def step(
        self, *, acts: list[Number | None], weights: list[Number | None] | None, shift: bool, shift_psums: bool = False
    ) -> None:
        """One clock. `acts`: what enters row r from the left (None: a bubble); `weights`: what enters column c.

        `shift`: weights move down by one row. `shift_psums`: sums move down by one row and nothing is computed.
        """
        spec, zero = self.arithmetic.spec, self.arithmetic.zero
        fmt = PE_FORMATS[spec.pe]
        stationary = spec.dataflow == "weight_stationary"
        a_in = [[acts[r] if c == 0 else self._sent(r, c - 1) for c in range(spec.cols)] for r in range(spec.rows)]
        arriving = weights or [None] * spec.cols
        w_in = [[arriving[c] if r == 0 else self._held(r - 1, c) for c in range(spec.cols)] for r in range(spec.rows)]
        act = [[zero if a is None else a for a in row] for row in a_in]
        act_valid = [[a is not None for a in row] for row in a_in]
        weight, weight_valid = self.weight, self.weight_valid
        if shift:
            weight = [[zero if w is None else w for w in row] for row in w_in]
            weight_valid = [[w is not None for w in row] for row in w_in]
        psum = [row.copy() for row in self.psum]
        for r in range(spec.rows):
            for c in range(spec.cols):
                if shift_psums:
                    psum[r][c] = self.psum[r - 1][c] if r else zero
                elif stationary:
                    above = self.psum[r - 1][c] if r else zero
                    psum[r][c] = self.arithmetic.multiply_add(above, act[r][c], self.weight[r][c])[0]
                elif a_in[r][c] is not None:
                    psum[r][c] = self.arithmetic.multiply_add(self.psum[r][c], act[r][c], weight[r][c])[0]
        always = not spec.clock_gating
        moving = [
            [always or n or o for n, o in zip(*rows, strict=True)]
            for rows in zip(act_valid, self.act_valid, strict=True)
        ]
        loading = [
            [always or (shift and (stationary or n or o)) for n, o in zip(*rows, strict=True)]
            for rows in zip(weight_valid, self.weight_valid, strict=True)
        ]
        summing = moving if stationary else [[always or shift_psums or v for v in row] for row in act_valid]
        self.latch("act", self.act, act, fmt.act_bits, moving)
        self.latch("weight", self.weight, weight, fmt.weight_bits, loading)
        self.latch("psum", self.psum, psum, spec.acc_bits, summing)
        self.act, self.act_valid, self.psum = act, act_valid, psum
        self.weight, self.weight_valid = weight, weight_valid
        self.cycles += spec.interval

    def _sent(self, r: int, c: int) -> Number | None:
        return self.act[r][c] if self.act_valid[r][c] else None

    def _held(self, r: int, c: int) -> Number | None:
        return self.weight[r][c] if self.weight_valid[r][c] else None


def delayed(values: list[Number], t: int, delay: int) -> Number | None:
    """What enters an edge at cycle `t` when its stream starts `delay` cycles late."""
    return values[t - delay] if 0 <= t - delay < len(values) else None


def run_array(x: Array, w: Array, spec: PEArraySpec, tiles: Tiles | None = None) -> tuple[Array, Events, int]:
    """Outputs (M, N), register events (toggles and clocked bits) and cycles, all of them stepped.

    `tiles`: the calls of the array, each of which falls into tiles of its own size; None: one call.
    """
    arithmetic = Arithmetic(spec)
    acts, weights = arithmetic.operand("x", x), arithmetic.operand("w", w)
    run = weight_stationary if spec.dataflow == "weight_stationary" else output_stationary
    array = SteppedArray(arithmetic)
    y: Grid = [[arithmetic.zero] * len(weights) for _ in acts]
    for call in (tiles or Tiles.whole(len(acts), len(acts[0]), len(weights))).walk():
        run(array, acts, weights, call, y)
    return np.array(y, np.float32 if arithmetic.floats else np.int64), Events(array.counts), array.cycles


def weight_stationary(array: SteppedArray, acts: Grid, weights: Grid, call: Call, y: Grid) -> None:
    """One call: its sums are added to `y` in the accumulators below the columns."""
    arithmetic, spec, zero = array.arithmetic, array.arithmetic.spec, array.arithmetic.zero
    rows, cols, tokens = spec.rows, spec.cols, acts[call.m]
    for n0 in range(call.n.start, call.n.stop, cols):
        used = range(n0, min(n0 + cols, call.n.stop))
        for k0 in range(call.k.start, call.k.stop, rows):
            if spec.between_tiles == "reset":
                array.reset()
            columns = [padded(weights[n][: call.k.stop], k0, rows, zero) for n in used]
            columns += [[zero] * rows] * (cols - len(columns))
            streams = [[padded(row[: call.k.stop], k0, rows, zero)[r] for row in tokens] for r in range(rows)]
            for t in range(rows):
                array.step(acts=[None] * rows, weights=[column[rows - 1 - t] for column in columns], shift=True)
            for t in range(len(tokens) + rows + cols - 1):
                array.step(acts=[delayed(streams[r], t, r) for r in range(rows)], weights=None, shift=False)
                for c, n in enumerate(used):
                    m = t - (rows - 1) - c
                    if 0 <= m < len(tokens):
                        token = call.m.start + m
                        y[token][n] = arithmetic.accumulate(y[token][n], array.psum[rows - 1][c])[0]


def output_stationary(array: SteppedArray, acts: Grid, weights: Grid, call: Call, y: Grid) -> None:
    """One call: its sums stay in the array, or they are shifted out and added to `y` in the width of a PE's sum."""
    arithmetic, spec, zero = array.arithmetic, array.arithmetic.spec, array.arithmetic.zero
    rows, cols = spec.rows, spec.cols
    for m0 in range(call.m.start, call.m.stop, rows):
        for n0 in range(call.n.start, call.n.stop, cols):
            streams = [row[call.k] for row in acts[m0 : min(m0 + rows, call.m.stop)]]
            columns = [row[call.k] for row in weights[n0 : min(n0 + cols, call.n.stop)]]
            tokens, used = range(m0, m0 + len(streams)), range(n0, n0 + len(columns))
            depth = call.k.stop - call.k.start
            columns += [[zero] * depth] * (cols - len(columns))
            for t in range(depth + rows + cols - 1):
                entering = [delayed(row, t, r) for r, row in enumerate(streams)]
                array.step(
                    acts=entering + [None] * (rows - len(entering)),
                    weights=[delayed(columns[c], t, c) for c in range(cols)],
                    shift=True,
                )
            for d in range(0 if call.stays else rows):
                m = m0 + rows - 1 - d
                for c, n in enumerate(used):
                    if m in tokens:
                        y[m][n] = arithmetic.join(y[m][n], array.psum[rows - 1][c])
                array.step(acts=[None] * rows, weights=None, shift=False, shift_psums=True)
