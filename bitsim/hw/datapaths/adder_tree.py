"""The adder tree; how it works is told by `bitsim.datapath.adder_tree`."""

from fractions import Fraction
from typing import Annotated, ClassVar, Literal

from pydantic import model_validator

from bitsim.hw.datapaths.base import (
    DatapathDescription,
    Interval,
    SumBits,
    at_least_one,
    gating,
    levels_over,
    macs_per_interval,
    slower,
    too_narrow,
    within,
)
from bitsim.hw.source import problem

ACT_BITS = 8


class AdderTreeSpec(DatapathDescription):
    """`trees` adder trees of `lanes` sign-selecting lanes each; all trees see the same activations.

    * `lanes`: products that one tree sums at a time; where a level has an odd number of nodes, the last one passes on.
    * `trees`: outputs that are computed side by side.
    * `pipeline`: ranks of registers inside of each tree; they cut its levels and the accumulator's adder into stages
      of equal depth, as far as that is possible.
    * `tokens`: tokens that share each fetch of weights; every tree has one accumulator for each of them.
    * `interval`: cycles that a step takes, for slower units: every cycle of the tree then is as many of the chip's.
    * `acc_bits`: width of the accumulators. `clock_gating`: registers are clocked only when they take a valid value.
    """

    side_by_side: ClassVar[str] = "trees"
    kind: Literal["adder_tree"]
    lanes: Annotated[int, within(2, 128, "an adder joins two lanes")]
    trees: Annotated[int, at_least_one(4096, "a tree")]
    pipeline: Annotated[int, within(0, 7, "0 is a tree without registers", "a tree of 128 lanes has 7 levels")] = 0
    tokens: Annotated[int, within(1, 1024, "weights are fetched for at least one token")] = 1
    interval: Interval = 1
    acc_bits: SumBits
    clock_gating: bool = True

    @model_validator(mode="after")
    def _possible(self) -> "AdderTreeSpec":
        if self.pipeline > self.levels:
            raise problem(
                f"must be <= {self.levels}, the levels of a tree of {self.lanes} lanes (got {self.pipeline})",
                key="pipeline",
            )
        least = ACT_BITS + self.levels + 1
        if self.acc_bits < least:
            raise too_narrow(least, f"the width of a sum of {self.lanes} activations", self.acc_bits)
        return self

    @property
    def levels(self) -> int:
        """Levels of adders in the tree."""
        return levels_over(self.lanes)

    @property
    def ranks(self) -> tuple[int, ...]:
        """The levels behind which a rank of pipeline registers stands, ascending."""
        return tuple(i * (self.levels + 1) // (self.pipeline + 1) for i in range(1, self.pipeline + 1))

    @property
    def unit(self) -> str:
        """`tree16_p0_acc24`: lanes, ranks of pipeline registers, accumulator."""
        return f"tree{self.lanes}_p{self.pipeline}_acc{self.acc_bits}"

    @property
    def macs_per_cycle(self) -> int | Fraction:
        return macs_per_interval(self.lanes * self.trees, self.interval)

    def text(self) -> str:
        return (
            f"{self.unit}, {self.trees} trees, tokens per fetch of weights {self.tokens}, {self.overflow}, "
            f"{gating(self.clock_gating)}{slower(self.interval)}"
        )
