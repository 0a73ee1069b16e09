"""Sparse array: lanes that take only the non-zero activations of their slices of K, and outputs that are left out.

    an interval of L x D activations, read from their buffer; every lane holds a slice of D of them (here D = 8)

    lane 0    5  0  0 -3  0  0  7  1      lane 1    0  0  0  0  0  9  0  0      ...      lane L - 1
              [--window--]                          [--window--]       a window of `lookahead` H = 4
              first non-zero: 5 at k = 0            nothing: the window moves on by H, a bubble
              |  pick register (8 bits)             |
              |                                     |
              |  k addresses the weight buffer: one ternary weight per column
              v                                     v
         w ->[+-0] column 0                    w ->[+-0] column 0    sign-selecting adder and a sum for each lane and
         w ->[+-0] column 1                    w ->[+-0] column 1    column; a sum over a slice can't overflow: it has
           ...   column C - 1                    ...                 as many bits as D activations need
              |                                     |
              +----------------( + )----------------+----- tree over the L lanes of a column, once per interval
                                 |
                      acc ---> ( + )   `acc_bits` per column, wraps or saturates (`overflow.acc`, at the interval's k)

Every cycle each lane looks at the next H activations of its slice and takes the first that is not zero; if there is
none it drops all H. Lanes wait for each other at the end of each interval: it lasts as long as its slowest lane, and
at least ceil(D / H) cycles. So what zeros save is simulated and not averaged: one full slice undoes what the others
save. Small D costs more waiting, large D wider sums; H = 1 skips nothing.

Outputs that are not needed (`live`: up_proj where a4.8 computes the gate first) are not computed. A tile has C x E
outputs; column c has numbers c, c + C, ... of them, which take turns. A token passes the tile once per turn, and there
are as many turns as the column with the most needed outputs has: imbalance again. With E = 1 a token passes unless
all C outputs are dead. A dead output is 0; a tile without a needed output is passed over.

Order of work: tile after tile, token after token, turn after turn, interval after interval. A tile takes its intervals'
cycles and three more: operand registers, the last merge, handing over the sums. `cycles` is that of activations without
zeros and all outputs needed, each execution has its own. Tiles start and end with all registers at zero. A slice at the
end of K may be short or empty.

Weights are read from their buffer by address, once per picked activation and busy column, activations once per turn:
`sram.*.read_on_demand_bits`, because what is skipped is not read. Nothing is shared between tokens, whose zeros differ:
this is a structure for decoding. Weights are taken to be in the buffer as a whole; from DRAM they come as for any other
datapath, so that a matmul bound by DRAM does not get faster.

`weight_gating`: a weight of 0 closes the gate in front of adder and sum (`gate.closed`): it saves energy, no cycles.
All registers are clocked only when they take a value (`reg.gated.clock`); the sum of a busy column is replaced in
the first cycle of an interval whether there is a product or not.

Exact for every activation in -128..127 and weights -1, 0, 1 (needed outputs). Almost no event is data-independent.
Estimates use rates measured on the shipped model of the same kind, averages over all its linears (a4.8 leaves out
outputs of up_proj only); what gates save is estimated from the weights' zeros as if they were spread evenly.
No such lane was synthesised: its adder is priced per bit like the ternary PE's, what finds activations is assumed. With
activations that are not 0 and no gating a lane is a serial ternary PE: per bit it rebuilds the synthesised one of 16
bits within 15 % (tests/hw/test_rebuilt_prices.py). What zeros save has no unit to be compared with.

Published relatives: Cnvlutin and Bit-Tactical skip zeros in lanes with a window; ternary weights and the trees are as
in `bitsim.datapath.adder_tree`. Sparsity of activations: arXiv 2411.04965 (a4.8), Table 2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bitsim.datapath.accumulation import Summed
from bitsim.datapath.base import Array, Statistics, Streams, arithmetic_events
from bitsim.datapath.kernels.lane_schedule import slice_toggles
from bitsim.datapath.kernels.sparse_array import sparse_toggles
from bitsim.datapath.lane_schedule import LaneSchedule, lane_schedule
from bitsim.datapath.prepared import PreparedWeights
from bitsim.datapath.template import GroupSums
from bitsim.events import Events
from bitsim.hw.datapaths.sparse_array import ACT_BITS, SparseArraySpec

WEIGHT_BITS = 2
TILE_END_CYCLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """How often each token passes each tile (`passes`, int64 (tiles, M)) and, by tile, how many columns it has."""

    passes: Array
    columns: Array

    @property
    def working(self) -> Array:
        """The tiles that compute anything, bool (tiles,)."""
        found: Array = self.passes.max(axis=1) > 0
        return found

    @property
    def per_token(self) -> Array:
        """Passes of each token, (M,)."""
        found: Array = self.passes.sum(axis=0)
        return found


class SparseArray(GroupSums[SparseArraySpec]):
    """A sparse array as its `SparseArraySpec` describes it."""

    leaves_out_outputs = True

    @property
    def grain(self) -> tuple[int, int, int]:
        return 1, self.spec.interval, self.spec.tile_columns

    def turns(self, m: int, n: int, live: Array | None = None) -> Turns:
        """The passes of `m` tokens through the tiles of `n` outputs; `live`: bool (M, N), None: all are needed."""
        spec = self.spec
        tiles = -(-n // spec.tile_columns)
        widths = np.minimum(spec.tile_columns, n - spec.tile_columns * np.arange(tiles))
        columns = np.minimum(widths, spec.cols)
        if live is None:
            passes = np.broadcast_to(-(-widths // spec.cols), (m, tiles)).T
            return Turns(passes=passes, columns=columns)
        padded = np.zeros((m, tiles * spec.tile_columns), np.bool_)
        padded[:, :n] = live
        waiting = padded.reshape(m, tiles, spec.outputs, spec.cols).sum(axis=2)
        return Turns(passes=waiting.max(axis=2).T, columns=columns)

    def schedule(self, acts: Array) -> LaneSchedule:
        """When the lanes take which activation of `acts` (M, K)."""
        return lane_schedule(acts, self.spec.lanes, self.spec.depth, self.spec.lookahead)

    def cycles(self, m: int, k: int, n: int) -> int:
        spec, passes = self.spec, self.turns(1, n).passes
        full, rest = divmod(k, spec.interval)
        return len(passes) * TILE_END_CYCLES + m * int(passes.sum()) * (full * spec.depth + min(rest, spec.depth))

    def executed_cycles(self, acts: Array, weights: PreparedWeights) -> int:
        turns = self.turns(acts.shape[0], weights.n, weights.live)
        return int(self.schedule(acts).cycles @ turns.per_token) + TILE_END_CYCLES * int(turns.working.sum())

    def streams(self, m: int, k: int, n: int) -> Streams:
        """Sums are written and read once; operands are read on demand, which is an event of an execution."""
        sums = m * n * self.spec.acc_bits
        return Streams(
            weight_writes=k * n * WEIGHT_BITS, weight_reads=0, act_reads=0, psum_reads=sums, psum_writes=sums
        )

    def parts(self) -> Mapping[str, int]:
        """Windows, the signed adder of each lane and column, the trees that merge lanes, and all registers."""
        spec = self.spec
        lanes, column = spec.lanes * spec.cols, spec.lanes * (WEIGHT_BITS + spec.lane_bits) + spec.acc_bits
        return {
            "lane.look_bit": spec.lanes * spec.lookahead * ACT_BITS,
            "tree.add_bit": lanes * spec.lane_bits,
            "adder.bit": spec.cols * spec.merge_bits,
            "reg.bit": ACT_BITS * self._act_registers + spec.cols * column,
        } | ({"gate": lanes} if spec.weight_gating else {})

    def data_independent(self, m: int, k: int, n: int) -> Events:
        return arithmetic_events("int8", m, k, n, multiplies=False)

    def chances(self, m: int, k: int, n: int) -> Mapping[str, int]:
        """All activations are taken, all outputs needed and no gate closed."""
        spec, turns, intervals = self.spec, self.turns(1, n), self._intervals(k)
        passes, tiles = m * int(turns.passes.sum()), len(turns.passes)
        macs, per_column = m * k * n, int(turns.columns.sum())
        clocks = {
            "reg.act.toggle": ACT_BITS * (passes * (intervals * spec.interval + k) + tiles * self._act_registers),
            "reg.weight.toggle": WEIGHT_BITS * (macs + per_column * spec.lanes),
            "reg.psum.toggle": spec.lane_bits * (m * n * intervals * spec.lanes + macs + per_column * spec.lanes)
            + spec.acc_bits * (m * n * intervals + per_column),
        }
        return {
            **clocks,
            "reg.gated.clock": sum(clocks.values()),
            "lane.look_bits": passes * k * spec.lookahead * ACT_BITS,
            spec.merge_event: m * n * intervals * spec.merge_bits,
            "sram.weights.read_on_demand_bits": macs * WEIGHT_BITS,
            "sram.acts.read_on_demand_bits": passes * k * ACT_BITS,
        }

    def expect(self, m: int, k: int, n: int, statistics: Statistics) -> Events:
        """The weights that are read close the gates or work, as often as they are 0 or not."""
        expected = super().expect(m, k, n, statistics)
        operations = expected["sram.weights.read_on_demand_bits"] // WEIGHT_BITS
        closed = round(operations * statistics.weight_zeros) if self.spec.weight_gating else 0
        return expected + Events({"gate.closed": closed, "lane.add_bits": (operations - closed) * self.spec.lane_bits})

    def weight_facts(self, codes: Array) -> Array:
        """By k, the number of weights that are 0, int64 (K,)."""
        found: Array = (codes == 0).sum(axis=0, dtype=np.int64)
        return found

    def cheap_events(self, acts: Array, weights: PreparedWeights) -> Mapping[str, int]:
        spec, schedule = self.spec, self.schedule(acts)
        turns = self.turns(acts.shape[0], weights.n, weights.live)
        passes, intervals = turns.per_token, self._intervals(weights.k)
        needed = np.full(acts.shape[0], weights.n) if weights.live is None else weights.live.sum(axis=1)
        taken = schedule.taken.sum(axis=1)
        later = schedule.taken & ~schedule.first
        picks, outputs = int(taken @ needed), int(needed.sum())
        closed = closed_later = 0
        if spec.weight_gating:
            closed, closed_later = meet_zero((schedule.taken, later), weights)
        ends = int(turns.columns[turns.working].sum())
        stored = ACT_BITS * (int(passes.sum()) * intervals * spec.interval + int(passes @ taken))
        lane_updates = outputs * intervals * spec.lanes + int(later.sum(axis=1) @ needed) - closed_later
        at_end = spec.lanes * (WEIGHT_BITS + spec.lane_bits) + spec.acc_bits
        return {
            "gate.closed": closed,
            "lane.look_bits": int(passes @ schedule.steps.sum(axis=(1, 2))) * spec.lookahead * ACT_BITS,
            "lane.add_bits": (picks - closed) * spec.lane_bits,
            spec.merge_event: outputs * intervals * spec.merge_bits,
            "sram.weights.read_on_demand_bits": picks * WEIGHT_BITS,
            "sram.acts.read_on_demand_bits": int(passes.sum()) * weights.k * ACT_BITS,
            "reg.gated.clock": stored
            + int(turns.working.sum()) * ACT_BITS * self._act_registers
            + picks * WEIGHT_BITS
            + lane_updates * spec.lane_bits
            + outputs * intervals * spec.acc_bits
            + ends * at_end,
            "reg.act.toggle": self._act_toggles(acts.view(np.uint8), turns),
        }

    def sums(self, acts: Array, weights: PreparedWeights) -> Summed:
        summed, live = super().sums(acts, weights), weights.live
        if live is None:
            return summed
        y = np.where(live, summed.y, 0).astype(summed.y.dtype)
        return replace(summed, y=y) if not summed.overflows else self._needed_overflows(acts, weights, y)

    def dear_toggles(self, acts: Array, w: Array, y: Array | None, *, overflowed: bool) -> Mapping[str, int]:
        return self._toggles(acts, w, None, overflowed)

    def column_toggles(
        self, acts: Array, weights: PreparedWeights, columns: Array, seed: int, summed: Summed | None
    ) -> Mapping[str, int]:
        if weights.live is None:
            return super().column_toggles(acts, weights, columns, seed, summed)
        overflowed = summed is not None and bool(summed.overflows)
        return self._toggles(acts, weights.columns(columns, seed), weights.live[:, columns], overflowed)

    def _toggles(self, acts: Array, w: Array, live: Array | None, overflowed: bool) -> Mapping[str, int]:
        spec = self.spec
        psums, codes = sparse_toggles(
            acts,
            w,
            live,
            (spec.lanes, spec.depth, spec.lookahead),
            (spec.cols, spec.outputs),
            (spec.lane_bits, spec.acc_bits),
            overflowed and spec.overflow == "saturate",
        ).tolist()
        return {"reg.psum.toggle": psums, "reg.weight.toggle": codes}

    def _needed_overflows(self, acts: Array, weights: PreparedWeights, y: Array) -> Summed:
        """Overflows of needed outputs only, one token after the other: each needs other outputs."""
        assert weights.live is not None
        codes, counts, first = weights.codes(), dict[str, int](), None
        for m in np.flatnonzero(weights.live.any(axis=1)).tolist():
            outputs = np.flatnonzero(weights.live[m])
            part = super().sums(acts[m : m + 1], self.prepare(codes[outputs]))
            for name, count in part.overflows.items():
                counts[name] = counts.get(name, 0) + count
            if first is None and part.first is not None:
                first = m, part.first[1], int(outputs[part.first[2]])
        return Summed(y=y, overflows=counts, first=first)

    @property
    def _act_registers(self) -> int:
        return self.spec.interval + self.spec.lanes  # slices and picks

    def _intervals(self, k: int) -> int:
        return -(-k // self.spec.interval)

    def _act_toggles(self, acts: Array, turns: Turns) -> int:
        """Toggles of slices and picks; tiles that all tokens pass equally often are alike."""
        kinds, tiles = np.unique(turns.passes[turns.working], axis=0, return_counts=True)
        lanes, depth = self.spec.lanes, self.spec.depth
        entering = np.ascontiguousarray(acts)
        return sum(
            int(number) * int(slice_toggles(entering, np.ascontiguousarray(passes), lanes, depth))
            for passes, number in zip(kinds, tiles, strict=True)
        )


def meet_zero(taken: Sequence[Array], weights: PreparedWeights) -> list[int]:
    """For each selection of activations, bool (M, K), how many of them meet a weight of 0 of a needed output."""
    live = weights.live
    if live is None:
        return [int(which.sum(axis=0) @ weights.facts) for which in taken]
    zeros = (weights.codes() == 0).astype(np.float32)
    met = (np.concatenate(taken).astype(np.float32) @ zeros.T).reshape(len(taken), *live.shape)
    return [int(part.sum(where=live, dtype=np.float64)) for part in met]
