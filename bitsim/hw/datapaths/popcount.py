"""The popcount array; how it works is told by `bitsim.datapath.popcount`."""

from typing import Annotated, ClassVar, Literal

from pydantic import model_validator

from bitsim.hw.datapaths.base import DatapathDescription, SumBits, at_least_one, levels_over, too_narrow, within


class PopcountSpec(DatapathDescription):
    """`cols` columns that multiply `lanes` activations by weights of as few bits and count ones.

    * `operands`: activations and weights are both -1 or 1 ("binary": XNOR), or both -1, 0 or 1 ("ternary": masks).
    * `lanes`: products that one column sums per cycle; a number without a partner passes on in its trees.
    * `cols`: outputs side by side.
    * `tokens`: tokens that share each fetch of weights; every column has one accumulator for each of them.
    * `acc_bits`: width of the accumulators. All registers are clocked only when they take a value.
    """

    side_by_side: ClassVar[str] = "cols"
    kind: Literal["popcount"]
    operands: Literal["binary", "ternary"]
    lanes: Annotated[int, within(2, 1024, "an adder joins two lanes")]
    cols: Annotated[int, at_least_one(4096, "a column")]
    tokens: Annotated[int, within(1, 1024, "weights are fetched for at least one token")] = 1
    acc_bits: SumBits

    @model_validator(mode="after")
    def _possible(self) -> "PopcountSpec":
        if self.acc_bits < self.sum_bits:
            raise too_narrow(self.sum_bits, f"the width of a sum of {self.lanes} products of -1 or 1", self.acc_bits)
        return self

    @property
    def levels(self) -> int:
        """Levels of adders in a tree."""
        return levels_over(self.lanes)

    @property
    def sum_bits(self) -> int:
        """Width of the sum of `lanes` products: -lanes..lanes."""
        return self.levels + 2

    @property
    def depth(self) -> int:
        """Adders in a row: the tree's, that of ternary operands which subtracts, and the accumulator's.

        What binary operands subtract is constant, so that no carry has to wait for it.
        """
        return self.levels + 1 + (self.operands == "ternary")

    @property
    def code_bits(self) -> int:
        """Bits of an activation and of a weight."""
        return 1 if self.operands == "binary" else 2

    @property
    def widest_act(self) -> int:
        return self.code_bits

    @property
    def zero_weights(self) -> bool:
        return self.operands == "ternary"

    @property
    def rates(self) -> str:
        return f"popcount_{self.operands}"

    @property
    def unit(self) -> str:
        """`xnor64_acc16`, `mask64_acc16`: lanes, accumulator."""
        return f"{'xnor' if self.operands == 'binary' else 'mask'}{self.lanes}_acc{self.acc_bits}"

    @property
    def macs_per_cycle(self) -> int:
        return self.lanes * self.cols

    def text(self) -> str:
        return (
            f"{self.unit}, {self.cols} columns, tokens per fetch of weights {self.tokens}, {self.overflow}, "
            "clock gating on"
        )
