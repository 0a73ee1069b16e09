"""The bit-serial array; how it works is told by `bitsim.datapath.bit_serial`."""

from typing import Annotated, ClassVar, Literal

from pydantic import model_validator

from bitsim.hw.datapaths.base import DatapathDescription, SumBits, at_least_one, levels_over, too_narrow, within


class BitSerialSpec(DatapathDescription):
    """`rows` x `cols` cells of `lanes` weights each, which take one bit plane of the activations per cycle.

    * `act_bits`: planes of an activation, two's complement: -128..127 or -8..7.
    * `weights`: -1, 0 and 1 ("ternary"), or -1 and 1 ("binary"): a cell of these counts ones instead of adding signs.
    * `lanes`: weights whose products with one plane a cell adds up per cycle; a number without a partner passes
      on in its tree. `cols`: outputs side by side. `rows`: tokens side by side, which share the weights.
    * `skip_zero_planes`: planes that are 0 in all lanes of all rows take no cycle.
    * `acc_bits`: width of the accumulators. All registers are clocked only when they take a value.
    """

    side_by_side: ClassVar[str] = "cols"
    kind: Literal["bit_serial"]
    act_bits: Literal[4, 8] = 8
    weights: Literal["ternary", "binary"] = "ternary"
    lanes: Annotated[int, within(2, 128, "an adder joins two lanes")]
    rows: Annotated[int, at_least_one(1024, "a row")] = 1
    cols: Annotated[int, at_least_one(4096, "a column")]
    skip_zero_planes: bool = True
    acc_bits: SumBits

    @model_validator(mode="after")
    def _possible(self) -> "BitSerialSpec":
        if self.acc_bits < self.serial_bits:
            why = f"the width of a sum of {self.lanes} activations of {self.act_bits} bits"
            raise too_narrow(self.serial_bits, why, self.acc_bits)
        return self

    @property
    def levels(self) -> int:
        """Levels of adders in a cell's tree."""
        return levels_over(self.lanes)

    @property
    def weight_bits(self) -> int:
        return 2 if self.weights == "ternary" else 1

    @property
    def serial_bits(self) -> int:
        """Width of the register in which a group's planes are put together: the sum of `lanes` activations fits."""
        return self.act_bits + self.levels + 1

    @property
    def widest_act(self) -> int:
        return self.act_bits

    @property
    def zero_weights(self) -> bool:
        return self.weights == "ternary"

    @property
    def cycles_vary(self) -> bool:
        return self.skip_zero_planes

    @property
    def rates(self) -> str:
        """Planes differ in number and in how often they are 0, weights in their bits."""
        binary = "" if self.weights == "ternary" else "_w1"
        return f"bit_serial_a{self.act_bits}{binary}{'' if self.skip_zero_planes else '_all_planes'}"

    @property
    def unit(self) -> str:
        """`serial16_a8_acc32`, `serial32_a8_w1_acc32`: lanes, bits of an activation, binary weights, accumulator."""
        binary = "" if self.weights == "ternary" else "_w1"
        return f"serial{self.lanes}_a{self.act_bits}{binary}_acc{self.acc_bits}"

    @property
    def macs_per_cycle(self) -> int:
        """Without skipped planes, rounded up."""
        return -(-self.lanes * self.rows * self.cols // self.act_bits)

    def text(self) -> str:
        skips = "skips zero planes" if self.skip_zero_planes else "takes all planes"
        return f"{self.unit}, {self.rows} x {self.cols} cells, {skips}, {self.overflow}, clock gating on"
