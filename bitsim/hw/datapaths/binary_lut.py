"""The bit-serial engine with tables of binary sums; how it works is told by `bitsim.datapath.binary_lut`."""

from typing import Annotated, ClassVar, Literal

from pydantic import model_validator

from bitsim.hw.datapaths.base import DatapathDescription, SumBits, at_least_one, gating, levels_over, too_narrow, within

GROUP = 4  # activations per table
ENTRIES = 8  # half of 2^4: the others are their negatives
EXACT_BITS = 10  # of an entry: the sum of four activations of -128..127 or their negatives, -512..511


class BinaryLutSpec(DatapathDescription):
    """`tables` mirrored tables of four activations each, read by `lanes` outputs, one plane of weights per cycle.

    * `tables`: tables side by side; an entry without a partner passes on in the tree.
    * `lanes`: outputs that read the tables at the same time.
    * `table_bits`: width of an entry. 10 holds every sum; fewer drop low bits with rounding, which is not exact. 8 is
      the INT8 quantisation of tables.
    * `acc_bits`: width of the accumulators, which hold twice the output over the weight of an entry's last bit.
    * `clock_gating`: registers are clocked only when they take a valid value.
    """

    side_by_side: ClassVar[str] = "lanes"
    kind: Literal["binary_lut"]
    tables: Annotated[int, at_least_one(16, "a table")]
    lanes: Annotated[int, at_least_one(4096, "a lane")]
    table_bits: Annotated[int, within(4, EXACT_BITS, "fewer are not modelled", "10 hold every sum")] = EXACT_BITS
    acc_bits: SumBits
    clock_gating: bool = True

    @model_validator(mode="after")
    def _possible(self) -> "BinaryLutSpec":
        least = self.table_bits + self.levels + 1
        if self.acc_bits < least:
            raise too_narrow(least, f"the width of a sum of {self.tables} entries, those of one cycle", self.acc_bits)
        return self

    @property
    def levels(self) -> int:
        """Levels of adders between the tables and the accumulator."""
        return levels_over(self.tables)

    @property
    def dropped_bits(self) -> int:
        """Low bits of a sum that an entry leaves out."""
        return EXACT_BITS - self.table_bits

    @property
    def group(self) -> int:
        """Weights of one output that two cycles serve."""
        return GROUP * self.tables

    @property
    def unit(self) -> str:
        """`lut_b4_t10_acc24`."""
        return f"lut_b{GROUP}_t{self.table_bits}_acc{self.acc_bits}"

    @property
    def rates(self) -> str:
        return f"binary_lut_t{self.table_bits}"

    @property
    def macs_per_cycle(self) -> int:
        return self.group * self.lanes // 2

    def text(self) -> str:
        quantised = f", tables rounded to {self.table_bits} bits" if self.dropped_bits else ""
        return (
            f"{self.unit}, {self.tables} tables, {self.lanes} lanes, two planes{quantised}, {self.overflow}, "
            f"{gating(self.clock_gating)}"
        )
