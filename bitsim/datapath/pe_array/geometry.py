"""Tiles and cycles of an R x C PE array, weight-stationary or output-stationary.

Weight-stationary: a tile is R of K by C of N. Weights are shifted in over R cycles; then M vectors stream through,
row r entering r cycles late; the last partial sums have left (and returned to zero) after M + R + C - 1 cycles.

Output-stationary: a tile is R of M by C of N. Activations enter from the left and weights from above, row r and
column c entering r and c cycles late; after K + R + C - 1 cycles all products are summed and the operand registers are
back at zero; then the sums are shifted out downwards over R cycles, unless they stay for the next tile of K.
"""

from dataclasses import dataclass
from typing import Literal

Dataflow = Literal["weight_stationary", "output_stationary"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterUpdates:
    """Updates of activation, weight and partial-sum registers in one matmul."""

    act: int
    weight: int
    psum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """How one matmul M x K x N falls into tiles of an R x C array.

    `stays`: the sums of an output-stationary array stay where they are, for the next tile of K. `interval`: cycles of
    the chip's clock in one of the array's.
    """

    dataflow: Dataflow
    rows: int
    cols: int
    m: int
    k: int
    n: int
    stays: bool = False
    interval: int = 1

    @property
    def weight_stationary(self) -> bool:
        return self.dataflow == "weight_stationary"

    @property
    def m_tiles(self) -> int:
        """Passes over M; weight-stationary arrays stream all M in one pass."""
        return 1 if self.weight_stationary else -(-self.m // self.rows)

    @property
    def k_tiles(self) -> int:
        """Passes over K; output-stationary arrays sum all K in place."""
        return -(-self.k // self.rows) if self.weight_stationary else 1

    @property
    def n_tiles(self) -> int:
        return -(-self.n // self.cols)

    @property
    def tiles(self) -> int:
        return self.m_tiles * self.k_tiles * self.n_tiles

    @property
    def tile_cycles(self) -> int:
        streamed = self.m if self.weight_stationary else self.k
        return self.interval * ((1 if self.stays else 2) * self.rows + streamed + self.cols - 1)

    @property
    def cycles(self) -> int:
        """Cycles of the whole matmul; tiles follow each other without overlap."""
        return self.tiles * self.tile_cycles

    @property
    def register_updates(self) -> "RegisterUpdates":
        """How often registers of each kind take a new value while operands of the matrices pass through them.

        Unused columns hold weight and sum 0 all the time and are left out; unused rows repeat the sum above them.
        """
        rows, columns = self.rows, self.n
        passes = self.cols * self.n_tiles
        if self.weight_stationary:
            return RegisterUpdates(
                act=self.k * passes * (self.m + 1),
                weight=self.k_tiles * rows * rows * columns,
                psum=self.k_tiles * rows * columns * (self.m + 1),
            )
        # What row i holds differs from what row i - 1 holds, and that step passes through the registers i .. rows - 1;
        # in a tile that is not full, so does the step from the last sum to the zero below it.
        full, rest = divmod(self.m, rows)
        drained = full * rows * (rows + 1) // 2
        if rest:
            drained += rest * rows - rest * (rest - 1) // 2 + rows - rest
        return RegisterUpdates(
            act=self.m * passes * (self.k + 1),
            weight=self.m_tiles * rows * columns * (self.k + 1),
            psum=columns * (self.m * self.k + (0 if self.stays else drained)),
        )

    @property
    def kept_weight_updates(self) -> int:
        """Updates of weight registers that are not reset between tiles: unused columns pass old weights on, too."""
        return self.tiles * self.rows * self.rows * self.cols

    def clocked_bits(self, act_bits: int, weight_bits: int, acc_bits: int, gated: bool) -> int:
        """Register bits x cycles in which they are clocked.

        Ungated: every register in every cycle. Gated by the valid bit that travels with each operand: a register is
        clocked while a valid value enters it and once more to return to zero; weight registers only while weights
        move; rows without a token (output-stationary, M not a multiple of R) keep their sums and activations still.
        """
        pes = self.rows * self.cols
        if not gated:
            return self.cycles * pes * (act_bits + weight_bits + acc_bits)
        if self.weight_stationary:
            return self.tiles * pes * ((self.m + 1) * (act_bits + acc_bits) + self.rows * weight_bits)
        tokens = self.m * self.cols * self.n_tiles
        streaming = tokens * ((self.k + 1) * act_bits + self.k * acc_bits)
        weights = self.tiles * pes * (self.k + 1) * weight_bits
        return streaming + weights + (0 if self.stays else self.tiles * pes * self.rows * acc_bits)
