"""Bit-serial activations times ternary or binary weights: one bit plane of L activations per cycle and cell.

    activations as bit planes, from the buffer                    weights, L x 2 bits per column, shared by its rows
    plane 7 (sign), 6, 5 ... 0; zero planes are skipped            w0    w1    w2    w3    w4    w5    w6    w7
                                                                   |     |     |     |     |     |     |     |
     row 0   b0 b1 b2 b3 b4 b5 b6 b7  (a bit per lane) -------->  bit ? w : 0, in each lane:  -1, 0 or 1
     row 1   b0 b1 b2 b3 b4 b5 b6 b7  -> the cells of row 1          \\   /       \\   /       \\   /       \\   /
     ...     rows run in lockstep                                   ( + )       ( + )       ( + )       ( + )   3 bits
                                                                        \\     /                 \\     /
                                                                         ( + )                   ( + )          4 bits
                                                                             \\                 /
     one cell, of `rows` x `cols`                                             +-----( + )-----+                 5 bits
                                                                                      | s
             serial: act_bits + log2 L + 1 bits          0 or serial --> ( + or - ) <-- s << plane
                                                                              |
                                                         acc[row, col] --> ( + )   after the last plane of a group

The sum of a group of L activations is put together plane by plane, the sign plane first and subtracted (two's
complement), in the register `serial`; the first plane replaces what it held. It never leaves the range of a sum of L
activations, because the leading planes of a legal activation are a legal activation. In the cycle after its last plane
the sum is added to the accumulator (the first one of a dot product replaces it), while the next group begins.

`weights: binary` (-1 or 1; 1 bit each, set for 1) counts ones: s = 2 popcount(w & plane) - popcount(plane). The second
count is made once per row of cells. The tree adds single bits, and a subtractor of log2 L + 2 bits follows.

Order of work: for each tile of `cols` outputs, for each block of `rows` tokens, for each group of L of K, for each
plane one cycle. Weights are loaded with the first plane of a group. All rows take the same plane: with
`skip_zero_planes` a plane takes no cycle if it is 0 in all lanes of *all rows*, so that few rows and few lanes skip
more. A group takes a cycle (plane 0) even if nothing is left of it, because its weights must come in. Without skipping,
a tile of M tokens takes ceil(M / rows) ceil(K / L) act_bits cycles; to each tile come one to fill the operand
registers, one behind the last plane and one in which the accumulators hand over their sums and are cleared. That is
what `cycles` gives; an execution tells what it took. Tiles start from reset and do not overlap; zeros follow through
all registers at the end. Lanes beyond K hold zeros and are clocked; rows beyond M and columns beyond N do nothing.

Buffers hold activations as planes, and with each group of a block one flag per plane that says whether it is zero, made
where activations are quantised (once for all N outputs; neither that nor the transposition is counted). The traffic
of `streams` follows from shapes: the reads that skipping saves are not taken off.

Exact for every operand of `act_bits` bits (-128..127 or -8..7) and the weights that it takes; accumulators wrap or
saturate (`overflow.acc`, at the first k of the group).

Events: skipping makes counts depend on operands, so that these have names of their own: the bits of the cells' adders,
`serial.depth{d}.add_bits` with d adders in a row, `serial.popcount_depth{d}.add_bits` for binary weights; and
`reg.act.clock`, `reg.serial.clock`. Each group gives one `acc.add.int{acc_bits}`. Registers of weights and accumulators
are clocked whatever the operands are: `reg.clock`.

Prices come from the synthesised `bs16_a8_acc24_8cyc`, 16 lanes and one accumulator of 24 bits that takes a shifted
plane in each cycle. It is the same tree, but not the same registers (one long one that works in every cycle instead of
two), and it adds all planes positively. So a cell here is priced by the bits of its adders, and its total can't be
compared with the measured one. Other numbers of lanes have no price, nor have cells of binary weights but those whose
adders stand in rows as long as a synthesised XNOR unit's. Rates for estimates are measured with one row of 16 lanes (of
binary weights: 8 rows of 32); more rows and lanes skip fewer planes than they predict.

Published: Stripes (Judd et al., MICRO 2016: bit-serial activations), BoothFlex-BS of VitaLLM with ternary weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bitsim.datapath.base import Array, Streams, arithmetic_events
from bitsim.datapath.formats import weight_patterns
from bitsim.datapath.kernels.bit_serial import WORD, bit_planes, serial_toggles
from bitsim.datapath.lanes import WeightFacts, in_groups, weight_facts
from bitsim.datapath.prepared import PreparedWeights
from bitsim.datapath.registers import stream_toggles
from bitsim.datapath.template import GroupSums
from bitsim.events import Events
from bitsim.hw.datapaths.base import adders_at
from bitsim.hw.datapaths.bit_serial import BitSerialSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """How one matmul passes through the cells."""

    groups: int
    blocks: int
    tiles: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Planes:
    """Activations as bit planes.

    `bits`: int32 (M, groups, act_bits, words), 32 lanes to a word; `live`: bool (blocks, groups, act_bits), whether
    the block works on the plane.
    """

    bits: Array
    live: Array

    @property
    def steps(self) -> Array:
        """Planes that each block works on, (blocks,)."""
        counted: Array = self.live.sum(axis=(1, 2), dtype=np.int64)
        return counted


class BitSerial(GroupSums[BitSerialSpec]):
    """An array of bit-serial cells as its `BitSerialSpec` describes it."""

    takes_arrays = True

    def __init__(self, spec: BitSerialSpec) -> None:
        super().__init__(spec)
        most = (1 << (spec.act_bits - 1)) - 1
        self.act_range = (-most - 1, most)
        self.zero_weights = spec.zero_weights

    @property
    def grain(self) -> tuple[int, int, int]:
        return self.spec.rows, self.spec.lanes, self.spec.cols

    def walk(self, m: int, k: int, n: int) -> Walk:
        spec = self.spec
        return Walk(
            groups=-(-k // spec.lanes),
            blocks=-(-m // spec.rows),
            tiles=-(-n // spec.cols),
        )

    def cycles(self, m: int, k: int, n: int) -> int:
        walk = self.walk(m, k, n)
        return walk.tiles * (walk.blocks * walk.groups * self.spec.act_bits + 3)

    def executed_cycles(self, acts: Array, weights: PreparedWeights) -> int:
        walk = self.walk(acts.shape[0], weights.k, weights.n)
        return walk.tiles * (int(self.planes(acts).steps.sum()) + 3)

    def streams(self, m: int, k: int, n: int) -> Streams:
        """Weights are read once per block of tokens, activations once per tile, sums written and read once."""
        walk, weights, sums = self.walk(m, k, n), k * n * self.spec.weight_bits, m * n * self.spec.acc_bits
        flags = walk.blocks * walk.groups * self.spec.skip_zero_planes
        return Streams(
            weight_writes=weights,
            weight_reads=weights * walk.blocks,
            act_reads=(m * k + flags) * self.spec.act_bits * walk.tiles,
            psum_reads=sums,
            psum_writes=sums,
        )

    @property
    def add_event(self) -> str:
        """Under what the bits of adders are booked: the number of adders in a row."""
        levels = self.spec.levels
        depth = f"depth{levels + 1}" if self.zero_weights else f"popcount_depth{levels + 2}"
        return f"serial.{depth}.add_bits"

    @property
    def tree_bits(self) -> int:
        """Bits of a tree's adders; it adds numbers of `weight_bits`, which grow by one bit per level."""
        spec = self.spec
        return sum(adders_at(spec.lanes, level) * (level + spec.weight_bits) for level in range(1, spec.levels + 1))

    @property
    def cell_bits(self) -> int:
        """Bits of the adders that work on one plane in one cell."""
        return self.tree_bits + self.spec.serial_bits + (0 if self.zero_weights else self.spec.levels + 2)

    def parts(self) -> Mapping[str, int]:
        """Adders with the lanes' masks, bit by bit, and all registers; finding zero planes is not counted.

        Binary weights: the tree that counts the ones of a plane is there once per row.
        """
        spec = self.spec
        shared = 0 if self.zero_weights else spec.rows * self.tree_bits
        cell, weights = spec.serial_bits + spec.acc_bits, spec.weight_bits * spec.lanes
        return {
            "serial.add_bit": spec.rows * spec.cols * (self.cell_bits + spec.acc_bits) + shared,
            "reg.bit": spec.rows * spec.lanes + spec.cols * (weights + spec.rows * cell),
        }

    def data_independent(self, m: int, k: int, n: int) -> Events:
        spec, walk = self.spec, self.walk(m, k, n)
        weights = (walk.blocks * walk.groups + 1) * spec.weight_bits * spec.lanes
        accumulators = (m * walk.groups + min(m, spec.rows)) * spec.acc_bits
        counts = {f"acc.add.int{spec.acc_bits}": m * walk.groups * n, "reg.clock": n * (weights + accumulators)}
        return Events(counts) + arithmetic_events("int8", m, k, n, multiplies=False)

    def chances(self, m: int, k: int, n: int) -> Mapping[str, int]:
        spec, walk = self.spec, self.walk(m, k, n)
        counts = self._per_plane(m * walk.groups * spec.act_bits, min(m, spec.rows), walk, n)
        return counts | {
            "reg.act.toggle": counts["reg.act.clock"],
            "reg.serial.toggle": counts["reg.serial.clock"],
            "reg.psum.toggle": n * (m * walk.groups + min(m, spec.rows)) * spec.acc_bits,
            "reg.weight.toggle": n * (walk.blocks * walk.groups + 1) * spec.weight_bits * spec.lanes,
        }

    def _per_plane(self, passes: int, rows: int, walk: Walk, n: int) -> dict[str, int]:
        """What happens as often as tokens pass planes to the cells of their row, and once more per used row."""
        updates = passes + rows
        shared = 0 if self.zero_weights else walk.tiles * self.tree_bits
        return {
            self.add_event: passes * (self.cell_bits * n + shared),
            "reg.act.clock": walk.tiles * updates * self.spec.lanes,
            "reg.serial.clock": n * updates * self.spec.serial_bits,
        }

    def weight_facts(self, codes: Array) -> WeightFacts:
        patterns = (
            weight_patterns("ternary", codes).astype(np.uint8) if self.zero_weights else (codes > 0).view(np.uint8)
        )
        return weight_facts(patterns, self.spec.lanes)

    def planes(self, acts: Array) -> Planes:
        """`acts` (M, K) as bit planes, and which of them are worked on."""
        spec = self.spec
        bits = bit_planes(in_groups(acts.view(np.uint8), spec.lanes), spec.act_bits)
        if not spec.skip_zero_planes:
            blocks = -(-acts.shape[0] // spec.rows)
            return Planes(bits=bits, live=np.ones((blocks, *bits.shape[1:3]), np.bool_))
        starts = np.arange(0, acts.shape[0], spec.rows)
        live = np.logical_or.reduceat(bits.any(axis=3), starts, axis=0)
        live[:, :, 0] |= ~live.any(axis=2)
        return Planes(bits=bits, live=live)

    def cheap_events(self, acts: Array, weights: PreparedWeights) -> Mapping[str, int]:
        m = acts.shape[0]
        walk, planes = self.walk(m, weights.k, weights.n), self.planes(acts)
        tokens = np.minimum(self.spec.rows, m - self.spec.rows * np.arange(walk.blocks))
        entering = sum(self._entering_toggles(planes, row) for row in range(min(m, self.spec.rows)))
        return self._per_plane(int(tokens @ planes.steps), min(m, self.spec.rows), walk, weights.n) | {
            "reg.act.toggle": walk.tiles * entering,
            "reg.weight.toggle": weights.facts.toggles(walk.blocks),
        }

    def _entering_toggles(self, planes: Planes, row: int) -> int:
        """Flips of one row's registers for bits, while all groups pass once."""
        tokens = planes.bits[row :: self.spec.rows, :, ::-1].view(np.uint32)
        return stream_toggles(tokens[planes.live[: len(tokens), :, ::-1]], 0)

    def dear_toggles(self, acts: Array, w: Array, y: Array | None, *, overflowed: bool) -> Mapping[str, int]:
        spec, planes = self.spec, self.planes(acts)
        positive, negative = (np.moveaxis(as_words(in_groups(w, spec.lanes) == sign), 0, 2) for sign in (1, -1))
        live = planes.live @ (1 << np.arange(spec.act_bits))
        saturate = overflowed and spec.overflow == "saturate"
        serial, accumulators = serial_toggles(
            planes.bits, live, positive, negative, spec.rows, spec.serial_bits, spec.acc_bits, saturate
        )
        return {"reg.serial.toggle": int(serial), "reg.psum.toggle": int(accumulators)}


def as_words(ones: Array) -> Array:
    """(..., lanes) of 0 and 1 -> int32 (..., words), 32 lanes to a word, the first one in the lowest bit."""
    lanes = ones.shape[-1]
    padded = np.zeros((*ones.shape[:-1], -(-lanes // WORD) * WORD), np.uint8)
    padded[..., :lanes] = ones
    return np.packbits(padded, axis=-1, bitorder="little").view("<i4")
