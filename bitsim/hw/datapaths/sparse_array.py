"""The array that skips zero activations; how it works is told by `bitsim.datapath.sparse_array`."""

from typing import Annotated, ClassVar, Literal

from pydantic import model_validator

from bitsim.hw.datapaths.base import (
    DatapathDescription,
    SumBits,
    adders_at,
    at_least_one,
    levels_over,
    too_narrow,
    within,
)
from bitsim.hw.source import problem

ACT_BITS = 8
LARGEST_ACT = 128


class SparseArraySpec(DatapathDescription):
    """`lanes` x `cols` sign-selecting adders; each lane takes the non-zero activations of its own slices of K.

    * `lanes`: lanes of a column; a sum without a partner passes on in the tree that merges them.
    * `cols`: columns side by side.
    * `depth`: activations in a lane's slice. All lanes begin their next slices together: the interval of
      synchronisation is `lanes` x `depth` of K.
    * `lookahead`: activations of its slice that a lane looks at in one cycle; 1: zeros are not skipped.
    * `outputs`: outputs that take turns on each column. Outputs that are not needed are left out, and what their column
      saves is limited by the column of the same tile with the most needed outputs.
    * `acc_bits`: width of the accumulators. `weight_gating`: a weight of 0 stops adder and clock of the lane's sum.
    """

    side_by_side: ClassVar[str] = "cols"
    kind: Literal["sparse_array"]
    lanes: Annotated[int, within(2, 64, "an adder joins two lanes")]
    cols: Annotated[int, at_least_one(1024, "a column")]
    depth: Annotated[int, within(1, 64, "a slice holds at least one activation")]
    lookahead: Annotated[int, within(1, 64, "a lane that looks at none takes none")]
    outputs: Annotated[int, within(1, 64, "a column computes at least one output")] = 1
    acc_bits: SumBits
    weight_gating: bool = True

    @model_validator(mode="after")
    def _possible(self) -> "SparseArraySpec":
        if self.lookahead > self.depth:
            raise problem(
                f"must be <= depth = {self.depth}: a lane looks no further than its slice (got {self.lookahead})",
                key="lookahead",
            )
        if self.acc_bits < (least := self.lane_bits + self.levels):
            raise too_narrow(least, f"the width of a sum of {self.lanes} x {self.depth} activations", self.acc_bits)
        return self

    @property
    def levels(self) -> int:
        """Levels of adders in the tree that merges the lanes of a column."""
        return levels_over(self.lanes)

    @property
    def interval(self) -> int:
        """Activations between two synchronisations of the lanes."""
        return self.lanes * self.depth

    @property
    def lane_bits(self) -> int:
        """Width of a lane's sum over a slice: it can't overflow."""
        return (LARGEST_ACT * self.depth).bit_length() + 1

    @property
    def merge_bits(self) -> int:
        """Bits of the adders that merge the lanes of one column, its accumulator's among them."""
        levels = range(1, self.levels + 1)
        return sum(adders_at(self.lanes, level) * (self.lane_bits + level) for level in levels) + self.acc_bits

    @property
    def merge_event(self) -> str:
        """The event of these adders: they stand in a row between the lanes' sums and the accumulator."""
        return f"merge.depth{self.levels + 1}.add_bits"

    @property
    def tile_columns(self) -> int:
        """Outputs that share one pass over the activations, or take turns on the same columns."""
        return self.cols * self.outputs

    @property
    def unit(self) -> str:
        """`sparse16_d16_h4_acc24`: lanes, depth, lookahead, accumulator."""
        return f"sparse{self.lanes}_d{self.depth}_h{self.lookahead}_acc{self.acc_bits}"

    @property
    def cycles_vary(self) -> bool:
        return True

    @property
    def macs_per_cycle(self) -> int:
        return self.lanes * self.cols

    def text(self) -> str:
        return (
            f"{self.unit}, {self.cols} columns x {self.outputs} outputs, {self.overflow}, "
            f"weight gating {'on' if self.weight_gating else 'off'}"
        )
